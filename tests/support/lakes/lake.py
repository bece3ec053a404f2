"""A lake of a test's own, and a sink that writes into it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from core.channel import Channel
from history.lake.tables import Lake
from history.write.sink import LakeSink
from markets.config import InstrumentConfig, MarketConfig, Shard
from markets.events import Quote, SinkEvent

SYMBOLS = ("BTC/USDT", "ETH/USDT")
CONFIG = MarketConfig(
    revision=1,
    exchanges=(),
    instruments=frozenset(InstrumentConfig("binance", symbol, symbol) for symbol in SYMBOLS),
    opportunities=(),
)
DEADLINE_S = 20.0


@dataclass
class Writing:
    """A running `LakeSink`, fed by hand."""

    channel: Channel[SinkEvent]
    sink: LakeSink
    task: "asyncio.Task[None]"

    def quotes(self, count: int, first: int = 1, symbol: str = "BTC/USDT") -> None:
        """Quotes received now; their bids are `first`, `first` + 1, …"""
        for number in range(first, first + count):
            self.channel.put(quote(number, symbol))

    async def until(self, condition: Callable[[dict[str, Any]], Any]) -> None:
        """Wait until the sink's counters meet a condition."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self.sink.stats()):
            assert time.monotonic() < deadline, self.sink.stats()
            assert not self.task.done()
            await asyncio.sleep(0.01)

    async def until_written(self, rows: int, table: str = "quotes") -> None:
        """Wait until a table has got so many rows from this sink."""
        await self.until(lambda stats: stats["rows"].get(table, 0) >= rows)

    async def finish(self) -> dict[str, Any]:
        """Let it drain and end, as SIGTERM does; returns its counters."""
        self.channel.close()
        async with asyncio.timeout(DEADLINE_S):
            await self.task
        return self.sink.stats()


def quote(number: int, symbol: str = "BTC/USDT", exchange: str = "binance") -> Quote:
    """A quote received now, known by its bid."""
    return Quote(
        exchange,
        symbol,
        float(number),
        1.0,
        number + 0.5,
        2.0,
        None,
        time.time_ns() // 1000,
        time.monotonic_ns(),
    )


@asynccontextmanager
async def lake_sink(
    capacity: int = 100_000, shard: Shard | None = None, config: MarketConfig = CONFIG
) -> AsyncIterator[Writing]:
    """A sink that writes into the lake of the settings; what is left at the end is written, too."""
    channel: Channel[SinkEvent] = Channel("lake", capacity)
    sink = LakeSink(channel, shard or Shard(), lambda _event: None)
    sink.configure(config)
    writing = Writing(channel, sink, asyncio.create_task(sink.run()))
    try:
        yield writing
    finally:
        channel.close()
        writing.task.cancel()
        await asyncio.gather(writing.task, return_exceptions=True)


def rows(lake: Lake | Path, table: str) -> pl.DataFrame:
    """A table as any reader of Delta finds it, oldest first."""
    lake = lake if isinstance(lake, Lake) else Lake(str(lake))
    delta = lake.open(table)
    assert delta is not None, f"there is no {table}"
    frame = pl.read_delta(delta)
    return frame.sort("ts_us" if "ts_us" in frame.columns else "received_ts_us")


def bids(lake: Lake | Path) -> list[float]:
    """The bids of all quotes, sorted: which there are, and whether any is there twice."""
    return sorted(rows(lake, "quotes")["bid"].to_list())

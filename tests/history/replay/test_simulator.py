"""The lake played on the simulated exchanges' wires, and collected from there again."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby, product
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from msgspec import structs

from arbsite.desk.ports import free_port
from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.replay.market import LakeMarket
from markets.config import Shard
from markets.events import Quote, Side, SinkEvent, Trade
from simulator.replay import Row
from simulator.server import Simulator
from tests.collectors.test_supervisor import KeepingSink, kept
from tests.support.exchanges.tiny_exchange import TIMING, until
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.lakes.recorded_session import EXCHANGES, NOON_US, SYMBOLS, config, session

END_US = NOON_US + 3_600_000_000


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def some_trades() -> list[Trade]:
    """Trades of one symbol, on each exchange and with either side; one whose side nobody knows."""
    sides: tuple[Side, ...] = ("buy", "sell")
    trades = [
        Trade(exchange, SYMBOLS[0], 100.5 + number, 0.25, side, str(number), None, NOON_US + number * 100_000)
        for number, (exchange, side) in enumerate(product(EXCHANGES, sides))
    ]
    return [*trades, structs.replace(trades[0], side=None)]


def write_trades(lake: Lake, trades: Iterable[Trade]) -> None:
    names = [name for name in Trade.__struct_fields__ if name not in ("received_mono_ns", "is_history")]
    write(lake, "trades", {name: [getattr(each, name) for each in trades] for name in names})


def market(lake: Lake) -> LakeMarket:
    return LakeMarket(LakeReader(lake), NOON_US, END_US)


async def collected(simulator: Simulator) -> list[SinkEvent]:
    """Events a collector receives until the recording has been played."""
    terms = structs.replace(config(), exchanges=tuple(pointed_at(simulator)))
    outlet = Outlet(KeepingSink, Shard(), 100_000)
    supervisor = Supervisor(CODECS, [outlet], Shard(), timing=TIMING)
    supervisor.apply(terms)
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    await until(
        lambda: kept(outlet).up() == {(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS}
    )
    await asyncio.wait_for(simulator.replay_finished(), 20)
    played = {exchange: simulator.counts(exchange)["quotes"] for exchange in EXCHANGES}
    await until(lambda: all(len(quotes(kept(outlet).events, v)) >= n for v, n in played.items()))
    stop.set()
    await running
    return kept(outlet).events


def pointed_at(simulator: Simulator) -> Iterable[Any]:
    for each in config().exchanges:
        yield structs.replace(each, rest_url=simulator.rest_url(each.key), ws_url=simulator.ws_url(each.key))


def quotes(events: Iterable[Any], exchange: str) -> list[Quote]:
    return [event for event in events if isinstance(event, Quote) and event.exchange == exchange]


def prices(found: Sequence[Quote], symbol: str) -> list[tuple[float, ...]]:
    """Quoted prices, in order; an exchange may say the same thing twice."""
    rows = [(q.bid, q.bid_size, q.ask, q.ask_size) for q in found if q.symbol == symbol]
    return [row for row, _ in groupby(rows)]


async def test_a_collector_gets_the_recorded_quotes_and_trades_from_the_wires(lake: Lake) -> None:
    received = session(600)
    write_quotes(lake, received.quotes)
    write_trades(lake, some_trades())
    async with Simulator(replay=market(lake), speed=50, replay_after=6) as simulator:
        events = await collected(simulator)
    for exchange in EXCHANGES:
        for symbol in SYMBOLS:
            assert prices(quotes(events, exchange), symbol) == prices(
                quotes(received.quotes, exchange), symbol
            )
    trades = [event for event in events if isinstance(event, Trade)]
    assert sorted((t.exchange, t.price, t.size, t.side) for t in trades) == sorted(
        (t.exchange, t.price, t.size, t.side) for t in some_trades() if t.side
    )


async def test_the_exchanges_own_time_is_on_the_wire_and_rows_are_spaced_as_received(lake: Lake) -> None:
    late = [
        Quote("okx", "BTC/USDT", 100.0 + n, 1.0, 101.0 + n, 1.0, NOON_US - 7_000_000, NOON_US + n * 1000, 1)
        for n in range(3)
    ]
    write_quotes(lake, late)
    first = next(iter(market(lake).rows()))
    assert (first.ts_us, first.exchange_ts_us) == (NOON_US, NOON_US - 7_000_000)


def test_what_no_wire_can_show_is_left_out_and_counted(lake: Lake) -> None:
    known = session(20).quotes
    write_quotes(lake, known)
    write_quotes(lake, [structs.replace(quote, bid_size=None) for quote in known[:5]])
    write_quotes(lake, [structs.replace(quote, exchange="kraken") for quote in known[:3]])
    write_trades(lake, some_trades())
    played = market(lake)
    rows = list(played.rows())
    assert [row.ts_us for row in rows] == sorted(row.ts_us for row in rows)
    assert dict(played.left_out) == {"quotes": 8, "trades": 1}
    assert set(played.listings["okx"]) == {each for each in played.listings["okx"] if each.symbol in SYMBOLS}
    assert played.listings["mexc"] == ()


def test_numbers_are_printed_as_exchanges_do(lake: Lake) -> None:
    write_quotes(lake, [Quote("mexc", "PEPE/USDT", 5.21e-06, 3e16, 5.22e-06, 12.0, None, NOON_US, 1)])
    (row,) = market(lake).rows()
    assert isinstance(row, Row)
    assert (row.bid, row.bid_size, row.ask, row.ask_size) == (
        "0.00000521", "30000000000000000", "0.00000522", "12",
    )  # fmt: skip
    (listing,) = market(lake).listings["mexc"]
    assert (listing.price_decimals, listing.size_decimals) == (8, 0)


def test_the_command_serves_until_it_is_asked_to_stop(lake: Lake) -> None:
    write_quotes(lake, session(50).quotes)
    asked = ["--to-simulator", "--port", str(free_port()), "--speed", "10"]
    process = subprocess.Popen(
        [sys.executable, "manage.py", "replay", *asked],
        cwd=django_settings.BASE_DIR,
        env={**os.environ, "LAKE_URL": lake.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "Simulated exchanges on http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert said.endswith("stopped\n")

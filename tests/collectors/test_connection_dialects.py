"""The same connection code in all eight dialects, against the simulated exchanges."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.feed import Feed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from markets.config import ExchangeConfig, InstrumentConfig
from markets.defaults import EXCHANGES
from simulator.server import Simulator
from tests.support.exchanges.codec_frames import SPOTS
from tests.support.exchanges.tiny_exchange import Recorder, until

JOINERS = {row.key: row.joiner for row in EXCHANGES}
SCALE = 0.02  # a minute of heartbeats in 1.2 s
SYMBOLS = {"BTC/USDT", "ETH/USDT"}


def scaled(codec: type[Codec]) -> type[Codec]:
    """The codec with its heartbeats as quick as the simulator's."""
    sheet = codec.sheet
    ping_s = None if sheet.ping_s is None else sheet.ping_s * SCALE
    return type(
        "Scaled", (codec,), {"sheet": replace(sheet, ping_s=ping_s, silence_s=sheet.silence_s * SCALE)}
    )


@asynccontextmanager
async def collecting(
    key: str, simulator: Simulator, names: set[str], codec: type[Codec]
) -> AsyncIterator[tuple[Feed, Recorder]]:
    """A feed of one simulated exchange at work."""
    recorder = Recorder()
    config = ExchangeConfig(key, key, True, 10.0, 10.0, simulator.rest_url(key), simulator.ws_url(key))
    feed = Feed(codec, config, recorder, Timing(), Turns())
    feed.apply(frozenset(InstrumentConfig(key, name, name.replace("/", JOINERS[key])) for name in names))
    task = asyncio.create_task(feed.run())
    try:
        yield feed, recorder
    finally:
        feed.stop("test over")
        await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("key", SPOTS)
async def test_one_unknown_symbol_is_refused_and_the_others_deliver(key: str) -> None:
    async with Simulator(exchanges=(key,), rate=50.0) as simulator:
        wanted = SYMBOLS | {"NOPE/USDT"}
        async with collecting(key, simulator, wanted, CODECS[key]) as (feed, recorder):
            await until(lambda: {quote.symbol for quote in recorder.quotes} == SYMBOLS)
            await until(lambda: feed.status()["state"] == "live")
            refused = feed.status()["refused"]
            assert refused == (0 if key == "kucoin" else 2)  # KuCoin acks what it does not know
            assert {quote.exchange for quote in recorder.quotes} == {key}
        assert simulator.counts(key)["opened"] == 1


async def test_heartbeats_keep_every_connection_for_minutes() -> None:
    async with Simulator(rate=0.2, time_scale=SCALE) as simulator, AsyncExitStack() as feeds:
        recorders = {
            key: (await feeds.enter_async_context(collecting(key, simulator, SYMBOLS, scaled(codec))))[1]
            for key in SPOTS
            for codec in (CODECS[key],)
        }
        await until(lambda: all(recorder.up() == SYMBOLS for recorder in recorders.values()))
        await asyncio.sleep(120 * SCALE)
        assert [key for key, recorder in recorders.items() if recorder.up() != SYMBOLS] == []
        assert [key for key in SPOTS if simulator.counts(key)["opened"] != 1] == []


@pytest.mark.parametrize("key", ["binance", "okx"])
async def test_an_announced_maintenance_goes_by_unnoticed(key: str) -> None:
    async with Simulator(exchanges=(key,), rate=50.0) as simulator:
        async with collecting(key, simulator, SYMBOLS, CODECS[key]) as (feed, recorder):
            await until(lambda: recorder.up() == SYMBOLS)
            simulator.inject(f"{key}:maintenance=2s")
            await until(lambda: feed.status()["counts"].get("planned_reconnects") == 1)
            assert [state for state, _, _ in recorder.states if state == "down"] == []
        assert simulator.counts(key)["opened"] == 2

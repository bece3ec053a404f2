"""Reports of collectors through Redis: faults of simulated exchanges, shards, and the hour."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from core.channel import Channel
from core.redis_client import async_redis
from markets.config import Shard
from markets.events import SinkEvent
from monitoring.quality.sink import QualitySink
from monitoring.quality.store import read_last_hour, read_quality
from monitoring.quality.writer import QualityWriter
from simulator.server import Simulator
from tests.monitoring.test_quality import EXCHANGES, START_NS, SYMBOLS, S, Watched
from tests.support.live import eventually
from tests.support.quality_desk import quality_desk

pytestmark = pytest.mark.usefixtures("empty_redis")

MINUTE_S = 60


async def test_faults_of_exchanges_show_in_their_own_reports_and_no_others() -> None:
    async with (
        Simulator(exchanges=("bybit", "gate", "okx", "bitget"), symbols=3, rate=10) as simulator,
        quality_desk(simulator) as desk,
    ):
        await desk.until(
            lambda: [row.symbols["live"] for row in desk.quality.exchanges] == [3] * 4, "all live"
        )
        healthy = desk.exchange("okx")
        assert healthy.clock_offset_ms is not None
        assert abs(healthy.clock_offset_ms) < 500
        assert (healthy.state, healthy.connections, healthy.topics) == ("live", 1, 6)

        faults = simulator.inject(
            "okx:skew=3s, gate:malformed=0.5, bybit/ETH/USDT:crossed=0.5, bybit/BTC/USDT:silence, bitget:drop"
        )
        await desk.until(lambda: (desk.exchange("okx").clock_offset_ms or 0) > 2_500, "a clock ahead")
        await desk.until(lambda: desk.exchange("gate").malformed_per_min > 10, "malformed frames")
        await desk.until(lambda: desk.symbol("bybit", "ETH/USDT").crossed_per_min > 5, "crossed quotes")
        await desk.until(lambda: desk.exchange("bitget").reconnects_per_min == 1, "a lost connection")
        await desk.until(
            lambda: [(row.exchange, row.symbol) for row in desk.quality.silent()] == [("bybit", "BTC/USDT")],
            "one silent symbol",
        )
        silent, gate = desk.exchange("bybit"), desk.exchange("gate")
        assert silent.state == "live", "the connection lives, one symbol does not"
        # Every crossed quote makes ETH unknown until its next whole one.
        await desk.until(lambda: desk.exchange("bybit").symbols["live"] == 2, "the others are live")
        assert desk.symbol("bybit", "BTC/USDT").up
        assert desk.symbol("gate", "ETH/USDT").crossed_per_min == 0
        assert (gate.reconnects_per_min, gate.crossed_per_min) == (0, 0)

        simulator.heal(faults)
        await desk.until(lambda: not list(desk.quality.silent()), "nothing is silent any more")


async def test_without_redis_the_sink_goes_on_and_says_so(settings: Any, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nowhere.sock"
    channel: Channel[SinkEvent] = Channel("quality")
    sink = QualitySink(channel, Shard(), lambda _: None)
    running = asyncio.create_task(sink.run())
    await eventually(lambda: sink.stats()["quality_failed"], "Redis is missed")
    channel.close()
    await asyncio.wait_for(running, 5)


class TestShards:
    """Two collectors that both serve every exchange, each with one symbol."""

    async def read(self, *, second: str = "live") -> Any:
        async with async_redis() as redis:
            for number, symbol in enumerate(SYMBOLS):
                shard = Watched.of(symbol)
                shard.everything_up()
                for _ in range(40 * (number + 1)):
                    shard.now_ns += S // 4
                    shard.quote("okx", symbol, late_ms=10.0 if number else 1_000.0)
                    shard.receive()
                shard.now_ns += S
                shard.report(state="live" if number == 0 else second)
                shard.receive()
                writer = QualityWriter(redis, Shard(number + 1, 2), shard.now_us)
                await writer.write(shard.quality, shard.now_us, shard.now_ns)
            return await read_quality(redis)

    async def test_are_reported_as_one(self) -> None:
        quality = await self.read()
        assert [row.exchange for row in quality.exchanges] == list(EXCHANGES)
        assert set(quality.names) == {(key, symbol) for key in EXCHANGES for symbol in SYMBOLS}
        okx = quality.exchanges[2]
        assert (okx.connections, okx.topics, okx.symbols["live"]) == (2, 8, 2)
        assert okx.latency is not None
        assert okx.latency.events == 120
        assert okx.latency.p50_ms == pytest.approx(10, rel=0.08), "80 of them were quick"
        assert okx.latency.p95_ms == pytest.approx(1_000, rel=0.08), "40 were not"
        assert okx.clock_offset_ms == pytest.approx(-10, abs=0.1), "the quickest way is the best witness"

    async def test_an_exchange_does_as_badly_as_at_its_worst_collector(self) -> None:
        assert {row.state for row in (await self.read(second="down")).exchanges} == {"down"}

    async def test_nobody_reported_anything(self) -> None:
        async with async_redis() as redis:
            quality = await read_quality(redis)
        assert (quality.at_us, len(quality), quality.exchanges) == (0, 0, ())

    async def test_a_list_of_names_that_was_lost_is_written_again(self, empty_redis: Redis) -> None:
        shard = Watched.of(*SYMBOLS)
        shard.everything_up()
        shard.receive()
        async with async_redis() as redis:
            writer = QualityWriter(redis, Shard(), shard.now_us)
            await writer.write(shard.quality, shard.now_us, shard.now_ns)
            empty_redis.flushall()
            await writer.write(shard.quality, shard.now_us, shard.now_ns)
        assert empty_redis.keys("quality:names:*")


async def test_the_last_hour_of_a_symbol_goes_on_through_a_restart_and_a_change_of_symbols(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = Watched.of(*SYMBOLS), Watched.of("AAA/USDT", *SYMBOLS)
    second.now_ns = START_NS + 3 * MINUTE_S * S
    async with async_redis() as redis:
        for life in (first, second):
            writer = QualityWriter(redis, Shard(), life.now_us)
            life.everything_up()
            for _ in range(2 * MINUTE_S):
                life.now_ns += S
                life.quote("okx", "ETH/USDT")
                life.report()
                life.receive()
                await writer.write(life.quality, life.now_us, life.now_ns)
        monkeypatch.setattr("time.time_ns", lambda: second.now_us * 1000)
        minutes = await read_last_hour(redis, "okx", "ETH/USDT")
        assert await read_last_hour(redis, "okx", "NO/USDT") == []
    began = [(minute.start_us - minutes[0].start_us) // (MINUTE_S * 1_000_000) for minute in minutes]
    assert began == [0, 1, 3, 4], "nobody watched in the third minute"
    assert [minute.quotes for minute in minutes] == [60, 60, 60, 60]
    assert {minute.spread_bps for minute in minutes} == {2.0}
    assert {minute.longest_gap_ms for minute in minutes} == {1_000.0}

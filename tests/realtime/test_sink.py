"""The realtime sink: behind, without Redis, and what it publishes to web processes about every pair."""

import asyncio
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis

from core.channel import Channel
from core.redis_client import async_redis
from markets.config import FilterConfig, IdentityConfig, MarketConfig, Shard
from markets.events import DerivedEvent, Episode, Quote, SinkEvent, SpreadPoints
from realtime.scanner import wire as scan_wire
from realtime.sink import EVENTS_PER_TURN, RealtimeSink
from tests.support.live import desk, eventually
from tests.support.scan import market as scan_market
from tests.support.scan.market import EXCHANGES
from tests.support.spread_oracle import FIRST, SECOND, SYMBOL, config

MS = 1_000_000
BACKLOG = 40 * EVENTS_PER_TURN


@pytest.mark.usefixtures("empty_redis")
async def test_a_backlog_makes_no_chart_stale_whose_next_quotes_wait() -> None:
    channel: Channel[SinkEvent] = Channel("realtime")
    emitted: list[DerivedEvent] = []
    sink = RealtimeSink(channel, Shard(), emitted.append)
    sink.configure(config(tolerance_ms=1000))
    now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
    for waiting in range(BACKLOG, 0, -1):  # a quote every 10 ms: the first was received long ago
        exchange = FIRST if waiting % 2 else SECOND
        stamps = (now_us - waiting * 10_000, now_ns - waiting * 10 * MS)
        channel.put(Quote(exchange, SYMBOL, 100.0, 1.0, 100.1, 1.0, None, *stamps))

    running = asyncio.create_task(sink.run())
    await eventually(lambda: not channel, "the backlog is worked off")
    channel.close()
    await asyncio.wait_for(running, 5)

    parts = [event.points for event in emitted if isinstance(event, SpreadPoints)]
    assert len(parts) > 1, "it was collected while quotes waited"
    spreads = np.concatenate(parts)[:, 1]
    assert not np.isnan(spreads[:-1]).any(), "the line is whole; its end may have come by now"


def everywhere() -> MarketConfig:
    """BTC/USDT on four exchanges, and a filter that follows it."""
    certain = [IdentityConfig(SYMBOL, *sides, "confirmed") for sides in combinations(EXCHANGES, 2)]
    return scan_market.config(
        scan_market.everywhere(SYMBOL), FilterConfig(1, "any", min_edge_bps=5.0), identities=certain
    )


async def test_what_the_collector_holds_of_every_pair_is_in_redis_for_web_processes(
    empty_redis: Redis,
) -> None:
    async with desk(everywhere()) as collector, async_redis() as redis:
        for exchange in EXCHANGES:
            collector.quote(exchange, 100.0)

        async def seen() -> scan_wire.ShardScan:
            while True:
                for scan in (await scan_wire.read_scan(redis)).values():
                    if list(scan.legs["bid"]) == [100.0] * 4:
                        return scan
                await asyncio.sleep(0.05)

        scan = await asyncio.wait_for(seen(), 15)
        assert (scan.shard, len(scan.pairs)) == ("1/1", 6)
        assert set(scan.pairs["identity"]) == {scan_wire.PASS}, "an operator confirmed them all"
        assert collector.sink.stats()["pairs_scanned"] == 6


async def test_without_redis_episodes_go_on(settings: Any, tmp_path: Path) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/nowhere.sock"
    async with desk(everywhere()) as collector:
        collector.quote("binance", 100.0)
        collector.quote("okx", 101.0)
        await eventually(lambda: collector.sink.stats()["scan_failed"], "Redis is missed")
        collector.quote("okx", 100.0)
        episodes = [event for event in collector.emitted if isinstance(event, Episode)]
        assert [each.phase for each in episodes][:1] == ["open"]
        await eventually(
            lambda: any(isinstance(e, Episode) and e.phase == "close" for e in collector.emitted), "a close"
        )

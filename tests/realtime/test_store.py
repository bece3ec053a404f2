"""The recent-points store and the publisher, on a real Redis."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from arbsite.desk import embedded
from core.names.chart_ids import parts_of
from core.redis_client import async_redis
from engine.charts.pending import Pending
from engine.charts.points import POINT_COLUMNS, ChartDelta, Points
from engine.charts.thinning import second_extremes, thin
from markets.config import Shard
from realtime.charts import recent
from realtime.charts.backlog import Backlog
from realtime.charts.publisher import Publisher
from tests.support.live import eventually

BTC = "BTC/USDT|binance|bybit"
SECOND = 1_000_000


def now_us() -> int:
    return time.time_ns() // 1000


def points(*ts_and_spread: tuple[float, float]) -> Points:
    rows = np.full((len(ts_and_spread), len(POINT_COLUMNS)), 1.0)
    for row, (ts_us, spread) in zip(rows, ts_and_spread, strict=True):
        row[:2] = ts_us, spread
        if np.isnan(spread):
            row[1:] = np.nan
    return rows


def delta(*ts_and_spread: tuple[float, float], id: str = BTC, state: str = "live") -> ChartDelta:
    return ChartDelta(id, *parts_of(id), state, "", points(*ts_and_spread))  # type: ignore[arg-type]


@pytest.fixture
async def redis(empty_redis: Redis) -> AsyncIterator[AsyncRedis]:
    async with AsyncRedis.from_url(settings.REDIS_URL) as client:
        yield client


async def published(publisher: Publisher, *deltas: ChartDelta) -> None:
    publisher.add(deltas)
    await publisher.flush()


@pytest.fixture
async def publisher(empty_redis: Redis) -> AsyncIterator[Publisher]:
    publisher = Publisher(Shard())
    publisher.keep_only(frozenset([BTC]))
    yield publisher
    await publisher.aclose()


async def test_a_second_keeps_its_ends_its_extremes_and_its_gaps(
    redis: AsyncRedis, publisher: Publisher
) -> None:
    start = now_us() // SECOND * SECOND - 10 * SECOND
    spreads = [0.5, 0.9, 0.1, float("nan"), 0.3, 0.6, 0.4]
    await published(publisher, delta(*[(start + i, s) for i, s in enumerate(spreads)]))
    await published(publisher, delta((start + SECOND, 0.7)))

    stored = (await recent.read(redis, [BTC], now_us())).charts[BTC]
    np.testing.assert_array_equal(stored.points()[:, 1], [0.5, 0.9, 0.1, np.nan, 0.4, 0.7])
    assert stored.tail.state == "live"


async def test_a_reader_gets_exactly_what_later_flushes_brought(
    redis: AsyncRedis, publisher: Publisher
) -> None:
    start = now_us()
    await published(publisher, delta((start, 0.1), (start + 1, 0.2)))
    first = (await recent.read(redis, [BTC], now_us())).flushed["1/1"]
    await published(publisher, delta((start + 2, 0.3)))
    stored = (await recent.read(redis, [BTC], now_us())).charts[BTC]
    assert stored.points(after_flush_us=first)[:, 1].tolist() == [0.3]


async def test_the_store_holds_fifteen_minutes_and_no_more(redis: AsyncRedis, publisher: Publisher) -> None:
    now = now_us() // SECOND * SECOND
    seconds = range(1000, 0, -1)
    await published(publisher, delta(*[(now - s * SECOND, s) for s in seconds]))
    assert await redis.llen(recent.recent_key(BTC)) == recent.WINDOW_S
    served = (await recent.read(redis, [BTC], now)).charts[BTC].points()
    assert served[0, 0] >= now - recent.WINDOW_S * SECOND
    assert 890 <= len(served) <= 901
    assert 0 < await redis.ttl(recent.recent_key(BTC)) <= recent.EXPIRY_S


async def test_charts_that_are_no_longer_wanted_leave_the_store(
    redis: AsyncRedis, publisher: Publisher
) -> None:
    await published(publisher, delta((now_us() - SECOND, 0.1), (now_us(), 0.1)))
    assert list(await recent.open_seconds(redis)) == [BTC]
    publisher.keep_only(frozenset())
    await publisher.flush()
    assert list(await recent.open_seconds(redis)) == []
    assert not await redis.exists(recent.recent_key(BTC))


async def test_a_restarted_collector_breaks_the_line_and_clears_what_it_no_longer_has(
    redis: AsyncRedis, publisher: Publisher
) -> None:
    eth = BTC.replace("BTC", "ETH")
    start = now_us()
    await published(publisher, delta((start, 0.1)), delta((start, 0.1), id=eth))

    reborn = Publisher(Shard())
    reborn.keep_only(frozenset([BTC]))
    await published(reborn, delta((start + 1000, 0.2), (start + 1001, 0.2)))
    await reborn.flush()
    await reborn.aclose()
    assert list(await recent.open_seconds(redis)) == [BTC]
    spreads = (await recent.read(redis, [BTC], now_us())).charts[BTC].points()[:, 1]
    np.testing.assert_array_equal(spreads, [0.1, np.nan, 0.2, 0.2])


async def test_a_redis_that_is_away_costs_nothing_but_time(
    tmp_path_factory: pytest.TempPathFactory,
    settings: "pytest.FixtureRequest",
    caplog: pytest.LogCaptureFixture,
) -> None:
    home = tmp_path_factory.mktemp("redis")
    server = embedded.redis(home)
    settings.REDIS_URL = server.url  # type: ignore[attr-defined]
    settings.CHANNEL_LAYERS = {  # type: ignore[attr-defined]
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [server.url]},
        }
    }
    publisher = Publisher(Shard())
    publisher.keep_only(frozenset([BTC]))
    start = now_us()
    with caplog.at_level(logging.INFO, "realtime.charts.publisher"):
        for i in range(20):
            await published(publisher, delta(*[(start + 100 * i + j, i + j) for j in range(100)]))
        assert (publisher.failed, publisher.published) == (20, 0)
        assert publisher.thinned >= 1000
        with embedded.running(server, home / "redis.log"):
            await publisher.flush()
            async with async_redis() as redis:
                stored = (await recent.read(redis, [BTC], now_us())).charts[BTC]
            assert stored.points()[-1, :2].tolist() == [start + 1999, 118]
            assert (publisher.published, publisher.due) == (1, False)
            await publisher.aclose()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"], "once down, once up"


async def test_there_is_a_heartbeat_every_second_even_when_nothing_changes(publisher: Publisher) -> None:
    await publisher.flush()
    assert not publisher.due
    await eventually(lambda: publisher.due, "the heartbeat is due", seconds=2)


# --- merging and thinning ------------------------------------------------------------------------


def test_pending_keeps_the_newest_state_and_a_bounded_number_of_points() -> None:
    pending = Pending(cap=64)
    for i in range(100):
        pending.add(delta(*[(10 * i + j, float(i * 10 + j == 333)) for j in range(10)]))
    pending.add(delta(state="stale"))
    (merged,) = pending.take()
    assert merged.state == "stale"
    assert len(merged.points) + pending.thinned == 1000
    assert len(merged.points) <= 64
    assert 1.0 in merged.points[:, 1], "the one spike is still there"
    assert merged.points[-1, 0] == 999
    assert len(pending) == 0


def test_thinning_keeps_order_extremes_gaps_and_the_newest_half() -> None:
    rows = points(*[(i, float("nan") if i == 7 else np.sin(i)) for i in range(1000)])
    kept = thin(rows, 100)
    assert len(kept) <= 100
    assert np.all(np.diff(kept[:, 0]) > 0)
    np.testing.assert_array_equal(kept[-50:], rows[-50:])
    assert np.nanmax(kept[:, 1]) == np.nanmax(rows[:, 1])
    assert np.nanmin(kept[:, 1]) == np.nanmin(rows[:, 1])
    assert 7 in kept[:, 0]


def test_a_second_of_nothing_but_gaps_stays_a_gap() -> None:
    rows = points(*[(i, float("nan")) for i in range(9)])
    kept = second_extremes(rows)
    assert 1 <= len(kept) <= 5
    assert np.isnan(kept[:, 1]).all()


def test_the_backlog_says_from_which_flush_on_it_is_complete() -> None:
    backlog = Backlog(from_us=100)
    for i in range(10):
        backlog.add(200 + i, points(*[(i * 100 + j, 0.1) for j in range(100)]))
    assert backlog.from_us == 205, "only the last 400 points are kept"
    backlog.add(200 + 20 * SECOND, points())
    assert backlog.from_us == 209, "nothing older than 15 s is kept"


async def test_a_cancelled_flush_leaves_no_connection_behind(publisher: Publisher, redis: AsyncRedis) -> None:
    publisher.add([delta((now_us(), 0.1))])
    flushing = asyncio.create_task(publisher.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    await published(publisher, delta((now_us(), 0.2)))
    assert (await recent.read(redis, [BTC], now_us())).charts[BTC].points()[-1, 1] == 0.2

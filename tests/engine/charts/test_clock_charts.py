"""Charts under a wall clock that is set: what was stamped ahead of it goes, and the lines go on from there.

Collector, store, hub and viewers are real; only the time they read is another one.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from engine.charts.pending import Pending
from engine.charts.points import SET_BACK_US, going_on, later_us
from markets.config import MarketConfig, Shard
from realtime.charts import recent
from realtime.charts.hub import Hub
from realtime.charts.publisher import Publisher
from tests.realtime.test_hub import BTC, Page, hub, page, seeded
from tests.realtime.test_store import SECOND, delta, points, publisher, redis
from tests.support.live import Desk, desk, eventually

__all__ = ["hub", "publisher", "redis", "seeded"]
pytestmark = pytest.mark.django_db(transaction=True)

HOUR_S = 3600


class Clock:
    """The wall clock of this process, which a test sets; the monotonic one goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._time_ns, self.ahead_s = time.time_ns, 0.0
        monkeypatch.setattr(time, "time_ns", lambda: self._time_ns() + int(self.ahead_s * 1e9))

    def now_us(self) -> int:
        return time.time_ns() // 1000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def times(rows: Any) -> list[float]:
    return list(rows[:, 0])


# --- a line whose clock was set back -------------------------------------------------------------


class TestGoingOn:
    def test_what_lies_after_the_new_time_goes_and_the_line_is_broken_there(self) -> None:
        seconds = [1, 2, 3, 4, 5, 2.5, 2.6]
        rows = going_on(points(*[(s * SECOND, s) for s in seconds]))
        assert times(rows) == [1 * SECOND, 2 * SECOND, 2.5 * SECOND - 1, 2.5 * SECOND, 2.6 * SECOND]
        assert np.isnan(rows[2, 1:]).all()

    def test_twice(self) -> None:
        rows = going_on(points(*[(s * SECOND, s) for s in (10, 20, 30, 15, 16, 12, 13)]))
        assert times(rows) == [10 * SECOND, 12 * SECOND - 1, 12 * SECOND, 13 * SECOND]

    def test_rows_that_come_again_break_nothing(self) -> None:
        rows = going_on(points(*[(s * SECOND, s) for s in (1, 2, 3, 4, 2, 3, 4, 5)]))
        assert times(rows) == [s * SECOND for s in (1, 2, 3, 4, 5)]

    def test_of_two_flushes_in_the_wrong_order_by_less_than_a_second_nothing_goes(self) -> None:
        rows = points((2 * SECOND, 1), (2 * SECOND - 900_000, 2))
        assert going_on(rows) is rows

    @given(st.lists(st.integers(0, 100), max_size=30))
    def test_the_newest_row_always_stays_and_no_time_falls(self, at_s: list[int]) -> None:
        rows = going_on(points(*[(s * 2 * SECOND, s) for s in at_s]))
        assert (np.diff(rows[:, 0]) >= -SET_BACK_US).all()
        assert times(rows)[-1:] == [s * 2 * SECOND for s in at_s[-1:]]

    def test_what_waits_for_a_page_that_is_slow_is_one_line(self) -> None:
        pending = Pending()
        for at_s in (100, 101, 40, 41):
            pending.add(delta((at_s * SECOND, 0.1)))
        (waiting,) = pending.take()
        assert times(waiting.points) == [40 * SECOND, 41 * SECOND]

    def test_a_batch_in_the_middle_of_which_the_clock_was_set(self) -> None:
        pending = Pending()
        pending.add(delta((100 * SECOND, 0.1), (100 * SECOND + 1, float("nan")), (40 * SECOND, 0.2)))
        (waiting,) = pending.take()
        assert times(waiting.points) == [40 * SECOND]


def test_when_a_leg_quoted_follows_the_clock() -> None:
    assert later_us(9 * SECOND, 10 * SECOND) == 10 * SECOND
    assert later_us(10 * SECOND, 10 * SECOND - 10) == 10 * SECOND
    assert later_us(4000 * SECOND, 400 * SECOND) == 400 * SECOND
    assert later_us(4000 * SECOND, 0) == 4000 * SECOND, "nothing is said"


# --- the recent points ---------------------------------------------------------------------------


class TestStore:
    @pytest.mark.parametrize("by_s", [90, HOUR_S, 86_400, 10 * 365 * 86_400])
    async def test_the_points_of_now_are_kept_and_those_ahead_go(
        self, redis: AsyncRedis, publisher: Publisher, clock: Clock, by_s: float
    ) -> None:
        clock.ahead_s = by_s
        await self.published(publisher, clock, 0.1)
        clock.ahead_s = 0.0
        await self.published(publisher, clock, 0.2)
        snapshot = await recent.read(redis, [BTC], clock.now_us())
        stored = snapshot.charts[BTC]
        assert stored.points()[:, 1].tolist() == [0.2]
        assert abs(snapshot.flushed["1/1"] - clock.now_us()) < 5 * SECOND

    async def test_what_lies_before_the_new_time_stays(
        self, redis: AsyncRedis, publisher: Publisher, clock: Clock
    ) -> None:
        for clock.ahead_s, spread in ((-120.0, 0.1), (90.0, 0.2), (0.0, 0.3)):
            await self.published(publisher, clock, spread)
        stored = (await recent.read(redis, [BTC], clock.now_us())).charts[BTC]
        np.testing.assert_array_equal(stored.points()[:, 1], [0.1, np.nan, 0.3])

    @pytest.mark.parametrize("behind_s", [20 * 60, HOUR_S, 86_400])
    async def test_a_collector_whose_clock_is_behind_has_its_quarter_of_an_hour_too(
        self, redis: AsyncRedis, publisher: Publisher, clock: Clock, behind_s: float
    ) -> None:
        for clock.ahead_s, spread in ((-behind_s - 960, 0.1), (-behind_s - 60, 0.2), (-behind_s, 0.3)):
            await self.published(publisher, clock, spread)
        clock.ahead_s = 0.0
        stored = (await recent.read(redis, [BTC], clock.now_us())).charts[BTC]
        assert stored.points()[:, 1].tolist() == [0.2, 0.3]

    async def test_a_collector_that_begins_after_the_clock_was_set_goes_on_from_there(
        self, redis: AsyncRedis, publisher: Publisher, clock: Clock
    ) -> None:
        clock.ahead_s = HOUR_S
        await self.published(publisher, clock, 0.1)
        clock.ahead_s = 0.0
        second = Publisher(Shard())
        second.keep_only(frozenset([BTC]))
        await self.published(second, clock, 0.2)
        await second.aclose()
        stored = (await recent.read(redis, [BTC], clock.now_us())).charts[BTC].points()
        assert stored[-1, 1] == 0.2
        assert stored[-1, 0] <= clock.now_us()

    @staticmethod
    async def published(publisher: Publisher, clock: Clock, spread: float) -> None:
        publisher.add([delta((clock.now_us(), spread))])
        await publisher.flush()


# --- from the collector to the page --------------------------------------------------------------


@pytest.fixture
async def running(seeded: MarketConfig) -> AsyncIterator[Desk]:
    async with desk(seeded) as running:
        yield running


def both(running: Desk, price: float) -> None:
    running.quote("bybit", price)
    running.quote("binance", price * 1.001)


def set_clock(running: Desk, clock: Clock, ahead_s: float) -> None:
    """Set the clock as the collector's supervisor does, when it saw that."""
    clock.ahead_s = ahead_s
    for exchange in ("bybit", "binance"):
        running.state(exchange, "gap", "the wall clock was set")
        running.state(exchange, "up", "")


def newest(shown: Page) -> float:
    """The time of the newest point that a page was sent last, s."""
    charts = [each for message in shown.messages for each in message["charts"] if each["id"] == BTC]
    stamps = [each["timestamps"][-1] for each in charts if each["timestamps"]]
    return float(stamps[-1]) if stamps else 0.0


def is_now(shown: Page, clock: Clock) -> bool:
    return 0 <= clock.now_us() / 1e6 - newest(shown) < 5


@pytest.mark.parametrize("by_s", [3, 90, HOUR_S, 86_400])
async def test_an_open_page_goes_on_and_a_new_one_has_the_time_of_now(
    hub: Hub, running: Desk, clock: Clock, by_s: float
) -> None:
    clock.ahead_s = by_s
    async with page(hub) as shown:
        both(running, 100.0)
        await eventually(lambda: is_now(shown, clock), "the page has points")
        set_clock(running, clock, 0.0)
        sent = len(shown.messages)
        both(running, 101.0)
        await eventually(lambda: len(shown.messages) > sent and is_now(shown, clock), "it goes on")
        both(running, 102.0)
        points_before = shown.points(BTC)
        await eventually(lambda: shown.points(BTC) > points_before, "and on")
        async with page(hub) as loaded:
            await eventually(lambda: is_now(loaded, clock), "a page loaded now has the points of now")
            first = loaded.messages[0]
            assert first["type"] == "snapshot"
            assert abs(first["seq"] / 1e6 - clock.now_us() / 1e6) < 5, "numbered by the clock as it is"
            assert max(first["charts"][0]["timestamps"], default=0) <= clock.now_us() / 1e6


async def test_a_page_that_comes_back_with_a_number_ahead_of_now_gets_a_snapshot_by_the_clock_as_it_is(
    hub: Hub, running: Desk, clock: Clock
) -> None:
    clock.ahead_s = HOUR_S
    async with page(hub) as shown:
        both(running, 100.0)
        await eventually(lambda: is_now(shown, clock), "the page has points")
        seen = shown.messages[-1]["seq"]
    set_clock(running, clock, 0.0)
    both(running, 101.0)
    await eventually(lambda: hub.book.shards.watermark < seen, "the hub has received it")
    from realtime.charts.viewer import Viewer

    back = Page(hub, acks=True)
    back.viewer = Viewer(1, back, hub.reads, back.closed.append, seen)
    hub.seats.join(back.viewer)
    await hub.seats.watch_filter(back.viewer, None, seen)
    await eventually(lambda: is_now(back, clock), "the points of now")
    hub.leave(back.viewer)
    assert back.messages[0]["type"] == "snapshot"
    assert abs(back.messages[0]["seq"] - clock.now_us()) < 5 * SECOND


async def test_a_collector_that_is_started_within_the_jump_is_received(
    hub: Hub, seeded: MarketConfig, clock: Clock
) -> None:
    clock.ahead_s = HOUR_S
    async with page(hub) as shown:
        async with desk(seeded) as first:
            both(first, 100.0)
            await eventually(lambda: is_now(shown, clock), "the page has points")
            first.kill()
        clock.ahead_s = 0.0
        async with desk(seeded) as second:
            both(second, 101.0)
            await eventually(lambda: is_now(shown, clock), "the page goes on")
            assert shown.state(BTC) == ("live", "")
            async with page(hub) as loaded:
                await eventually(lambda: is_now(loaded, clock), "so does one that is loaded now")


async def test_a_web_process_that_is_started_within_the_jump_shows_the_points_of_now(
    running: Desk, clock: Clock, empty_redis: Redis
) -> None:
    clock.ahead_s = HOUR_S
    both(running, 100.0)
    await eventually(lambda: empty_redis.hget(recent.FLUSHED, "1/1"), "it is stored")
    set_clock(running, clock, 0.0)
    both(running, 101.0)
    await asyncio.sleep(0.2)
    hub = Hub()
    hub.start()
    try:
        async with page(hub) as loaded:
            await eventually(lambda: is_now(loaded, clock), "the points of now")
    finally:
        await hub.stop()


async def test_a_leg_that_is_silent_since_before_the_clock_was_set_ages(
    hub: Hub, running: Desk, clock: Clock
) -> None:
    """By the monotonic clock: what it quoted at lies ahead of now."""
    clock.ahead_s = HOUR_S
    async with page(hub) as shown:
        both(running, 100.0)
        await eventually(lambda: is_now(shown, clock), "the page has points")
        set_clock(running, clock, 0.0)

        def quoted_at() -> list[float]:
            running.quote("binance", 100.1)
            charts = [each for message in shown.messages for each in message["charts"] if each["id"] == BTC]
            return [each["quoted1"] or 0, each["quoted2"] or 0] if (each := charts[-1]) else []

        await eventually(lambda: max(quoted_at()) <= clock.now_us() / 1e6, "both quoted in the past")


async def test_a_clock_that_is_mended_goes_forward_again(hub: Hub, running: Desk, clock: Clock) -> None:
    async with page(hub) as shown:
        for ahead_s in (0.0, -HOUR_S, 0.0, 86_400.0, 0.0):
            set_clock(running, clock, ahead_s)
            both(running, 100.0 + ahead_s / 1e6)
            await eventually(lambda: is_now(shown, clock), f"points at {ahead_s:g} s")

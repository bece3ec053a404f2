"""Stored times compared with now under a clock that was set: catalogue, rates, lake, episodes."""

import asyncio
import datetime
import time
from math import isnan

import numpy as np
import pytest
from django.core.management import call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from arbsite.management.commands import healthcheck
from core.channel import Channel
from core.clock.clocks import ended_us, steady_us
from history.lake.tables import Lake
from markets.config import Shard
from markets.fees.midnight import follow
from markets.fees.schedules import said_fees
from markets.follow.runtime import STATUS_KEY, CollectorStatus, report_status
from markets.models import ConfigRevision, Exchange, FeeSchedule, Instrument
from monitoring.health.observe import Observer
from monitoring.quality.latency import Latencies
from monitoring.quality.sink import QualitySink
from opportunities.episodes import Asked, episodes
from opportunities.lists import _row
from opportunities.models import OpportunityEpisode
from opportunities.services import save_episodes
from realtime.scanner.wire import EXPIRY_S, on_the_way_s
from tests.engine.test_rates import HOUR_S, USDC, Market, configured
from tests.history.test_unseen import STARTED, lake, line, store_points, store_states
from tests.opportunities.test_episodes import episode
from tests.opportunities.test_figures import HELD, quote, started
from tests.support.scan.market import NOON_US

__all__ = ["lake"]
pytestmark = pytest.mark.django_db

S = 1_000_000
HOUR_US = 3600 * S
HOUR = datetime.timedelta(hours=1)
TEN_YEARS = datetime.timedelta(days=3652)


def now_us() -> int:
    return time.time_ns() // 1000


# --- how long something lasts --------------------------------------------------------------------


@given(st.integers(0, 10**13), st.sampled_from([-10, -1, 1, 24, 24 * 3652]))
def test_what_lasts_lasts_no_longer_or_shorter_for_a_clock_that_was_set(passed_ns: int, hours: int) -> None:
    before = 1_800_000_000 * S
    set_us = before + passed_ns // 1000 + hours * HOUR_US
    if hours > 0 or passed_ns // 1000 < -hours * HOUR_US:
        assert steady_us(before, set_us, passed_ns) == before + passed_ns // 1000
    assert before <= ended_us(before, set_us, passed_ns) <= before + passed_ns // 1000


@given(st.integers(0, 10**13), st.integers(-900_000, 900_000))
def test_a_clock_that_is_slewed_is_believed(passed_ns: int, off_us: int) -> None:
    before = 1_800_000_000 * S
    now = before + passed_ns // 1000 + off_us
    assert steady_us(before, now, passed_ns) == ended_us(before, now, passed_ns) == max(before, now)


@pytest.mark.parametrize("by_us", [-HOUR_US, HOUR_US, 24 * HOUR_US, -24 * HOUR_US])
def test_an_opportunity_lasts_as_long_as_it_did_when_the_clock_is_set_within_it(by_us: int) -> None:
    desk = started(HELD)
    clean = started(HELD)
    for at_ms in (0, 400, 800, 1_200):
        quote(desk, at_ms, 6.0)
        quote(clean, at_ms, 6.0)
    wall_us, mono_ns = moment_at(1_600)
    desk.scanner.lifecycle.stop("over", wall_us + by_us, mono_ns)
    clean.scanner.lifecycle.stop("over", wall_us, mono_ns)
    found, right = (each.scanner.lifecycle.take()[-1] for each in (desk, clean))
    assert found.closed_us is not None
    assert right.closed_us is not None
    lasted_us, right_us = found.closed_us - found.started_us, right.closed_us - right.started_us
    assert right_us - 1_000_000 <= lasted_us <= right_us


def moment_at(at_ms: int) -> tuple[int, int]:
    desk = started(HELD)
    quote(desk, at_ms, 6.0)
    leg = max(desk.scanner.legs, key=lambda each: each.received_mono_ns)
    return leg.received_ts_us, leg.received_mono_ns


class TestOpportunities:
    def test_one_that_began_ahead_of_now_has_lasted_nobody_knows_how_long(self) -> None:
        save_episodes([episode(started_us=now_us() + HOUR_US)])
        row = OpportunityEpisode.objects.get()
        assert _row(row)["duration_ms"] is None
        assert list(episodes(Asked(min_duration_ms=60_000))) == [row], "it may be long: it is not left out"


# --- rates, states -------------------------------------------------------------------------------


class TestRates:
    @pytest.mark.parametrize("off_s", [90, -90, HOUR_S, -HOUR_S])
    def test_a_shard_of_another_clock_is_believed_while_it_goes_on(self, off_s: int) -> None:
        market = Market(configured())
        for second in range(3):
            market.scanner.rates.receive({USDC: (0.99, NOON_US + (off_s + second) * S)})
            rate = market.worth(second)
            assert isnan(rate) == (second == 0), "its first word may be an old one"
        assert not isnan(market.worth(11))
        assert isnan(market.worth(13)), "it says nothing any more"

    @pytest.mark.parametrize("set_by_s", [-HOUR_S, HOUR_S, 86_400])
    def test_a_rate_that_holds_goes_on_to_hold_when_the_clock_is_set(self, set_by_s: int) -> None:
        rates = Market(configured()).scanner.rates
        rates.receive({USDC: (0.99, NOON_US)})
        known = []
        for at_s, ahead_s in ((1, 0), (2, set_by_s), (9, set_by_s), (12, set_by_s)):
            rates.reckon(NOON_US + (at_s + ahead_s) * S, at_s * 10**9)
            known.append(not isnan(rates.current["USDC", "USDT"]))
        assert known == [True, True, True, False]


@pytest.mark.parametrize(
    ("ago_s", "on_the_way"), [(0, 0), (3, 3), (EXPIRY_S, EXPIRY_S), (90, 0), (86_400, 0), (-3600, 0)]
)
def test_a_state_older_than_any_is_kept_was_stamped_by_another_clock(ago_s: int, on_the_way: int) -> None:
    assert on_the_way_s(NOON_US - ago_s * S, NOON_US) == on_the_way


async def test_a_status_that_redis_keeps_too_long_is_none(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis' clock was set back, and so nothing expires."""
    observer, moved_s, monotonic = Observer(), [0.0], time.monotonic
    monkeypatch.setattr("monitoring.health.observe.time.monotonic", lambda: monotonic() + moved_s[0])
    seen = []
    for moved_s[0], reported_us in ((0.0, 1), (4.0, 1), (8.0, 1), (9.0, 2)):
        await report_status(observer._redis, CollectorStatus("1/1", reported_ts_us=reported_us))
        empty_redis.persist(STATUS_KEY.format(role="collector", shard="1/1"))
        seen.append([status.shard for status in (await observer.look()).collectors])
    await observer.close()
    assert seen == [["1/1"], ["1/1"], [], ["1/1"]]


async def test_a_collectors_status_from_ahead_is_no_sign_of_life(empty_redis: Redis) -> None:
    observer = Observer()
    for reported_us, words in ((now_us() + HOUR_US, "since the clock was set back"), (now_us(), "None")):
        await report_status(observer._redis, CollectorStatus("1/1", reported_ts_us=reported_us))
        assert words in str(await asyncio.to_thread(healthcheck.collector_problem, "1/1"))
    await observer.close()


# --- the catalogue -------------------------------------------------------------------------------


def test_a_schedule_that_begins_within_the_repeated_hour_is_taken_over(db: None) -> None:
    """The revision moved last at a time ahead: whether that was with this schedule is unknown."""
    call_command("seed")
    okx = Exchange.objects.get(key="okx")
    Exchange.objects.filter(pk=okx.pk).update(account_tier="VIP 1")
    today = timezone.now().date()
    FeeSchedule.objects.create(exchange=okx, tier="VIP 1", valid_from=today, taker_fee_bps=7, maker_fee_bps=5)
    ConfigRevision.objects.update(changed_at=timezone.now() + HOUR)
    assert follow() is not None
    assert follow() is None, "once"


@pytest.mark.parametrize(
    ("ahead", "known"), [(HOUR, True), (datetime.timedelta(days=2), True), (TEN_YEARS, False)]
)
def test_what_an_exchange_said_is_believed_as_long_on_either_side_of_now(
    db: None, ahead: datetime.timedelta, known: bool
) -> None:
    call_command("seed")
    row = Instrument.objects.filter(exchange__key="gate")[0]
    Instrument.objects.filter(pk=row.pk).update(
        enabled=True, own_taker_fee=1, own_maker_fee=1, synced_at=timezone.now() + ahead
    )
    (rule,) = said_fees()
    assert rule.known is known


# --- the lake ------------------------------------------------------------------------------------


def test_a_collector_that_begins_before_the_last_one_ended_by_the_clock_breaks_the_line(lake: Lake) -> None:
    store_points(lake, 0, 1, 91, 92)
    store_states(lake, ("up", STARTED, None, 90), ("gap", "no collector ran", 3_600, 90))
    assert line(lake) == [(0, True), (1, True), (1.000001, False), (91, True), (92, True)]


# --- a process that stood still ------------------------------------------------------------------


async def test_what_a_collector_read_late_after_it_stood_still_makes_no_exchange_late(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, now_s = QualitySink(Channel("quality"), Shard(), lambda event: None), time.monotonic()

    def late(at_s: float) -> bool:
        """Whether 30 s of delay are counted that came before a report."""
        sink.quality.feeds.latencies.take(np.zeros(5, np.intp), np.full(5, 30_000.0))
        sink._excuse(at_s)
        return bool(sink.quality.feeds.latencies.counts().any())

    sink.quality.feeds.latencies = Latencies(1, time.monotonic_ns())
    counted = {at_s: late(now_s + at_s) for at_s in (2, 34, 38, 42, 46, 48, 50, 52)}
    assert [at_s for at_s, is_late in counted.items() if is_late] == [2, 50, 52]
    assert sink.quality.feeds.latencies.totals.sum() == 40, "the totals since the start keep them"

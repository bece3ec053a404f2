"""When a chart is live, stale or down, what it says about it, and where its line breaks."""

import tracemalloc

import numpy as np
import pytest
from msgspec import structs

from engine.charts.points import ChartDelta
from engine.charts.spread import SpreadEngine
from markets.events import Liveness, StreamState
from tests.support.spread_oracle import (
    FIRST,
    NOON_US,
    SECOND,
    SYMBOL,
    config,
    engine,
    feed,
    quote,
    without_gaps,
)

MS = 1_000_000
S = 1000 * MS


def turn(
    desk: SpreadEngine, exchange: str, state: Liveness, at_ns: int, reason: str = "reset by peer"
) -> None:
    desk.on_state(StreamState(exchange, (SYMBOL,), state, reason, NOON_US + at_ns // 1000, at_ns))


def expire(desk: SpreadEngine, at_ns: int) -> None:
    desk.expire(at_ns, NOON_US + at_ns // 1000)


def only(desk: SpreadEngine) -> ChartDelta:
    """The one delta there is to collect."""
    (delta,) = desk.collect()
    return delta


def live(tolerance_ms: int | None = 1000) -> SpreadEngine:
    """An engine whose chart is live since noon, with one point collected."""
    desk = engine(tolerance_ms)
    assert len(feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 100, 0)])) == 1
    return desk


def test_a_new_chart_waits_for_both_first_quotes() -> None:
    desk = engine()
    delta = only(desk)
    assert (delta.state, len(delta.points)) == ("stale", 0)
    assert delta.reason == "waiting for the first quote of binance; waiting for the first quote of bybit"
    desk.on_quote(quote(FIRST, 100, 0))
    assert only(desk).reason == "waiting for the first quote of bybit"
    desk.on_quote(quote(SECOND, 100, 0))
    delta = only(desk)
    assert (delta.state, delta.reason, len(delta.points)) == ("live", "", 1)
    assert (delta.symbol, delta.exchange1, delta.exchange2) == (SYMBOL, FIRST, SECOND)


def test_nothing_new_is_not_collected() -> None:
    desk = live()
    assert desk.collect() == []
    expire(desk, 1 * S)
    assert desk.collect() == []


def test_a_quote_exactly_as_old_as_the_tolerance_still_counts_and_one_nanosecond_more_does_not() -> None:
    desk = live()
    expire(desk, 1 * S)
    assert desk.collect() == []
    expire(desk, 1 * S + 1)
    delta = only(desk)
    assert delta.state == "stale"
    assert delta.reason == (
        "binance quote is older than the tolerance of 1 s; bybit quote is older than the tolerance of 1 s"
    )


def test_the_line_breaks_where_the_quote_expired_however_late_that_was_noticed() -> None:
    desk = live()
    desk.on_quote(quote(FIRST, 100, 400 * MS))
    expire(desk, 5 * S)
    gap = only(desk).points[-1]
    assert gap[0] == NOON_US + 1_000_000
    assert np.isnan(gap[1:]).all()


def test_a_quote_that_expired_before_its_successor_came_leaves_a_gap_asked_or_not() -> None:
    desk = live()
    desk.on_quote(quote(SECOND, 100, 500 * MS))
    points = feed(desk, [quote(FIRST, 100, 1400 * MS)])
    assert points[:, 0].tolist() == [NOON_US + 500_000, NOON_US + 1_000_000, NOON_US + 1_400_000]
    assert np.isnan(points[:, 1]).tolist() == [False, True, False]


def test_a_quote_delivered_after_a_much_later_one_of_the_other_side_is_too_old_for_it() -> None:
    desk = live()
    desk.on_quote(quote(FIRST, 100, 5 * S))
    assert only(desk).state == "stale"
    desk.on_quote(quote(SECOND, 100, 2 * S))
    assert desk.collect() == []


def test_staleness_is_published_once_and_its_words_do_not_count_along() -> None:
    desk = live()
    desk.on_quote(quote(FIRST, 100, 2 * S))
    assert only(desk).reason == "bybit quote is older than the tolerance of 1 s"
    for tenths in range(21, 29):
        desk.on_quote(quote(FIRST, 100, tenths * S // 10))
        expire(desk, tenths * S // 10)
        assert desk.collect() == []


def test_a_fresh_quote_on_the_old_side_makes_the_chart_live_again() -> None:
    desk = live()
    assert [len(feed(desk, [quote(FIRST, 100, 2 * S)])), len(feed(desk, [quote(SECOND, 100, 2 * S)]))] == [
        1,
        1,
    ]
    assert desk.counters.points == 2


def test_refused_quotes_touch_neither_the_bands_nor_the_line_beyond_one_gap() -> None:
    desk = live()
    points = feed(desk, [quote(FIRST, 900 + n, 2 * S + n * MS) for n in range(5)])
    assert len(points) == 1
    assert np.isnan(points[0, 1:]).all()
    again = feed(desk, [quote(SECOND, 100, 3 * S), quote(FIRST, 100, 3 * S)])
    assert again[-1, 2:4].tolist() == pytest.approx([804 * 0.94, 0.0])  # of 0, 804 and 0 percent
    assert desk.counters.invalid == 6


def test_without_a_tolerance_a_quiet_book_is_never_stale() -> None:
    desk = live(tolerance_ms=None)
    expire(desk, 3600 * S)
    assert desk.collect() == []
    assert feed(desk, [quote(FIRST, 101, 3600 * S)])[0, 9] == 3_600_000.0


def test_a_connection_that_goes_down_takes_its_charts_down_with_its_own_words() -> None:
    desk = live()
    turn(desk, SECOND, "down", 10 * MS, "no frame for 20 s")
    delta = only(desk)
    assert (delta.state, delta.reason) == ("down", "no stream from bybit: no frame for 20 s")
    assert delta.points[:, 0].tolist() == [NOON_US + 10_000]
    assert np.isnan(delta.points[0, 1:]).all()


def test_after_a_connection_returns_only_a_quote_received_since_counts() -> None:
    desk = live()
    turn(desk, SECOND, "down", 10 * MS)
    turn(desk, SECOND, "up", 20 * MS, "")
    assert len(without_gaps(feed(desk, [quote(FIRST, 100, 30 * MS)]))) == 0
    assert desk.collect() == []
    assert len(feed(desk, [quote(SECOND, 100, 40 * MS)])) == 1


def test_while_a_connection_is_down_it_says_so_and_then_what_it_waits_for() -> None:
    desk = live()
    turn(desk, SECOND, "down", 10 * MS)
    turn(desk, SECOND, "up", 20 * MS, "")
    delta = only(desk)
    assert (delta.state, delta.reason) == (
        "stale",
        "waiting for the next quote of bybit after: reset by peer",
    )


def test_a_quote_that_overtakes_the_news_of_its_connection_is_used_once_the_news_is_there() -> None:
    desk = live()
    turn(desk, SECOND, "down", 10 * MS)
    assert len(without_gaps(feed(desk, [quote(SECOND, 101, 20 * MS)]))) == 0
    turn(desk, SECOND, "up", 30 * MS, "")
    assert only(desk).state == "live"
    assert feed(desk, [quote(FIRST, 101, 40 * MS)])[0, 1] == 0.0


def test_a_gap_in_the_stream_makes_the_leg_wait_for_its_next_quote() -> None:
    desk = live()
    turn(desk, FIRST, "gap", 10 * MS, "12 events dropped")
    delta = only(desk)
    assert (delta.state, len(delta.points)) == ("stale", 1)
    assert delta.reason == "waiting for the next quote of binance after: 12 events dropped"
    assert len(feed(desk, [quote(SECOND, 100, 20 * MS)])) == 0
    assert len(feed(desk, [quote(FIRST, 100, 30 * MS)])) == 1


def test_up_while_up_changes_nothing() -> None:
    desk = live()
    turn(desk, FIRST, "up", 10 * MS, "")
    assert desk.collect() == []
    assert len(feed(desk, [quote(SECOND, 100, 20 * MS)])) == 1


def test_the_worse_leg_decides_the_state_and_both_are_named() -> None:
    desk = live()
    turn(desk, SECOND, "gap", 10 * MS, "12 events dropped")
    turn(desk, FIRST, "down", 20 * MS)
    delta = only(desk)
    assert delta.state == "down"
    assert delta.reason == (
        "no stream from binance: reset by peer; waiting for the next quote of bybit after: 12 events dropped"
    )


def test_a_state_that_came_and_went_between_two_collects_leaves_only_its_gap() -> None:
    desk = live()
    turn(desk, FIRST, "down", 10 * MS)
    turn(desk, FIRST, "up", 20 * MS, "")
    desk.on_quote(quote(FIRST, 100, 30 * MS))
    delta = only(desk)
    assert delta.state == "live"
    assert np.isnan(delta.points[:, 1]).tolist() == [True, False]


def test_news_of_symbols_nobody_watches_is_passed_over() -> None:
    desk = live()
    desk.on_state(StreamState(FIRST, ("ETH/USDT", "SOL/USDT"), "down", "reset by peer"))
    assert desk.collect() == []


def test_a_chart_nobody_collects_keeps_a_bounded_number_of_points_with_its_extremes_and_gaps() -> None:
    desk = engine(tolerance_ms=None)
    desk.on_quote(quote(SECOND, 100, 0))
    for n in range(5000):
        desk.on_quote(quote(FIRST, 160 if n == 70 else 40 if n == 4000 else 100 + n % 7 / 100, n * MS))
        if n == 2000:
            turn(desk, FIRST, "gap", n * MS)
    points = only(desk).points
    assert len(points) <= 256
    assert desk.counters.thinned == 5001 - len(points)
    spreads = points[:, 1]
    assert float(np.nanmax(spreads)) == pytest.approx(60)
    assert float(np.nanmin(spreads)) == pytest.approx(-60)
    assert np.isnan(spreads).sum() == 1
    assert (np.diff(points[:, 0]) > 0).all()
    assert points[-1, 0] == NOON_US + 4_999_000


def test_memory_does_not_grow_once_a_window_is_full() -> None:
    desk = SpreadEngine(window_points=500)
    desk.configure(config())
    rounds = []
    tracemalloc.start()
    for n in range(4):
        feed(desk, [quote((FIRST, SECOND)[i % 2], 100 + i % 9, (n * 1000 + i) * MS) for i in range(1000)])
        rounds.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert rounds[3] - rounds[1] < 4096


@pytest.mark.parametrize("back_s", [2, 20, 3600, 86_400])
def test_a_wall_clock_set_back_breaks_the_line_and_goes_on_with_the_new_clock(back_s: int) -> None:
    """Not "the newest + 1 µs" for as long as it was set back by."""
    desk = live()
    back = back_s * 1_000_000
    desk.on_state(
        StreamState(FIRST, (SYMBOL,), "gap", "the wall clock was set back", NOON_US + 1000, 1_000_000)
    )
    gap = only(desk).points
    assert np.isnan(gap[-1, 1])
    times: list[float] = []
    for step in range(1, 30):
        at_ns = step * 100_000_000
        for exchange in (FIRST, SECOND):
            one = quote(exchange, 100 + step, at_ns)
            desk.on_quote(structs.replace(one, received_ts_us=one.received_ts_us - back))
        times += [at for delta in desk.collect() for at in delta.points[:, 0]]
    assert times == sorted(set(times))
    assert times[0] < NOON_US - back + 1_000_000
    assert times[-1] - (NOON_US - back + 2_900_000) in {0, 1}


def test_a_clock_that_was_ahead_and_is_put_right_does_not_hold_back_what_follows() -> None:
    desk = live()
    for exchange in (FIRST, SECOND):
        one = quote(exchange, 101, 100_000_000)
        desk.on_quote(structs.replace(one, received_ts_us=one.received_ts_us + 20_000_000))
    assert only(desk).points[-1, 0] > NOON_US + 20_000_000
    turn(desk, FIRST, "gap", 150 * MS, "the wall clock was set back")
    for exchange in (FIRST, SECOND):
        desk.on_quote(quote(exchange, 102, 200_000_000))
    assert only(desk).points[-1, 0] - (NOON_US + 200_000) in {0, 1}


def test_a_few_microseconds_back_are_no_set_clock() -> None:
    desk = live()
    for step, at in ((1, 500_000), (2, 100_000)):
        one = quote(FIRST, 100 + step, step * 100_000_000)
        desk.on_quote(structs.replace(one, received_ts_us=NOON_US + at))
    times = only(desk).points[:, 0]
    assert list(times) == sorted(set(times))

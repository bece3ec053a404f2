"""Points that quotes make: the pairing rule against polars, and the formulas against exact arithmetic."""

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.charts.points import POINT_COLUMNS
from engine.charts.spread import SpreadEngine
from markets.events import Quote
from tests.support.spread_oracle import (
    CHART,
    FIRST,
    NOON_US,
    SECOND,
    SYMBOL,
    config,
    engine,
    expected,
    feed,
    quote,
    without_gaps,
)

MS = 1_000_000
COLUMN = {name: i for i, name in enumerate(POINT_COLUMNS)}
TOLERANCES = st.sampled_from([None, 1, 20, 1000])

# Steps of 0 are ties, steps of 1 and 20 ms fall exactly on a tolerance, 1 ns beyond them just outside.
STEPS_NS = st.sampled_from([0, 0, 1, 999, MS, MS + 1, 7 * MS, 20 * MS, 20 * MS + 1, 300 * MS, 1001 * MS])
TICKS = st.lists(st.tuples(st.sampled_from([FIRST, SECOND]), STEPS_NS, st.integers(900, 1100)), max_size=60)


def stream(ticks: list[tuple[str, int, int]]) -> list[Quote]:
    """Quotes in order of receipt; at the same instant exchange1 comes first."""
    now, quotes = 0, []
    for exchange, step, bid in ticks:
        now += step
        quotes.append(quote(exchange, bid / 10, now))
    return sorted(quotes, key=lambda q: (q.received_mono_ns, q.exchange))


@given(TICKS, TOLERANCES)
def test_points_are_the_as_of_joins_of_both_sides(
    ticks: list[tuple[str, int, int]], tolerance_ms: int | None
) -> None:
    quotes = stream(ticks)
    points = without_gaps(feed(engine(tolerance_ms), quotes))
    rows = expected(quotes, tolerance_ms)
    assert len(points) == len(rows)
    for column in ("spread", "upper", "lower", "age1_ms", "age2_ms"):
        np.testing.assert_allclose(points[:, COLUMN[column]], rows[column].to_numpy(), rtol=0, atol=1e-12)


@given(TICKS, TOLERANCES)
def test_timestamps_strictly_increase_gaps_included(
    ticks: list[tuple[str, int, int]], tolerance_ms: int | None
) -> None:
    points = feed(engine(tolerance_ms), stream(ticks))
    assert (np.diff(points[:, 0]) > 0).all()


@given(TICKS, TOLERANCES)
def test_a_point_carries_the_receive_time_of_the_quote_that_made_it(
    ticks: list[tuple[str, int, int]], tolerance_ms: int | None
) -> None:
    quotes = stream([(exchange, step + MS, bid) for exchange, step, bid in ticks])
    points = without_gaps(feed(engine(tolerance_ms), quotes))
    times = expected(quotes, tolerance_ms).select(NOON_US + pl.col("now_ns") // 1000).to_series()
    assert points[:, 0].tolist() == times.to_list()


@given(TICKS, TOLERANCES, st.integers(0, 60))
def test_later_quotes_change_no_earlier_point(
    ticks: list[tuple[str, int, int]], tolerance_ms: int | None, cut: int
) -> None:
    quotes = stream(ticks)
    before, whole = feed(engine(tolerance_ms), quotes[:cut]), feed(engine(tolerance_ms), quotes)
    np.testing.assert_array_equal(whole[: len(before)], before)


@given(st.permutations(range(12)), st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_point_never_uses_a_quote_from_its_future_even_when_quotes_arrive_out_of_order(
    order: list[int], sides: list[bool]
) -> None:
    quotes = [quote(FIRST if sides[n] else SECOND, 100 + 1 / (n + 3), n * 50 * MS) for n in order]
    received = {q.bid: q.received_ts_us for q in quotes}
    spreads = {
        (a.bid / b.bid - 1) * 100: (a.bid, b.bid)
        for a in quotes
        for b in quotes
        if (a.exchange, b.exchange) == (FIRST, SECOND)
    }
    points = without_gaps(feed(engine(None), quotes))
    for ts_us, spread in points[:, :2]:
        assert max(received[bid] for bid in spreads[spread]) <= ts_us
    assert (points[:, COLUMN["age1_ms"] :] >= 0).all()


@given(TICKS, TOLERANCES, st.lists(st.booleans(), min_size=60, max_size=60))
def test_when_time_is_checked_and_points_are_collected_changes_no_point(
    ticks: list[tuple[str, int, int]], tolerance_ms: int | None, checks: list[bool]
) -> None:
    # A replay asks at other moments than the collector did and must give the same points.
    quotes = stream(ticks)
    checked = engine(tolerance_ms)
    parts = []
    for one, check in zip(quotes, checks, strict=False):
        if check:
            checked.expire(one.received_mono_ns, one.received_ts_us)
            parts += [delta.points for delta in checked.collect()]
        checked.on_quote(one)
    parts += [delta.points for delta in checked.collect()]
    points = np.concatenate(parts)
    np.testing.assert_array_equal(points, feed(engine(tolerance_ms), quotes))


PRICES = st.decimals("0.00001", "90000", places=5)
SIZES = st.decimals("0.001", "5000", places=3)
FEES_BPS = st.decimals("-2", "60", places=2)


@given(PRICES, PRICES, PRICES, PRICES, st.tuples(SIZES, SIZES, SIZES, SIZES), FEES_BPS, FEES_BPS)
def test_spread_edges_and_sizes_follow_their_formulas(
    price1: Decimal, up1: Decimal, price2: Decimal, up2: Decimal,
    sizes: tuple[Decimal, Decimal, Decimal, Decimal], fee1: Decimal, fee2: Decimal,
) -> None:  # fmt: skip
    bid1, ask1, bid2, ask2 = price1, price1 + up1, price2, price2 + up2
    bid_size1, ask_size1, bid_size2, ask_size2 = sizes
    desk = SpreadEngine()
    desk.configure(config(fees_bps=(float(fee1), float(fee2))))
    quotes = [
        Quote(exchange, SYMBOL, float(bid), float(bid_size), float(ask), float(ask_size), None, NOON_US)
        for exchange, bid, bid_size, ask, ask_size in (
            (FIRST, bid1, bid_size1, ask1, ask_size1),
            (SECOND, bid2, bid_size2, ask2, ask_size2),
        )
    ]
    point = feed(desk, quotes)[0]
    share1, share2 = fee1 / 10_000, fee2 / 10_000
    exact = {
        "spread": (bid1 / bid2 - 1) * 100,
        "edge12": (bid1 * (1 - share1) / (ask2 * (1 + share2)) - 1) * 10_000,
        "edge21": (bid2 * (1 - share2) / (ask1 * (1 + share1)) - 1) * 10_000,
        "size12": min(bid_size1, ask_size2) * ask2,
        "size21": min(bid_size2, ask_size1) * ask1,
    }
    for column, value in exact.items():
        assert point[COLUMN[column]] == pytest.approx(float(value), rel=1e-12, abs=1e-10), column


def test_the_worked_example_of_the_documentation() -> None:
    desk = SpreadEngine()
    desk.configure(config(fees_bps=(10.0, 10.0)))
    point = feed(
        desk,
        [
            Quote(FIRST, SYMBOL, 100.30, 2.0, 100.31, 1.0, None, NOON_US, 0),
            Quote(SECOND, SYMBOL, 100.00, 3.0, 100.02, 0.5, None, NOON_US + 87_000, 87 * MS),
        ],
    )[0]
    assert dict(zip(POINT_COLUMNS, point.round(4).tolist(), strict=True)) == {
        "ts_us": NOON_US + 87_000,
        "spread": 0.3,
        "upper": 0.3,
        "lower": 0.3,
        "edge12": 7.9584,
        "edge21": -50.8225,
        "size12": 50.01,
        "size21": 100.31,
        "age1_ms": 87.0,
        "age2_ms": 0.0,
    }


def test_a_wall_clock_that_steps_back_still_gives_increasing_timestamps_and_true_ages() -> None:
    desk = engine()
    stepped = quote(SECOND, 100, 60 * MS)
    stepped.received_ts_us -= 3_600_000_000
    points = feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 100, 20 * MS), stepped])
    assert points[:, 0].tolist() == [NOON_US + 20_000, NOON_US + 20_001]
    assert points[:, COLUMN["age1_ms"]].tolist() == [20.0, 60.0]


def test_a_quote_older_than_the_one_held_is_ignored_and_counted() -> None:
    desk = engine()
    points = feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 100, 20 * MS), quote(SECOND, 90, 10 * MS)])
    assert len(points) == 1
    assert desk.counters.ignored_old == 1
    assert feed(desk, [quote(FIRST, 100, 30 * MS)])[0, COLUMN["spread"]] == 0.0


def test_a_quote_repeated_at_the_same_instant_makes_a_point_of_its_own() -> None:
    points = feed(engine(), [quote(FIRST, 100, 0), quote(SECOND, 100, 0), quote(SECOND, 100, 0)])
    assert points[:, 0].tolist() == [NOON_US, NOON_US + 1]


def test_the_exchange_s_own_clock_decides_nothing() -> None:
    first, second = quote(FIRST, 100, 0), quote(SECOND, 100, MS)
    first.exchange_ts_us, second.exchange_ts_us = NOON_US + 9_000_000, NOON_US - 9_000_000
    assert len(feed(engine(), [first, second])) == 1


@pytest.mark.parametrize(
    ("bid", "ask"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (1.0, float("inf"))]
)
def test_a_price_that_cannot_be_is_counted_and_spoils_no_band(bid: float, ask: float) -> None:
    desk = engine()
    feed(desk, [quote(FIRST, 100, 0), quote(SECOND, bid, MS, ask=ask)])
    assert desk.counters.malformed == 1
    assert feed(desk, [quote(SECOND, 100, 2 * MS)])[0].tolist()[1:4] == [0.0, 0.0, 0.0]


def test_quotes_nobody_configured_are_counted_and_kept_nowhere() -> None:
    desk = engine()
    assert len(feed(desk, [quote("okx", 100, 0), quote(FIRST, 100, 0, symbol="ETH/USDT")])) == 0
    assert desk.counters.unknown == 2


def test_counters_say_what_happened_to_every_quote() -> None:
    desk = engine(tolerance_ms=1)
    feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 100, MS), quote(SECOND, 100, 2 * MS)])
    counters = desk.counters
    assert (counters.quotes, counters.points, counters.invalid) == (3, 1, 2)


def test_the_window_shows_what_was_made_collected_or_not() -> None:
    desk = engine()
    collected = feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 101, MS)])
    desk.on_quote(quote(FIRST, 102, 2 * MS))
    window = desk.points(CHART)
    assert window.shape == (2, len(POINT_COLUMNS))
    np.testing.assert_allclose(window[0], collected[0], rtol=1e-7)
    with pytest.raises(KeyError, match="nothing"):
        desk.points("nothing")


def test_a_late_quote_is_older_by_that_and_its_point_is_made_when_it_came() -> None:
    watching = engine(1000)
    ms = 1_000_000
    late = structs.replace(quote(SECOND, 101.0, 10_100 * ms), late_us=600_000)
    (point,) = feed(watching, [quote(FIRST, 100.0, 10_000 * ms), late])
    assert point[0] == NOON_US + 10_100_000
    assert point[8:].tolist() == [100.0, 600.0]
    watching.expire(10_501 * ms, NOON_US + 10_501_000)
    (delta,) = watching.collect()
    assert delta.points[0, 0] == NOON_US + 10_500_000
    assert delta.reason == f"{SECOND} quote is older than the tolerance of 1 s"


def test_a_quote_that_is_later_than_the_tolerance_breaks_the_line_when_it_comes() -> None:
    watching = engine(1000)
    ms = 1_000_000
    late = structs.replace(quote(SECOND, 101.0, 10_100 * ms), late_us=2_000_000)
    live = [quote(FIRST, 100.0, 10_000 * ms), quote(SECOND, 100.0, 10_050 * ms)]
    points = feed(watching, [*live, late, quote(FIRST, 100.0, 10_200 * ms)])
    assert np.isnan(points[:, 1]).tolist() == [False, True]
    assert points[1, 0] == NOON_US + 10_100_000


def test_a_late_leg_is_reported_as_of_then_beside_the_words_that_it_is_too_old() -> None:
    """A card does not say “older than the tolerance” beside an age that is within it."""
    watching = engine(1000)
    ms = 1_000_000
    late = structs.replace(quote(SECOND, 101.0, 10_100 * ms), late_us=2_000_000)
    for each in (quote(FIRST, 100.0, 10_000 * ms), late):
        watching.on_quote(each)
    (delta,) = watching.collect() or watching.leg_news()
    assert (delta.quoted1_us, delta.quoted2_us) == (NOON_US + 10_000_000, NOON_US + 8_100_000)

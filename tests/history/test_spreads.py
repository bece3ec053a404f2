"""Points computed from the lake are those the live engine made of the same ticks."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from msgspec import structs

from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS, Points, no_points
from engine.charts.spread import SpreadEngine
from history.lake.schema import collector_started
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.spreads import chart_points, computed_points
from markets.config import Shard
from markets.events import Quote, StreamState
from tests.support import spread_oracle as oracle
from tests.support.lakes.lake_data import write, write_quotes, write_states

START_US = oracle.NOON_US // 3_600_000_000 * 3_600_000_000 + 3_590_000_000  # ten seconds before the full hour
AFTER_US = 50_000
Ticks = Sequence[Quote | StreamState]


LATE_US = (0, 0, 0, 0, 0, 0, 90_000, 600_000, 3_000_000)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def random_ticks(seed: int, count: int, states: bool) -> list[Quote | StreamState]:
    """Two exchanges' quotes, a third of them late, and interruptions, some at the same instant, over 20 s."""
    rng = random.Random(seed)
    us = START_US
    ticks: list[Quote | StreamState] = []
    for _ in range(count):
        us += rng.choice((0, 1, 20_000, 50_000, 400_000))
        exchange = rng.choice((oracle.FIRST, oracle.SECOND))
        mono = (us - START_US) * 1000 + rng.randrange(1000)
        mono = max(mono, ticks[-1].received_mono_ns + 1 if ticks else 0)
        if states and rng.random() < 0.05:
            state: Any = rng.choice(("up", "down", "gap"))
            ticks.append(StreamState(exchange, (oracle.SYMBOL,), state, "test", us, mono))
            us += 1  # live, a gap that breaks no line takes its µs, too: the next point would be one later
            continue
        bid = round(100 + rng.gauss(0, 0.2), 2)
        sizes, late_us = (rng.random(), rng.random()), rng.choice(LATE_US)
        ticks.append(
            Quote(exchange, oracle.SYMBOL, bid, sizes[0], bid + 0.01, sizes[1], None, us, mono, late_us)
        )
    return ticks


def record(lake: Lake, ticks: Ticks, files: int = 3) -> None:
    """The ticks in the lake, in several files."""
    quotes = [t for t in ticks if isinstance(t, Quote)]
    for part in np.array_split(np.arange(len(quotes)), files):
        write_quotes(lake, [quotes[i] for i in part])
    write_states(lake, [t for t in ticks if isinstance(t, StreamState)])


def live(ticks: Ticks, tolerance_ms: int | None) -> Points:
    """Points that the engine makes of them."""
    engine: SpreadEngine = oracle.engine(tolerance_ms)
    parts = [no_points()]
    for tick in ticks:
        engine.on_quote(tick) if isinstance(tick, Quote) else engine.on_state(tick)
        parts += [delta.points for delta in engine.collect()]
    engine.expire(ticks[-1].received_mono_ns + AFTER_US * 1000, ticks[-1].received_ts_us + AFTER_US)
    parts += [delta.points for delta in engine.collect()]
    return single_gaps(np.concatenate(parts))


def single_gaps(points: Points) -> Points:
    """An interruption while there is no line breaks nothing: of several gaps in a row the first counts."""
    gap = np.isnan(points[:, 1])
    follows = np.concatenate(([True], gap[:-1])) if len(gap) else gap
    return points[~(gap & follows)]


def computed(
    lake: Lake, tolerance_ms: int | None, start_us: int = START_US, end_us: int = START_US + 10**12
) -> Points:
    """Points that the history makes of them."""
    terms = Terms(oracle.SYMBOL, oracle.FIRST, oracle.SECOND, tolerance_ms, 0.001, 0.001)
    frames = list(computed_points(LakeReader(lake), terms, start_us, end_us))
    return np.concatenate([no_points(), *(f.select(POINT_COLUMNS).to_numpy() for f in frames)])


def assert_same(found: Points, expected: Points) -> None:
    assert found.shape == expected.shape
    assert np.array_equal(found[:, 0], expected[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tolerance_ms", [None, 100, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_the_points_are_those_of_the_engine_to_the_last_digit(
    lake: Lake, seed: int, tolerance_ms: int | None
) -> None:
    ticks = random_ticks(seed, 700, states=seed % 2 == 1)
    record(lake, ticks)
    expected = live(ticks, tolerance_ms)
    end_us = ticks[-1].received_ts_us + AFTER_US
    assert_same(computed(lake, tolerance_ms, end_us=end_us), expected)


@pytest.mark.parametrize("tolerance_ms", [None, 1000])
def test_a_range_has_the_bands_and_legs_of_what_came_before_it(lake: Lake, tolerance_ms: int | None) -> None:
    ticks = random_ticks(7, 900, states=True)
    record(lake, ticks)
    expected = live(ticks, tolerance_ms)
    begin, end = ticks[600].received_ts_us, ticks[800].received_ts_us
    inside = (expected[:, 0] >= begin) & (expected[:, 0] < end)
    assert_same(computed(lake, tolerance_ms, begin, end), expected[inside])


def test_where_a_collector_began_again_nothing_from_before_counts(lake: Lake) -> None:
    before, after = random_ticks(1, 300, states=False), random_ticks(2, 300, states=False)
    later = [shifted(tick, 200_000_000, boot_ns=900_000_000_000) for tick in after]
    record(lake, [*before, *later])
    start_us = later[0].received_ts_us
    other = next(shard for shard in (Shard(1, 2), Shard(2, 2)) if not shard.owns(oracle.SYMBOL))
    for shard, us in ((Shard(), start_us), (other, before[99].received_ts_us)):
        write_states(lake, [StreamState("", ("",), "up", collector_started(shard), us)])

    end_us = later[-1].received_ts_us + AFTER_US
    expected = np.concatenate([live(before, None), live(later, None)])
    gap = np.array([[start_us, *[np.nan] * 9]])
    found = computed(lake, None, end_us=end_us)
    assert_same(found, np.insert(expected, len(live(before, None)), gap, axis=0))


def shifted(tick: Quote | StreamState, by_us: int, boot_ns: int) -> Any:
    """The same later, after a boot."""
    mono = tick.received_mono_ns + boot_ns
    return structs.replace(tick, received_ts_us=tick.received_ts_us + by_us, received_mono_ns=mono)


def test_without_monotonic_stamps_the_wall_clock_decides(lake: Lake) -> None:
    ticks = random_ticks(3, 300, states=False)
    rounded = [structs.replace(t, received_mono_ns=t.received_ts_us * 1000) for t in ticks]
    rounded = [t for i, t in enumerate(rounded) if i == 0 or t.received_ts_us > rounded[i - 1].received_ts_us]
    record(lake, [structs.replace(t, received_mono_ns=None) for t in rounded])
    end_us = ticks[-1].received_ts_us + AFTER_US
    assert_same(computed(lake, 1000, end_us=end_us), live(rounded, 1000))


def test_sizes_nobody_knows_leave_the_size_of_the_edge_unknown(lake: Lake) -> None:
    names = {"exchange": ["binance", "bybit"], "symbol": [oracle.SYMBOL] * 2}
    prices = {"bid": [100.0, 101.0], "ask": [100.5, 101.5], "received_ts_us": [START_US, START_US + 1]}
    write(lake, "quotes", pl.DataFrame(names | prices))
    (point,) = computed(lake, 1000, end_us=START_US + 2)
    assert np.isnan(point[[6, 7]]).all()
    assert point[1] == pytest.approx((100 / 101 - 1) * 100)


def test_quotes_the_engine_refuses_make_no_point(lake: Lake) -> None:
    ticks = [
        oracle.quote("binance", 100.0, 0),
        oracle.quote("bybit", 101.0, 1000),
        oracle.quote("bybit", 101.0, 2000, ask=99.0),
        oracle.quote("binance", -1.0, 3000),
    ]
    write_quotes(lake, ticks)
    found = computed(lake, None, oracle.NOON_US, oracle.NOON_US + 10)
    assert_same(found, live(ticks, None))


def test_stored_and_computed_stretches_meet_without_overlap(lake: Lake) -> None:
    ticks = random_ticks(5, 900, states=False)
    record(lake, ticks)
    begin, end = START_US, ticks[-1].received_ts_us + 1
    middle = begin + 70_000_000
    points = live(ticks, 1000)
    points = points[(points[:, 0] >= middle) & (points[:, 0] < end)]
    names = {"symbol": oracle.SYMBOL, "exchange1": oracle.FIRST, "exchange2": oracle.SECOND}
    stored = pl.DataFrame(points, schema=list(POINT_COLUMNS)).with_columns(pl.col("ts_us").cast(pl.Int64))
    write(lake, "spreads", stored.with_columns(**{k: pl.lit(v) for k, v in names.items()}).fill_nan(None))

    terms = Terms(oracle.SYMBOL, oracle.FIRST, oracle.SECOND, 1000, 0.001, 0.001)
    sources, frames = chart_points(LakeReader(lake), terms, begin, end)
    found = np.concatenate([f.select(POINT_COLUMNS).to_numpy() for f in frames])
    assert sources == ["computed", "stored"]
    assert (np.diff(found[:, 0]) > 0).all()
    expected = live(ticks, 1000)
    assert_same(found, expected[expected[:, 0] < end])

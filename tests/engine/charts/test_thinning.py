"""Thinned lines keep what money hangs on: the extremes of the spread and of both edges, as whole points."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.charts.points import POINT_COLUMNS, Points
from engine.charts.thinning import MIN_CAP, second_extremes, thin
from history.read.thinning import thinned
from realtime.charts.stored import POINT_VALUES

COLUMNS = [POINT_COLUMNS.index(name) for name in POINT_VALUES]
SECOND_US = 1_000_000

finite = st.floats(-1e4, 1e4, allow_nan=False)
# A gap, or spread and both edges: the edges go their own ways, as they do when a market is wide on one side.
lines = st.lists(st.one_of(st.none(), st.tuples(finite, finite, finite)), min_size=1, max_size=300)


def points(line: list[tuple[float, float, float] | None]) -> Points:
    rows = np.full((len(line), len(POINT_COLUMNS)), np.nan)
    rows[:, 0] = np.arange(len(line)) * SECOND_US // 10
    for row, values in zip(rows, line, strict=True):
        if values:
            row[1:] = 0.0
            row[COLUMNS] = values
            row[6:8] = values[1] + 1, values[2] + 1  # sizes, recognized by their edges
    return rows


def assert_kept(kept: Points, rows: Points) -> None:
    """Whole rows, in order, with every extreme among them."""
    assert np.all(np.diff(kept[:, 0]) > 0)
    whole = rows[np.isin(rows[:, 0], kept[:, 0])]
    np.testing.assert_array_equal(kept, whole)
    if not np.isnan(rows[:, 1]).all():
        for column in COLUMNS:
            assert np.nanmax(kept[:, column]) == np.nanmax(rows[:, column]), POINT_COLUMNS[column]
            assert np.nanmin(kept[:, column]) == np.nanmin(rows[:, column]), POINT_COLUMNS[column]
    assert np.isnan(kept[:, 1]).any() == np.isnan(rows[:, 1]).any(), "a broken line stays broken"


def longest_drawn_over(shown: pl.DataFrame, rows: Points) -> int:
    """The most gap rows in a row that a line of the shown points goes over."""
    gaps = np.isnan(rows[:, 1])
    at = np.searchsorted(rows[:, 0], shown["ts_us"].to_numpy())
    spans = [slice(one + 1, two) for one, two in pairwise(at) if not gaps[one] and not gaps[two]]
    runs = ["".join("x" if gap else " " for gap in gaps[span]).split() for span in spans]
    return max((len(run) for found in runs for run in found), default=0)


@given(line=lines)
def test_a_second_of_the_snapshot_keeps_the_best_edge(line: list[tuple[float, float, float] | None]) -> None:
    rows = points(line)
    kept = second_extremes(rows)
    assert_kept(kept, rows)
    assert len(kept) <= 12
    assert (kept[0, 0], kept[-1, 0]) == (rows[0, 0], rows[-1, 0])


@given(line=lines, cap=st.integers(MIN_CAP, 200))
def test_what_waits_for_a_slow_reader_keeps_the_best_edge(
    line: list[tuple[float, float, float] | None], cap: int
) -> None:
    rows = points(line)
    kept = thin(rows, cap)
    assert_kept(kept, rows)
    assert len(kept) <= cap
    np.testing.assert_array_equal(kept[-(cap // 3) :], rows[-(cap // 3) :])


@pytest.mark.parametrize("cap", [MIN_CAP, 40, 64, 100])
@pytest.mark.parametrize("is_broken", [False, True])
def test_the_older_half_of_what_waits_is_cut_into_runs_that_each_keep_their_extremes_and_first_gap(
    cap: int, is_broken: bool
) -> None:
    rng = np.random.default_rng(cap)
    line: list[tuple[float, float, float] | None] = [tuple(rng.normal(size=3)) for _ in range(400)]
    for gap in range(5, 400, 9) if is_broken else ():
        line[gap] = None
    rows = points(line)
    runs = cap // 16 or 1
    newest = cap - 8 * runs
    expected: list[int] = []
    for run in np.array_split(np.arange(400 - newest), runs):
        seen = [row for row in run if line[row]]
        ends = {end(seen, key=lambda row: rows[row, column]) for end in (min, max) for column in COLUMNS}
        expected += sorted({*ends, *[row for row in run if not line[row]][:1]})
    expected += range(400 - newest, 400)
    np.testing.assert_array_equal(thin(rows, cap), rows[expected])


def test_what_fits_is_not_thinned() -> None:
    rows = points([(float(n), 0.0, 0.0) for n in range(40)])
    np.testing.assert_array_equal(thin(rows, 40), rows)
    np.testing.assert_array_equal(second_extremes(rows[:4]), rows[:4])
    np.testing.assert_array_equal(second_extremes(rows[:5]), rows[[0, 4]])


def test_a_second_keeps_its_first_four_gaps() -> None:
    line: list[tuple[float, float, float] | None] = [(0.1, 8.0, -20.0)] * 30
    line[3:23:2] = [None] * 10
    times = second_extremes(points(line))[:, 0] // (SECOND_US // 10)
    assert times.tolist() == [0, 3, 5, 7, 9, 29]


@given(line=lines, cut=st.integers(0, 300), count=st.integers(10, 200))
def test_thinned_history_keeps_the_best_edge_with_its_size_however_the_rows_come(
    line: list[tuple[float, float, float] | None], cut: int, count: int
) -> None:
    rows = points(line)
    frame = pl.DataFrame(rows, schema=list(POINT_COLUMNS), nan_to_null=True)
    frame = frame.with_columns(pl.all().fill_nan(None)).with_columns(pl.col("ts_us").cast(pl.Int64))
    parts = [frame[:cut], frame[cut:]]
    end_us = len(line) * SECOND_US // 10
    found = list(thinned(parts, count, 0, end_us, clock="ts_us", values=POINT_VALUES))
    kept = pl.concat([frame.clear(), *found])
    assert len(kept) <= count
    assert_kept(kept.to_numpy().astype(float), rows)


def test_an_edge_that_the_spread_does_not_show_is_kept() -> None:
    """15.4 bps were shown as 8.5: the ask moved, so the spread of the bids stood still."""
    line: list[tuple[float, float, float] | None] = [(0.1, 8.5, -20.0)] * 1000
    line[437] = (0.1, 15.4, -20.0)
    rows = points(line)
    assert thin(rows, 100)[:, 4].max() == 15.4
    assert second_extremes(rows)[:, 4].max() == 15.4
    frame = pl.DataFrame(rows, schema=list(POINT_COLUMNS)).with_columns(pl.col("ts_us").cast(pl.Int64))
    shown = pl.concat(list(thinned([frame], 50, 0, 100 * SECOND_US, clock="ts_us", values=POINT_VALUES)))
    best = shown.row(int(shown["edge12"].arg_max() or 0), named=True)
    assert (best["edge12"], best["size12"]) == (15.4, pytest.approx(16.4))


def test_no_line_is_drawn_over_what_nobody_saw_however_few_points_are_asked_for() -> None:
    """Two crashes within one stretch: the second one's gap went, and half an hour looked observed."""
    line: list[tuple[float, float, float] | None] = [(0.1, float(n % 7), float(n % 5)) for n in range(9000)]
    line[4000] = (0.5, 99.0, 99.0)  # kept, and with it the line on either side
    for first, last in ((3000, 3600), (5000, 6800)):
        line[first:last] = [None] * (last - first)
    rows = points(line)
    frame = pl.DataFrame(rows, schema=list(POINT_COLUMNS)).with_columns(pl.all().fill_nan(None))
    frame = frame.with_columns(pl.col("ts_us").cast(pl.Int64))
    for count in (10, 20, 90):
        found = list(thinned([frame], count, 0, 900 * SECOND_US, clock="ts_us", values=POINT_VALUES))
        shown = pl.concat(found)
        assert len(shown) <= count
        assert longest_drawn_over(shown, rows) == 0, count


def test_gaps_that_find_no_room_are_the_shortest() -> None:
    """A line that flaps: what stays broken is what was longest unseen."""
    line: list[tuple[float, float, float] | None] = []
    for length in (1, 2, 50, 1, 3, 1, 40, 1, 2, 1, 1):
        value = float(len(line) % 11)
        line += [(value, value * 2 - 9, 9 - value * 3), *[None] * length]
    rows = points(line)
    frame = pl.DataFrame(rows, schema=list(POINT_COLUMNS)).with_columns(pl.all().fill_nan(None))
    frame = frame.with_columns(pl.col("ts_us").cast(pl.Int64))
    end_us = len(line) * SECOND_US // 10
    shown = pl.concat(list(thinned([frame], 10, 0, end_us, clock="ts_us", values=POINT_VALUES)))
    assert len(shown) <= 10
    assert longest_drawn_over(shown, rows) <= 3

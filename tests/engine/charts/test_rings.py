"""The window of recent points: bounded, in order, cheap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.charts.points import POINT_COLUMNS, Points
from engine.charts.rings import PointRing


def points(start: int, count: int) -> Points:
    rows = np.arange(count * len(POINT_COLUMNS), dtype=np.float64).reshape(count, len(POINT_COLUMNS)) / 8
    rows[:, 0] = 1_760_000_000_000_001 + start + np.arange(count)
    return rows


@given(st.integers(1, 12), st.lists(st.integers(0, 30), max_size=12))
def test_a_ring_holds_the_newest_points_in_order_however_they_come(capacity: int, sizes: list[int]) -> None:
    ring = PointRing(capacity)
    everything = [points(0, 0)]
    for size in sizes:
        everything.append(points(sum(map(len, everything)), size))
        ring.extend(everything[-1])
    rows = np.concatenate(everything)
    np.testing.assert_array_equal(ring.array(), rows[-capacity:])
    assert len(ring) == min(capacity, len(rows))
    assert ring.dropped == max(0, len(rows) - capacity)


def test_a_stored_point_costs_at_most_48_bytes() -> None:
    ring = PointRing(1000)
    assert ring.nbytes <= 48 * ring.capacity


def test_values_keep_seven_digits_times_every_microsecond_and_gaps_stay_gaps() -> None:
    ring = PointRing(4)
    row = np.array([[1_760_000_000_123_457.0, 0.0123456789, *[np.nan] * 8]])
    ring.extend(row)
    kept = ring.array()
    assert kept[0, 0] == row[0, 0]
    assert kept[0, 1] == pytest.approx(row[0, 1], rel=1e-7)
    assert np.isnan(kept[0, 2:]).all()


def test_a_capacity_below_one_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="capacity of at least 1, not 0"):
        PointRing(0)

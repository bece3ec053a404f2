"""Live and batch pairing are one rule: of the same quotes and interruptions both make the same points."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.charts.batch import Pairing, Terms
from engine.charts.points import POINT_COLUMNS, Points, no_points
from markets.events import Quote, StreamState
from tests.history.test_spreads import AFTER_US, Ticks, assert_same, live, random_ticks
from tests.support import spread_oracle as oracle

QUOTES = {"exchange": pl.String, "bid": pl.Float64, "bid_size": pl.Float64, "ask": pl.Float64,
          "ask_size": pl.Float64, "received_ts_us": pl.Int64, "received_mono_ns": pl.Int64,
          "late_us": pl.Int64}  # fmt: skip
STATES = {"exchange": pl.String, "state": pl.String, "received_ts_us": pl.Int64, "received_mono_ns": pl.Int64}


def batch(ticks: Ticks, cuts: Sequence[int], tolerance_ms: int | None) -> Points:
    """Result of batch pairing of the ticks in slices that begin at `cuts`."""
    terms = Terms(oracle.SYMBOL, oracle.FIRST, oracle.SECOND, tolerance_ms, 0.001, 0.001)
    pairing = Pairing(terms)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(ticks)), len(ticks)]
    frames = []
    for start, stop in pairwise(bounds):
        rows = [structs.asdict(tick) for tick in ticks[start:stop] if isinstance(tick, Quote)]
        states = [structs.asdict(tick) for tick in ticks[start:stop] if isinstance(tick, StreamState)]
        frames.append(pairing.feed(_frame(rows, QUOTES), _frame(states, STATES)))
    frames.append(pairing.end(ticks[-1].received_ts_us + AFTER_US))
    return np.concatenate([no_points(), *(frame.select(POINT_COLUMNS).to_numpy() for frame in frames)])


def _frame(rows: list[dict[str, object]], schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema)


@pytest.mark.parametrize("states", [False, True])
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 120),
    cuts=st.lists(st.integers(0, 120), max_size=4),
    tolerance_ms=st.sampled_from([None, 1, 100, 1000]),
)
def test_however_a_stream_is_cut_both_make_the_same_points(
    states: bool, seed: int, count: int, cuts: list[int], tolerance_ms: int | None
) -> None:
    ticks = random_ticks(seed, count, states)
    expected = live(ticks, tolerance_ms)
    is_before = expected[:, 0] < ticks[-1].received_ts_us + AFTER_US  # where a range ends, it has no gap yet
    assert_same(batch(ticks, cuts, tolerance_ms), expected[is_before])

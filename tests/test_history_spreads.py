"""Points computed from the lake are those the live engine made of the same ticks."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from history.lake import Lake
from history.pairing import Terms
from history.reader import LakeReader
from history.schema import collector_started
from history.spreads import chart_points, computed_points, find_spans
from markets.config import Shard
from markets.events import Quote, StreamState
from realtime.engine import SpreadEngine
from realtime.points import POINT_COLUMNS, Points, no_points
from tests import spread_oracle as oracle
from tests.lake_data import write, write_quotes, write_states

START_US = oracle.NOON_US // 3_600_000_000 * 3_600_000_000 + 3_590_000_000  # ten seconds before the full hour
AFTER_US = 50_000
Ticks = Sequence[Quote | StreamState]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def random_ticks(seed: int, count: int, states: bool) -> list[Quote | StreamState]:
    """Two venues' quotes and interruptions, some at the same instant, over about 20 s."""
    rng = random.Random(seed)
    us, ticks = START_US, []
    for _ in range(count):
        us += rng.choice((0, 1, 20_000, 50_000, 400_000))
        exchange = rng.choice((oracle.FIRST, oracle.SECOND))
        mono = (us - START_US) * 1000 + rng.randrange(1000)
        mono = max(mono, ticks[-1].received_mono_ns + 1 if ticks else 0)
        if states and rng.random() < 0.05:
            state = rng.choice(("up", "down", "gap"))
            ticks.append(StreamState(exchange, (oracle.SYMBOL,), state, "test", us, mono))
            continue
        bid = round(100 + rng.gauss(0, 0.2), 2)
        ticks.append(
            Quote(exchange, oracle.SYMBOL, bid, rng.random(), bid + 0.01, rng.random(), None, us, mono)
        )
    return ticks


def record(lake: Lake, ticks: Ticks, files: int = 3) -> None:
    """The ticks in the lake, in several files."""
    quotes = [t for t in ticks if isinstance(t, Quote)]
    for part in np.array_split(np.arange(len(quotes)), files):
        write_quotes(lake, [quotes[i] for i in part])
    write_states(lake, [t for t in ticks if isinstance(t, StreamState)])


def live(ticks: Ticks, tolerance_ms: int | None) -> Points:
    """What the engine makes of them."""
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
    """What the history makes of them."""
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
def test_a_range_has_the_bands_and_legs_of_what_came_before_it(
    lake: Lake, tolerance_ms: int | None
) -> None:
    ticks = random_ticks(7, 900, states=True)
    record(lake, ticks)
    expected = live(ticks, tolerance_ms)
    begin, end = ticks[600].received_ts_us, ticks[800].received_ts_us
    inside = (expected[:, 0] >= begin) & (expected[:, 0] < end)
    assert_same(computed(lake, tolerance_ms, begin, end), expected[inside])

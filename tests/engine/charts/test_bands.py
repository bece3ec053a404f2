"""Rolling bands against polars, the batch calculation history will use."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.charts.bands import LOWER, UPPER, WINDOW, RollingBands


def polars_bands(values: list[float]) -> tuple[list[float], list[float]]:
    series = pl.Series(values, dtype=pl.Float64)
    upper, lower = (series.rolling_quantile(q, "linear", WINDOW, min_samples=1) for q in (UPPER, LOWER))
    return upper.to_list(), lower.to_list()


def push(bands: RollingBands, *values: float) -> tuple[list[float], list[float]]:
    """The upper and the lower band after each of the values."""
    upper: list[float] = []
    lower: list[float] = []
    bands.push(list(values), upper, lower)
    return upper, lower


def assert_equal_to_polars(values: list[float], run: int = 7) -> None:
    bands = RollingBands()
    upper, lower = polars_bands(values)
    for start in range(0, len(values), run):
        pushed = push(bands, *values[start : start + run])
        assert pushed[0] == pytest.approx(upper[start : start + run], abs=1e-12, rel=0)
        assert pushed[1] == pytest.approx(lower[start : start + run], abs=1e-12, rel=0)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60))
def test_with_fewer_than_200_points_the_bands_are_the_quantiles_of_those_there_are(
    values: list[float],
) -> None:
    assert_equal_to_polars(values)


@settings(max_examples=25)
@given(
    st.integers(195, 900), st.sampled_from([0.001, 0.1, 5.0]), st.sampled_from([2, 6, 15]),
    st.sampled_from([1, 40, 199, 200, 450]), st.randoms(),
)  # fmt: skip
def test_over_any_number_of_windows_the_bands_equal_polars_rolling_quantile(
    count: int, scale: float, digits: int, run: int, rng: random.Random
) -> None:
    # Few digits make many equal values, which is what quantised prices do.
    assert_equal_to_polars([round(rng.gauss(0, scale), digits) for _ in range(count)], run)


def test_a_market_that_moves_takes_its_bands_along() -> None:
    rng = random.Random(4)
    for slope in (0.02, -0.02, 0.5):
        assert_equal_to_polars([slope * n + rng.gauss(0, 1) for n in range(700)], 40)


def test_one_value_is_both_bands() -> None:
    assert push(RollingBands(), 0.25) == ([0.25], [0.25])


def test_a_value_leaves_after_two_hundred_others() -> None:
    bands = RollingBands()
    push(bands, 1000.0, *[0.0] * (WINDOW - 1))
    assert len(bands) == WINDOW
    assert push(bands, 0.0) == ([0.0], [0.0])
    assert len(bands) == WINDOW
    assert push(bands, 7.0)[0] == [0.0]  # one of 200 is beyond the 97 % quantile

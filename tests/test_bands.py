"""Rolling bands against polars, the batch calculation history will use."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.bands import LOWER, UPPER, WINDOW, RollingBands


def polars_bands(values: list[float]) -> tuple[list[float], list[float]]:
    series = pl.Series(values, dtype=pl.Float64)
    upper, lower = (series.rolling_quantile(q, "linear", WINDOW, min_samples=1) for q in (UPPER, LOWER))
    return upper.to_list(), lower.to_list()


def assert_equal_to_polars(values: list[float]) -> None:
    bands = RollingBands()
    pushed = [bands.push(value) for value in values]
    upper, lower = polars_bands(values)
    assert [u for u, _ in pushed] == pytest.approx(upper, abs=1e-12, rel=0)
    assert [low for _, low in pushed] == pytest.approx(lower, abs=1e-12, rel=0)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60))
def test_with_fewer_than_200_points_the_bands_are_the_quantiles_of_those_there_are(
    values: list[float],
) -> None:
    assert_equal_to_polars(values)


@settings(max_examples=25)
@given(st.integers(195, 900), st.sampled_from([0.001, 0.1, 5.0]), st.sampled_from([2, 6, 15]), st.randoms())
def test_over_any_number_of_windows_the_bands_equal_polars_rolling_quantile(
    count: int, scale: float, digits: int, rng: random.Random
) -> None:
    # Few digits make many equal values, which is what quantised prices do.
    assert_equal_to_polars([round(rng.gauss(0, scale), digits) for _ in range(count)])


def test_one_value_is_both_bands() -> None:
    assert RollingBands().push(0.25) == (0.25, 0.25)


def test_a_value_leaves_after_two_hundred_others() -> None:
    bands = RollingBands()
    bands.push(1000.0)
    for _ in range(WINDOW - 1):
        bands.push(0.0)
    assert len(bands) == WINDOW
    assert bands.push(0.0) == (0.0, 0.0)
    assert len(bands) == WINDOW
    assert bands.push(7.0)[0] == 0.0  # one of 200 is beyond the 97 % quantile

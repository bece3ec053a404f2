"""Deviation of a pair's ratio from its mean, in the terms the desk judges pairs by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.deviation import (
    DeviationStatistics,
    DeviationTerms,
    Floats,
    complete_cycles,
    deviations,
    statistics,
    zero_crossings,
)

GAP = float("nan")


def seconds(count: int, every_s: float = 1.0) -> Floats:
    """Times, µs, so far apart."""
    return np.arange(count, dtype=np.float64) * (every_s * 1e6)


def of(
    *deviation_pct: float, every_s: float = 1.0, terms: DeviationTerms | None = None
) -> DeviationStatistics:
    """The statistics of a ratio with these deviations from a mean of 1 (they must add up to 0)."""
    ratio = 1 + np.array(deviation_pct) / 100
    return statistics(seconds(len(ratio), every_s), ratio, terms)


def swings(times: int, peak_pct: float) -> list[float]:
    """Out to either side by turns, and home in between."""
    return [0.0, peak_pct, 0.0, -peak_pct] * times


class TestCycles:
    def test_a_cycle_goes_out_beyond_and_comes_back_to_neutral(self) -> None:
        assert complete_cycles(np.array([0.0, 0.2, 0.5, 0.2, 0.05]), 0.1, 0.4) == 1

    def test_trembling_about_a_threshold_without_returning_completes_none(self) -> None:
        trembling = np.tile([0.45, 0.35], 3304)
        assert complete_cycles(np.concatenate(([0.0], trembling)), 0.1, 0.4) == 0

    def test_turning_back_before_the_threshold_completes_none(self) -> None:
        assert complete_cycles(np.array([0.0, 0.39, 0.0, -0.4, 0.0]), 0.1, 0.4) == 0

    def test_the_return_of_what_began_outside_completes_none(self) -> None:
        assert complete_cycles(np.array([0.5, 0.0, 0.5, 0.0]), 0.1, 0.4) == 1

    def test_both_sides_count(self) -> None:
        assert complete_cycles(np.array([0.0, 0.5, 0.0, -0.5, 0.0]), 0.1, 0.4) == 2

    def test_from_one_side_to_the_other_without_a_stop_is_one(self) -> None:
        assert complete_cycles(np.array([0.0, 0.5, -0.5, 0.0]), 0.1, 0.4) == 1

    def test_no_cycle_spans_a_gap(self) -> None:
        assert complete_cycles(np.array([0.0, 0.5, GAP, 0.0]), 0.1, 0.4) == 0


class TestCrossings:
    def test_a_change_of_sign_is_one_even_by_way_of_zero(self) -> None:
        assert zero_crossings(np.array([1.0, -1.0, 0.0, -1.0, 0.0, 1.0])) == 2

    def test_nothing_crosses_a_gap(self) -> None:
        assert zero_crossings(np.array([1.0, GAP, -1.0])) == 0


class TestEvents:
    def test_each_stay_at_or_above_the_threshold_is_one_with_its_peak(self) -> None:
        found = of(0.0, 0.3, 0.4, 0.0, -0.7, 0.0, 1.2, -1.2)
        assert (found.events, found.peaks) == (3, (1, 1, 1))  # from 1.2 straight to -1.2 is one stay
        assert found.mean_peak_pct == pytest.approx((0.4 + 0.7 + 1.2) / 3, rel=0.01)
        assert found.big_peaks_pct == pytest.approx(200 / 3)

    def test_duration_and_time_above_are_held_time(self) -> None:
        found = of(0.0, 0.5, 0.5, -1.0, 0.0, 0.0, every_s=2)
        assert found.mean_duration_s == pytest.approx(6)
        assert found.time_above_pct == pytest.approx(60)

    def test_time_in_a_gap_counts_for_nothing(self) -> None:
        found = of(0.5, -0.5, GAP, 0.0, 0.0)
        assert found.minutes == pytest.approx(3 / 60)
        assert found.time_above_pct == pytest.approx(200 / 3)


class TestAsymmetry:
    def test_of_the_deviation_it_says_to_which_side_the_swings_reach(self) -> None:
        assert of(0.9, -0.3, -0.3, -0.3).asymmetry == pytest.approx(0.5, rel=0.01)

    def test_of_the_spread_it_passes_one_when_the_sign_never_changes(self) -> None:
        premium = statistics(seconds(3), np.array([1.01, 1.02, 1.03]))
        assert premium.spread_asymmetry == pytest.approx(2)
        assert premium.asymmetry == pytest.approx(0, abs=1e-9)

    def test_without_movement_there_is_none(self) -> None:
        assert of(0.0, 0.0).asymmetry is None


class TestVerdict:
    def test_quick_wide_and_returning_is_excellent(self) -> None:
        found = of(*swings(100, 0.8))
        assert (found.events, found.cycles) == (200, 199)
        assert found.verdicts == ("excellent",)

    def test_without_crossings_it_is_trending(self) -> None:
        assert "trending" in of(*np.linspace(-0.2, 0.2, 400)).verdicts

    def test_mostly_above_never_closes(self) -> None:
        assert "never closes" in of(*[0.4, -0.4] * 100).verdicts

    def test_a_standing_premium_is_biased(self) -> None:
        ratio = 1.01 + np.tile([0.001, -0.001], 100)
        assert "biased" in statistics(seconds(200), ratio).verdicts

    def test_the_thresholds_can_be_edited(self) -> None:
        strict = DeviationTerms(excellent_above_events_per_hour=1e6)
        assert of(*swings(100, 0.8), terms=strict).verdicts == ("ordinary",)

    def test_a_minute_of_points_is_the_least(self) -> None:
        assert of(*swings(10, 0.8)).verdicts == ("too little data",)

    @pytest.mark.parametrize("ratio", [[], [GAP], [1.0]])
    def test_next_to_nothing_is_no_error(self, ratio: list[float]) -> None:
        found = statistics(seconds(len(ratio)), np.array(ratio))
        assert found.verdicts == ("too little data",)
        assert found.crossings_per_minute is None


@given(st.lists(st.sampled_from([0.0, 0.05, 0.2, 0.45, -0.05, -0.2, -0.45, GAP]), max_size=60))
def test_cycles_and_crossings_are_what_a_plain_loop_counts(deviation: list[float]) -> None:
    cycles = crossings = 0
    was_neutral = is_out = False
    sign = 0.0
    for value in deviation:
        if np.isnan(value):
            was_neutral, is_out, sign = False, False, 0.0
            continue
        if abs(value) < 0.1:
            cycles += is_out
            was_neutral, is_out = True, False
        elif abs(value) > 0.4:
            is_out = was_neutral
        if value:
            crossings += bool(sign) and np.sign(value) != sign
            sign = float(np.sign(value))
    values = np.array(deviation, float)
    assert complete_cycles(values, 0.1, 0.4) == cycles
    assert zero_crossings(values) == crossings


def test_the_deviation_is_from_the_mean_and_leaves_gaps_alone() -> None:
    np.testing.assert_allclose(deviations(np.array([1.01, GAP, 0.99])), [1.0, GAP, -1.0])

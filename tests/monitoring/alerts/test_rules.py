"""When a finding becomes an incident and when it is over: held against its definition, read backwards."""

from collections.abc import Sequence
from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.health.findings import kinds
from monitoring.alerts.rules import QuietHours, Reading, Terms, Watch, matches, step
from monitoring.models import What

S = 1_000_000  # µs
Looks = Sequence[tuple[int, Reading | None]]


def run(terms: Terms, looks: Looks) -> list[bool]:
    """Whether it fires after each look."""
    watch, firing = Watch(), []
    for now_us, reading in looks:
        watch = step(watch, reading, terms, now_us)
        firing.append(watch.firing)
    return firing


def values(*readings: float | None) -> Looks:
    """A look each second; None: nothing was found."""
    return [(i * S, None if value is None else Reading(0, value)) for i, value in enumerate(readings)]


def test_without_terms_it_fires_with_the_first_finding_and_is_over_with_the_last() -> None:
    looks = [(0, None), (S, Reading(S)), (2 * S, Reading(S)), (3 * S, None)]
    assert run(Terms(), looks) == [False, True, True, False]


def test_what_lasts_is_counted_from_when_it_became_unhealthy_not_from_when_we_looked() -> None:
    looks = [(60 * S, Reading(50 * S)), (61 * S, Reading(50 * S))]
    assert run(Terms(for_us=11 * S), looks) == [False, True]


def test_a_break_starts_the_count_again() -> None:
    looks = [
        (0, Reading(0)),
        (S, None),
        (2 * S, Reading(2 * S)),
        (3 * S, Reading(2 * S)),
        (4 * S, Reading(2 * S)),
    ]
    assert run(Terms(for_us=2 * S), looks) == [False, False, False, False, True]


def test_a_threshold_of_its_own_is_counted_from_when_it_was_passed() -> None:
    assert run(Terms(threshold=90, for_us=2 * S), values(85, 91, 92, 90)) == [False, False, False, True]


def test_between_the_two_thresholds_what_was_goes_on() -> None:
    terms = Terms(threshold=80, clear_below=70)
    assert run(terms, values(75, 80, 75, 79, 69, 75, None)) == [False, True, True, True, False, False, False]


def test_it_is_over_only_after_it_was_well_for_long_enough() -> None:
    terms = Terms(clear_after_us=2 * S)
    assert run(terms, values(1, None, None, 1, None, None, None)) == [True] * 6 + [False]


def test_after_it_was_over_it_does_not_fire_again_before_the_cool_down_ended() -> None:
    terms = Terms(cool_down_us=3 * S)
    assert run(terms, values(1, None, 1, 1, 1, 1)) == [True, False, False, False, True, True]


def test_a_finding_without_a_value_passes_no_threshold_and_ends_nothing() -> None:
    looks = [(0, Reading(0)), (S, Reading(0, 9)), (2 * S, Reading(0))]
    assert run(Terms(threshold=5), looks) == [False, True, True]


# --- the definition, read backwards -----------------------------------------------------------------

TERMS = st.builds(
    lambda threshold, gap, for_s, clear_s, cool_s: Terms(
        threshold,
        None if threshold is None or gap is None else threshold - gap,
        for_s * S, clear_s * S, cool_s * S,
    ),
    st.none() | st.integers(0, 4),
    st.none() | st.integers(0, 2),
    st.integers(0, 4), st.integers(0, 4), st.integers(0, 6),
)  # fmt: skip


@st.composite
def looks(draw: st.DrawFn) -> Looks:
    """Looks at uneven times; the illness is as old as the run of findings that it is in."""
    pauses = draw(st.lists(st.integers(0, 3), min_size=1, max_size=30))
    now_us, since_us = 0, None
    readings: list[tuple[int, Reading | None]] = []
    for pause in pauses:
        now_us += pause * S
        if draw(st.booleans()) or draw(st.booleans()):
            since_us = now_us if since_us is None else since_us
            readings.append((now_us, Reading(since_us, draw(st.none() | st.integers(0, 5)))))
        else:
            since_us = None
            readings.append((now_us, None))
    return readings


def beyond(reading: Reading | None, terms: Terms) -> bool:
    if reading is None or terms.threshold is None:
        return reading is not None
    return reading.value is not None and reading.value >= terms.threshold


def well(reading: Reading | None, terms: Terms) -> bool:
    if reading is None or terms.threshold is None or reading.value is None:
        return reading is None
    return reading.value < (terms.threshold if terms.clear_below is None else terms.clear_below)


def lasting(readings: list[bool], times: list[int], i: int) -> int | None:
    """For how long it has been so at every look up to this one; None when it is not so."""
    if not readings[i]:
        return None
    first = i
    while first and readings[first - 1]:
        first -= 1
    return times[i] - times[first]


def by_definition(terms: Terms, readings: Looks) -> list[bool]:
    times = [now_us for now_us, _ in readings]
    unhealthy = [beyond(reading, terms) for _, reading in readings]
    fine = [well(reading, terms) for _, reading in readings]
    firing: list[bool] = []
    for i, now_us in enumerate(times):
        was = bool(firing) and firing[-1]
        ends = [times[k] for k in range(1, i) if firing[k - 1] and not firing[k]]
        if was:
            lasted = lasting(fine, times, i)
            firing.append(lasted is None or lasted < terms.clear_after_us)
        else:
            lasted = lasting(unhealthy, times, i)
            cooled = not ends or now_us - ends[-1] >= terms.cool_down_us
            firing.append(lasted is not None and lasted >= terms.for_us and cooled)
    return firing


@given(TERMS, looks())
def test_it_is_what_the_definition_says(terms: Terms, readings: Looks) -> None:
    assert run(terms, readings) == by_definition(terms, readings)


@given(TERMS, looks())
def test_what_is_idle_may_be_forgotten(terms: Terms, readings: Looks) -> None:
    """Memory holds only what is unhealthy or cooling down, and forgetting the rest changes nothing."""
    watch, firing = Watch(), []
    for now_us, reading in readings:
        watch = step(watch, reading, terms, now_us)
        firing.append(watch.firing)
        if watch.idle(terms, now_us):
            watch = Watch()
    assert firing == run(terms, readings)


# --- who is meant, and when --------------------------------------------------------------------------


def test_a_rule_can_look_at_opportunities_at_funding_and_at_every_kind_of_finding() -> None:
    assert sorted(What.values) == sorted(["opportunity", "funding_spread", "funding_interval", *kinds])


@pytest.mark.parametrize(
    ("pattern", "subject", "meant"),
    [
        ("", "okx", True),
        ("okx", "okx", True),
        ("OKX", "okx", True),
        ("okx", "BTC/USDT on okx", False),
        ("* on okx", "BTC/USDT on okx", True),
        ("collector *", "collector 1/2", True),
        ("BTC/*", "ETH/USDT on okx", False),
    ],
)
def test_patterns_say_which_subjects_are_meant(pattern: str, subject: str, meant: bool) -> None:
    assert matches(pattern, subject) is meant


def at(hour: int, minute: int = 0, month: int = 1) -> datetime:
    return datetime(2026, month, 15, hour, minute, tzinfo=UTC)


def test_quiet_hours_reach_over_midnight_in_their_own_zone() -> None:
    night = QuietHours(time(22), time(7), "Europe/Berlin")  # an hour ahead in winter, two in summer
    held = [night.hold("warning", now) for now in (at(20, 59), at(21), at(5, 59), at(6))]
    assert held == [False, True, True, False]
    assert night.hold("warning", at(20, month=7))


def test_quiet_hours_within_a_day_end_before_their_end() -> None:
    lunch = QuietHours(time(12), time(13), "UTC")
    assert [lunch.hold("info", now) for now in (at(11, 59), at(12), at(12, 59), at(13))] == [
        False,
        True,
        True,
        False,
    ]


def test_what_is_critical_passes_through_by_default() -> None:
    assert not QuietHours(time(22), time(7), "UTC").hold("critical", at(23))
    assert QuietHours(time(22), time(7), "UTC", critical=True).hold("critical", at(23))

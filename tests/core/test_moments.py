"""A stored time against now, where the stored one may lie ahead: the rules, and ages by our own clock."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock.moments import AHEAD_S, Ages, age_s, is_over, lately

S = 1_000_000
NOON_US = 1_800_000_000 * S
HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("ago_s", "over"),
    [(0, False), (59, False), (60, True), (-1, False), (-AHEAD_S, False), (-6, True), (-HOUR_S, True)],
)
def test_what_is_yet_to_begin_is_over(ago_s: float, over: bool) -> None:
    assert is_over(ago_s, 60) == over


@pytest.mark.parametrize(("ago_s", "age"), [(3, 3), (0, 0), (-1, 0), (-6, None), (-10 * 365 * 86_400, None)])
def test_how_old_something_is_that_lies_ahead_is_unknown(ago_s: float, age: float | None) -> None:
    assert age_s(ago_s) == age


@given(st.floats(-1e9, 1e9), st.floats(0, 1e6))
def test_a_range_of_a_query_holds_what_is_not_over(ago_s: float, lasting_s: float) -> None:
    now = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
    ago, lasting = datetime.timedelta(seconds=ago_s), datetime.timedelta(seconds=lasting_s)
    since, until = lately(now, lasting)
    assert (since <= now - ago <= until) == (not is_over(ago.total_seconds(), lasting.total_seconds()))


class TestAges:
    def test_a_thing_is_as_old_as_it_says_and_then_as_time_goes_by(self) -> None:
        ages = Ages()
        assert ages.take({"a": NOON_US - 7 * S}, NOON_US, 100.0) == {"a": 7.0}
        assert ages.take({"a": NOON_US - 7 * S}, NOON_US - 3600 * S, 101.0) == {"a": 8.0}

    def test_one_that_lies_ahead_is_new_and_grows_old_while_it_stays_the_same(self) -> None:
        ages, ahead = Ages(), {"a": NOON_US + 3600 * S}
        assert ages.take(ahead, NOON_US, 100.0) == {"a": 0.0}
        assert ages.take(ahead, NOON_US + 9 * S, 109.0) == {"a": 9.0}

    def test_another_stamp_is_new_whatever_it_says(self) -> None:
        ages = Ages()
        ages.take({"a": NOON_US}, NOON_US, 100.0)
        assert ages.take({"a": NOON_US - 3600 * S}, NOON_US + 9 * S, 109.0) == {"a": 0.0}

    def test_what_is_not_named_any_more_is_forgotten(self) -> None:
        ages = Ages()
        ages.take({"a": NOON_US}, NOON_US, 100.0)
        assert ages.take({}, NOON_US, 101.0) == {}
        assert ages.take({"a": NOON_US}, NOON_US, 109.0) == {"a": 0.0}

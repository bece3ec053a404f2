"""Settlements within a time held, their rates, and their sum: computed by hand, and split anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.funding.rates import per_8h, per_day, per_hour, per_year
from engine.funding.settlements import SHOWN, FundingTerms, expected, settlements

H = 3_600_000_000
MIDNIGHT = 1_767_225_600_000_000  # 2026-01-01 00:00 UTC


def terms(rate: float, hours: int, next_in_h: float, **more: float) -> FundingTerms:
    return FundingTerms(rate, MIDNIGHT + round(next_in_h * H), hours * 3600, **more)


@pytest.mark.parametrize(
    ("case", "swap", "held_h", "paid"),
    [
        ("8 h, the settlement is inside", terms(0.0001, 8, 8), 8, 0.0001),
        ("8 h, it is after the end", terms(0.0001, 8, 8), 7.9, 0),
        ("8 h, three in a day", terms(0.0001, 8, 8), 24, 0.0003),
        ("8 h, soon, and once more", terms(0.0001, 8, 0.5), 8.5, 0.0002),
        ("4 h", terms(0.0002, 4, 1), 8, 0.0004),  # at 1 and 5
        ("1 h, at every hour", terms(0.00005, 1, 1), 8, 0.0004),
        ("1 h, nine from half past", terms(0.00005, 1, 0.5), 8.5, 0.00045),
        ("2 h, shorts pay longs", terms(-0.0003, 2, 1), 8, -0.0012),  # at 1, 3, 5, 7
        ("nothing held", terms(0.0001, 8, 8), 0, 0),
        ("later ones at the usual rate", terms(0.001, 4, 1, usual_rate=0.0001), 12, 0.0012),
        ("the cap bounds every one", terms(0.02, 4, 1, cap=0.003), 8, 0.006),
        ("the floor bounds every one", terms(-0.02, 4, 1, floor=-0.00375), 8, -0.0075),
        ("bounds hold the usual rate, too", terms(0.001, 4, 1, usual_rate=0.01, cap=0.002), 8, 0.003),
        ("bounds that are wider change nothing", terms(0.001, 4, 1, cap=0.02, floor=-0.02), 8, 0.002),
    ],
)
def test_what_a_long_pays(case: str, swap: FundingTerms, held_h: float, paid: float) -> None:
    assert expected(swap, MIDNIGHT, MIDNIGHT + round(held_h * H)) == pytest.approx(paid, abs=1e-15), case


def test_a_settlement_at_the_end_is_charged_and_one_at_the_beginning_was() -> None:
    swap = terms(0.0001, 8, 8)
    assert expected(swap, MIDNIGHT, MIDNIGHT + 8 * H - 1) == 0
    assert expected(swap, MIDNIGHT, MIDNIGHT + 8 * H) == 0.0001
    assert expected(swap, MIDNIGHT + 8 * H, MIDNIGHT + 15 * H) == 0


def test_a_change_within_the_time_held_is_the_sum_of_both_parts() -> None:
    # 8 h at 0.01 %, next at 8; at 10 the exchange changes to 4 h at 0.05 %, next at 12.
    before, after = terms(0.0001, 8, 8), terms(0.0005, 4, 12)
    change, end = MIDNIGHT + 10 * H, MIDNIGHT + 20 * H
    paid = expected(before, MIDNIGHT, change) + expected(after, change, end)
    assert paid == pytest.approx(0.0001 + 3 * 0.0005)  # at 8; at 12, 16 and 20


def test_each_settlement_says_its_rate_and_whether_it_forms_now() -> None:
    listed = settlements(terms(0.001, 4, 1, usual_rate=0.0001), MIDNIGHT, MIDNIGHT + 9 * H)
    assert [(each.ts_us - MIDNIGHT, each.rate, each.forming) for each in listed] == [
        (1 * H, 0.001, True),
        (5 * H, 0.0001, False),
        (9 * H, 0.0001, False),
    ]


def test_no_more_are_listed_than_a_page_shows() -> None:
    assert len(settlements(terms(0.001, 1, 1), MIDNIGHT, MIDNIGHT + 9_999 * H)) == SHOWN


rates = st.floats(-0.01, 0.01)
swaps = st.builds(
    FundingTerms,
    rates,
    st.integers(MIDNIGHT, MIDNIGHT + 8 * H),
    st.sampled_from([3600, 2 * 3600, 4 * 3600, 8 * 3600, 77]),
    st.none() | st.floats(0, 0.01),
    st.none() | st.floats(-0.01, 0),
    st.none() | rates,
)
moments = st.integers(MIDNIGHT, MIDNIGHT + 100 * H)


@given(swaps, st.lists(moments, min_size=3, max_size=6).map(sorted))
def test_splitting_the_time_anywhere_gives_the_same_sum(swap: FundingTerms, cuts: list[int]) -> None:
    parts = sum(expected(swap, one, other) for one, other in pairwise(cuts))
    assert parts == pytest.approx(expected(swap, cuts[0], cuts[-1]), abs=1e-12)


@given(swaps, moments, moments)
def test_the_sum_is_that_of_the_settlements(swap: FundingTerms, one: int, other: int) -> None:
    after, until = sorted((one, other))
    listed = settlements(swap, after, until)
    if len(listed) < SHOWN:
        assert sum(each.rate for each in listed) == pytest.approx(expected(swap, after, until), abs=1e-12)
    assert all(after < each.ts_us <= until for each in listed)


@pytest.mark.parametrize(
    ("rate", "hours", "hour", "eight", "day", "year"),
    [
        (0.0001, 8, 0.0000125, 0.0001, 0.0003, 0.1095),
        (0.0001, 4, 0.000025, 0.0002, 0.0006, 0.219),
        (-0.0001, 1, -0.0001, -0.0008, -0.0024, -0.876),
        (0.0001, 2, 0.00005, 0.0004, 0.0012, 0.438),
    ],
)
def test_rates_of_any_interval_in_one_unit(
    rate: float, hours: int, hour: float, eight: float, day: float, year: float
) -> None:
    seconds = hours * 3600
    found = [per_hour(rate, seconds), per_8h(rate, seconds), per_day(rate, seconds), per_year(rate, seconds)]
    assert found == pytest.approx([hour, eight, day, year])

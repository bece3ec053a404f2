"""Funding as exchanges say it, folded: which rate is whose, what is refused, what is unknown."""

from math import inf, nan
from typing import Any

import pytest

from engine.funding import state as words
from engine.funding.state import MAX_AGE_S, SETTLING_S, FundingBook, FundingState
from markets.events import Funding

S = 1_000_000
H = 3600 * S
NOON = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC
SWAP = "BTC/USDT:USDT"


def said(at_us: int, rate: float | None = None, next_us: int | None = None, **more: Any) -> Funding:
    """An event, received at a time; the monotonic clock counts from noon."""
    return Funding(
        "gate:swap", SWAP, rate, next_us, received_ts_us=at_us, received_mono_ns=(at_us - NOON) * 1000, **more
    )


def folded(*events: Funding) -> FundingState:
    state = FundingState("gate:swap", SWAP)
    for event in events:
        state.apply(event)
    return state


def problem(state: FundingState, at_us: int) -> str:
    return state.problem(at_us, (at_us - NOON) * 1000)


def test_what_is_said_in_pieces_comes_together() -> None:
    state = folded(
        said(NOON, interval_s=28_800, cap=0.003, floor=-0.003),
        said(NOON + S, next_us=NOON + 4 * H),
        said(NOON + 2 * S, 0.0001),
    )
    terms = state.terms(NOON + 3 * S, 3 * 10**9)
    assert terms is not None
    assert (terms.rate, terms.next_ts_us, terms.interval_s) == (0.0001, NOON + 4 * H, 28_800)
    assert (terms.cap, terms.floor) == (0.003, -0.003)
    assert state.age_s(12 * 10**9) == 10


class TestSettling:
    # Gate: at the settlement the rate is computed again; the old one stands under the new time for a minute.
    BEFORE = said(NOON + 4 * H - 10 * S, 0.0004, NOON + 4 * H, interval_s=14_400)
    OLD_RATE = said(NOON + 4 * H + 5 * S, 0.0004, NOON + 8 * H, interval_s=14_400)
    NEW_RATE = said(NOON + 4 * H + SETTLING_S * S, 0.0001, NOON + 8 * H, interval_s=14_400)

    def test_the_old_rate_under_the_new_time_is_not_taken_for_the_new_intervals(self) -> None:
        state = folded(self.BEFORE, self.OLD_RATE)
        assert (state.rate, state.next_ts_us, state.is_carried) == (0.0004, NOON + 8 * H, True)
        assert problem(state, NOON + 4 * H + 6 * S) == words.SETTLING
        assert state.terms(NOON + 4 * H + 6 * S, 4 * 3600 * 10**9) is None

    def test_what_is_said_once_it_has_settled_is_the_new_intervals(self) -> None:
        state = folded(self.BEFORE, self.OLD_RATE, self.NEW_RATE)
        assert (state.rate, state.is_carried) == (0.0001, False)
        assert problem(state, NOON + 4 * H + 121 * S) == ""

    def test_the_same_rate_said_again_then_is_the_new_intervals_too(self) -> None:
        again = said(NOON + 4 * H + SETTLING_S * S, 0.0004, NOON + 8 * H)
        assert not folded(self.BEFORE, self.OLD_RATE, again).is_carried

    def test_last_published_and_charged_stay_apart(self) -> None:
        charged = said(
            NOON + 4 * H + 30 * S, 0.0004, NOON + 8 * H, settled_rate=0.00037, settled_ts_us=NOON + 4 * H
        )
        state = folded(self.BEFORE, self.OLD_RATE, charged)
        assert (state.previous_rate, state.previous_ts_us) == (0.0004, NOON + 4 * H)
        assert (state.settled_rate, state.settled_ts_us) == (0.00037, NOON + 4 * H)

    def test_what_was_charged_is_unknown_until_the_exchange_says_it(self) -> None:
        state = folded(self.BEFORE, self.OLD_RATE)
        assert (state.settled_rate, state.settled_ts_us) == (None, None)

    def test_a_rate_first_seen_right_after_a_settlement_is_carried_too(self) -> None:
        assert folded(self.OLD_RATE).is_carried

    def test_a_settlement_is_said_once(self) -> None:
        state = folded(self.BEFORE)
        changes = [state.apply(each) for each in (self.OLD_RATE, self.OLD_RATE, self.NEW_RATE)]
        assert [change.settled_at_us for change in changes] == [NOON + 4 * H, None, None]
        assert [change.anything for change in changes] == [True, False, True]

    def test_a_rate_without_a_time_after_the_settlement_leaves_the_last_published_one(self) -> None:
        state = folded(self.BEFORE, said(NOON + 4 * H + 60 * S, 0.0002))  # as KuCoin's classic topic has it
        assert (state.previous_rate, state.previous_ts_us) == (0.0004, NOON + 4 * H)
        assert problem(state, NOON + 4 * H + 61 * S) == words.NEXT_PAST

    def test_a_next_time_moved_before_it_came_is_no_settlement(self) -> None:
        state = folded(self.BEFORE)
        change = state.apply(said(NOON + 4 * H - 5 * S, 0.0004, NOON + 5 * H))
        assert (change.settled_at_us, state.previous_ts_us) == (None, None)


class TestInterval:
    def test_a_changed_one_is_reported(self) -> None:
        state = folded(said(NOON, 0.0001, NOON + 4 * H, interval_s=28_800))
        assert state.apply(said(NOON + S, interval_s=14_400)).interval_s == (28_800, 14_400)
        assert state.apply(said(NOON + 2 * S, interval_s=14_400)).interval_s is None

    def test_a_next_time_that_does_not_fit_the_interval_puts_it_in_doubt_until_it_is_said_again(self) -> None:
        """Doubt as on Bitget: its frames say the next time, its REST API once a minute the interval."""
        state = folded(said(NOON, interval_s=28_800), said(NOON, 0.0001, NOON + 6 * H))
        assert not problem(state, NOON)
        assert state.apply(said(NOON + S, 0.0001, NOON + 2 * H)).interval_s is None
        assert problem(state, NOON + S) == words.INTERVAL_UNKNOWN
        assert state.apply(said(NOON + 50 * S, interval_s=14_400)).interval_s == (28_800, 14_400)
        assert not problem(state, NOON + 50 * S)

    @pytest.mark.parametrize("step", [0.3 * S, -0.3 * S, 8 * H, -8 * H])
    def test_a_next_time_that_moves_by_whole_intervals_or_hardly_leaves_it(self, step: float) -> None:
        state = folded(said(NOON, 0.0001, NOON + 9 * H, interval_s=28_800))
        state.apply(said(NOON + S, 0.0001, round(NOON + 9 * H + step)))
        assert state.interval_s == 28_800

    def test_two_next_times_that_follow_one_another_give_it(self) -> None:
        state = folded(
            said(NOON + 59 * 60 * S, 0.0001, NOON + H), said(NOON + H + 3 * S, 0.0001, NOON + 2 * H)
        )
        assert (state.interval_s, state.interval_from) == (3600, "derived")

    def test_they_do_not_where_the_step_was_not_seen(self) -> None:
        state = folded(said(NOON + 59 * 60 * S, 0.0001, NOON + H), said(NOON + 2 * H, 0.0001, NOON + 3 * H))
        assert (state.interval_s, state.interval_from) == (None, None)  # a settlement may lie between

    def test_what_is_said_goes_before_what_is_derived(self) -> None:
        state = folded(
            said(NOON + 59 * 60 * S, 0.0001, NOON + H),
            said(NOON + H + 3 * S, 0.0001, NOON + 2 * H),
            said(NOON + H + 4 * S, interval_s=28_800),
            said(NOON + 2 * H + S, 0.0001, NOON + 10 * H),
        )
        assert (state.interval_s, state.interval_from) == (28_800, "said")

    def test_a_missing_one_is_unknown_and_never_8_h(self) -> None:
        state = folded(said(NOON, 0.0001, NOON + 4 * H))
        assert (state.interval_s, problem(state, NOON + S)) == (None, words.INTERVAL_UNKNOWN)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (said(NOON, 0.5, NOON + H, interval_s=3600), words.RATE_ABSURD),
        (said(NOON, -0.5, NOON + H, interval_s=3600), words.RATE_ABSURD),
        (said(NOON, nan, NOON + H, interval_s=3600), words.RATE_ABSURD),
        (said(NOON, inf, NOON + H, interval_s=3600), words.RATE_ABSURD),
        (said(NOON, 0.0001, NOON - S, interval_s=3600), words.NEXT_PAST),
        (said(NOON, 0.0001, NOON, interval_s=3600), words.NEXT_PAST),
        (said(NOON, 0.0001, NOON * 1000, interval_s=3600), words.NEXT_FAR),  # ns for µs
        (said(NOON, 0.0001, NOON + H, interval_s=0), words.INTERVAL_ABSURD),
        (said(NOON, 0.0001, NOON + H, interval_s=28_800_000), words.INTERVAL_ABSURD),  # ms for s
        (said(NOON, 0.0001, NOON + H, interval_s=3600, cap=-0.01, floor=0.01), words.BOUNDS_CROSSED),
        (said(NOON, 0.0001, NOON + H, interval_s=3600, cap=nan, floor=0.01), words.BOUNDS_CROSSED),
    ],
)
def test_bad_input_is_refused_counted_and_never_computed_with(event: Funding, reason: str) -> None:
    book = FundingBook()
    state, change = book.apply(event)
    assert change.refused == (reason,)
    assert book.refused == {reason: 1}
    assert state.terms(NOON + S, 10**9) is None


def test_a_refused_rate_does_not_leave_the_one_before() -> None:
    state = folded(said(NOON, 0.0001, NOON + H, interval_s=3600), said(NOON + S, 0.6, NOON + H))
    assert (state.rate, problem(state, NOON + S)) == (None, words.RATE_UNKNOWN)


def test_a_next_time_in_the_past_leaves_the_one_that_is_known() -> None:
    state = folded(
        said(NOON, 0.0001, NOON + 4 * H, interval_s=14_400),
        said(NOON + S, 0.0009, NOON - H, interval_s=14_400),
    )
    assert (state.rate, state.next_ts_us) == (0.0001, NOON + 4 * H)


@pytest.mark.parametrize(
    ("settled", "reasons"),
    [
        ({"settled_rate": 0.7, "settled_ts_us": NOON - H}, (words.RATE_ABSURD,)),
        ({"settled_rate": 0.0001, "settled_ts_us": NOON + H}, (words.SETTLED_AHEAD,)),
        ({"settled_rate": 0.0001}, ()),  # of when? not known, so not taken
    ],
)
def test_a_settled_rate_that_cannot_be_one(settled: dict[str, Any], reasons: tuple[str, ...]) -> None:
    state = FundingState("gate:swap", SWAP)
    assert state.apply(said(NOON, **settled)).refused == reasons
    assert state.settled_rate is None


def test_an_older_settlement_does_not_replace_a_newer_one() -> None:
    newer = said(NOON, settled_rate=0.0002, settled_ts_us=NOON - H)
    older = said(NOON + S, settled_rate=0.0009, settled_ts_us=NOON - 9 * H)
    assert folded(newer, older).settled_rate == 0.0002


class TestWhatTimeBrings:
    STATE = (said(NOON, 0.0001, NOON + H, interval_s=14_400),)

    def test_a_settlement_that_passes_unsaid_makes_it_unknown(self) -> None:
        state = folded(*self.STATE, said(NOON + H - S, 0.0001))
        assert problem(state, NOON + H - S) == ""
        assert problem(state, NOON + H) == words.NEXT_PAST

    def test_a_rate_that_nobody_says_again_becomes_unknown(self) -> None:
        state = folded(*self.STATE)
        assert problem(state, NOON + MAX_AGE_S * S) == ""
        assert problem(state, NOON + (MAX_AGE_S + 1) * S) == words.OLD

    def test_words_about_something_else_do_not_make_the_rate_younger(self) -> None:
        state = folded(*self.STATE, said(NOON + MAX_AGE_S * S, interval_s=14_400))
        assert problem(state, NOON + (MAX_AGE_S + 1) * S) == words.OLD


def test_a_book_keeps_only_what_is_followed() -> None:
    book = FundingBook()
    book.apply(said(NOON, 0.0001, NOON + H))
    book.keep({("gate:swap", SWAP)})
    assert len(book.states) == 1
    book.keep(())
    assert book.states == {}

"""Facts of a swap that its exchange publishes beside quotes: funding and the mark price.

Plain Python, no Django. The scanner writes it, gates and net edges read it.
"""

from math import isnan, nan
from typing import TYPE_CHECKING, Final

from engine.funding import state as words
from engine.funding.settlements import FundingTerms
from engine.funding.state import Change, FundingState
from markets.events import MarkPrice

if TYPE_CHECKING:
    from engine.scan.legs import Market

UNSAID: Final = "nothing was said of its funding yet"

PROBLEMS: Final = (
    "", UNSAID, words.RATE_UNKNOWN, words.RATE_ABSURD, words.NEXT_UNKNOWN, words.NEXT_PAST, words.NEXT_FAR,
    words.INTERVAL_UNKNOWN, words.INTERVAL_ABSURD, words.BOUNDS_CROSSED, words.SETTLED_AHEAD, words.SETTLING,
    words.OLD,
)  # fmt: skip
"""Reasons why funding is unknown; between processes they go by their places here."""


class SwapLeg:
    """Funding and mark price of one swap, as they were said last.

    `problem` is why nothing may be computed with the funding, whatever the time is; `rate` is within cap and
    floor. `mark` is in the terms of the exchange's own prices, NaN: unknown; `marks` what all legs of the
    coin cost when it changed last. The stamps are monotonic, ns.
    """

    __slots__ = (
        "interval_s", "mark", "mark_ns", "marks", "next_us", "problem", "rate", "said_ns", "sent_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.problem = UNSAID
        self.rate = nan
        self.next_us: int | None = None
        self.interval_s: int | None = None
        self.said_ns = 0
        self.mark = nan
        self.mark_ns = 0
        self.marks: list[float] = []
        self.sent_ns = 0  # when its row was marked as changed for this

    def take_funding(self, state: FundingState, change: Change) -> None:
        """Take over the state of its funding, by the event that `change` is of."""
        problem = state.problem(state.received_ts_us, state.rate_mono_ns)
        self.problem = next(iter(change.refused), problem) if problem else ""
        terms = state.terms(state.received_ts_us, state.rate_mono_ns)
        self.rate = nan if terms is None else terms.first
        self.next_us, self.interval_s, self.said_ns = state.next_ts_us, state.interval_s, state.rate_mono_ns

    def take_mark(self, event: MarkPrice, market: "Market") -> None:
        """Take over a mark price; an event without one says nothing of it."""
        mark = event.mark
        if mark is None:
            return
        if mark != self.mark:
            self.marks = market.marks
        elif any(map(isnan, self.marks)):  # legs that had no price yet when it changed
            known = zip(self.marks, market.marks, strict=False)
            self.marks = [now if isnan(then) else then for then, now in known]
        self.mark = mark if mark > 0 else nan
        self.mark_ns = event.received_mono_ns

    def terms(self) -> FundingTerms | None:
        """Terms of the coming settlements, however old; None where there is a `problem`."""
        if self.problem or self.next_us is None or self.interval_s is None:
            return None
        return FundingTerms(self.rate, self.next_us, self.interval_s)

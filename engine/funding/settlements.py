"""Settlements that a position goes through, and what they pay."""

from itertools import count, takewhile
from typing import Final

from msgspec import Struct

S_US: Final = 1_000_000
SHOWN: Final = 100
"""Settlements listed one by one at most: four days of the shortest interval there is, an hour."""


class FundingTerms(Struct, frozen=True, gc=False):
    """Terms of a swap's coming settlements as they are known: rates as fractions, positive: longs pay shorts.

    `rate` is charged at `next_ts_us`. Every later settlement, `interval_s` apart, is expected at
    `usual_rate`, or where that is not known at `rate` again: the market that made it need not change. No
    settlement charges beyond `cap` and `floor`, so no expectation does.
    """

    rate: float
    next_ts_us: int
    interval_s: int
    cap: float | None = None
    floor: float | None = None
    usual_rate: float | None = None

    @property
    def first(self) -> float:
        """Rate expected at `next_ts_us`."""
        return self._within(self.rate)

    @property
    def later(self) -> float:
        """Rate expected at each settlement after it."""
        return self._within(self.rate if self.usual_rate is None else self.usual_rate)

    def _within(self, rate: float) -> float:
        rate = rate if self.cap is None else min(rate, self.cap)
        return rate if self.floor is None else max(rate, self.floor)


class Settlement(Struct, frozen=True, gc=False):
    """One coming settlement: `rate` is forming now, or assumed of a later one."""

    ts_us: int
    rate: float
    forming: bool


def settlements(terms: FundingTerms, after_us: int, until_us: int) -> list[Settlement]:
    """Settlements in (after, until], the first SHOWN of them; `expected` sums all."""
    first = _number(terms, after_us)
    coming = takewhile(lambda each: each.ts_us <= until_us, (_nth(terms, n) for n in count(first)))
    return [each for each, _ in zip(coming, range(SHOWN), strict=False)]


def expected(terms: FundingTerms, after_us: int, until_us: int) -> float:
    """Sum of the rates charged in (after, until]: what a long pays, as a fraction of the notional.

    A position opened at the very moment of a settlement is not charged, one closed at it is. The sum over two
    stretches that meet is the sum over both.
    """
    done, reached = _number(terms, after_us), _number(terms, max(after_us, until_us))
    forming = done == 0 < reached
    return forming * terms.first + (reached - done - forming) * terms.later


def _number(terms: FundingTerms, at_us: int) -> int:
    """How many settlements from `next_ts_us` on there are until a time, it included."""
    return max(0, (at_us - terms.next_ts_us) // (terms.interval_s * S_US) + 1)


def _nth(terms: FundingTerms, number: int) -> Settlement:
    at_us = terms.next_ts_us + number * terms.interval_s * S_US
    return Settlement(at_us, terms.later if number else terms.first, forming=number == 0)

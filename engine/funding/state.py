"""Funding of each swap, folded from what its exchange says; what of it may be computed with.

Three rates stay apart: the one that forms for the coming settlement and may still change, the last one that
was published for the settlement before, and the one that was charged there. On Gate, KuCoin and MEXC the
latter two differ: the rate is computed again at the instant of settlement.

After a settlement exchanges show the old rate under the new time: about a second on Bitget, a minute on Gate,
5 to 20 s on KuCoin, which then shows the charged one for a minute. A rate received within SETTLING_S of a
settlement may be any of the three, so it counts as unknown for the new interval: `is_carried` says so.

Nothing assumes an interval. Where none is said, the distance of two next times that follow one another is
taken when the step was seen as it happened, and is marked as derived.
"""

from collections import Counter
from collections.abc import Collection, Hashable
from math import isfinite
from operator import attrgetter
from typing import Final, Literal

from msgspec import Struct

from engine.funding.settlements import S_US, FundingTerms
from markets.events import Funding

MAX_RATE: Final = 0.5
"""|rate| from here on is an error of units or of the feed: caps are of a few per cent."""

MAX_INTERVAL_S: Final = 7 * 86_400
"""Longest time between settlements, and to the next, that is believed."""

SETTLING_S: Final = 120
STEP_SEEN_S: Final = 600
"""A next time that moves on later than this after a settlement may have left out another one."""

STEP_JITTER_S: Final = 60
"""A next time that moves by no more than this beside whole intervals says nothing of the interval."""

MAX_AGE_S: Final = 600
"""A rate that nobody said again for so long is unknown: the slowest exchange says it every 90 s."""

# Words of what is refused, and of why a rate is unknown.
RATE_ABSURD: Final = "a rate of 50 % or more"
INTERVAL_ABSURD: Final = "an interval of nothing or of more than a week"
NEXT_PAST: Final = "the next settlement is in the past"
NEXT_FAR: Final = "the next settlement is more than a week ahead"
BOUNDS_CROSSED: Final = "the cap is below the floor"
SETTLED_AHEAD: Final = "a settlement in the future"
RATE_UNKNOWN: Final = "the rate is unknown"
NEXT_UNKNOWN: Final = "the time of the next settlement is unknown"
INTERVAL_UNKNOWN: Final = "the interval is unknown"
SETTLING: Final = "just settled: the rate may be that of the interval before"
OLD: Final = "nothing was said of it for 10 minutes"

IntervalSource = Literal["said", "derived"]


class Change(Struct, frozen=True):
    """Changes by an event: a settlement that passed, an interval (from, to; seconds), what was refused."""

    anything: bool = False
    settled_at_us: int | None = None
    interval_s: tuple[int, int] | None = None
    refused: tuple[str, ...] = ()


class FundingState(Struct):
    """Funding of one swap; None: unknown. Rates are fractions of the notional, positive: longs pay shorts.

    `rate` forms for `next_ts_us`, unless `is_carried`. `last_interval_s` is the interval that was known last.
    `previous_rate` is the last one published for the
    settlement at `previous_ts_us`, `settled_rate` what was charged at `settled_ts_us`. `rate_us` and
    `rate_mono_ns` are when a rate was received last, by both clocks.
    """

    exchange: str
    symbol: str
    rate: float | None = None
    next_ts_us: int | None = None
    interval_s: int | None = None
    interval_from: IntervalSource | None = None
    last_interval_s: int | None = None
    previous_rate: float | None = None
    previous_ts_us: int | None = None
    settled_rate: float | None = None
    settled_ts_us: int | None = None
    cap: float | None = None
    floor: float | None = None
    bounds_crossed: bool = False
    rate_us: int = 0
    rate_mono_ns: int = 0
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0

    def apply(self, event: Funding) -> Change:
        """Take over what an event says; what it does not say stays as it was."""
        before = _said(self)
        refused: list[str] = []
        self.exchange_ts_us, self.received_ts_us = event.exchange_ts_us, event.received_ts_us
        self.received_mono_ns = event.received_mono_ns
        settled_at_us = self._settle(event.received_ts_us)
        if self._is_current(event, refused):
            self._move_on(event)
            self._take_rate(event, refused)
        self._take_interval(event, refused)
        self._take_settled(event, refused)
        self._take_bounds(event, refused)
        return Change(_said(self) != before, settled_at_us, self._interval_change(), tuple(refused))

    @property
    def is_carried(self) -> bool:
        """Whether the rate was received so soon after a settlement that it may not be the new interval's."""
        began_us = self.previous_ts_us or 0
        if self.next_ts_us is not None and self.interval_s is not None:
            last_us = self.next_ts_us - self.interval_s * S_US
            began_us = max(began_us, last_us) if last_us <= self.received_ts_us else began_us
        return self.rate is not None and self.rate_us < began_us + SETTLING_S * S_US

    def age_s(self, now_mono_ns: int) -> float:
        """Time since the rate was said last."""
        return (now_mono_ns - self.rate_mono_ns) / 1e9

    def problem(self, now_us: int, now_mono_ns: int) -> str:
        """Reason why nothing may be computed with it, in words; empty when all is known."""
        next_us = self.next_ts_us
        checks = (
            (self.rate is None, RATE_UNKNOWN),
            (next_us is None, NEXT_UNKNOWN),
            (next_us is not None and next_us <= now_us, NEXT_PAST),
            (self.interval_s is None, INTERVAL_UNKNOWN),
            (self.bounds_crossed, BOUNDS_CROSSED),
            (self.is_carried, SETTLING),
            (self.age_s(now_mono_ns) > MAX_AGE_S, OLD),
        )
        return next((reason for failed, reason in checks if failed), "")

    def terms(self, now_us: int, now_mono_ns: int, usual_rate: float | None = None) -> FundingTerms | None:
        """Terms of the coming settlements, None where there is a `problem`."""
        rate, next_us, interval_s = self.rate, self.next_ts_us, self.interval_s
        if rate is None or next_us is None or interval_s is None or self.problem(now_us, now_mono_ns):
            return None
        return FundingTerms(rate, next_us, interval_s, self.cap, self.floor, usual_rate)

    def _is_current(self, event: Funding, refused: list[str]) -> bool:
        """Whether the event's rate and next time are of a settlement to come."""
        if event.next_ts_us is None:
            return True
        ahead_us = event.next_ts_us - event.received_ts_us
        if ahead_us <= 0:
            if event.next_ts_us != self.next_ts_us:  # that one is merely not replaced yet
                refused.append(NEXT_PAST)
            return False
        if ahead_us > MAX_INTERVAL_S * S_US:
            refused.append(NEXT_FAR)
            return False
        return True

    def _settle(self, now_us: int) -> int | None:
        """Note that the coming settlement passed; returns its time, once."""
        at_us = self.next_ts_us
        if at_us is None or at_us > now_us or at_us == self.previous_ts_us:
            return None
        self.previous_ts_us, self.previous_rate = at_us, self.rate
        return at_us

    def _move_on(self, event: Funding) -> None:
        """Take the next time, and derive the interval where the step was seen as it happened."""
        before, after = self.next_ts_us, event.next_ts_us
        if after is None or after == before:
            return
        self.next_ts_us = after
        if before is None:
            return
        step_s = (after - before) // S_US
        if before != self.previous_ts_us:  # moved without a settlement: by another interval than was said
            if self.interval_s is not None and _off(step_s, self.interval_s) > STEP_JITTER_S:
                self.interval_s = self.interval_from = None
        elif self.interval_from != "said" and step_s and event.received_ts_us - before <= STEP_SEEN_S * S_US:
            self.interval_s, self.interval_from = step_s, "derived"

    def _take_rate(self, event: Funding, refused: list[str]) -> None:
        if event.rate is None:
            return
        self.rate = event.rate if _is_rate(event.rate) else None
        if self.rate is None:
            refused.append(RATE_ABSURD)
        self.rate_us, self.rate_mono_ns = event.received_ts_us, event.received_mono_ns

    def _take_interval(self, event: Funding, refused: list[str]) -> None:
        if event.interval_s is None:
            return
        if 0 < event.interval_s <= MAX_INTERVAL_S:
            self.interval_s, self.interval_from = event.interval_s, "said"
        else:
            self.interval_s = self.interval_from = None
            refused.append(INTERVAL_ABSURD)

    def _interval_change(self) -> tuple[int, int] | None:
        """Another interval than the one that was known last."""
        before, now = self.last_interval_s, self.interval_s
        if now is None:
            return None
        self.last_interval_s = now
        return None if before is None or before == now else (before, now)

    def _take_settled(self, event: Funding, refused: list[str]) -> None:
        at_us = event.settled_ts_us
        if event.settled_rate is None or at_us is None or at_us < (self.settled_ts_us or 0):
            return
        if at_us > event.received_ts_us:
            refused.append(SETTLED_AHEAD)
        elif not _is_rate(event.settled_rate):
            refused.append(RATE_ABSURD)
        else:
            self.settled_rate, self.settled_ts_us = event.settled_rate, at_us

    def _take_bounds(self, event: Funding, refused: list[str]) -> None:
        if event.cap is not None:
            self.cap = event.cap
        if event.floor is not None:
            self.floor = event.floor
        self.bounds_crossed = self.cap is not None and self.floor is not None and not self.floor <= self.cap
        if self.bounds_crossed and (event.cap is not None or event.floor is not None):
            refused.append(BOUNDS_CROSSED)


class FundingBook:
    """Funding of all swaps of a process, by exchange and symbol. `refused` counts by reason."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], FundingState] = {}
        self.refused: Counter[str] = Counter()
        self.intervals_changed = 0

    def apply(self, event: Funding) -> tuple[FundingState, Change]:
        """Fold an event into the state of its swap."""
        key = event.exchange, event.symbol
        if (state := self.states.get(key)) is None:
            state = self.states[key] = FundingState(*key)
        change = state.apply(event)
        self.refused.update(change.refused)
        self.intervals_changed += change.interval_s is not None
        return state, change

    def keep(self, wanted: Collection[Hashable]) -> None:
        """Forget the swaps that are no longer followed; `wanted` are exchange and symbol of the others."""
        self.states = {key: state for key, state in self.states.items() if key in wanted}


def _off(step_s: int, interval_s: int) -> int:
    """Distance of a step to the nearest number of whole intervals, s."""
    over = step_s % interval_s
    return min(over, interval_s - over)


def _is_rate(rate: float) -> bool:
    return isfinite(rate) and abs(rate) < MAX_RATE


_said: Final = attrgetter(
    "rate", "next_ts_us", "interval_s", "interval_from", "previous_ts_us", "settled_rate", "settled_ts_us",
    "cap", "floor", "bounds_crossed", "is_carried",
)  # fmt: skip
"""What makes a change: all but when it was received."""

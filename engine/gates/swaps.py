"""The gates of pairs with a swap: funding, the coming settlement, the mark price, an announced end.

The rules are of numbers or of arrays, so that a collector's direction and a table of all get the same answer.

Plain Python and numpy, no Django, no clock.
"""

from math import isnan, nan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.names import formats as wording
from engine.funding.settlements import S_US
from engine.funding.state import NEXT_PAST, NEXT_UNKNOWN, SETTLING, SETTLING_S
from engine.gates.bits import Bits, bit
from engine.scan.legs import Leg
from engine.scan.swaps import SwapLeg
from markets.config import HOLDING_HOURS, FilterConfig, GateTerms, ListingConfig

HOUR_US: Final = 3_600 * S_US

HELD_OVER_US: Final = 2 * SETTLING_S * S_US
"""How long after a settlement what is open is held though funding is unknown: some exchanges say the next
settlement only when they are asked, once a minute, and the rate counts as the old one for a while then."""

Now = tuple[int, int]
"""Wall clock, µs, and monotonic clock, ns."""

_NO_FUNDING: Final = bit("funding", "unknown")
_NO_MARK: Final = bit("mark", "unknown")
_OFF_MARK: Final = bit("mark", "fail")
_SETTLES: Final = bit("settlement", "fail")
_NO_SETTLEMENT: Final = bit("settlement", "unknown")
_EXPIRES: Final = bit("expiry", "fail")


def is_funding_known(problem: Any, next_us: Any, age_s: Any, now_us: Any, terms: GateTerms) -> Any:
    """Whether a rate may be believed: `problem` 0, a settlement to come, and said lately (NaN: never)."""
    return (problem == 0) & (next_us > now_us) & (age_s <= terms.funding_max_age_s)


def is_mark_known(mark: Any, age_s: Any, bid: Any, terms: GateTerms) -> Any:
    """Whether a mark price can be held against quotes; NaN: unknown."""
    return (mark > 0) & (age_s <= terms.mark_max_age_s) & (bid > 0)


def is_off_mark(mark: Any, bid: Any, ask: Any, moved_bps: Any, terms: GateTerms) -> Any:
    """Whether a mark price is beyond its band around the quotes, or stood still while the coin's other legs
    moved by more than the band (NaN: not known)."""
    band = terms.mark_band_pct / 100
    return (mark < bid * (1 - band)) | (mark > ask * (1 + band)) | (moved_bps > band * 10_000)


def does_expire(expires_us: Any, now_us: Any, hours: Any) -> Any:
    """Whether an announced last settlement is within these hours, or over; an infinite one is none."""
    return expires_us - now_us <= hours * HOUR_US


def expiry_hours(terms: GateTerms, follows: FilterConfig | None) -> float:
    """Hours within which nothing may end: as the gates say, or as long as a position is held."""
    return max(terms.expiry_hours, holding_hours(follows))


def holding_hours(follows: FilterConfig | None) -> float:
    """How long a position is held."""
    return HOLDING_HOURS if follows is None else follows.holding_hours


def funding_problem(leg: Leg, now: Now, terms: GateTerms) -> str:
    """Reason why nothing may be computed with a swap's funding, in words; empty when all is known."""
    swap = leg.swap
    assert swap is not None  # noqa: S101 - for the type checker  # nosec B101 # decides nothing
    if swap.problem:
        return swap.problem
    if swap.next_us is None:
        return NEXT_UNKNOWN
    if swap.next_us <= now[0]:
        return NEXT_PAST
    if (age_s := (now[1] - swap.said_ns) / 1e9) > terms.funding_max_age_s:
        return f"the rate was said {wording.age(age_s * 1e3)} ago"
    return ""


def is_settling(leg: Leg, now: Now, terms: GateTerms) -> bool:
    """Whether funding of a swap is unknown for no other reason than a settlement that is just over."""
    swap = leg.swap
    if swap is None or swap.next_us is None or funding_problem(leg, now, terms) not in (NEXT_PAST, SETTLING):
        return False
    last_us = swap.next_us
    if last_us > now[0]:
        last_us -= (swap.interval_s or 0) * S_US
    return 0 <= now[0] - last_us < HELD_OVER_US


def leg_bits(  # noqa: PLR0917
    leg: Leg,
    moved_bps: float,
    now: Now,
    terms: GateTerms,
    follows: FilterConfig | None,
    is_open: bool = False,
) -> int:
    """Bits of one leg, 0 of spot; `moved_bps` is of the coin's other legs since the mark price changed.

    What `is_open` is held over a settlement: funding that `is_settling` does not block it.
    """
    swap = leg.swap
    if swap is None:
        return 0
    is_unknown = funding_problem(leg, now, terms) and not (is_open and is_settling(leg, now, terms))
    bits = _NO_FUNDING if is_unknown else 0
    mark, age_s = swap.mark * leg.scale, (now[1] - swap.mark_ns) / 1e9
    if not is_mark_known(mark, age_s, leg.bid, terms):
        bits |= _NO_MARK
    elif is_off_mark(mark, leg.bid, leg.ask, moved_bps, terms):
        bits |= _OFF_MARK
    expires_us = leg.listing.expires_us
    if expires_us is not None and does_expire(expires_us, now[0], expiry_hours(terms, follows)):
        bits |= _EXPIRES
    return bits | _settlement_bits(swap.next_us, now[0], follows)


def table_bits(legs: Any, expires_us: NDArray[np.float64], now_us: int, terms: GateTerms) -> Bits:
    """`leg_bits` of many swaps, for no filter; `legs` has the columns of `realtime.scanner.wire.LEG_ROW`."""
    bid, ask, mark, age_s = legs["bid"], legs["ask"], legs["mark"] * legs["scale"], legs["age_ms"] / 1e3
    funding_s, mark_s = age_s + legs["rate_late_ms"] / 1e3, age_s + legs["mark_late_ms"] / 1e3
    has_funding = is_funding_known(legs["problem"], legs["next_ts_us"], funding_s, now_us, terms)
    has_mark = is_mark_known(mark, mark_s, bid, terms)
    off = has_mark & is_off_mark(mark, bid, ask, legs["mark_moved_bps"], terms)
    ends = does_expire(expires_us, now_us, expiry_hours(terms, None))
    found = np.zeros(len(bid), np.uint32)
    for flags, value in (
        (~has_funding, _NO_FUNDING),
        (~has_mark, _NO_MARK),
        (off, _OFF_MARK),
        (ends, _EXPIRES),
    ):
        found[flags] |= np.uint32(value)
    return found


def _settlement_bits(next_us: int | None, now_us: int, follows: FilterConfig | None) -> int:
    if follows is None or follows.settlement_wanted:
        return 0
    if next_us is None or next_us <= now_us:
        return _NO_SETTLEMENT
    return _SETTLES if next_us <= now_us + follows.holding_hours * HOUR_US else 0


# --- words, of one leg ---------------------------------------------------------------------------


def wanted(gate: str, terms: GateTerms, follows: FilterConfig | None) -> str:
    """Words for the condition that a gate sets for each swap."""
    held = wording.share(holding_hours(follows))
    if gate == "funding":
        age = wording.seconds(terms.funding_max_age_s * 1e3)
        return f"a known rate, interval and next settlement, said in the last {age}"
    if gate == "settlement":
        is_wanted = follows is None or follows.settlement_wanted
        return "any settlement" if is_wanted else f"none within the {held} h that it is held"
    if gate == "mark":
        age, band = wording.seconds(terms.mark_max_age_s * 1e3), wording.share(terms.mark_band_pct)
        return f"a mark price said in the last {age}, within {band} % of its quotes, that moves with the coin"
    return f"no end announced within {wording.share(expiry_hours(terms, follows))} h"


def leg_value(gate: str, leg: Leg, now: Now, terms: GateTerms) -> str:
    """Short words for the measurement of a swap."""
    swap = leg.swap
    assert swap is not None  # noqa: S101 - for the type checker  # nosec B101 # decides nothing
    if gate == "funding":
        is_unknown = funding_problem(leg, now, terms)
        return "unknown" if is_unknown else _rate(swap)
    if gate == "settlement":
        return _next(swap.next_us, now[0])
    if gate == "mark":
        mark = swap.mark * leg.scale
        return "unknown" if isnan(mark + leg.bid) else f"{_apart_pct(mark, leg.bid, leg.ask):+.2f} %"
    return _end(leg.listing, now[0])


def leg_words(gate: str, leg: Leg, moved_bps: float, now: Now, terms: GateTerms) -> str:
    """Words for the measurement of a swap that follow its exchange's name."""
    swap = leg.swap
    assert swap is not None  # noqa: S101 - for the type checker  # nosec B101 # decides nothing
    if gate == "funding":
        if problem := funding_problem(leg, now, terms):
            return f"funding is unknown: {problem}"
        return f"funding is {_rate(swap)}, said {wording.age((now[1] - swap.said_ns) / 1e6)} ago"
    if gate == "settlement":
        return f"settles next: {_next(swap.next_us, now[0])}"
    return _mark(leg, swap, moved_bps, now, terms) if gate == "mark" else _end(leg.listing, now[0])


def _rate(swap: SwapLeg) -> str:
    interval_h = (swap.interval_s or nan) / 3600
    return f"{swap.rate * 100:+.4f} % per {wording.share(interval_h)} h"


def _next(next_us: int | None, now_us: int) -> str:
    if next_us is None:
        return "unknown"
    return f"in {_hours(next_us - now_us)}" if next_us > now_us else f"unknown, {NEXT_PAST}"


def _mark(leg: Leg, swap: SwapLeg, moved_bps: float, now: Now, terms: GateTerms) -> str:
    mark, age_s = swap.mark * leg.scale, (now[1] - swap.mark_ns) / 1e9
    if isnan(swap.mark):
        return "has said no mark price"
    if isnan(mark + leg.bid):
        return "has no usable quote to hold its mark price against"
    words = f"marks {wording.price(mark)}, said {wording.age(age_s * 1e3)} ago"
    if not age_s <= terms.mark_max_age_s:
        return f"{words}: too old"
    words += f", {_apart_pct(mark, leg.bid, leg.ask):+.2f} % from its quotes"
    stands_still = moved_bps > terms.mark_band_pct * 100
    return words + f", and stood still while the others moved {moved_bps:,.1f} bps" * stands_still


def _apart_pct(mark: float, bid: float, ask: float) -> float:
    if bid <= mark <= ask:
        return 0.0
    return (mark / (bid if mark < bid else ask) - 1) * 100


def _end(listing: ListingConfig, now_us: int) -> str:
    if listing.expires_us is None:
        return "has no end announced"
    left_us = listing.expires_us - now_us
    return f"ends in {_hours(left_us)}" if left_us > 0 else f"ended {_hours(-left_us)} ago"


def _hours(us: int) -> str:
    minutes = us // (60 * S_US)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"

"""Whether a leg's last quote still speaks for its book. The rule, for people, is in docs/gates.md.

Every book has its own rhythm: one quotes a hundred times a second, another once a minute, and neither
is stale for that. So a leg is measured against its own usual gap, and a pause against its neighbours:

`live`    its last quote is no older than `silent_floor_ms`, or than `silent_gaps` of its usual gaps;
`quiet`   older than both, but so is the rest of its market: nothing happens, and nothing is wrong;
`silent`  older than both, while others talk: another exchange quotes the same symbol (it quoted
          within `silent_floor_ms`), or its whole exchange says nothing while another exchange does;
`down`    nothing to go by: no quote yet, or its stream was interrupted since the last one.

A leg whose rhythm is not known yet (one quote) is judged by the floor alone. Live and quiet legs may
be traded on, silent and down ones not.

That is what a leg is by itself. An edge asks more of its two legs, see `is_doubtful`: a book's rhythm
explains an old price no longer when it is older than anybody wants to trade on, or when everybody else
moved away since.

Plain Python and numpy, no Django. The collector asks leg by leg, the web process for a table of all;
both get the same answer.
"""

from collections.abc import Iterable
from math import isnan
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.scan.legs import Leg
from markets.config import GateTerms

States = NDArray[np.int8]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

STATES: Final = ("live", "quiet", "silent", "down")
LIVE, QUIET, SILENT, DOWN = range(len(STATES))


def is_usable(leg: Leg) -> bool:
    """Whether the leg has a quote from the present life of its stream, priced or waiting for a rate."""
    return leg.up and (not isnan(leg.bid) or (isnan(leg.scale) and leg.quotes > 0))


def age_ms(leg: Leg, now_mono_ns: int) -> float:
    """How old the leg's last quote is; never negative."""
    return max(0, now_mono_ns - leg.received_mono_ns) / 1e6


def is_overdue(age_ms: Any, gap_ms: Any, terms: GateTerms) -> Any:
    """Whether a leg is later than its rhythm explains; of floats or of arrays."""
    explained = age_ms <= terms.silent_gaps * gap_ms  # never by a rhythm that is not known: NaN
    return (age_ms > terms.silent_floor_ms) > explained  # "and not", which floats and arrays both have


def talks(age_ms: Any, terms: GateTerms) -> Any:
    """Whether a usable leg quoted lately; of a float or of an array. An overdue one never was."""
    return age_ms <= terms.silent_floor_ms


def quoted_since(now_mono_ns: int, terms: GateTerms) -> int:
    """Since when a leg must have quoted to talk now."""
    return now_mono_ns - int(terms.silent_floor_ms * 1e6)


def state(usable: bool, overdue: bool, suspected: bool) -> int:
    """One leg's state; it is suspected when its neighbours talk, or when its exchange alone is mute."""
    if not usable:
        return DOWN
    if not overdue:
        return LIVE
    return SILENT if suspected else QUIET


def limit_ms(terms: GateTerms, *asked: float | None) -> float:
    """How old a leg may be at most: the first limit that is given, or else the gates'."""
    for limit in asked:
        if limit is not None:
            return limit
    return terms.max_age_ms


def is_doubtful(age_ms: Any, moved_bps: Any, edge_bps: Any, limit_ms: Any, terms: GateTerms) -> Any:
    """Whether a leg is too old for an edge, or was left behind; of floats or of arrays.

    It was left behind when the symbol's other legs moved by more than the whole edge since its last quote
    (`Leg.moved_bps`, NaN: not known), which is then what the edge is made of; as ever not before the floor.
    """
    left_behind = (age_ms > terms.silent_floor_ms) & (moved_bps > edge_bps) & (edge_bps > 0)
    return (age_ms > limit_ms) | left_behind


def talkers(legs: Iterable[Leg], leg: Leg, now_mono_ns: int, terms: GateTerms) -> int:
    """How many of a symbol's legs, other than this one, talk."""
    return sum(
        other is not leg and is_usable(other) and talks(age_ms(other, now_mono_ns), terms) for other in legs
    )


def is_mute(exchange: Iterable[Leg], everywhere: Iterable[Leg], now_mono_ns: int, terms: GateTerms) -> bool:
    """Whether an exchange's legs, of which several are usable, all keep silent while another's talk."""
    usable = [leg for leg in exchange if is_usable(leg)]
    if len(usable) < 2 or any(talks(age_ms(leg, now_mono_ns), terms) for leg in usable):
        return False
    return any(is_usable(leg) and talks(age_ms(leg, now_mono_ns), terms) for leg in everywhere)


def states(
    usable: Flags, age_ms: Floats, gap_ms: Floats, *, symbol: Places, exchange: Places, terms: GateTerms
) -> States:
    """The state of every leg there is; `symbol` and `exchange` number what each belongs to."""
    talking = usable & talks(age_ms, terms)
    neighbours = np.bincount(symbol, weights=talking) > 0
    suspected = neighbours[symbol] | mute(usable, talking, exchange)[exchange]
    overdue = is_overdue(age_ms, gap_ms, terms)
    found = np.where(overdue, np.where(suspected, SILENT, QUIET), LIVE)
    return np.where(usable, found, DOWN).astype(np.int8)


def mute(usable: Flags, talking: Flags, exchange: Places) -> Flags:
    """`is_mute` of every exchange, by its number."""
    legs = np.bincount(exchange, weights=usable)
    talking_legs = np.bincount(exchange, weights=talking)
    return np.asarray((legs >= 2) & (talking_legs == 0) & talking.any())

"""Meaning of an instrument's silence: the five states. The rule, for people, is in docs/quality.md.

It is the rule of engine/gates/freshness.py, which the gates ask, with two differences: silence that lasts
becomes `stale`, and an instrument that is subscribed and has not quoted yet is given time before anything
is made of that, because many exchanges say nothing until the book changes. One whose last quote is not
believed any more has no rhythm that explains it.

Plain Python and numpy, no Django.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.gates import freshness
from markets.config import GateTerms
from monitoring.quality.wire import DOWN, LIVE, QUIET, STALE, SUSPECT

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

STALE_TIMES: Final = 3.0
"""What is suspect for its silence is stale after this many times the silence that made it suspect."""

NO_QUOTE_GAP_MS: Final = 3_000.0
"""How often an instrument is taken to quote that has not quoted yet: after 20 of these it is suspect."""

_OURS: Final = np.array([LIVE, QUIET, SUSPECT, DOWN], np.uint8)
"""Our states by the number of `engine.gates.freshness`'s."""


def states(  # noqa: PLR0917
    up: Flags, quoted: Flags, ended: Flags, silent_ms: Floats, gap_ms: Floats, symbol: Places,
    exchange: Places, terms: GateTerms,
) -> NDArray[np.uint8]:  # fmt: skip
    """The state of every instrument; `symbol` and `exchange` number what each belongs to.

    `quoted`: since its stream was last interrupted. `ended`: that was since it came up, so its exchange has
    quoted it and withdrew that. `silent_ms` is since its last quote or, where it has not `quoted`, since it
    came up if that is later.
    """
    usable, without_quote = up & quoted, up & ~quoted
    found = freshness.states(usable, silent_ms, gap_ms, symbol=symbol, exchange=exchange, terms=terms)
    rhythm_ms = np.where(without_quote, np.where(ended, np.nan, np.fmax(gap_ms, NO_QUOTE_GAP_MS)), gap_ms)
    if without_quote.any():
        talks = np.bincount(symbol, weights=usable & freshness.talks(silent_ms, terms)) > 0
        suspected = freshness.is_overdue(silent_ms, rhythm_ms, terms) & talks[symbol]
        found = np.where(without_quote, np.where(suspected, freshness.SILENT, freshness.QUIET), found)
    late_ms = STALE_TIMES * np.fmax(terms.silent_floor_ms, terms.silent_gaps * rhythm_ms)
    ours = _OURS[found]
    ours[(ours == SUSPECT) & (silent_ms > late_ms)] = STALE
    return ours

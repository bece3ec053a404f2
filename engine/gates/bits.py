"""The verdicts of the gates as bits, of one direction or of a table of all (see `engine.gates.checks`).

A table of all pairs is judged as quickly as one direction: what is known beforehand, what the two legs say,
the size and the identity are simply or-ed; a gate that fails on one leg fails.

Plain Python and numpy, no Django.
"""

from math import isnan, nan
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.names.symbols import quote_of
from engine.gates import freshness
from engine.scan.identity import PASS
from engine.scan.legs import Leg
from markets.config import GateTerms

Verdict = Literal["pass", "fail", "unknown"]

GATES: Final = (
    "freshness", "status", "sanity", "identity", "fees", "size", "volume", "wallets", "rate",
)  # fmt: skip
"""In the order they are shown. Each has one verdict per direction, `freshness` its two legs in one."""

SWAP_GATES: Final = ("funding", "settlement", "mark", "expiry")
"""After them, of directions with a swap alone; see `engine.gates.swaps`."""

FILTER_GATES: Final = ("depth",)
"""After them, for a filter that has a size of its own; see `engine.gates.depth`."""

ALL_GATES: Final = GATES + SWAP_GATES + FILTER_GATES

_COUNT: Final = len(ALL_GATES)
FAILED: Final = (1 << _COUNT) - 1
"""The bits of verdict "fail", one per gate in their order; those of "unknown" lie `_COUNT` above."""


def bit(gate: str, verdict: Verdict) -> int:
    """The bit that says so; nothing to say where it passes."""
    if verdict == "pass":
        return 0
    place = 1 << ALL_GATES.index(gate)
    return place if verdict == "fail" else place << _COUNT


_TOLERATED: Final = bit("wallets", "unknown")
_SIZE: Final = bit("size", "fail") | bit("size", "unknown")
_DOWN: Final = bit("freshness", "fail")
_NO_QUOTE: Final = bit("sanity", "unknown")
_NONSENSE: Final = bit("sanity", "fail")
_NO_RATE: Final = bit("rate", "unknown")
_OFF_PEG: Final = bit("rate", "fail")
_TOO_SMALL: Final = bit("size", "fail")
_NO_SIZE: Final = bit("size", "unknown")
IDENTITY: Final = (bit("identity", "unknown"), bit("identity", "pass"), bit("identity", "fail"))
"""By the codes of `engine.scan.identity`: UNKNOWN, PASS, FAIL."""
_UNPROVEN: Final = bit("identity", "unknown")
STALE: Final = _DOWN
"""What `freshness.is_doubtful` of a leg makes of a direction."""

Bits = NDArray[np.uint32]


def verdict_of(bits: int, gate: str) -> Verdict:
    """Verdict of the bits on a gate."""
    place = 1 << ALL_GATES.index(gate)
    if bits & place:
        return "fail"
    return "unknown" if bits & place << _COUNT else "pass"


def blocking(bits: Any, wallets_open: bool = False) -> Any:
    """The bits, of one direction or of an array, that keep it from being an opportunity; 0: none."""
    return bits if wallets_open else bits & ~_TOLERATED


def first(bits: int) -> str:
    """The first gate, in their order, that these bits name; there must be one."""
    named = (bits | bits >> _COUNT) & FAILED
    return ALL_GATES[(named & -named).bit_length() - 1]


def is_blocking(bits: int, gate: str) -> bool:
    """Whether this gate keeps a direction from being an opportunity of a filter that asks no more."""
    return bool(blocking(bits) & (bit(gate, "fail") | bit(gate, "unknown")))


def without_size(bits: int) -> int:
    """The bits but for those of the size, which a follower of edges judges itself."""
    return bits & ~_SIZE


def leg_bits(leg: Leg, state: int, rate: float | None, terms: GateTerms) -> int:
    """Bits of one leg; `rate` is that of its quote currency, None where it needs none."""
    bits = 0 if state <= freshness.QUIET else _DOWN
    if isnan(leg.bid):
        bits |= _NO_QUOTE
    elif leg.jumped or not 0 < leg.bid <= leg.ask:
        bits |= _NONSENSE
    if rate is None:
        return bits
    if isnan(rate):
        return bits | _NO_RATE
    return bits if abs(rate - 1) * 100 <= terms.peg_band_pct else bits | _OFF_PEG


def rate_of(leg: Leg, symbol: str) -> float | None:
    """Rate of its quote currency in the symbol's; NaN: unknown, None: they are the same."""
    return None if leg.listing.quote == quote_of(symbol) else leg.scale * leg.listing.multiplier


def identity_bits(verdict: int, is_proven: bool, edge_bps: float, most_bps: float) -> int:
    """Bits of the coins' identity; a large edge of coins that only seem the same speaks against itself."""
    if verdict == PASS and edge_bps > most_bps and not is_proven:
        return _UNPROVEN
    return IDENTITY[verdict]


def volume_bits(volume: float | None, worth: float, minimum: float) -> int:
    """Bits of a leg's 24 h volume, in a currency of this worth in the reference."""
    if not minimum:
        return 0
    value = nan if volume is None else volume * worth
    if isnan(value):
        return bit("volume", "unknown")
    return 0 if value >= minimum else bit("volume", "fail")


def size_bits(size: float, minimum: float) -> int:
    """Bits of the executable size; both in the reference currency."""
    if isnan(size):
        return _NO_SIZE
    return 0 if size >= minimum else _TOO_SMALL


class LegColumns(Struct):
    """All legs: freshness states, scaled best prices, and the rates of their quote currencies.

    `rate` is NaN where it is not known; it counts only where `converted`.
    """

    state: freshness.States
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    jumped: NDArray[np.bool_]
    rate: NDArray[np.float64]
    converted: NDArray[np.bool_]

    def bits(self, terms: GateTerms) -> Bits:
        """`leg_bits` of every leg."""
        silent = self.state > freshness.QUIET
        missing = np.isnan(self.bid)
        nonsense = ~missing & (self.jumped | ~((self.bid > 0) & (self.bid <= self.ask)))
        no_rate = self.converted & np.isnan(self.rate)
        off_peg = self.converted & (np.abs(self.rate - 1) * 100 > terms.peg_band_pct)
        return _bits(
            (silent, _DOWN), (missing, _NO_QUOTE), (nonsense, _NONSENSE), (no_rate, _NO_RATE),
            (off_peg, _OFF_PEG),
        )  # fmt: skip


def table_bits(
    beforehand: Bits,
    legs: Bits,
    *,
    buy: NDArray[Any],
    sell: NDArray[Any],
    identity: NDArray[Any],
    size: NDArray[np.float64],
    minimum: float,
    unproven: NDArray[np.bool_] | None = None,
    stale: NDArray[np.bool_] | None = None,
) -> Bits:
    """The verdicts of many directions: `beforehand`, places of their legs, identity codes and sizes.

    `legs` are the bits of `LegColumns.bits`; the arrays of directions are of one length, in one order.
    `unproven` are those whose edge is too large for coins not proven the same, `stale` those with a leg
    that is doubtful (`freshness.is_doubtful`).
    """
    of_edge = _bits((size < minimum, _TOO_SMALL), (np.isnan(size), _NO_SIZE))
    if unproven is not None:
        of_edge |= _bits((unproven & (identity == PASS), _UNPROVEN))
    if stale is not None:
        of_edge |= _bits((stale, STALE))
    of_identity = np.array(IDENTITY, np.uint32)[identity]
    return np.asarray(beforehand | legs[buy] | legs[sell] | of_identity | of_edge)


def counts(
    bits: Bits, with_swap: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """How many gates passed, failed and are unknown; pairs without a swap are not asked its gates.

    `with_swap` says which have one; None: none.
    """
    failed = bits & FAILED
    unknown = (bits >> _COUNT) & ~failed
    n_failed, n_unknown = np.bitwise_count(failed), np.bitwise_count(unknown)
    asked = len(GATES) if with_swap is None else np.where(with_swap, len(GATES + SWAP_GATES), len(GATES))
    return np.asarray(asked - n_failed - n_unknown).astype(np.uint8), n_failed, n_unknown


def _bits(*parts: tuple[NDArray[np.bool_], int]) -> Bits:
    found = np.zeros(len(parts[0][0]), np.uint32)
    for flags, value in parts:
        found |= flags.astype(np.uint32) * np.uint32(value)
    return found

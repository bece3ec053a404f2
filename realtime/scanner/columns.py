"""The scanner's legs as columns: what is written for web processes.

Plain Python and numpy, no Django.
"""

from collections.abc import Iterator, Sequence
from math import isnan, nan
from struct import Struct as Layout
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.gates import freshness
from engine.scan.legs import Leg
from engine.scan.swaps import PROBLEMS, SwapLeg
from markets.config import GateTerms
from realtime.scanner.wire import LEG_ROW, Rows

_ROW: Final = Layout("<7dq2f2?d2fdqifB")  # as LEG_ROW: packing one leg at a time is cheaper than by numpy

_SPOT: Final = (nan, nan, nan, nan, 0, 0, nan, 0)
"""Of a leg that is no swap."""

NOTABLE_BPS: Final = 0.5
"""What the others moved is said again when it changed by so much."""

Indices = NDArray[np.uint32]


class LegColumns:
    """The newest row of every leg; only those that changed are made again.

    A leg that is silent changes, too, when the others of its symbol move: it is left behind.
    """

    def __init__(self, legs: Sequence[Leg], terms: GateTerms | None = None) -> None:
        self._legs = legs
        self._terms = terms or GateTerms()
        self._buffer = bytearray(_ROW.size * len(legs))
        self._rows: Rows = np.frombuffer(self._buffer, LEG_ROW)
        self._made_ns = np.zeros(len(legs), np.int64)

    def update(self, changed: Sequence[Leg], now_mono_ns: int) -> tuple[Indices, Rows]:
        """Take over the legs that changed, and those left behind by them; returns their numbers and rows."""
        since_ns = freshness.quoted_since(now_mono_ns, self._terms)
        changed = [*changed, *_left_behind(changed, since_ns)]
        self._make(changed, now_mono_ns, since_ns)
        indices = np.fromiter((leg.index for leg in changed), np.uint32, len(changed))
        self._made_ns[indices] = now_mono_ns
        return indices, self._rows[indices]

    def _make(self, legs: Sequence[Leg], now_mono_ns: int, since_ns: int) -> None:
        buffer, pack, size = self._buffer, _ROW.pack_into, _ROW.size
        for leg in legs:
            received_ns = leg.received_mono_ns
            leg.moved_sent = nan if received_ns >= since_ns else leg.moved_bps(since_ns)
            pack(
                buffer, leg.index * size,
                leg.bid, leg.ask, leg.bid_size, leg.ask_size, leg.scale, leg.moved_sent, leg.worth,
                leg.received_ts_us, (now_mono_ns - received_ns) / 1e6 if received_ns else nan,
                leg.gap_ms, leg.up, leg.jumped,
                *(_SPOT if leg.swap is None else _of_swap(leg, leg.swap, since_ns)),
            )  # fmt: skip

    def all(self, now_mono_ns: int) -> Rows:
        """Every leg, with its age now."""
        since_ns = freshness.quoted_since(now_mono_ns, self._terms)
        for leg in self._legs:
            if not isnan(leg.moved_sent):  # few; it may be that nobody talks any more
                leg.moved_sent = self._rows["moved_bps"][leg.index] = leg.moved_bps(since_ns)
        rows = self._rows.copy()
        rows["age_ms"] += (now_mono_ns - self._made_ns) / 1e6
        return rows


def _of_swap(leg: Leg, swap: SwapLeg, since_ns: int) -> tuple[float, ...]:
    """Columns of a swap beside its quotes."""
    return (
        swap.mark, (leg.received_mono_ns - swap.mark_ns) / 1e6, leg.moved_bps(since_ns, swap.marks),
        swap.rate, swap.next_us or 0, swap.interval_s or 0, (leg.received_mono_ns - swap.said_ns) / 1e6,
        PROBLEMS.index(swap.problem),
    )  # fmt: skip


def _left_behind(changed: Sequence[Leg], since_ns: int) -> Iterator[Leg]:
    """The silent legs for which it changed how far the others moved since their quote came."""
    known = {leg.index for leg in changed}
    for market in {leg.market for leg in changed}:
        for leg in market.legs:
            if leg.received_mono_ns < since_ns and leg.quotes and leg.index not in known:
                moved_bps, sent = leg.moved_bps(since_ns), leg.moved_sent
                if abs(moved_bps - sent) >= NOTABLE_BPS or isnan(moved_bps) != isnan(sent):
                    yield leg

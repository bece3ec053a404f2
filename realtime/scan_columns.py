"""The scanner's legs as columns: what is written for web processes.

Plain Python and numpy, no Django.
"""

from collections.abc import Sequence
from struct import Struct as Layout
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime.legs import Leg
from realtime.scan_wire import LEG_ROW, Rows

_ROW: Final = Layout("<7dq2f2?")  # as LEG_ROW: packing one leg at a time is cheaper than by numpy

Indices = NDArray[np.uint32]


class LegColumns:
    """The newest row of every leg; only those that changed are made anew."""

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._buffer = bytearray(_ROW.size * len(legs))
        self._rows: Rows = np.frombuffer(self._buffer, LEG_ROW)
        self._made_ns = np.zeros(len(legs), np.int64)

    def update(self, changed: Sequence[Leg], now_mono_ns: int) -> tuple[Indices, Rows]:
        """Take over the legs that changed; returns their numbers and rows."""
        buffer, pack, size = self._buffer, _ROW.pack_into, _ROW.size
        nan = float("nan")
        for leg in changed:
            received_ns = leg.received_mono_ns
            pack(
                buffer, leg.index * size,
                leg.bid, leg.ask, leg.bid_size, leg.ask_size, leg.scale, leg.mark(), leg.worth,
                leg.received_ts_us, (now_mono_ns - received_ns) / 1e6 if received_ns else nan,
                leg.gap_ms, leg.up, leg.jumped,
            )  # fmt: skip
        indices = np.fromiter((leg.index for leg in changed), np.uint32, len(changed))
        self._made_ns[indices] = now_mono_ns
        return indices, self._rows[indices]

    def all(self, now_mono_ns: int) -> Rows:
        """Every leg, with its age now."""
        rows = self._rows.copy()
        rows["age_ms"] += (now_mono_ns - self._made_ns) / 1e6
        return rows

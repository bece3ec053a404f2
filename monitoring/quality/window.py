"""Frequency of many things lately: counts in slots of time that move on.

Plain Python and numpy, no Django. Times are of the monotonic clock, ns.
"""

from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

LEAST_NS: Final = 10_000_000_000
"""No rate is reckoned up from less than 10 s."""

_NS_PER_S: Final = 1_000_000_000


class Window:
    """Counts per thing over the last `slots` slots of `slot_s` seconds, and the one under way."""

    def __init__(self, things: int, slots: int, slot_s: float, dtype: Any, now_ns: int) -> None:
        self._counts: Counts = np.zeros((slots + 1, things), dtype)
        self._slot_ns = int(slot_s * _NS_PER_S)
        self._slot = now_ns // self._slot_ns

    def turn(self, now_ns: int) -> None:
        """Go on to the slot of this moment; what is older than the window is forgotten."""
        slots = len(self._counts)
        slot = now_ns // self._slot_ns
        for passed in range(max(self._slot + 1, slot - slots + 1), slot + 1):
            self._counts[passed % slots] = 0
        self._slot = max(self._slot, slot)

    def add(self, counts: Counts) -> None:
        """Count for every thing."""
        self._counts[self._slot % len(self._counts)] += counts.astype(self._counts.dtype)

    def add_at(self, place: int, count: int) -> None:
        """Count for one thing."""
        self._counts[self._slot % len(self._counts), place] += count

    def total(self) -> Floats:
        """Counts of the window, per thing."""
        return np.asarray(self._counts.sum(axis=0, dtype=np.float64))

    def rate(self, per_s: float, since_ns: NDArray[np.int64], now_ns: int) -> Floats:
        """Rate of each thing in `per_s` seconds, by what was seen since `since_ns`, if that is less."""
        before_ns = (len(self._counts) - 1) * self._slot_ns
        seen_ns = np.minimum(now_ns - since_ns, before_ns + now_ns % self._slot_ns)
        return self.total() / np.maximum(seen_ns, LEAST_NS) * (per_s * _NS_PER_S)

    def moved(self, things: int, new: Places, old: Places) -> Self:
        """The window for other things: the `new` places are the `old` ones, the rest starts empty."""
        window = object.__new__(type(self))
        window._counts = np.zeros((len(self._counts), things), self._counts.dtype)
        window._counts[:, new] = self._counts[:, old]
        window._slot_ns, window._slot = self._slot_ns, self._slot
        return window

"""The recent points of one chart, in a fixed amount of memory."""

from typing import Final

import numpy as np

from engine.charts.points import POINT_COLUMNS, Points

_VALUES: Final = len(POINT_COLUMNS) - 1


class PointRing:
    """The newest `capacity` points, oldest dropped first and counted.

    44 bytes a point: the time as float64, because no µs may be lost, the nine values as float32.

    Values come back with seven significant digits: enough to look at, half the memory. What is
    computed with or stored for good comes from `ChartDelta`, which is exact.
    """

    __slots__ = ("_at", "_count", "_stamps", "_values", "capacity", "dropped")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a point ring needs a capacity of at least 1, not {capacity}")
        self.capacity = capacity
        self.dropped = 0
        # Taken at once: what charts cost shows when they begin.
        self._stamps = np.full(capacity, 0.0)
        self._values = np.full((capacity, _VALUES), 0, np.float32)
        self._count = 0
        self._at = 0  # where the next point goes

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the point store."""
        return self._stamps.nbytes + self._values.nbytes

    def extend(self, points: Points) -> None:
        """Add points of shape (n, len(POINT_COLUMNS)), oldest first."""
        count = len(points)
        at, self._at = self._at, (self._at + count) % self.capacity
        self.dropped += max(0, self._count + count - self.capacity)
        self._count = min(self._count + count, self.capacity)
        if at + count <= self.capacity:
            self._write(at, points)
            return
        newest = points[-self.capacity :]
        start = (self._at - len(newest)) % self.capacity
        first = self.capacity - start
        self._write(start, newest[:first])
        self._write(0, newest[first:])

    def _write(self, start: int, points: Points) -> None:
        stop = start + len(points)
        self._stamps[start:stop] = points[:, 0]
        self._values[start:stop] = points[:, 1:]

    def array(self) -> Points:
        """A copy of the points, shape (n, len(POINT_COLUMNS)), oldest first."""
        split = self._at if self._count == self.capacity else 0
        order = np.r_[split : self._count, :split]
        return np.column_stack((self._stamps[order], self._values[order]))

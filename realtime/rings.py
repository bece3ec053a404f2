"""The recent points of one chart, in a fixed amount of memory."""

from typing import Final

import numpy as np

from realtime.points import POINT_COLUMNS, Points

_VALUES: Final = len(POINT_COLUMNS) - 1
# 44 bytes a point: the time as float64, because no µs may be lost, the nine values as float32.
_ROW: Final = np.dtype([("ts_us", np.float64), ("values", np.float32, (_VALUES,))])


class PointRing:
    """The newest `capacity` points, oldest dropped first and counted.

    Values come back with seven significant digits: enough to look at, half the memory. What is
    computed with or stored for good comes from `ChartDelta`, which is exact.
    """

    __slots__ = ("_at", "_count", "_rows", "capacity", "dropped")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a point ring needs a capacity of at least 1, not {capacity}")
        self.capacity = capacity
        self.dropped = 0
        self._rows = np.full(capacity, 0, _ROW)  # taken at once: what charts cost shows when they begin
        self._count = 0
        self._at = 0  # where the next point goes

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the point store."""
        return self._rows.nbytes

    def extend(self, points: Points) -> None:
        """Add points of shape (n, 10), oldest first."""
        self.dropped += max(0, self._count + len(points) - self.capacity)
        newest = points[-self.capacity :]
        room = self.capacity - self._at
        self._write(self._at, newest[:room])
        if len(newest) > room:
            self._write(0, newest[room:])
        self._at = (self._at + len(newest)) % self.capacity
        self._count = min(self._count + len(newest), self.capacity)

    def _write(self, start: int, points: Points) -> None:
        rows = self._rows[start : start + len(points)]
        rows["ts_us"] = points[:, 0]
        rows["values"] = points[:, 1:]

    def array(self) -> Points:
        """A copy of the points, shape (n, 10), oldest first."""
        split = self._at if self._count == self.capacity else 0
        rows = np.concatenate((self._rows[split : self._count], self._rows[:split]))
        return np.column_stack((rows["ts_us"], rows["values"]))

"""Rolling quantile bands, updated one value at a time.

The values are the same as `polars.Series.rolling_quantile(q, window_size=200, min_samples=1,
interpolation="linear")`, at a cost that depends on neither the rate nor the length of history.
"""

from bisect import bisect_left, insort
from math import floor
from typing import Final

WINDOW: Final = 200
UPPER: Final = 0.97
LOWER: Final = 0.03


class RollingBands:
    """The 97 % and 3 % quantile of the last 200 values; with fewer, of those there are.

    One list remembers the order of arrival (as a ring), the other is kept sorted: a value leaves and
    another enters by bisection, and a quantile is read between two neighbours.
    """

    __slots__ = ("_arrived", "_oldest", "_sorted")

    def __init__(self) -> None:
        self._arrived: list[float] = []
        self._sorted: list[float] = []
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._arrived)

    def push(self, values: list[float], upper: list[float], lower: list[float]) -> None:
        """Add finite values, and to `upper` and `lower` the bands with each of them included."""
        arrived, ordered = self._arrived, self._sorted
        growing = WINDOW - len(arrived)
        for value in values[:growing]:
            arrived.append(value)
            insort(ordered, value)
            upper.append(quantile(ordered, UPPER))
            lower.append(quantile(ordered, LOWER))
        at = self._oldest
        # `quantile` with the positions of a full window worked out: this runs for every point.
        for value in values[growing:]:
            del ordered[bisect_left(ordered, arrived[at])]
            insort(ordered, value)
            arrived[at] = value
            at = at + 1 if at < WINDOW - 1 else 0
            below = ordered[_UPPER_AT]
            upper.append(below + (ordered[_UPPER_AT + 1] - below) * _UPPER_PART)
            below = ordered[_LOWER_AT]
            lower.append(below + (ordered[_LOWER_AT + 1] - below) * _LOWER_PART)
        self._oldest = at


def quantile(ordered: list[float], q: float) -> float:
    """The q-quantile of an ascending, non-empty list, linear between neighbours."""
    at, part = _position(len(ordered), q)
    below = ordered[at]
    return below + (ordered[at + 1] - below) * part if part else below


def _position(count: int, q: float) -> tuple[int, float]:
    """Index below the q-quantile of `count` values, and the part of the way to the next one."""
    exact = (count - 1) * q
    return floor(exact), exact - floor(exact)


_UPPER_AT, _UPPER_PART = _position(WINDOW, UPPER)
_LOWER_AT, _LOWER_PART = _position(WINDOW, LOWER)

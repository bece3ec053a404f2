"""Durations counted in buckets since the start: what a histogram of the metrics is made of."""

from bisect import bisect_left
from typing import Final

from msgspec import Struct

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper edges, s: from a page out of memory to the longest maintenance."""


class Buckets(Struct):
    """Counts under each edge of `SECONDS` and not under the one before; the last is beyond them all."""

    counts: list[int]
    sum_s: float = 0.0


class Durations:
    """Durations of one kind of work. Adding costs well under a microsecond."""

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self._sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._sum_s += seconds

    def buckets(self) -> Buckets:
        """Buckets of all that were counted so far."""
        return Buckets(list(self._counts), self._sum_s)

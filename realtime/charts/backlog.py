"""The last seconds of one chart exactly as they were flushed, in the web process's memory.

The recent-points store keeps four points a second; a browser that was away for a moment gets every
point from here.
"""

from collections import deque
from typing import Final

import numpy as np

from engine.charts.points import Points, no_points
from realtime.charts.recent import Stored, stamped

KEEP_US: Final = 15_000_000
KEEP_POINTS: Final = 400


class Backlog:
    """Every point that flushes after `from_us` brought: at most 15 s of them and about 400 points."""

    def __init__(self, from_us: int) -> None:
        self.from_us = from_us
        self._flushes: deque[tuple[int, Points]] = deque()
        self._count = 0

    def add(self, flush_us: int, points: Points) -> None:
        """Take over what one flush brought; the oldest flushes go when there are too many."""
        if len(points):
            self._flushes.append((flush_us, points))
            self._count += len(points)
        while self._flushes and (
            self._flushes[0][0] < flush_us - KEEP_US or (self._count > KEEP_POINTS and len(self._flushes) > 1)
        ):
            self.from_us, dropped = self._flushes.popleft()
            self._count -= len(dropped)

    def after(self, flush_us: int) -> Points:
        """The points that later flushes than this one brought; `from_us` says how far back it goes."""
        parts = [points for stamp, points in self._flushes if stamp > flush_us]
        return np.concatenate(parts) if parts else no_points()

    def refine(self, stored: Stored) -> None:
        """Put the exact points where the store has the same flushes thinned; later ones are left out."""
        exact = [stamped(points, flush_us) for flush_us, points in self._flushes]
        stored.rows = np.concatenate([stored.until(self.from_us), *exact])

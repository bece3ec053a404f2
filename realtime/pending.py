"""Deltas that wait to go out: merged per chart, never a queue."""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from realtime.points import ChartDelta, Points
from realtime.thinning import thin

POINTS_CAP: Final = 1000


class Pending:
    """Per chart the newest state and at most `cap` points; `thinned` counts points given up.

    Bounded by the number of charts: a reader that stops costs this much and no more.
    """

    def __init__(self, cap: int = POINTS_CAP) -> None:
        self.cap = cap
        self.thinned = 0
        self._charts: dict[str, ChartDelta] = {}
        self._parts: dict[str, list[Points]] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._charts)

    def add(self, delta: ChartDelta) -> None:
        """Merge one delta behind what already waits for its chart."""
        id = delta.id
        self._charts[id] = delta
        if not len(delta.points):
            return
        parts = self._parts.setdefault(id, [])
        parts.append(delta.points)
        count = self._counts.get(id, 0) + len(delta.points)
        if count > self.cap:
            kept = thin(np.concatenate(parts), self.cap)
            self.thinned += count - len(kept)
            self._parts[id] = [kept]
            count = len(kept)
        self._counts[id] = count

    def discard(self, ids: Iterable[str]) -> None:
        """Forget these charts."""
        for id in ids:
            self._charts.pop(id, None)
            self._parts.pop(id, None)
            self._counts.pop(id, None)

    def take(self, most_points: float = math.inf) -> list[ChartDelta]:
        """What waits, one delta per chart, those that wait longest first.

        At most `most_points` points, but always one whole chart; what is left waits on. A chart
        with a single waiting delta comes back as that very object.
        """
        taken: list[ChartDelta] = []
        count = 0
        for id, newest in self._charts.items():
            count += self._counts.get(id, 0)
            if taken and count > most_points:
                break
            taken.append(self._merged(newest))
        self.discard([delta.id for delta in taken])
        return taken

    def _merged(self, newest: ChartDelta) -> ChartDelta:
        parts = self._parts.get(newest.id)
        if parts is None or (len(parts) == 1 and parts[0] is newest.points):
            return newest
        return with_points(newest, np.concatenate(parts))


def with_points(delta: ChartDelta, points: Points) -> ChartDelta:
    """The same chart and state with other points."""
    return ChartDelta(
        delta.id, delta.symbol, delta.exchange1, delta.exchange2, delta.state, delta.reason, points
    )

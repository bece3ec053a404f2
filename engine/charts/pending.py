"""Deltas that wait to go out: merged per chart, never a queue."""

import math
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from engine.charts.points import ChartDelta, Points, going_on
from engine.charts.thinning import thin

POINTS_CAP: Final = 1000
FEWEST_POINTS: Final = 16
"""What every chart may keep, however many charts wait."""


class Pending:
    """Per chart the newest state and its points; `thinned` counts points given up.

    Every point is kept until a chart has more than `cap`, or all charts together more than
    `cap_in_all`; then the older ones of that chart leave their extremes. Bounded by the number of
    charts: a reader that stops costs this much and no more.
    """

    def __init__(self, cap: int = POINTS_CAP, cap_in_all: float = math.inf) -> None:
        self.cap = cap
        self.cap_in_all = cap_in_all
        self.thinned = 0
        self._charts: dict[str, ChartDelta] = {}
        self._parts: dict[str, list[Points]] = {}
        self._counts: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._charts)

    def __iter__(self) -> Iterator[str]:
        """The charts that have something waiting."""
        return iter(self._charts)

    def add(self, delta: ChartDelta) -> None:
        """Merge one delta behind what already waits for its chart."""
        id = delta.id
        if len(delta.points) and delta.points[-1, 0] < delta.points[0, 0]:  # the clock was set back within it
            delta = with_points(delta, going_on(delta.points))
        self._charts[id] = delta
        added = len(delta.points)
        if not added:
            return
        self._parts.setdefault(id, []).append(delta.points)
        self._counts[id] = self._counts.get(id, 0) + added
        self._count += added
        if self._counts[id] > self._room():
            self._thin(id)

    def _room(self) -> float:
        """How many points a chart may keep now."""
        if self._count <= self.cap_in_all:
            return self.cap
        return min(self.cap, max(FEWEST_POINTS, self.cap_in_all / len(self._parts)))

    def _thin(self, id: str) -> None:
        """Down to three quarters of the room, so that this is not to be done for every point."""
        waiting = self._counts[id]
        kept = thin(going_on(np.concatenate(self._parts[id])), int(self._room()) * 3 // 4)
        self._parts[id] = [kept]
        self._counts[id] = len(kept)
        self._count -= waiting - len(kept)
        self.thinned += waiting - len(kept)

    def discard(self, ids: Iterable[str]) -> None:
        """Forget these charts."""
        for id in ids:
            self._charts.pop(id, None)
            self._parts.pop(id, None)
            self._count -= self._counts.pop(id, 0)
        if not self._charts:  # emptied ones keep their tables, 3 KB for twenty charts
            self._charts, self._parts, self._counts = {}, {}, {}

    def take(self, most_points: float = math.inf) -> list[ChartDelta]:
        """Take what waits, one delta per chart, those that wait longest first.

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
        return with_points(newest, going_on(np.concatenate(parts)))


def with_points(delta: ChartDelta, points: Points) -> ChartDelta:
    """The same chart and state with other points."""
    return ChartDelta(
        delta.id, delta.symbol, delta.exchange1, delta.exchange2, delta.state, delta.reason, points,
        delta.quoted1_us, delta.quoted2_us, delta.ahead_s,
    )  # fmt: skip

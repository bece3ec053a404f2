"""Queue of one browser: changes that are not sent yet, and charts to be fetched from the store."""

from collections.abc import Mapping
from itertools import islice
from typing import Final

import numpy as np

from engine.charts.pending import Pending, with_points
from engine.charts.points import SET_BACK_US, ChartDelta, no_points
from realtime.charts.shared_reads import Fetched
from realtime.charts.wire import update_json

WAITING_POINTS: Final = 5000
"""Points that wait for one socket, 80 bytes each, over all its charts: what a dead browser costs."""
CHARTS_A_READ: Final = 50


class Portion:
    """Part of a batch for all viewers of the same charts: encoded once for all of them."""

    __slots__ = ("_message", "_seq", "charts")

    def __init__(self, charts: list[ChartDelta]) -> None:
        self.charts = charts
        self._seq = -1
        self._message = b""

    def message(self, seq: int, until_s: float) -> bytes:
        """The delta message with this seq; sockets that kept up have the same."""
        if seq != self._seq:
            self._seq, self._message = seq, update_json("delta", seq, self.charts, [], until_s)
        return self._message


class Changes:
    """Changes in order: one batch as it came, or several merged per chart; and charts removed since."""

    __slots__ = ("_floor", "_portion", "_removed", "pending")

    def __init__(self) -> None:
        self.pending = Pending(cap_in_all=WAITING_POINTS)
        self._portion: Portion | None = None
        self._removed: dict[str, None] = {}
        self._floor: dict[str, float] = {}  # a browser's newest point, where batches may repeat older ones

    def __bool__(self) -> bool:
        return bool(self._portion or self._removed or self.pending)

    def push(self, portion: Portion) -> None:
        """Add what a batch brings."""
        if self._portion is None and not self.pending and not self._floor:
            self._portion = portion
        else:
            self.merge()
            self._merge(portion)

    def remove(self, chart_id: str) -> None:
        """This chart is no longer watched."""
        self.merge()
        self._removed[chart_id] = None
        self._floor.pop(chart_id, None)
        self.pending.discard([chart_id])

    def restore(self, chart_id: str) -> None:
        """A removed chart is watched again."""
        self._removed.pop(chart_id, None)

    def take_portion(self) -> Portion | None:
        """One batch as it came, where nothing else waits (the fast path: its message serves many)."""
        if self._portion is None or self._removed:
            return None
        portion, self._portion = self._portion, None
        return portion

    def take(self, most_points: int) -> list[ChartDelta]:
        """Charts with what is new in them, as many as fit."""
        self.merge()
        return [self._only_new(chart) for chart in self.pending.take(most_points)]

    def take_removed(self) -> list[str]:
        """The charts that were removed."""
        removed = list(self._removed)
        self._removed.clear()
        return removed

    def replace(self, fetched: Fetched, *, is_snapshot: bool) -> ChartDelta:
        """A chart out of the store instead of what waits of it; returned without points already sent."""
        if is_snapshot:
            self._floor.pop(fetched.chart.id, None)
        chart = self._only_new(fetched.chart)
        self.pending.discard([chart.id])
        if fetched.repeats and len(chart.points):
            self._floor[chart.id] = float(chart.points[-1, 0])
        return chart

    def merge(self) -> None:
        """A batch that has to wait is merged chart by chart with what comes after it."""
        if self._portion is not None:
            portion, self._portion = self._portion, None
            self._merge(portion)

    def _merge(self, portion: Portion) -> None:
        for chart in portion.charts:
            self.pending.add(chart)

    def _only_new(self, delta: ChartDelta) -> ChartDelta:
        """Without the points this browser already has from the store."""
        floor = self._floor.get(delta.id)
        if floor is None or not len(delta.points):
            return delta
        if delta.points[0, 0] > floor or delta.points[-1, 0] < floor - SET_BACK_US:
            del self._floor[delta.id]
            return delta
        first_new = int(np.searchsorted(delta.points[:, 0], floor, side="right"))
        return with_points(delta, delta.points[first_new:] if first_new < len(delta.points) else no_points())


class Wants:
    """Charts to be fetched: each with the flush (µs) after which its points are wanted (0: a snapshot)."""

    __slots__ = ("after",)

    def __init__(self) -> None:
        self.after: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.after)

    def add(self, chart_id: str, after_us: int) -> None:
        """Want a chart's points of later flushes."""
        self.after[chart_id] = min(after_us, self.after.get(chart_id, after_us))

    def again(self, chart_id: str, after_us: int) -> None:
        """Want what a fetch did not bring, unless more is wanted already."""
        self.after.setdefault(chart_id, after_us)

    def discard(self, chart_id: str) -> None:
        """Want it no longer."""
        self.after.pop(chart_id, None)

    def snapshots(self) -> dict[str, int]:
        """Charts that need a snapshot, as many as one read brings."""
        whole = (chart_id for chart_id, after in self.after.items() if not after)
        return dict.fromkeys(islice(whole, CHARTS_A_READ), 0)

    def deltas(self) -> dict[str, int]:
        """Charts with the flush after which they need points, as many as one read brings."""
        return dict(islice(self.after.items(), CHARTS_A_READ))

    def settle(self, asked: Mapping[str, int]) -> None:
        """Settle what was asked for and read; keep what was wanted from further back meanwhile."""
        for chart_id, after in asked.items():
            if self.after.get(chart_id, -1) >= after:
                del self.after[chart_id]
        if not self.after:
            self.after = {}  # an emptied one keeps its table

"""Viewers grouped by what they watch: what a batch brings is put together and encoded once for each group."""

from collections import defaultdict
from collections.abc import Iterable, KeysView

from engine.charts.points import ChartDelta
from realtime.charts.viewer import Viewer
from realtime.charts.waiting import Portion


class Audience:
    """The viewers that watch exactly the same charts, and what is new for them."""

    def __init__(self, charts: frozenset[str]) -> None:
        self.charts = charts
        self.viewers: set[Viewer] = set()
        self.fresh: list[ChartDelta] = []


class Audiences:
    """Every audience, and which of them watch a chart."""

    def __init__(self) -> None:
        self._audiences: dict[frozenset[str], Audience] = {}
        self._watching: defaultdict[str, set[Audience]] = defaultdict(set)

    @property
    def watched(self) -> KeysView[str]:
        """The charts that somebody watches."""
        return self._watching.keys()

    def deliver(self, deltas: Iterable[ChartDelta]) -> None:
        """Hand these to everybody who watches them."""
        touched: dict[Audience, None] = {}
        for delta in deltas:
            for audience in self._watching.get(delta.id, ()):
                audience.fresh.append(delta)
                touched[audience] = None
        for audience in touched:
            portion, audience.fresh = Portion(audience.fresh), []
            for viewer in tuple(audience.viewers):
                viewer.push(portion)

    def move(self, viewer: Viewer, charts: frozenset[str]) -> None:
        """Move a viewer to the audience of these charts (none: to no audience)."""
        left = self._audiences.get(viewer.charts)
        if left is not None:
            left.viewers.discard(viewer)
            if not left.viewers:
                self._close(left)
        viewer.charts = charts
        if charts:
            audience = self._audiences.get(charts) or self._open(charts)
            audience.viewers.add(viewer)
            viewer.charts = audience.charts

    def _open(self, charts: frozenset[str]) -> Audience:
        audience = self._audiences[charts] = Audience(charts)
        for chart_id in charts:
            self._watching[chart_id].add(audience)
        return audience

    def _close(self, audience: Audience) -> None:
        del self._audiences[audience.charts]
        for chart_id in audience.charts:
            self._watching[chart_id].discard(audience)
            if not self._watching[chart_id]:
                del self._watching[chart_id]

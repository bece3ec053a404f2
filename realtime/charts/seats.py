"""Seats: the wishes of a web process's viewers, brought in line with the operator's filters."""

from collections.abc import Sequence

from core.web import closing
from core.web.closing import Closed
from markets.config import MarketConfig
from realtime.charts import wire
from realtime.charts.audiences import Audiences
from realtime.charts.book import ChartBook
from realtime.charts.selection import Selection
from realtime.charts.viewer import Viewer


class Seats:
    """The viewers, each in the audience of its charts."""

    def __init__(self, book: ChartBook) -> None:
        self.selection = Selection(self._configured)
        self.viewers: set[Viewer] = set()
        self.audiences = Audiences()
        self._book = book

    def join(self, viewer: Viewer) -> None:
        """Add a viewer, which watches nothing yet."""
        self.viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer; it sends nothing more."""
        viewer.leave()
        self.viewers.discard(viewer)
        self.audiences.move(viewer, frozenset())

    async def watch_filter(self, viewer: Viewer, filter_id: int | None, seen_seq: int = 0) -> None:
        """Show a filter's charts (None: those of the first enabled one) instead of the present ones."""
        config = await self.selection.current()
        chosen = self.selection.default_filter() if filter_id is None else filter_id
        if chosen is not None and all(f.id != chosen for f in config.filters):
            viewer.complain("unknown_filter", f"there is no enabled filter {chosen}; see /api/charts")
            chosen = viewer.filter_id
        viewer.filter_id = chosen
        viewer.extra = frozenset()
        viewer.unwanted = frozenset()
        after = seen_seq if self._book.shards.can_resume(seen_seq) else 0
        if not after:
            viewer.out.number_from(min(seen_seq, self._book.shards.watermark))
            viewer.greet()
        self._apply(viewer, after)
        viewer.catch_up(viewer.charts, after)

    async def watch_charts(self, viewer: Viewer, chart_ids: Sequence[str]) -> None:
        """Show these charts too. Raises Closed when that is more than a socket may watch."""
        await self.selection.current()
        unknown = [chart_id for chart_id in chart_ids if chart_id not in self.selection.chart_ids]
        if unknown:
            viewer.complain("unknown_chart", f"no enabled filter selects {', '.join(unknown[:5])}")
        known = set(chart_ids).difference(unknown)
        viewer.extra |= known
        viewer.unwanted -= known
        if len(viewer.charts | known) > wire.MAX_CHARTS:
            raise Closed(closing.CLOSE_TOO_MANY, f"a socket watches at most {wire.MAX_CHARTS} charts")
        self._apply(viewer)
        viewer.catch_up(known, 0)

    def unwatch(self, viewer: Viewer, chart_ids: Sequence[str]) -> None:
        """Stop showing these charts."""
        viewer.extra -= frozenset(chart_ids)
        viewer.unwanted |= viewer.charts.intersection(chart_ids)
        self._apply(viewer)

    def _configured(self, config: MarketConfig) -> None:
        """The configuration changed: every viewer sees its filter's present charts."""
        wanted = self.selection.chart_ids
        self._book.keep(wanted)
        for viewer in self.viewers:
            viewer.extra &= wanted
            viewer.unwanted &= wanted
            self._apply(viewer)

    def _apply(self, viewer: Viewer, after_flush_us: int = 0) -> None:
        """Bring the viewer's charts in line with what it asked for and what there is."""
        selected = self.selection.charts_of(viewer.filter_id)
        wanted = (selected | viewer.extra) - viewer.unwanted
        gone, new = viewer.charts - wanted, wanted - viewer.charts
        self.audiences.move(viewer, frozenset(wanted))
        if gone:
            viewer.remove(sorted(gone))
        if new:
            viewer.catch_up(new, after_flush_us)

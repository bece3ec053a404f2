"""Which charts pass which filters' live criteria: says when that begins and when it ends.

Plain Python, no Django. Every point is judged, so when they are collected changes nothing, and a
replay tells what was told live. There is no hysteresis and no minimum duration: a value that
trembles about the limit opens and closes again and again.
"""

from collections.abc import Iterable
from math import nan
from typing import Literal

from markets.config import FilterConfig, MarketConfig
from markets.events import OpportunityEvent
from realtime.points import POINT_COLUMNS, ChartDelta

Values = tuple[float, ...]  # of the columns `_VALUES`

_VALUES = ("spread", "edge12", "edge21", "size12", "size21")
_COLUMNS = [POINT_COLUMNS.index(name) for name in ("ts_us", *_VALUES)]
_UNKNOWN: Values = (nan,) * len(_VALUES)


class Passing:
    """Follows the charts of one configuration, against the filters that select them.

    A filter without a live criterion is left out: it would say nothing but that a chart is live.
    """

    def __init__(self) -> None:
        self._filters: dict[str, list[FilterConfig]] = {}  # chart id ->
        self._open: dict[tuple[str, int], OpportunityEvent] = {}

    def configure(self, config: MarketConfig, now_ts_us: int) -> list[OpportunityEvent]:
        """Take over filters and charts; closes what is open and no longer selected."""
        asking = {f.id: f for f in config.filters if _asks(f)}
        self._filters = {
            chart.id: [asking[id] for id in chart.filters if id in asking] for chart in config.opportunities
        }
        wanted = {(chart, f.id) for chart, filters in self._filters.items() for f in filters}
        return [self._close(key, now_ts_us, _UNKNOWN) for key in sorted(self._open.keys() - wanted)]

    def update(self, deltas: Iterable[ChartDelta]) -> list[OpportunityEvent]:
        """What began and what ended, point by point; the gap that ends a line ends what is open."""
        events: list[OpportunityEvent] = []
        for delta in deltas:
            if filters := self._filters.get(delta.id):
                for row in delta.points[:, _COLUMNS].tolist():
                    events.extend(self._follow(delta, filters, int(row[0]), tuple(row[1:])))
        return events

    def _follow(
        self, delta: ChartDelta, filters: list[FilterConfig], ts_us: int, values: Values
    ) -> Iterable[OpportunityEvent]:
        """Judge one point; the values of a gap are NaN and meet no criterion."""
        spread, edge12, edge21 = values[:3]
        for each in filters:
            key = delta.id, each.id
            if each.passes(spread, max(edge12, edge21)):
                if key not in self._open:
                    self._open[key] = _event(delta, each.id, "open", ts_us, values)
                    yield self._open[key]
            elif key in self._open:
                yield self._close(key, ts_us, values)

    def _close(self, key: tuple[str, int], ts_us: int, values: Values) -> OpportunityEvent:
        opened = self._open.pop(key)
        return _event(opened, opened.filter_id, "close", max(ts_us, opened.ts_us), values)


def _asks(criteria: FilterConfig) -> bool:
    return criteria.min_spread_pct is not None or criteria.min_edge_bps is not None


def _event(
    chart: ChartDelta | OpportunityEvent,
    filter_id: int,
    event: Literal["open", "close"],
    ts_us: int,
    values: Values,
) -> OpportunityEvent:
    return OpportunityEvent(chart.symbol, chart.exchange1, chart.exchange2, filter_id, event, ts_us, *values)

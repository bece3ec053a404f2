"""Which charts pass which filters' live criteria: says when that begins and when it ends.

Plain Python, no Django. It looks at what the engine collected, so an opportunity shorter than the
time between two collects (50 ms) shows only if the newest point passes. There is no hysteresis and
no minimum duration: a value that trembles about the limit opens and closes again and again.
"""

from collections.abc import Iterable
from math import isnan, nan
from typing import Literal

from markets.config import FilterConfig, MarketConfig
from markets.events import OpportunityEvent
from realtime.points import POINT_COLUMNS, ChartDelta, Points

Values = tuple[float, ...]  # of the columns `_VALUES`

_VALUES = ("spread", "edge12", "edge21", "size12", "size21")
_COLUMNS = [POINT_COLUMNS.index(name) for name in _VALUES]
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
        return [self._close(key, now_ts_us, None) for key in sorted(self._open.keys() - wanted)]

    def update(self, deltas: Iterable[ChartDelta], now_ts_us: int) -> list[OpportunityEvent]:
        """What began and what ended, by the newest point of each chart or because it is not live."""
        events: list[OpportunityEvent] = []
        for delta in deltas:
            if filters := self._filters.get(delta.id):
                events.extend(self._follow(delta, filters, now_ts_us))
        return events

    def _follow(
        self, delta: ChartDelta, filters: list[FilterConfig], now_ts_us: int
    ) -> Iterable[OpportunityEvent]:
        ts_us = int(delta.points[-1, 0]) if len(delta.points) else now_ts_us
        values = _newest(delta.points) if delta.state == "live" else None
        if values is None and delta.state == "live":  # nothing new is known
            return
        for each in filters:
            key = delta.id, each.id
            if values is not None and each.passes(values[0], max(values[1], values[2])):
                if key not in self._open:
                    self._open[key] = _event(delta, each.id, "open", ts_us, values)
                    yield self._open[key]
            elif key in self._open:
                yield self._close(key, ts_us, values)

    def _close(self, key: tuple[str, int], ts_us: int, values: Values | None) -> OpportunityEvent:
        opened = self._open.pop(key)
        return _event(opened, opened.filter_id, "close", max(ts_us, opened.ts_us), values)


def _asks(criteria: FilterConfig) -> bool:
    return criteria.min_spread_pct is not None or criteria.min_edge_bps is not None


def _newest(points: Points) -> Values | None:
    """The values of the newest point; None when there is none or it is a gap."""
    if not len(points) or isnan(points[-1, 1]):
        return None
    return tuple(points[-1, _COLUMNS].tolist())


def _event(
    chart: ChartDelta | OpportunityEvent,
    filter_id: int,
    event: Literal["open", "close"],
    ts_us: int,
    values: Values | None,
) -> OpportunityEvent:
    """Without values (the chart is not live any more) they are NaN."""
    return OpportunityEvent(
        chart.symbol, chart.exchange1, chart.exchange2, filter_id, event, ts_us, *(values or _UNKNOWN)
    )

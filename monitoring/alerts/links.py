"""Links to an opportunity's chart on the desk."""

from typing import Any
from urllib.parse import urlencode

from core.errors import InvalidConfig
from markets.selectors import current_revision, load_config
from opportunities.models import OpportunityEpisode


class ChartFilters:
    """Filters by the charts they draw, read again when the configuration has moved."""

    def __init__(self) -> None:
        self._revision = -1
        self._filters: dict[str, int] = {}

    def of(self, pair_id: str) -> int | None:
        """A filter that draws the pair's chart; None when none does, or the configuration is unusable."""
        revision = current_revision()
        if revision != self._revision:
            self._revision, self._filters = revision, _charted()
        return self._filters.get(pair_id)


def _charted() -> dict[str, int]:
    try:
        charts: Any = load_config().opportunities
    except InvalidConfig:
        return {}
    return {chart.id: chart.filters[0] for chart in charts if chart.filters}


_charts = ChartFilters()


def chart_path(row: OpportunityEpisode) -> str:
    """The live chart of its pair; empty when no enabled filter draws it."""
    drawn = _charts.of(row.pair_id)
    return "" if drawn is None else f"/?{urlencode({'filter': str(drawn), 'chart': row.pair_id})}"

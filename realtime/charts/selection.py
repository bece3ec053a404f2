"""Selection of each filter now, as this web process knows it."""

import gc
from collections.abc import Callable
from typing import Final

from markets.config import MarketConfig
from markets.follow.follower import Follower

REFUSED_AGAIN_S: Final = 30.0
"""How long an unusable revision is left alone: a load of it takes a moment of what serves sockets."""


class Selection:
    """Selection of the operator's filters: one load per revision and process, shared by all sockets.

    `current` and `follow` are those of `markets.follow.follower.Follower`.
    """

    def __init__(self, on_change: Callable[[MarketConfig], None]) -> None:
        self.chart_ids: frozenset[str] = frozenset()
        self._on_change = on_change
        self._by_filter: dict[int, set[str]] = {}
        self._follower = Follower(self._take_over, refused_again_s=REFUSED_AGAIN_S)
        self.current = self._follower.current
        self.follow = self._follower.run

    def default_filter(self) -> int | None:
        """The first enabled filter that has charts, or None where there is none."""
        config = self._follower.config
        return next((row.id for row in config.filters if row.charted), None) if config else None

    def charts_of(self, filter_id: int | None) -> set[str]:
        """The chart ids a filter selects; none for a filter that is disabled or gone."""
        return set() if filter_id is None else self._by_filter.get(filter_id, set())

    def _take_over(self, config: MarketConfig) -> None:
        self._by_filter = {f.id: set() for f in config.filters}
        for opportunity in config.opportunities:
            for filter_id in opportunity.filters:
                self._by_filter.setdefault(filter_id, set()).add(opportunity.id)
        self.chart_ids = frozenset(o.id for o in config.opportunities)
        self._on_change(config)
        gc.freeze()  # it stays until the next one: no pause of the garbage collector looks at it again

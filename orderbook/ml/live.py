"""Features of the newest seconds, for inference.

What was read is kept from one call to the next: seconds older than RE_READ_S are not read again, and closed
hours not before the next. Rows that are written later than that do not change what this loader returns.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from orderbook.ml.adapters.base import BARS, DEPTH, PLACE, Key, MLAdapter
from orderbook.ml.bars import hours
from orderbook.ml.features.table import WARM_UP_S, features
from orderbook.ml.grid import LAGS, Loaded

RE_READ_S: Final = 30
"""Writers commit what they received within 10 s; the rest is for a database that was slow."""

_HOUR: Final = timedelta(hours=1)
_MIDS: Final = ("mid_open", "mid_high", "mid_low", "mid_close")


class Live:
    """The recent bars of one set of keys."""

    def __init__(self, adapter: MLAdapter, keys: Sequence[Key]) -> None:
        self.keys = list(keys)
        self._adapter = adapter
        self._bars = pl.DataFrame(schema=PLACE | BARS)
        self._depth = pl.DataFrame(schema=PLACE | DEPTH)
        self._hours: dict[datetime, pl.DataFrame] = {}
        self._read: tuple[datetime, datetime] | None = None

    def features(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Return the features of [start, end), of each symbol up to its newest complete second.

        A writer commits in the order of receipt, so the seconds before a symbol's newest row are complete.
        """
        loaded = start - timedelta(seconds=WARM_UP_S)
        self._refresh(loaded, end)
        of_hours = pl.concat(self._closed_hours(start, end))
        found = Loaded(self.keys, self._bars, self._depth, of_hours, loaded, end)
        return self._complete(features(found, start))

    def _refresh(self, loaded: datetime, end: datetime) -> None:
        kept_from, kept_until = self._read or (end, end)
        since = max(loaded, kept_until - timedelta(seconds=RE_READ_S)) if kept_from <= loaded else loaded
        kept = pl.col("second").is_between(loaded, since, closed="left")
        bars, depth = (read(self.keys, since, end) for read in (self._adapter.bars, self._adapter.depth))
        self._bars = pl.concat([self._bars.filter(kept), bars])
        self._depth = pl.concat([self._depth.filter(kept), depth])
        self._read = loaded, end

    def _closed_hours(self, start: datetime, end: datetime) -> list[pl.DataFrame]:
        """Prices of the hours that rows of [start, end) look back to."""
        first = start.replace(minute=0, second=0, microsecond=0) - LAGS * _HOUR
        last = (end - timedelta(seconds=1)).replace(minute=0, second=0, microsecond=0)
        wanted = [first + n * _HOUR for n in range((last - first) // _HOUR)]
        kept = {hour: found for hour, found in self._hours.items() if hour in wanted}
        for hour in wanted:
            if hour not in kept:
                kept[hour] = hours(self._adapter.bars(self.keys, hour, hour + _HOUR, _MIDS))
        # The newest hour may miss its last rows for as long as writers need; it is read again until then.
        settled = end - timedelta(seconds=RE_READ_S)
        self._hours = {hour: found for hour, found in kept.items() if hour + _HOUR <= settled}
        return [kept[hour] for hour in wanted]

    def _complete(self, found: pl.DataFrame) -> pl.DataFrame:
        names = [symbol for symbol, _exchange in self.keys]
        symbol = pl.col("key").replace_strict(range(len(names)), names, return_dtype=pl.String)
        newest = self._bars.group_by(symbol.alias("symbol")).agg(pl.col("second").max().alias("newest"))
        rows = found.with_columns(symbol.alias("symbol")).join(newest, on="symbol", maintain_order="left")
        return rows.filter(pl.col("second") < pl.col("newest")).drop("symbol", "newest")

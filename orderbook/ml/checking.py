"""Check features for look-ahead, and that live values equal those of training.

A feature is broken if a row changes when what was received after it is taken away, or when less was loaded
before it than WARM_UP_S promises to be enough.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from msgspec import Struct

from orderbook.ml.bars import hours
from orderbook.ml.features.table import FAMILIES, WARM_UP_S, Families, features
from orderbook.ml.grid import Loaded

_PLACE = ("key", "second")


class Broken(Struct, frozen=True):
    """The first row at which a feature is not the same; None: it is unknown, or there is no such row."""

    feature: str
    symbol: str
    exchange: str
    second: datetime
    whole: float | None
    cut: float | None
    how: str

    def __str__(self) -> str:
        return (
            f"{self.feature} of {self.symbol} on {self.exchange} at {self.second:%Y-%m-%d %H:%M:%S} UTC: "
            f"{self.whole!r}, but {self.cut!r} {self.how}"
        )


def check(whole: Loaded, cuts: Sequence[datetime], families: Families = FAMILIES) -> Iterator[Broken]:
    """Yield what breaks when `whole` ends at each of `cuts`, and when it starts there."""
    expected = features(whole, whole.start, families)
    for cut in cuts:
        past = features(_ended(whole, cut), whole.start, families)
        yield from _differences(whole, expected.filter(pl.col("second") < cut), past, f"if it ends at {cut}")
        start = cut + timedelta(seconds=WARM_UP_S)
        if start < whole.end:
            live = features(_started(whole, cut), start, families)
            rows = expected.filter(pl.col("second") >= start)
            yield from _differences(whole, rows, live, f"if it starts at {cut}")


def loaded_of(whole: Loaded) -> Loaded:
    """The same with the prices of the hours that it has from their start."""
    return Loaded(whole.keys, whole.bars, whole.depth, _whole_hours(whole), whole.start, whole.end)


def _ended(whole: Loaded, cut: datetime) -> Loaded:
    bars, depth = (rows.filter(pl.col("second") < cut) for rows in (whole.bars, whole.depth))
    return loaded_of(Loaded(whole.keys, bars, depth, whole.hours, whole.start, cut))


def _started(whole: Loaded, cut: datetime) -> Loaded:
    bars, depth = (rows.filter(pl.col("second") >= cut) for rows in (whole.bars, whole.depth))
    return Loaded(whole.keys, bars, depth, whole.hours, cut, whole.end)


def _whole_hours(whole: Loaded) -> pl.DataFrame:
    first = pl.lit(whole.start - timedelta(microseconds=1)).dt.truncate("1h").dt.offset_by("1h")
    return hours(whole.bars.filter(pl.col("second") >= first))


def _differences(whole: Loaded, expected: pl.DataFrame, found: pl.DataFrame, how: str) -> Iterator[Broken]:
    both = expected.join(found, on=_PLACE, how="full", suffix="_cut", coalesce=True).sort("second", "key")
    for name in expected.columns:
        if name not in _PLACE and not (at := _first(both, name)).is_empty():
            row: dict[str, Any] = at.row(0, named=True)
            symbol, exchange = whole.keys[row["key"]]
            yield Broken(name, symbol, exchange, row["second"], row[name], row[f"{name}_cut"], how)


def _first(both: pl.DataFrame, name: str) -> pl.DataFrame:
    return both.filter(~pl.col(name).eq_missing(pl.col(f"{name}_cut"))).head(1)

"""Second bars on a grid: a row for each key, a column for each second, NaN where nothing is known.

A quote stands until another one comes, so the last one is carried on, but for FILL_S at most: a stream that
is silent for longer may be down, and is unknown. Trades and ages of quotes are never carried on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from orderbook.ml.adapters.base import DEPTH, Key
from orderbook.ml.bars import HOUR_VALUES

Values = NDArray[np.float64]
"""Numbers by key and second."""

FILL_S: Final = 10
"""A quote, or a row of depth, is carried on for as many seconds without one."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_S: Final = 3600
LAGS: Final = 3
"""Hours before the present one whose prices are features."""

_CARRIED: Final = ("bid", "bid_size", "ask", "ask_size", *DEPTH)
_GRIDDED: Final = ("bid", "bid_size", "ask", "ask_size", "buy_volume", "sell_volume")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Second bars and depth of [start, end), and prices of the hours that its rows look back to."""

    keys: Sequence[Key]
    bars: pl.DataFrame
    depth: pl.DataFrame
    hours: pl.DataFrame
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Grid:
    """Input of every feature. `of` has the columns of bars and depth that features read, and `mid`.

    `quote_age_s` counts the seconds since the last one with a quote. `hours` has open, high, low and close of
    the mid by key and hour, of which the first is `first_hour`, in hours since 1970.
    """

    keys: Sequence[Key]
    start_s: int
    of: dict[str, Values]
    quote_age_s: Values
    hours: dict[str, Values]
    first_hour: int

    @property
    def seconds(self) -> int:
        """Number of columns."""
        return int(self.quote_age_s.shape[1])


def grid_of(loaded: Loaded) -> Grid:
    """Lay out what was loaded."""
    keys, bars, depth, hours = loaded.keys, loaded.bars, loaded.depth, loaded.hours
    start_s = seconds_of(loaded.start)
    shape = (len(keys), seconds_of(loaded.end) - start_s)
    of = _scattered(bars, _GRIDDED, start_s, shape) | _scattered(depth, tuple(DEPTH), start_s, shape)
    age_s = _ages(of["bid"])
    depth_age_s = _ages(of["bid_depth"])
    for name in _CARRIED:
        of[name] = _carried(of[name], depth_age_s if name in DEPTH else age_s)
    of["mid"] = (of["bid"] + of["ask"]) / 2
    first_hour = start_s // HOUR_S - LAGS
    placed = hours.select("key", *HOUR_VALUES, second="hour")
    hour_shape = (len(keys), (start_s + shape[1]) // HOUR_S - first_hour + 1)
    laid_out = _scattered(placed, HOUR_VALUES, first_hour * HOUR_S, hour_shape, HOUR_S)
    return Grid(keys, start_s, of, np.where(age_s <= FILL_S, age_s, np.nan), laid_out, first_hour)


def seconds_of(at: datetime) -> int:
    """Whole seconds since 1970."""
    whole: int = (at - _EPOCH) // timedelta(seconds=1)
    return whole


def _scattered(
    rows: pl.DataFrame, names: Sequence[str], start_s: int, shape: tuple[int, int], step_s: int = 1
) -> dict[str, Values]:
    second = rows["second"].dt.epoch("s").to_numpy()
    at = (second - start_s) // step_s
    inside = (at >= 0) & (at < shape[1])
    key, at = rows["key"].to_numpy()[inside], at[inside]
    laid_out = {}
    for name in names:
        values = np.full(shape, np.nan)
        values[key, at] = rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()[inside]
        laid_out[name] = values
    return laid_out


def _ages(values: Values) -> Values:
    """Seconds since the last known value of each key; beyond FILL_S where there is none."""
    at = np.arange(values.shape[1])
    last = np.maximum.accumulate(np.where(np.isnan(values), -FILL_S - 1, at), axis=1)
    return (at - last).astype(np.float64)


def _carried(values: Values, age_s: Values) -> Values:
    source = np.arange(values.shape[1]) - np.minimum(age_s, FILL_S + 1).astype(np.int64)
    found = np.take_along_axis(values, np.maximum(source, 0), axis=1)
    return np.where(age_s <= FILL_S, found, np.nan)

"""All features of a time as one table."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from orderbook.ml.features import averages, depth, edges, flow, hours, momentum, quotes, volatility
from orderbook.ml.features.windows import LOOK_BACK_S, MINUTE_S
from orderbook.ml.grid import FILL_S, Grid, Loaded, Values, grid_of, seconds_of

Compute = Callable[[Grid], dict[str, Values]]

Families = Mapping[tuple[str, ...], Compute]

FAMILIES: Final[Families] = {
    family.NAMES: family.compute
    for family in (quotes, averages, momentum, flow, depth, volatility, hours, edges)
}
"""Names of a family's features, and the function that computes them."""

WARM_UP_S: Final = MINUTE_S + LOOK_BACK_S + FILL_S
"""Seconds before a row that its features may look at, besides the hours."""

CARRIED: Final = ("bid", "bid_size", "ask", "ask_size", "mid")


def features(loaded: Loaded, start: datetime, families: Families = FAMILIES) -> pl.DataFrame:
    """Return a row for each key and second from `start` whose quote is known, with every feature.

    Features that look further back than what was loaded are null.
    """
    grid = grid_of(loaded)
    shown = slice(seconds_of(start) - grid.start_s, None)
    values = {name: grid.of[name] for name in CARRIED}
    for compute in families.values():
        values |= compute(grid)
    is_known = ~np.isnan(grid.of["bid"][:, shown])
    place, at = np.nonzero(is_known)
    columns: dict[str, Any] = {name: each[:, shown][is_known] for name, each in values.items()}
    second_us = (seconds_of(start) + at) * 1_000_000
    table = pl.DataFrame({"key": place.astype(np.int32), "second": second_us, **columns}, nan_to_null=True)
    return table.with_columns(pl.col("second").cast(pl.Datetime("us", "UTC")))

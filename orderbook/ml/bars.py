"""Second bars of rows that are not rolled up yet or lie in the lake, and hours of second bars.

The formulas are those of `Rollup.values` in `orderbook/store/tables.py`; a test compares both, bit for bit.
"""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from markets.events import Quote, Trade
from orderbook.ingest.rows import rows_of
from orderbook.ml.adapters.base import PLACE, QUOTE_BARS, TRADE_BARS

QUOTED: Final = ("bid", "bid_size", "ask", "ask_size")
TRADED: Final = ("price", "size", "side")
HOUR_VALUES: Final = ("open", "high", "low", "close")

_DIGEST: Final = 1  # where `Rows.columns` has it
_ORDER: Final = ("key", "received_at", "digest")
_MID: Final = (pl.col("bid") + pl.col("ask")) / 2


def quote_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """Return PLACE and QUOTE_BARS of rows with `key`, `received_at`, `digest` and QUOTED."""
    values = [
        *(pl.col(name).last() for name in QUOTED),
        pl.col("mid").first().alias("mid_open"),
        pl.col("mid").max().alias("mid_high"),
        pl.col("mid").min().alias("mid_low"),
        pl.col("mid").last().alias("mid_close"),
        pl.len().cast(pl.Int32).alias("quotes"),
    ]
    return _bars(rows.with_columns(_MID.alias("mid")), values).select(*PLACE, *QUOTE_BARS)


def trade_bars(rows: pl.DataFrame) -> pl.DataFrame:
    """Return PLACE and TRADE_BARS of rows with `key`, `received_at`, `digest` and TRADED."""
    price, size = pl.col("price"), pl.col("size")
    values = [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        _total(size).alias("volume"),
        _total(price * size).alias("quote_volume"),
        *(_total(size.filter(pl.col("side") == side)).alias(f"{side}_volume") for side in ("buy", "sell")),
        pl.len().cast(pl.Int32).alias("trades"),
    ]
    return _bars(rows, values).select(*PLACE, *TRADE_BARS)


def hours(bars: pl.DataFrame) -> pl.DataFrame:
    """Return `key`, `hour` and the open, high, low and close of the mid of each hour that has a quote."""
    quoted = bars.filter(pl.col("mid_close").is_not_null()).with_columns(
        pl.col("second").dt.truncate("1h").alias("hour")
    )
    return quoted.group_by("key", "hour", maintain_order=True).agg(
        pl.col("mid_open").first().alias("open"),
        pl.col("mid_high").max().alias("high"),
        pl.col("mid_low").min().alias("low"),
        pl.col("mid_close").last().alias("close"),
    )


def with_digests(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Add `digest` to rows of the lake, and drop those that are there twice.

    Only rows of one key and µs need it: nothing else is in doubt of its place. The others get 0.
    """
    shared = pl.struct("key", "received_at").is_duplicated()
    alone = rows.filter(~shared).with_columns(pl.lit(0, pl.Int64).alias("digest"))
    crowded = rows.filter(shared)
    ordered = crowded.with_columns(pl.Series("digest", _digests(crowded, table), pl.Int64))
    return pl.concat([alone, ordered.unique(_ORDER)])


def _digests(rows: pl.DataFrame, table: str) -> NDArray[Any]:
    """Digests as the store gives them to the same events."""
    if rows.is_empty():
        return np.zeros(0, np.int64)
    said = rows.select(pl.exclude("key", "received_at"), received_ts_us=pl.col("received_at").to_physical())
    kind = Quote if table == "quotes" else Trade
    [made] = rows_of([kind("", "", **row) for row in said.iter_rows(named=True)])
    return np.asarray(made.columns[_DIGEST])


def _bars(rows: pl.DataFrame, values: list[pl.Expr]) -> pl.DataFrame:
    placed = rows.sort(*_ORDER).with_columns(pl.col("received_at").dt.truncate("1s").alias("second"))
    return placed.group_by(*PLACE, maintain_order=True).agg(values)


def _total(sizes: pl.Expr) -> pl.Expr:
    """Sum in the order of receipt, as PostgreSQL adds; `sum` adds in blocks and rounds otherwise."""
    return sizes.cum_sum().last().fill_null(0.0)

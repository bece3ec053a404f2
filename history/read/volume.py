"""Fewer trades, same volume and same extremes: of every stretch of time, what takers bought and sold."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

ROWS_A_STRETCH: Final = 6
"""Bought, sold, and where the exchange does not say, each at its lowest and its highest price."""

_CLOCK: Final = "received_ts_us"


def summed(frames: Iterable[pl.DataFrame], rows: int, start_us: int, end_us: int) -> Iterator[pl.DataFrame]:
    """Yield at most `rows` (>= 6) rows: per stretch and side the lowest and the highest price, at their
    times.

    What was traded is shared between the two so that their sizes add up to its size, and size times price to
    its value. The frames come in order of time; of them no more is kept than one stretch.
    """
    width = -(-(end_us - start_us) // (rows // ROWS_A_STRETCH))
    stretch = (pl.col(_CLOCK) - start_us) // width
    waiting = pl.DataFrame()
    for frame in frames:
        both = pl.concat([waiting, frame], how="diagonal").with_columns(stretch=stretch)
        is_open = pl.col("stretch") == pl.col("stretch").last()
        yield _sums(both.filter(~is_open))
        waiting = both.filter(is_open).drop("stretch")
    if len(waiting):
        yield _sums(waiting.with_columns(stretch=stretch))


def _sums(trades: pl.DataFrame) -> pl.DataFrame:
    price, size = pl.col("price"), pl.col("size")
    of_side = trades.group_by("stretch", "side").agg(
        low_at=pl.col(_CLOCK).get(price.arg_min()),
        high_at=pl.col(_CLOCK).get(price.arg_max()),
        low=price.min(),
        high=price.max(),
        size=size.sum(),
        value=(price * size).sum(),
    )
    low, high, total = pl.col("low"), pl.col("high"), pl.col("size")
    at_high = pl.when(high > low).then((pl.col("value") - total * low) / (high - low)).otherwise(0)
    of_side = of_side.with_columns(at_high=at_high.clip(0, total))
    lowest = of_side.select("side", pl.col("low_at").alias(_CLOCK), price=low, size=total - pl.col("at_high"))
    highest = of_side.filter(high > low)
    highest = highest.select("side", pl.col("high_at").alias(_CLOCK), price=high, size="at_high")
    return pl.concat([lowest, highest]).select(_CLOCK, "price", "size", "side").sort(_CLOCK, "side", "price")

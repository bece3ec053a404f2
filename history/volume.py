"""Fewer trades, same volume: of every stretch of time, what takers bought and what they sold."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

ROWS_A_STRETCH: Final = 3
"""Bought, sold, and where the venue does not say."""

_CLOCK: Final = "received_ts_us"


def summed(frames: Iterable[pl.DataFrame], rows: int, start_us: int, end_us: int) -> Iterator[pl.DataFrame]:
    """At most `rows` (>= 3) rows: one per stretch and side, the summed size at its average price.

    The time is that of the stretch's first trade of that side. The frames come in order of time; of
    them no more is kept than one stretch.
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
    paid = (pl.col("price") * pl.col("size")).sum()
    sums = trades.group_by("stretch", "side").agg(
        pl.col(_CLOCK).first(), price=paid / pl.col("size").sum(), size=pl.col("size").sum()
    )
    return sums.drop("stretch").sort(_CLOCK, "side")

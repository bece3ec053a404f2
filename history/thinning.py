"""Fewer rows, same picture (M4): of every stretch of time the first, lowest, highest, last, and its gap.

The stretches divide the range that was asked for, not the rows that were found, so that rows can
come in parts and a page always gets what its pixels show. (tsdownsample has M4 as well, but cuts
its bins between the first and last value it is given and keeps either gaps or extremes.)
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

ROWS_A_BIN: Final = 5


def thinned(
    frames: Iterable[pl.DataFrame], rows: int, start_us: int, end_us: int, *, clock: str, value: str
) -> Iterator[pl.DataFrame]:
    """At most `rows` (>= 5) of the rows between the two times; where `value` is null the line is broken.

    The frames come in order of `clock`, µs; of them no more is kept than one stretch.
    """
    width = -(-(end_us - start_us) // (rows // ROWS_A_BIN))
    stretch = (pl.col(clock) - start_us) // width
    waiting = pl.DataFrame()
    for frame in frames:
        both = pl.concat([waiting, frame], how="diagonal").with_columns(stretch=stretch)
        is_open = pl.col("stretch") == pl.col("stretch").last()
        yield _picked(both.filter(~is_open), value)
        waiting = both.filter(is_open).drop("stretch")
    if len(waiting):
        yield _picked(waiting.with_columns(stretch=stretch), value)


def _picked(rows: pl.DataFrame, value: str) -> pl.DataFrame:
    row, gap = pl.int_range(pl.len()), pl.col(value).is_null()
    indexed = rows.select("stretch", value, row=row)
    of_line = pl.col("row").filter(~gap)
    picked = indexed.group_by("stretch").agg(
        first=of_line.first(),
        low=pl.col("row").get(pl.col(value).arg_min(), null_on_oob=True),
        high=pl.col("row").get(pl.col(value).arg_max(), null_on_oob=True),
        last=of_line.last(),
        gap=pl.col("row").filter(gap).first(),
    )
    kept = picked.drop("stretch").unpivot()["value"].drop_nulls().unique().sort()
    return rows.drop("stretch")[kept]

"""Fewer rows, same picture (M4): of every stretch of time the first, the last, the extremes, and its gap.

Every value that is named keeps its lowest and its highest row; rows stay whole, so what belongs to an
extreme (the size at an edge) is that of the moment.

The stretches divide the range that was asked for, not the rows that were found, so that rows can
come in parts and a page always gets what its pixels show. (tsdownsample has M4 as well, but cuts
its bins between the first and last value it is given and keeps either gaps or extremes.)
"""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl


def thinned(
    frames: Iterable[pl.DataFrame],
    rows: int,
    start_us: int,
    end_us: int,
    *,
    clock: str,
    values: Sequence[str],
) -> Iterator[pl.DataFrame]:
    """At most `rows` of the rows between the two times, in order; at least those of one stretch.

    A stretch leaves up to two rows per value and three more (first, last, gap). Where the first of `values`
    is null the line is broken. Frames come in order of `clock`, µs; no more of them is kept than one stretch.
    """
    stretches = max(1, rows // (2 * len(values) + 3))
    width = -(-(end_us - start_us) // stretches)
    stretch = (pl.col(clock) - start_us) // width
    waiting = pl.DataFrame()
    for frame in frames:
        both = pl.concat([waiting, frame], how="diagonal").with_columns(stretch=stretch)
        is_open = pl.col("stretch") == pl.col("stretch").last()
        yield _picked(both.filter(~is_open), values)
        waiting = both.filter(is_open).drop("stretch")
    if len(waiting):
        yield _picked(waiting.with_columns(stretch=stretch), values)


def _picked(rows: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    row, gap = pl.int_range(pl.len()), pl.col(values[0]).is_null()
    of_line = pl.col("row").filter(~gap)
    extremes = {
        f"{name}_{which}": pl.col("row").get(place, null_on_oob=True)
        for name in values
        for which, place in (("low", pl.col(name).arg_min()), ("high", pl.col(name).arg_max()))
    }
    indexed = rows.select("stretch", *values, row=row)
    picked = indexed.group_by("stretch").agg(
        first=of_line.first(), last=of_line.last(), gap=pl.col("row").filter(gap).first(), **extremes
    )
    kept = picked.drop("stretch").unpivot()["value"].drop_nulls().unique().sort()
    return rows.drop("stretch")[kept]

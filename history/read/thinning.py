"""Fewer rows, same picture (M4): of every stretch of time the first, the last, the extremes, and gaps.

Every value that is named keeps its lowest and its highest row; rows stay whole, so what belongs to an
extreme (the size at an edge) is that of the moment.

The stretches divide the range that was asked for, not the rows that were found, so that rows can
come in parts and a page always gets what its pixels show. (tsdownsample has M4 as well, but cuts
its bins between the first and last value it is given and keeps either gaps or extremes.)
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

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
    """Yield at most `rows` of the rows between the two times, in order; at least those of one stretch.

    A stretch leaves up to two rows per value and two more (first, last). Where the first of `values` is null
    the line is broken: of the gaps between rows that are kept, those stay that break the longest times, as
    many as there is room for, and always one. Frames come in order of `clock`, µs; no more of them is kept
    than one stretch.
    """
    most = 2 * len(values) + 3
    stretches = max(1, rows // most)
    width = -(-(end_us - start_us) // stretches)
    stretch = (pl.col(clock) - start_us) // width
    waiting, given = pl.DataFrame(), 0

    def picked(part: pl.DataFrame) -> pl.DataFrame:
        nonlocal given
        room = (int(part["stretch"][-1]) + 1) * most - given if len(part) else 0
        found = _picked(part, values, clock, room)
        given += len(found)
        return found

    for frame in frames:
        both = pl.concat([waiting, frame], how="diagonal").with_columns(stretch=stretch)
        is_open = pl.col("stretch") == pl.col("stretch").last()
        yield picked(both.filter(~is_open))
        waiting = both.filter(is_open).drop("stretch")
    if len(waiting):
        yield picked(waiting.with_columns(stretch=stretch))


def _picked(rows: pl.DataFrame, values: Sequence[str], clock: str, room: int) -> pl.DataFrame:
    """Pick each stretch's first, last and extremes; gaps between them while all are not over `room`."""
    gap = pl.col(values[0]).is_null()
    of_line = pl.col("row").filter(~gap)
    extremes = {
        f"{name}_{which}": pl.col("row").get(place, null_on_oob=True)
        for name in values
        for which, place in (("low", pl.col(name).arg_min()), ("high", pl.col(name).arg_max()))
    }
    indexed = rows.select("stretch", *values, at=clock, row=pl.int_range(pl.len()))
    picked = indexed.group_by("stretch").agg(first=of_line.first(), last=of_line.last(), **extremes)
    points = picked.drop("stretch").unpivot()["value"].drop_nulls().unique().sort()
    gaps = _gaps(indexed.select("at", "row", gap=gap), points, room - len(points))
    return rows.drop("stretch")[pl.concat([points, gaps]).sort()]


def _gaps(rows: pl.DataFrame, points: pl.Series, count: int) -> pl.Series:
    """The first gap between each two of the points, of those that are furthest apart."""
    before = pl.col("row").is_in(points.implode()).cum_sum()
    first = rows.with_columns(before=before).filter("gap").group_by("before").agg(pl.first("row", "at"))
    times = rows["at"].gather(points)
    ends = pl.DataFrame({"since": [None, *times], "until": [*times, None]}, schema_overrides=_TIMES)
    first = first.join(ends.with_row_index("before"), on="before")
    unseen = pl.col("until").fill_null(pl.col("at")) - pl.col("since").fill_null(pl.col("at"))
    return first.sort(unseen, descending=True)["row"].head(max(count, 0))


_TIMES: Final = {"since": pl.Int64, "until": pl.Int64}

"""Parquet files of one table as one polars LazyFrame that survives a file that cannot be read.

polars gives up a whole scan for one bad file. Here the files are read in groups; a group that fails is read
file by file, and what cannot be read is left out and reported, so that one damaged file costs its own rows.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import polars as pl
from msgspec import Struct
from polars.exceptions import PanicException, PolarsError
from polars.io.plugins import register_io_source

GROUP_ROWS: Final = 4_000_000
"""Rows of the files that are read at once, about; columns and rows that are not asked for are not read."""


UNREADABLE: Final = (PolarsError, PanicException, OSError)
"""What polars raises for a damaged file; for some bits of its footer it panics, which is no Exception."""


class Source(Struct, frozen=True):
    """A data file as the log has it."""

    uri: str
    rows: int
    bytes: int
    oldest_us: int | None = None
    newest_us: int | None = None


Report = Callable[[Source, str], None]
"""Called for a file that is left out, with what is wrong with it."""


def scan(
    sources: list[Source], schema: Mapping[str, pl.DataType], options: dict[str, str], report: Report
) -> pl.LazyFrame:
    """The rows of the files, each with the columns of `schema`; null where a file lacks one."""

    def frames(
        columns: list[str] | None, where: pl.Expr | None, n_rows: int | None, _batch: int | None
    ) -> Iterator[pl.DataFrame]:
        def rows_of(group: list[Source]) -> pl.DataFrame:
            return read_group(group, schema, options, columns, where)

        for frame in _frames(sources, rows_of, report):
            yield frame if n_rows is None else frame.head(n_rows)
            n_rows = None if n_rows is None else n_rows - min(n_rows, len(frame))
            if n_rows == 0:
                return

    return register_io_source(frames, schema=dict(schema))


def read(
    sources: list[Source],
    schema: Mapping[str, pl.DataType],
    options: dict[str, str],
    where: pl.Expr,
    report: Report,
) -> pl.DataFrame:
    """The rows of the files that meet a condition, as `scan` gives them, without a copy on the way."""
    frames = list(_frames(sources, lambda group: read_group(group, schema, options, None, where), report))
    return pl.concat(frames) if frames else pl.DataFrame(schema=dict(schema))


def read_group(
    group: list[Source],
    schema: Mapping[str, pl.DataType],
    options: dict[str, str],
    columns: list[str] | None = None,
    where: pl.Expr | None = None,
) -> pl.DataFrame:
    """Some columns and rows of files; raises what polars does when one of them cannot be read."""
    frame = pl.scan_parquet(
        [source.uri for source in group],
        schema=dict(schema),
        storage_options=options or None,
        hive_partitioning=False,
        glob=False,
        missing_columns="insert",
    )
    frame = frame if where is None else frame.filter(where)
    return (frame if columns is None else frame.select(columns)).collect()


def _frames(
    sources: list[Source], rows_of: Callable[[list[Source]], pl.DataFrame], report: Report
) -> Iterator[pl.DataFrame]:
    for group in _groups(sources):
        try:
            yield rows_of(group)
        except UNREADABLE:
            yield from _one_by_one(group, rows_of, report)


def _one_by_one(
    group: list[Source], rows_of: Callable[[list[Source]], pl.DataFrame], report: Report
) -> Iterator[pl.DataFrame]:
    """The readable of some files. Raises what reading raises when an object store gives none of them."""
    read, failed = 0, []
    for source in group:
        try:
            frame = rows_of([source])
        except UNREADABLE as error:
            failed.append((source, error))
            continue
        read += 1
        yield frame
    for source, problem_met in failed:
        if problem := problem_of(source):
            report(source, problem)
        elif read or "://" not in source.uri:
            report(source, _first_line(problem_met))
        else:
            raise problem_met


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _groups(sources: list[Source]) -> Iterator[list[Source]]:
    group: list[Source] = []
    rows = 0
    for source in sources:
        if group and rows + source.rows > GROUP_ROWS:
            yield group
            group, rows = [], 0
        group.append(source)
        rows += source.rows
    if group:
        yield group


def problem_of(source: Source) -> str:
    """Problem of a local file as far as it shows without reading it; empty when it is as the log says."""
    if "://" in source.uri:
        return ""
    try:
        found = os.stat(source.uri)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return error.strerror or type(error).__name__
    if not os.path.isfile(source.uri):
        return "it is a directory"
    if found.st_size != source.bytes:
        return f"it has {found.st_size} bytes where the log says {source.bytes}"
    return ""

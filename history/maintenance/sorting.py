"""Sorting what does not fit into memory: rows of many Parquet files in order, a slice at a time.

Files that hold more than one slice together are first turned into sorted runs on the local disk, as
an external merge sort does; the statistics of a run then let every slice read its own part only, so
that the work grows with the rows and not with their square.
"""

import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

Schema = Mapping[str, pl.DataType]
"""The columns of a table: `history.read.reader.polars_schema`."""

SLICE_ROWS: Final = 200_000
"""What is sorted in memory at once; larger slices are no faster, and this one stays under 500 MB."""

SCRATCH_PREFIX: Final = "_sort-"  # what begins with an underscore is not a Delta table's

_RUN_ROW_GROUP: Final = 32_768
_RUNS_AT_ONCE: Final = 2
_SECOND_US: Final = 1_000_000
_MAX_INT64: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Source:
    """A Parquet file as polars names it, and its rows."""

    uri: str
    rows: int


def sorted_slices(
    sources: Sequence[Source],
    order: Sequence[str],
    options: dict[str, str] | None,
    slice_rows: int,
    scratch: str | None = None,
    *,
    schema: Schema | None = None,
) -> Generator[pl.DataFrame, None, None]:
    """All rows of `sources`, in the order of the columns `order`, in frames of about `slice_rows`.

    The last column of `order` is a time in µs; rows alike in all of `order` keep the order of the
    sources. `options` are the object store's. Runs lie in a directory below `scratch`, by default
    the system's for temporary files, and take about twice the room of the sources. With a `schema`, a
    file that is older than one of its columns has nulls there.
    """
    uris = [source.uri for source in sources]
    if sum(source.rows for source in sources) <= slice_rows:
        yield _sorted(_scan(uris, options, schema), order)
        return
    with _sorted_runs(_parts(sources, options, slice_rows, schema), order, scratch) as runs:
        scan = _scan(runs, None)
        for where in _ranges(scan, order, slice_rows):
            yield _sorted(scan.filter(where), order)


def ahead(items: Generator[pl.DataFrame, None, None]) -> Iterator[pl.DataFrame]:
    """The items, each made in another thread while the one before is written."""
    with closing(items), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def _scan(uris: Sequence[str], options: dict[str, str] | None, schema: Schema | None = None) -> pl.LazyFrame:
    return pl.scan_parquet(
        list(uris),
        schema=schema,
        missing_columns="raise" if schema is None else "insert",
        storage_options=options or None,
        hive_partitioning=False,
        glob=False,
    )


def _sorted(rows: pl.LazyFrame, order: Sequence[str]) -> pl.DataFrame:
    """Sort rows, those of one moment as they were written, because a replay repeats it.

    Sorted by one number made of all columns, which takes half as long as sorting by each.

    Raises ValueError when names times microseconds are more than 64 bits can distinguish: no hour is.
    """
    frame = rows.collect()
    if frame.is_empty():
        return frame
    key, different = pl.lit(0, dtype=pl.Int64), 1
    for name in order[:-1]:
        names = frame[name].unique().sort()
        key = key * len(names) + pl.col(name).cast(pl.Enum(names)).to_physical().cast(pl.Int64)
        different *= len(names)
    first, last = frame.select(pl.min(order[-1]), pl.max(order[-1]).alias("last")).row(0)
    span = last - first + 1
    if different * span > _MAX_INT64:
        raise ValueError(f"{different} names over {span} µs are too many to sort at once")
    return frame.sort(key * span + (pl.col(order[-1]) - first), maintain_order=True)


@contextmanager
def _sorted_runs(
    parts: Iterable[pl.LazyFrame], order: Sequence[str], scratch: str | None
) -> Iterator[list[str]]:
    def run(number: int, part: pl.LazyFrame) -> str:
        path = Path(directory) / f"{number}.parquet"
        _sorted(part, order).write_parquet(
            path, compression="uncompressed", row_group_size=_RUN_ROW_GROUP, statistics=True
        )
        return str(path)

    with (
        tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=scratch) as directory,
        ThreadPoolExecutor(_RUNS_AT_ONCE) as pool,
    ):
        yield list(pool.map(lambda part: run(*part), enumerate(parts)))


def _parts(
    sources: Sequence[Source], options: dict[str, str] | None, slice_rows: int, schema: Schema | None
) -> Iterator[pl.LazyFrame]:
    """The sources in heaps of about one slice; a file that is larger than one is read piece by piece."""
    heap: list[str] = []
    rows = 0
    for source in sources:
        if source.rows > slice_rows:
            scan = _scan([source.uri], options, schema)
            yield from (scan.slice(start, slice_rows) for start in range(0, source.rows, slice_rows))
            continue
        if rows + source.rows > slice_rows:
            yield _scan(heap, options, schema)
            heap, rows = [], 0
        heap.append(source.uri)
        rows += source.rows
    if heap:
        yield _scan(heap, options, schema)


def _ranges(scan: pl.LazyFrame, order: Sequence[str], slice_rows: int) -> Iterator[pl.Expr]:
    """Conditions that cut the rows into consecutive ranges of the sort order, each about one slice.

    Values of the first column that are few go together; one that is too many by itself is cut by the
    next column, at last by the second.
    """
    name, rest = order[0], order[1:]
    value = pl.col(name) if rest else pl.col(name) // _SECOND_US
    counts = scan.group_by(value.alias("value")).len("rows").sort("value").collect()
    for first, last, rows in _packed(counts.iter_rows(), slice_rows):
        if not rest:
            yield pl.col(name).is_between(first * _SECOND_US, (last + 1) * _SECOND_US, closed="left")
            continue
        where = pl.col(name).is_between(pl.lit(first), pl.lit(last))
        if rows > slice_rows:
            yield from (where & inner for inner in _ranges(scan.filter(where), rest, slice_rows))
        else:
            yield where


def _packed(counts: Iterator[tuple[Any, int]], slice_rows: int) -> Iterator[tuple[Any, Any, int]]:
    """Neighbouring values joined until a slice is full: first value, last value, rows."""
    first, last, total = None, None, 0
    for value, rows in counts:
        if total and total + rows > slice_rows:
            yield first, last, total
            total = 0
        if not total:
            first = value
        last, total = value, total + rows
    if total:
        yield first, last, total

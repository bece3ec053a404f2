"""Read access to the lake: polars frames and Arrow batches, from only the files that can hold the answer.

Delta's log says of every file which hour it belongs to and between which values its columns lie, so
files are chosen before any is opened; inside a file Parquet's own statistics choose the row groups.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final, TypedDict, Unpack

import polars as pl
import pyarrow as pa

from history.lake.schema import CLOCK, PARTITIONS, SCHEMAS
from history.lake.tables import Lake, partition_of
from history.read.left_out import LeftOut
from history.read.scanning import Source, read, scan

HOUR_US: Final = 3_600_000_000
SLICE_FILES: Final = 100
"""Files of one slice: about 20 ms of opening them. The hour being written has one per flush."""

BATCH_ROWS: Final = 500_000
"""Rows sorted in memory at once, at most (unless that many share one millisecond)."""

LEFT_OUT_NAMED: Final = 20

_NAMES: Final = ("symbol", "exchange", "exchange1", "exchange2")


class Where(TypedDict, total=False):
    """Selection of rows: names as the lake spells them, one or several, and the range [start, end) in µs."""

    symbol: str | Sequence[str] | None
    exchange: str | Sequence[str] | None
    exchange1: str | Sequence[str] | None
    exchange2: str | Sequence[str] | None
    start_us: int | None
    end_us: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of one table: what is written, compacted or deleted later does not show.

    `files` has one row per Parquet file: `uri`, `rows`, `date`, `hour`, and `min`/`max` of the clock
    and of the names. Once vacuumed away (a day after a compaction replaced them) files cannot be read.
    """

    table: str
    files: pl.DataFrame
    storage_options: dict[str, str]
    left_out: LeftOut = field(default_factory=LeftOut)
    """The files that could not be read so far."""

    def scan(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pl.LazyFrame:
        """The rows as a polars LazyFrame, in no particular order.

        Raises KeyError for a column the table does not have.
        """
        schema = polars_schema(self.table)
        frame = pl.LazyFrame(schema=schema)
        if sources := self._sources(where):
            frame = scan(sources, schema, self.storage_options, self.left_out.add)
        wanted = frame.filter(_conditions(self.table, where))
        return wanted if columns is None else wanted.select([name for name in columns if schema[name]])

    def _sources(self, where: Where) -> list[Source]:
        """The files to read, without those of which it can be seen that they are damaged."""
        chosen = self._chosen(where).select("uri", "rows", "bytes", "min.clock", "max.clock")
        sources = [Source(uri, rows or 0, *rest) for uri, rows, *rest in chosen.iter_rows()]
        return self.left_out.passed_by(sources)

    def slices(self, **where: Unpack[Where]) -> Iterator[tuple[int, int]]:
        """Ranges [start, end) in µs that together hold every row asked for, oldest first.

        One per hour that has files; several where an hour has so many that opening them takes long.
        """
        hours = self._chosen(where).group_by("date", "hour").agg(pl.len()).sort("date", "hour")
        for date, hour, count in hours.iter_rows():
            first_us = _hour_us(date, hour)
            start_us = max(first_us, where.get("start_us") or first_us)
            end_us = min(first_us + HOUR_US, where.get("end_us") or first_us + HOUR_US)
            step = ceil((end_us - start_us) / ceil(count / SLICE_FILES))
            for at in range(start_us, end_us, max(step, 1)):
                yield at, min(at + step, end_us)

    def batches(
        self, columns: Sequence[str] | None = None, **where: Unpack[Where]
    ) -> Iterator[pa.RecordBatch]:
        """The rows in order of time as Arrow record batches, with the memory of one batch.

        What was received in the same microsecond comes in the order of the monotonic stamp where the
        table has one, then of the names: the same order however the files are laid out.
        """
        wanted = list(columns or polars_schema(self.table))
        schema = pa.schema([SCHEMAS[self.table].field(name) for name in wanted])
        for frame in self.frames(**where):
            arrow = frame.select(wanted).to_arrow(compat_level=pl.CompatLevel.oldest())
            yield from arrow.cast(schema).to_batches()

    def frames(self, **where: Unpack[Where]) -> Iterator[pl.DataFrame]:
        """Yield what `batches` does, as polars frames with all columns."""
        for start_us, end_us in self.slices(**where):
            yield from self._sorted(where | {"start_us": start_us, "end_us": end_us})

    def _sorted(self, where: Where) -> Iterator[pl.DataFrame]:
        start_us, end_us = where["start_us"] or 0, where["end_us"] or 0
        found = int(self._chosen(where)["rows"].sum())
        if found > BATCH_ROWS:
            found = self.scan(**where).select(pl.len()).collect().item()
        if found > BATCH_ROWS and end_us - start_us > 1000:
            step = ceil((end_us - start_us) / ceil(found / BATCH_ROWS * 1.5))
            for at in range(start_us, end_us, step):
                yield from self._sorted(where | {"start_us": at, "end_us": min(at + step, end_us)})
            return
        conditions = _conditions(self.table, where)
        schema, options = polars_schema(self.table), self.storage_options
        frame = read(self._sources(where), schema, options, conditions, self.left_out.add)
        frame = frame.sort(order_of(self.table), maintain_order=True)
        if len(frame):
            yield frame

    def range(self, **where: Unpack[Where]) -> tuple[int, int] | None:
        """Times of the oldest and newest row, µs; None where there is no row."""
        hours = list(self.slices(**where))
        oldest = next((found for found in map(self._bounds(where), hours) if found), None)
        if oldest is None:
            return None
        newest = next(found for found in map(self._bounds(where), reversed(hours)) if found)
        return oldest[0], newest[1]

    def _bounds(self, where: Where) -> Any:
        clock = pl.col(CLOCK[self.table])

        def bounds(part: tuple[int, int]) -> tuple[int, int] | None:
            scan = self.scan(**(where | {"start_us": part[0], "end_us": part[1]}))
            oldest, newest = scan.select(clock.min(), clock.max().alias("newest")).collect().row(0)
            return None if oldest is None else (oldest, newest)

        return bounds

    def symbols(self, **where: Unpack[Where]) -> list[str]:
        """The symbols that have rows, in alphabetical order; reads the column over the whole range."""
        return self.scan(**where).select(pl.col("symbol").unique().sort()).collect()["symbol"].to_list()

    def _chosen(self, where: Where) -> pl.DataFrame:
        """The files whose partition and statistics do not rule them out."""
        start_us, end_us = where.get("start_us"), where.get("end_us")
        keep = [pl.lit(True)]
        if start_us is not None:
            keep += [_partition() >= _partition_key(start_us), _may(pl.col("max.clock") >= start_us)]
        if end_us is not None:
            keep += [_partition() <= _partition_key(end_us - 1), _may(pl.col("min.clock") < end_us)]
        for name, values in _asked(where):
            may = [(pl.col(f"min.{name}") <= v) & (pl.col(f"max.{name}") >= v) for v in values]
            keep.append(_may(pl.any_horizontal(may)))
        return self.files.filter(*keep)


@dataclass(frozen=True, slots=True)
class LakeReader:
    """Reads the tables of a lake, each at the newest version there is when a call is made.

    Tables and columns are those of `history.lake.schema.SCHEMAS`, without the partition columns `date` and
    `hour`. Every method raises KeyError for an unknown table, and what deltalake or polars raise when
    the store cannot be read.
    """

    lake: Lake
    left_out: dict[str, str] = field(default_factory=dict)
    """`table/path` of the files that could not be read so far, and why; by whatever was asked."""

    def left_out_words(self) -> list[str]:
        """`table/path: why` of the files left out so far, not more than anybody reads."""
        said = [f"{path}: {what}" for path, what in sorted(self.left_out.items())]
        rest = len(said) - LEFT_OUT_NAMED
        return said if rest <= 0 else [*said[:LEFT_OUT_NAMED], f"and {rest} more files"]

    def snapshot(self, table: str) -> Snapshot:
        """The newest version of a table, to be read several times alike; empty while it does not exist."""
        opened = self.lake.open(table)
        if opened is None:
            return Snapshot(table, pl.DataFrame(schema=_files_schema(table)), {})
        adds = pl.DataFrame(opened.get_add_actions(flatten=True))
        adds = adds.with_columns(uri=f"{self.lake.uri(table)}/" + pl.col("path"))
        files = adds.select(_file_columns(table, adds.columns))
        return Snapshot(table, files, self.lake.storage_options, LeftOut(self.lake, table, self.left_out))

    def scan(
        self, table: str, *, columns: Sequence[str] | None = None, **where: Unpack[Where]
    ) -> pl.LazyFrame:
        """See `Snapshot.scan`."""
        return self.snapshot(table).scan(columns, **where)

    def batches(
        self, table: str, *, columns: Sequence[str] | None = None, **where: Unpack[Where]
    ) -> Iterator[pa.RecordBatch]:
        """See `Snapshot.batches`."""
        return self.snapshot(table).batches(columns, **where)

    def range(self, table: str, **where: Unpack[Where]) -> tuple[int, int] | None:
        """See `Snapshot.range`."""
        return self.snapshot(table).range(**where)

    def symbols(self, table: str, **where: Unpack[Where]) -> list[str]:
        """See `Snapshot.symbols`."""
        return self.snapshot(table).symbols(**where)


def polars_schema(table: str) -> dict[str, pl.DataType]:
    """A table's columns as polars types, without the partition columns. Raises KeyError."""
    kept = [field for field in SCHEMAS[table] if field.name not in PARTITIONS]
    return dict(pl.Schema(pa.schema(kept)).items())


def order_of(table: str) -> list[str]:
    """The columns that put a table's rows into the order they were received in."""
    names = polars_schema(table)
    order = [CLOCK[table], "received_mono_ns", *_NAMES]
    return [name for name in order if name in names]


def _conditions(table: str, where: Where) -> pl.Expr:
    clock = pl.col(CLOCK[table])
    found = [pl.lit(True)]
    if (start_us := where.get("start_us")) is not None:
        found.append(clock >= start_us)
    if (end_us := where.get("end_us")) is not None:
        found.append(clock < end_us)
    for name, values in _asked(where):
        column = pl.col(name)
        found.append(column == values[0] if len(values) == 1 else column.is_in(values))
    return pl.all_horizontal(found)


def _asked(where: Where) -> Iterator[tuple[str, list[str]]]:
    """The names asked for, by column."""
    for name in _NAMES:
        value: Any = where.get(name)
        if value is not None:
            yield name, [value] if isinstance(value, str) else list(value)


def _may(condition: pl.Expr) -> pl.Expr:
    """A file without statistics may hold anything."""
    return condition.fill_null(True)


def _partition() -> pl.Expr:
    return pl.format("{}{}", pl.col("date"), pl.col("hour").cast(pl.String).str.zfill(2))


def _partition_key(ts_us: int) -> str:
    date, hour = partition_of(ts_us)
    return f"{date}{hour:02}"


def _hour_us(date: str, hour: int) -> int:
    day = pl.Series([date]).str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
    return int(day.to_physical()[0]) + hour * HOUR_US


def _files_schema(table: str) -> dict[str, Any]:
    names = {f"{end}.{name}": pl.String for name in _names_of(table) for end in ("min", "max")}
    clock = {"min.clock": pl.Int64, "max.clock": pl.Int64}
    return {
        "uri": pl.String,
        "rows": pl.Int64,
        "bytes": pl.Int64,
        "date": pl.String,
        "hour": pl.Int32,
        **clock,
        **names,
    }


def _names_of(table: str) -> list[str]:
    return [name for name in _NAMES if name in SCHEMAS[table].names]


def _file_columns(table: str, there: Sequence[str]) -> list[pl.Expr]:
    """The columns of `Snapshot.files` out of Delta's add actions; statistics nobody wrote are null."""
    sources = {
        "rows": "num_records",
        "bytes": "size_bytes",
        "date": "partition.date",
        "hour": "partition.hour",
    }
    sources |= {f"{end}.clock": f"{end}.{CLOCK[table]}" for end in ("min", "max")}
    return [
        (pl.col(source) if source in there else pl.lit(None)).cast(kind).alias(name)
        for name, kind in _files_schema(table).items()
        for source in [sources.get(name, name)]
    ]

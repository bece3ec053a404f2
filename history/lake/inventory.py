"""Inventory of a table of the lake, from its log: nobody walks the disk or lists the object store."""

import datetime
from dataclasses import dataclass
from typing import Final

import polars as pl
from deltalake import DeltaTable

from history.lake.schema import CLOCK
from history.lake.tables import Lake

GROWTH_DAYS: Final = 7

_COLUMNS: Final = {
    "path": pl.String,
    "date": pl.String,
    "hour": pl.Int32,
    "rows": pl.Int64,
    "bytes": pl.Int64,
    "oldest_us": pl.Int64,
    "newest_us": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table as its log has it; `bytes_per_day` is the mean of the last whole days that have rows."""

    files: int = 0
    rows: int = 0
    bytes: int = 0
    oldest_us: int | None = None
    newest_us: int | None = None
    bytes_per_day: int | None = None


def data_files(delta: DeltaTable, table: str) -> pl.DataFrame:
    """The table's files at the version `delta` has: path, date, hour, rows, bytes, oldest_us, newest_us."""
    clock = CLOCK[table]
    names = {
        "partition.date": "date",
        "partition.hour": "hour",
        "num_records": "rows",
        "size_bytes": "bytes",
        f"min.{clock}": "oldest_us",
        f"max.{clock}": "newest_us",
    }
    actions = pl.DataFrame(delta.get_add_actions(flatten=True)).rename(names, strict=False)
    missing = [pl.lit(None).alias(name) for name in _COLUMNS if name not in actions.columns]
    return actions.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in _COLUMNS.items())


def files_of(lake: Lake, table: str) -> pl.DataFrame:
    """`data_files` of the table's newest version; no rows while nothing was ever written to it."""
    delta = lake.open(table)
    return pl.DataFrame(schema=_COLUMNS) if delta is None else data_files(delta, table)


def size_of(files: pl.DataFrame, today: datetime.date) -> TableSize:
    """The sum of a table's files; `today` (UTC) does not count as a whole day yet."""
    days = by_day(files).filter(pl.col("date") < today.isoformat()).head(GROWTH_DAYS)
    return TableSize(
        files=len(files),
        rows=int(files["rows"].sum()),
        bytes=int(files["bytes"].sum()),
        oldest_us=_whole(files["oldest_us"].min()),
        newest_us=_whole(files["newest_us"].max()),
        bytes_per_day=int(days["bytes"].sum()) // len(days) if len(days) else None,
    )


def by_day(files: pl.DataFrame) -> pl.DataFrame:
    """Files, rows and bytes of each date, the newest first."""
    sums = (pl.len().alias("files"), pl.col("rows").sum(), pl.col("bytes").sum())
    return files.group_by("date").agg(*sums).sort("date", descending=True)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None

"""Data files that maintenance cannot read: taken out of the table and set aside, with a gap row for each."""

import time
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import RemoveAction

from history.lake.mending import append_gaps, gap_row
from history.lake.parquet import damage
from history.lake.quarantine import Note, now_us, say, set_aside
from history.lake.schema import PARTITIONS
from history.lake.tables import Lake
from history.read.reader import polars_schema
from history.read.scanning import UNREADABLE, Source, problem_of, read_group


def take_out(lake: Lake, delta: DeltaTable, table: str, files: pl.DataFrame, fence: CommitProperties) -> int:
    """Take those of some files (`history.lake.inventory.data_files`) that are damaged out of the table.

    Returns how many there were. Raises CommitFailedError when other maintenance got in between.
    """
    damaged = []
    for file in files.iter_rows(named=True):
        source = Source(f"{lake.uri(table)}/{file['path']}", file["rows"] or 0, file["bytes"])
        if what := damage_of(lake, table, source):
            damaged.append((file, what))
    if damaged:
        _remove(delta, [file for file, _ in damaged], fence)
    gaps = []
    for file, what in damaged:
        note = Note(table, file["path"], what, now_us(), file["oldest_us"], file["newest_us"])
        if not set_aside(lake, note):  # it is missing
            say(lake, note)
        gaps.append(gap_row(note))
    if gaps:
        append_gaps(lake, [gap for gap in gaps if gap])
    return len(damaged)


def damage_of(lake: Lake, table: str, source: Source) -> str:
    """Damage of a data file, all of which is read; empty when there is none."""
    if problem := problem_of(source):
        return problem
    if not lake.is_remote and (problem := damage(source.uri)):
        return problem
    schema = polars_schema(table)
    rows = 0
    try:
        for name in schema:  # a column at a time: a file may be larger than the memory there is
            rows = len(read_group([source], schema, lake.storage_options, [name]))
    except FileNotFoundError:
        return "it is missing"
    except UNREADABLE as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return "" if rows == source.rows else f"it has {rows} rows where the log says {source.rows}"


def _remove(delta: DeltaTable, files: list[dict[str, Any]], fence: CommitProperties) -> None:
    now_ms = time.time_ns() // 1_000_000
    parts: list[dict[str, str | None]] = [{"date": f["date"], "hour": str(f["hour"])} for f in files]
    delta.create_write_transaction(
        [
            RemoveAction(file["path"], True, now_ms, file["bytes"], part)
            for file, part in zip(files, parts, strict=True)
        ],
        mode="append",
        schema=delta.schema(),
        partition_by=list(PARTITIONS),
        commit_properties=fence,
    )

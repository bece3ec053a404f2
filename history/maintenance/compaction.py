"""Compaction: the many small files of an hour become few, sorted so that statistics prune.

A compaction commits exactly which files it read and which it wrote in their place, as one version:
rows appended meanwhile are in other files and stay, readers see the old files or the new ones, and a
file that somebody else removed meanwhile makes the commit fail. Two compactions of one table cannot
both commit either (`FENCE`), whatever became of the lock that keeps them apart.
"""

import datetime
import math
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction
from django.utils.translation import ngettext

from history.lake import durable
from history.lake.inventory import data_files, files_of
from history.lake.parquet import damage
from history.lake.schema import PARTITIONS, SORT_ORDER
from history.lake.tables import Lake
from history.maintenance.damaged_data import take_out
from history.maintenance.sorting import SCRATCH_PREFIX, SLICE_ROWS, Source, ahead, sorted_slices
from history.maintenance.steps import Step
from history.read.reader import polars_schema
from history.read.scanning import UNREADABLE
from history.write.sorted_files import SortedFile

FENCE: Final = "maintenance"
TARGET_BYTES: Final = 128 << 20
COMMIT_RETRIES: Final = 100
"""Each time a writer takes the next version number first; many collectors write every second."""

GRACE: Final = datetime.timedelta(minutes=5)
"""How long after its end an hour still gets rows: flushes, and what an object store's outage held up."""

# The name says that a file is all of its partition, sorted; whatever else lies there is still to do.
_SORTED: Final = "sorted-"
# Of an hour still being written to, sorted among themselves, so that reading it opens few files.
_MERGED: Final = "merged-"
MERGE_FILES: Final = 200


@dataclass(frozen=True, slots=True)
class Heap:
    """Files of one hour that should become few, and how the new ones' names begin."""

    date: str
    hour: int
    prefix: str
    files: pl.DataFrame  # see history.lake.inventory.data_files

    @property
    def label(self) -> str:
        """The hour and how many files of it, for people."""
        count = len(self.files)
        return ngettext("%(hour)s (%(count)d file)", "%(hour)s (%(count)d files)", count) % {
            "hour": f"{self.date} {self.hour:02}h",
            "count": count,
        }

    @property
    def directory(self) -> str:
        """Directory of the partition's files, below the table."""
        return f"date={self.date}/hour={self.hour}"

    @property
    def rows_per_file(self) -> int:
        """Rows that make files alike and about TARGET_BYTES, at the bytes a row takes now."""
        files = max(1, round(self.files["bytes"].sum() / TARGET_BYTES))
        return math.ceil(self.files["rows"].sum() / files)


def plan(lake: Lake, table: str, now: datetime.datetime) -> list[Step]:
    """A step for every hour that has files to compact, the oldest first."""
    return [
        Step(heap.label, partial(_compact_hour, lake, table, heap.date, heap.hour, now))
        for heap in heaps(files_of(lake, table), now)
    ]


def heaps(files: pl.DataFrame, now: datetime.datetime) -> list[Heap]:
    """Partitions to compact among a table's files, the oldest hour first.

    All files of an hour that is over, unless they came out of a compaction together; and the loose
    files of an hour that is not, once they are MERGE_FILES.
    """
    hours = files.sort("date", "hour").partition_by("date", "hour", maintain_order=True)
    return [heap for hour in hours if (heap := _heap(hour, now)) is not None]


def _heap(files: pl.DataFrame, now: datetime.datetime) -> Heap | None:
    date, hour = files.select("date", "hour").row(0)
    name = pl.col("path").str.split("/").list.last()
    whole, merged = name.str.starts_with(_SORTED), name.str.starts_with(_MERGED)
    if _end(date, hour) + GRACE <= now:
        loose = files.filter(~whole)
        return Heap(date, hour, _SORTED, files) if len(loose) else None
    loose = files.filter(~whole & ~merged)
    return Heap(date, hour, _MERGED, loose) if len(loose) >= MERGE_FILES else None


def _end(date: str, hour: int) -> datetime.datetime:
    start = datetime.datetime.fromisoformat(date).replace(tzinfo=datetime.UTC)
    return start + datetime.timedelta(hours=hour + 1)


def _compact_hour(lake: Lake, table: str, date: str, hour: int, now: datetime.datetime) -> int:
    """Compact what is loose in an hour by now; returns the rows rewritten."""
    delta = lake.open(table)
    if delta is None:
        return 0
    files = data_files(delta, table).filter(pl.col("date") == date, pl.col("hour") == hour)
    try:
        return sum(compact(lake, delta, table, heap) for heap in heaps(files, now))
    except (*UNREADABLE, ValueError):  # a file that cannot be read costs itself, not its hour
        if not take_out(lake, delta, table, files, fenced(delta, "damaged")):
            raise
    return _compact_hour(lake, table, date, hour, now)


def compact(lake: Lake, delta: DeltaTable, table: str, heap: Heap) -> int:
    """Replace the heap's files, which `delta` has, by sorted ones; returns the rows rewritten.

    Raises:
        CommitFailedError: other maintenance of the table got in between; nothing is changed.
        ValueError: the files are damaged or hold other rows than the log says; nothing is changed.
    """
    _check(lake, table, heap)
    written = list(_write(lake, table, heap))
    rows, expected = sum(file.rows for file in written), heap.files["rows"].sum()
    if rows != expected:
        raise ValueError(f"{table} {heap.label}: {rows} rows in files that should hold {expected}")
    for file in written:
        durable.sync(lake, table, file.path)  # before the commit that lets go of what they replace
    _commit(delta, heap, written)
    return rows


def _check(lake: Lake, table: str, heap: Heap) -> None:
    """Raise ValueError when the checksums of a local file do not agree: sorted, it would be believed."""
    if lake.is_remote:
        return
    for path in heap.files["path"]:
        if problem := damage(f"{lake.uri(table)}/{path}"):
            raise ValueError(f"{path}: {problem}")


def _write(lake: Lake, table: str, heap: Heap) -> Iterator[SortedFile]:
    """The heap's rows in new files that no version of the table knows yet, closed one by one."""
    store = lake.store(table)
    files = heap.files.sort("oldest_us", "newest_us").select("path", "rows")  # as they were written
    sources = [Source(f"{lake.uri(table)}/{path}", rows) for path, rows in files.iter_rows()]
    scratch, file = _scratch(lake, table), None
    slices = sorted_slices(
        sources, SORT_ORDER[table], lake.storage_options, SLICE_ROWS, scratch, schema=polars_schema(table)
    )
    for rows in ahead(slices):
        if file is None:
            file = SortedFile(table, store, f"{heap.directory}/{heap.prefix}{uuid.uuid4()}.parquet")
        file.write(rows)
        if file.rows >= heap.rows_per_file:
            file.close()
            yield file
            file = None
    if file is not None:
        file.close()
        yield file


def _scratch(lake: Lake, table: str) -> str | None:
    """Directory to sort in: beside a table on the local disk, since a container's /tmp may lack room."""
    if "://" in lake.url:
        return None
    for left in Path(lake.uri(table)).glob(f"{SCRATCH_PREFIX}*"):  # by a compaction that was killed
        shutil.rmtree(left, ignore_errors=True)
    return lake.uri(table)


def _commit(delta: DeltaTable, heap: Heap, written: list[SortedFile]) -> None:
    now_ms = time.time_ns() // 1_000_000
    partition: dict[str, str | None] = {"date": heap.date, "hour": str(heap.hour)}
    removed = [
        RemoveAction(path, False, now_ms, size, partition)
        for path, size in heap.files.select("path", "bytes").iter_rows()
    ]
    # No change of data: appends that go on meanwhile are not disturbed, and need not be repeated.
    added = [AddAction(file.path, file.bytes, partition, now_ms, False, file.stats) for file in written]
    delta.create_write_transaction(
        [*added, *removed],
        mode="append",
        schema=delta.schema(),
        partition_by=list(PARTITIONS),
        commit_properties=fenced(delta, "compact"),
        post_commithook_properties=PostCommitHookProperties(
            create_checkpoint=True, cleanup_expired_logs=False
        ),
    )


def fenced(delta: DeltaTable, kind: str) -> CommitProperties:
    """Lets the commit through only if no other maintenance committed since the version `delta` has."""
    number = (delta.transaction_version(FENCE) or 0) + 1
    return CommitProperties(
        custom_metadata={"maintenance": kind},
        max_commit_retries=COMMIT_RETRIES,
        app_transactions=[Transaction(FENCE, number)],
    )

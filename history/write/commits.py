"""Data files and log entries of appends: one file per partition, then one entry that adds them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError

from collectors.lease import Lease, lease_name
from history.lake import durable
from history.lake.entries import sealed
from history.lake.log_files import Action, entry_at
from history.lake.parquet import delta_stats, encoding
from history.lake.partitions import by_partition
from history.lake.tables import Lake, LakeError, log_entry

File = dict[str, Any]
"""A data file as the `add` action of the Delta protocol has it."""


def write_files(lake: Lake, table: str, rows: pa.Table, app_id: str, sequence: int) -> list[File]:
    """Store rows, a file per hour; a retry stores the same files again."""
    return [
        _write(lake, table, f"date={date}/hour={hour}/{app_id}-{sequence}.parquet", part)
        for date, hour, part in by_partition(rows, table)
    ]


def _write(lake: Lake, table: str, path: str, rows: pa.Table) -> File:
    metadata: list[pq.FileMetaData] = []
    buffer = BytesIO()
    pq.write_table(rows, buffer, metadata_collector=metadata, **encoding(rows.schema))
    content = buffer.getvalue()
    durable.put(lake, table, path, content)
    return added(path, len(content), metadata[0])


def added(path: str, size: int, metadata: pq.FileMetaData) -> File:
    """The action that adds a file; its partition is that of its path."""
    date, hour, _name = path.split("/")
    return {
        "path": path,
        "partitionValues": {"date": date.removeprefix("date="), "hour": hour.removeprefix("hour=")},
        "size": size,
        "modificationTime": time.time_ns() // 1_000_000,
        "dataChange": True,
        "stats": delta_stats(metadata),
    }


def commit(  # noqa: PLR0917
    lake: Lake,
    table: str,
    after: int,
    files: list[File],
    app_id: str,
    sequence: int,
    mark: str = "",
    lease: Lease | None = None,
) -> int:
    """Put an entry that adds files under the next free number after one known; returns the number.

    Files that an entry of the same transaction added meanwhile are not added again. `mark` is another
    transaction, set to the wall clock in µs, and that of a `lease` to its token: a collector that was
    replaced finds the number taken by an entry with a higher one.

    Raises LakeError when the table was changed meanwhile, Outbid, LeaseLost.
    """
    marks = {mark: time.time_ns() // 1000} if mark else {}
    version = after + 1
    while True:
        if lease is not None:
            lease.check()
            marks |= dict.fromkeys(map(lease_name, lease.names), lease.token)
        content = _entry(files, {app_id: sequence} | marks)
        try:
            durable.put(lake, table, log_entry(version), content, create=True)
        except AlreadyExistsError:
            actions = entry_at(lake, table, lake.store(table), version)
            _refuse_older(actions, lease)
            there = _committed(lake, table, actions, app_id, sequence)
            files = [file for file in files if there is None or file["path"] not in there]
            if there is not None and not files:
                return version
            version += 1
        else:
            return version


def refuse_replaced(lake: Lake, table: str, after: int, lease: Lease) -> None:
    """Look for newer leases in the entries after one known. Raises Outbid."""
    for version in count(after + 1):
        try:
            actions = entry_at(lake, table, lake.store(table), version)
        except FileNotFoundError:
            return
        _refuse_older(actions, lease)


def _refuse_older(actions: Iterable[Action], lease: Lease | None) -> None:
    for action in actions:
        if lease is not None and action.txn is not None and action.txn.appId == lease.name:
            lease.compare(action.txn.version)


def _committed(
    lake: Lake, table: str, actions: Sequence[Action], app_id: str, sequence: int
) -> set[str] | None:
    """The files an entry of our transaction added: written before a failure that did not say so."""
    if any(action.metaData is not None or action.protocol is not None for action in actions):
        raise LakeError(f"{lake.uri(table)} was changed by another program")
    if _has(actions, app_id, sequence):
        return {action.add.path for action in actions if action.add is not None}
    return None


def _has(actions: Iterable[Action], app_id: str, sequence: int) -> bool:
    done = [action.txn for action in actions if action.txn is not None]
    return any(txn.appId == app_id and txn.version == sequence for txn in done)


def _entry(files: list[File], transactions: Mapping[str, int]) -> bytes:
    actions: list[dict[str, Any]] = [
        {"txn": {"appId": app, "version": number, "lastUpdated": time.time_ns() // 1_000_000}}
        for app, number in transactions.items()
    ]
    actions += [{"add": file} for file in files]
    about = {"operation": "WRITE", "operationParameters": {"mode": "Append"}, "isBlindAppend": True}
    return sealed(about, actions)

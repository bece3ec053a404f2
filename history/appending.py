"""Appends to one table of the lake whose cost does not grow with the table.

A Delta append that depends on nothing it read is a data file, and then one entry in the log under
the next free number; put-if-absent decides between writers (the protocol's "blind append"). The
library's own write reads the list of all live files again for every append: 9 ms in an empty table,
110 ms with the 1,200 files of twenty minutes (see benchmarks/lake_append.py), and we append every
second. Everything else on the tables stays the library's: creating, checkpoints, compaction, reading.
"""

import logging
import time
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import AlreadyExistsError, BaseError

from history.first_entry import WRITER_VERSION
from history.lake import Lake, LakeError, log_entry
from history.logs import ensure, sum_up, widen
from history.parquet import delta_stats, encoding, file_schema
from history.partitions import by_partition

logger = logging.getLogger(__name__)

STORE_ERRORS: Final = (LakeError, BaseError, OSError)
"""What a store that fails raises; anything else is a bug."""

CHECKPOINT_EVERY: Final = 100
"""Log entries between checkpoints, so that opening a table reads few of them."""


class Appender:
    """Appends rows to one table, each `sequence` number of an `app_id` once.

    Everything blocks; call it in a thread. The log wants a checkpoint now and then: whoever appends calls
    `checkpoint_if_due`, afterwards or beside what follows. Raises one of STORE_ERRORS when the store
    fails; the same call may then be made again, whatever became of the one before.
    """

    def __init__(self, lake: Lake, table: str, app_id: str, mark: str = "") -> None:
        """`mark` names another transaction that every append sets to the wall clock, in µs."""
        self.table = table
        self.rows = 0
        self.checkpoint_due = False
        self._lake = lake
        self._store = lake.store(table)
        self._app_id = app_id
        self._mark = mark
        self._sequence = -1  # the last one that is in the table
        self._version = -1  # the newest of the log that is known

    def append(self, rows: pa.Table, sequence: int) -> None:
        """Commit rows (the table's columns without those of the partition) in one version."""
        if not self._log_ends_there():
            self._look()
        if sequence <= self._sequence:
            return
        files = [self._write(*part, sequence) for part in by_partition(rows, self.table)]
        version = self._commit(files, sequence)
        self.rows += len(rows)
        if version % CHECKPOINT_EVERY == 0:
            self.checkpoint_due = True

    def checkpoint_if_due(self) -> None:
        """Sum the log up; may run beside appends. A failure costs readers time until the next, no row."""
        if not self.checkpoint_due:
            return
        self.checkpoint_due = False
        try:
            sum_up(self._lake, self.table)
        except STORE_ERRORS as error:
            logger.warning("no checkpoint of the lake's %s: %s", self.table, error)

    def _log_ends_there(self) -> bool:
        """Whether the newest entry known is still there: then a number after it is free or in use.

        Without it, it might be neither: old entries are deleted, and so are directories by hand.
        """
        if self._version < 0:
            return False
        try:
            self._store.head(log_entry(self._version))
        except FileNotFoundError:
            return False
        return True

    def _look(self) -> None:
        """Where the log ends, and what of ours is in it already."""
        log = ensure(self._lake, self.table, self._app_id)
        if (needed := log.min_writer_version) > WRITER_VERSION:
            raise LakeError(f"{self._lake.uri(self.table)} needs writers of protocol version {needed}")
        if missing := [name for name in file_schema(self.table).names if name not in log.columns]:
            widen(self._lake, self.table, missing)
            log = ensure(self._lake, self.table, self._app_id)
        self._version = log.version
        self._sequence = max(self._sequence, log.transactions.get(self._app_id, -1))

    def _write(self, date: str, hour: int, rows: pa.Table, sequence: int) -> dict[str, Any]:
        """Store one file; a retry stores the same one again. Returns its `add` action."""
        path = f"date={date}/hour={hour}/{self._app_id}-{sequence}.parquet"
        metadata: list[pq.FileMetaData] = []
        buffer = pa.BufferOutputStream()
        pq.write_table(rows, buffer, metadata_collector=metadata, **encoding(rows.schema))
        content = buffer.getvalue().to_pybytes()
        self._store.put(path, content, use_multipart=False)
        return {
            "path": path,
            "partitionValues": {"date": date, "hour": str(hour)},
            "size": len(content),
            "modificationTime": time.time_ns() // 1_000_000,
            "dataChange": True,
            "stats": delta_stats(metadata[0]),
        }

    def _commit(self, files: list[dict[str, Any]], sequence: int) -> int:
        """Put the log entry under the next free number."""
        entry = self._entry(files, sequence)
        version = self._version + 1
        while not self._put(version, entry):
            if self._holds(version, sequence):
                break
            version += 1
        self._version, self._sequence = version, sequence
        return version

    def _entry(self, files: list[dict[str, Any]], sequence: int) -> bytes:
        now_ms = time.time_ns() // 1_000_000
        transactions = {self._app_id: sequence}
        if self._mark:
            transactions[self._mark] = now_ms * 1000
        info = {"timestamp": now_ms, "operation": "WRITE", "operationParameters": {"mode": "Append"}}
        actions: list[dict[str, Any]] = [{"commitInfo": info | {"isBlindAppend": True}}]
        actions += [
            {"txn": {"appId": app, "version": number, "lastUpdated": now_ms}}
            for app, number in transactions.items()
        ]
        actions += [{"add": file} for file in files]
        return b"\n".join(map(msgspec.json.encode, actions))

    def _put(self, version: int, entry: bytes) -> bool:
        try:
            self._store.put(log_entry(version), entry, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def _holds(self, version: int, sequence: int) -> bool:
        """Whether the entry is ours: written before a failure that did not say so.

        Raises LakeError when it changed what the table is; the next append looks at it anew.
        """
        content = bytes(self._store.get(log_entry(version)).bytes())
        for line in content.splitlines():
            action = msgspec.json.decode(line)
            if action.get("txn", {}).get("appId") == self._app_id and action["txn"]["version"] == sequence:
                return True
            if "metaData" in action or "protocol" in action:
                self._version = -1
                raise LakeError(f"{self._lake.uri(self.table)} was changed by another program")
        return False

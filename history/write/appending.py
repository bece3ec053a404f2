"""Appends to one table of the lake whose cost does not grow with the table.

A Delta append that depends on nothing it read is a data file, and then one entry in the log under
the next free number; put-if-absent decides between writers (the protocol's "blind append"). The
library's own write reads the list of all live files again for every append: 9 ms in an empty table,
110 ms with the 1,200 files of twenty minutes (docs/performance_tricks.md), and we append every second.
Everything else on the tables stays the library's: creating, checkpoints, compaction, reading.
"""

import logging
from collections.abc import Callable
from typing import Final

import pyarrow as pa
from obstore.exceptions import BaseError

from collectors.lease import Lease, Outbid
from history.lake.first_entry import WRITER_VERSION
from history.lake.logs import TableLog, look, sum_up, widen
from history.lake.mending import mend, sound
from history.lake.parquet import file_schema
from history.lake.tables import Lake, LakeError, log_entry
from history.write.commits import File, commit, refuse_replaced, write_files

logger = logging.getLogger(__name__)

STORE_ERRORS: Final = (LakeError, BaseError, OSError)
"""What a store that fails raises; anything else is a bug."""

CHECKPOINT_EVERY: Final = 100
"""Log entries between checkpoints, so that opening a table reads few of them."""


class Appender:
    """Appends rows to one table, each `sequence` number of an `app_id` once.

    What is damaged in the table's log is set aside before the first append, and when it is met later
    (`history.lake.mending`). Everything blocks; call it in a thread. The log wants a checkpoint now and then:
    the caller calls `checkpoint_if_due`, afterwards or beside what follows. Raises one of STORE_ERRORS
    when the store fails; the same call may then be made again, whatever became of the one before.
    """

    def __init__(
        self, lake: Lake, table: str, app_id: str, mark: str = "", lease: Lease | None = None
    ) -> None:
        """`mark` names another transaction that every append sets to the wall clock, in µs.

        With a `lease` nothing is appended once a higher token was (LeaseLost, an OSError).
        """
        self.table = table
        self.rows = 0
        self.checkpoint_due = False
        self._lake = lake
        self._store = lake.store(table)
        self._app_id = app_id
        self._mark = mark
        self._lease = lease
        self._sequence = -1  # the last one that is in the table
        self._version = -1  # the newest of the log that is known
        self._begun = False

    def append(self, rows: pa.Table, sequence: int) -> None:
        """Commit rows (the table's columns without those of the partition) in one version."""
        if not self._log_ends_there():
            self._look()
        if sequence <= self._sequence:
            return
        self._refuse_replaced()
        try:
            files = write_files(self._lake, self.table, rows, self._app_id, sequence)
            self._commit(files, self._app_id, sequence, self._mark)
        except STORE_ERRORS:  # damaged, perhaps, or changed by another program: read before the next try
            self._version, self._begun = -1, False
            raise
        self._sequence = sequence
        self.rows += len(rows)
        if self._version % CHECKPOINT_EVERY == 0:
            self.checkpoint_due = True

    def begin(self) -> None:
        """Refuse older leases in this table from now on, before anything is appended."""
        if self._lease is not None:
            self._look()
            self._commit([], self._lease.name, self._lease.token)

    def _refuse_replaced(self) -> None:
        """Write nothing after a standstill before it is known that no other collector began meanwhile.

        A data file that no entry knows comes into the table with the next mending.
        """
        lease = self._lease
        if lease is not None and lease.is_doubtful:
            self._unless_outbid(lambda: refuse_replaced(self._lake, self.table, self._version, lease))

    def _commit(self, files: list[File], app_id: str, sequence: int, mark: str = "") -> None:
        def put() -> None:
            self._version = commit(
                self._lake, self.table, self._version, files, app_id, sequence, mark, self._lease
            )

        self._unless_outbid(put)

    def _unless_outbid(self, work: Callable[[], None]) -> None:
        """Do it; where a higher token than ours was seen, again above it if the lease is ours still."""
        while True:
            try:
                return work()
            except Outbid as higher:
                if self._lease is None:
                    raise
                self._lease.outbid(higher.token)

    def checkpoint_if_due(self) -> None:
        """Sum the log up; may run beside appends. A failure costs readers time until the next, no row."""
        if not self.checkpoint_due:
            return
        self.checkpoint_due = False
        try:
            try:
                look(self._lake, self.table)  # stricter than the library: what is damaged is not summed up
                sum_up(self._lake, self.table)
            except LakeError:
                if not mend(self._lake, self.table):
                    raise
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
            self._begun = False  # what else is gone, nobody knows
            return False
        return True

    def _look(self) -> None:
        """Find the end of the log, and what of ours is in it already."""
        if not self._begun:
            mend(self._lake, self.table, begin=True)
        log = self._sound()
        if (needed := log.min_writer_version) > WRITER_VERSION:
            raise LakeError(f"{self._lake.uri(self.table)} needs writers of protocol version {needed}")
        if missing := [name for name in file_schema(self.table).names if name not in log.columns]:
            widen(self._lake, self.table, missing)
            log = self._sound()
        self._begun = True
        self._version = log.version
        self._sequence = max(self._sequence, log.transactions.get(self._app_id, -1))

    def _sound(self) -> TableLog:
        lease = self._lease
        if lease is None:
            return sound(self._lake, self.table, self._app_id)
        log = sound(self._lake, self.table, self._app_id, lease.name)
        if (seen := log.transactions.get(lease.name, 0)) > lease.token:
            lease.outbid(seen)
        return log

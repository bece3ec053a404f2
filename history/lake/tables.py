"""The lake: Delta tables of Parquet under one URL, local or object store."""

import datetime
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from django.conf import settings
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from history.lake.first_entry import first_entry
from history.lake.schema import SCHEMAS, TIME_COLUMNS
from history.lake.stores import store_at

if TYPE_CHECKING:
    from deltalake import DeltaTable, Transaction, WriterProperties

# deltalake takes 30 MB and is imported where it is used: a collector appends without (history.lake.logs).

LOG_FOLDER: Final = "_delta_log"
_ROW_GROUP_ROWS: Final = 122_880
_APPEND_ATTEMPTS: Final = 5
_OPEN_ATTEMPTS: Final = 4
_OPEN_PAUSE_S: Final = 0.02


class LakeError(Exception):
    """A table cannot be written as it is; the message names it and says why."""


def writer_properties(table: str) -> "WriterProperties":
    """Encoding of a table's Parquet: zstd, times as deltas, the rest as dictionaries."""
    from deltalake import ColumnProperties, WriterProperties

    deltas = {
        name: ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
        for name in SCHEMAS[table].names
        if name in TIME_COLUMNS
    }
    return WriterProperties(
        compression="ZSTD",
        compression_level=3,
        max_row_group_size=_ROW_GROUP_ROWS,
        column_properties=deltas,
    )


@dataclass(frozen=True, slots=True)
class Lake:
    """Place of the tables. `storage_options` are deltalake's, for object stores."""

    url: str
    storage_options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_settings(cls) -> "Lake":
        """The lake named by LAKE_URL."""
        return cls.at(settings.LAKE_URL)

    @classmethod
    def at(cls, url: str) -> "Lake":
        """The lake at a URL or path, with the AWS_* variables of the environment for s3://."""
        return cls(url.rstrip("/"), dict(settings.LAKE_STORAGE_OPTIONS) if "://" in url else {})

    @property
    def is_remote(self) -> bool:
        """Whether it lies in an object store, and not in a directory."""
        return "://" in self.url

    def uri(self, table: str) -> str:
        """The URI of a table; raises KeyError for a table the schema does not have."""
        SCHEMAS[table]
        return f"{self.url}/{table}"

    def open(self, table: str) -> "DeltaTable | None":
        """The table at its newest version, None while nothing was ever written to it.

        A log that is damaged is mended first (history.lake.mending). Raises DeltaError or OSError when it
        cannot be read, LakeError when it cannot be mended.
        """
        from deltalake.exceptions import DeltaError

        from history.lake.mending import looks_damaged, mend

        if looks_damaged(self, table):
            mend(self, table)
        for attempt in range(_OPEN_ATTEMPTS):
            try:
                return self._opened(table)
            except (DeltaError, OSError) as error:
                # A directory listed during commits may show a later one and not an earlier, and while
                # another process mends, a hint and not the checkpoint.
                time.sleep(_OPEN_PAUSE_S)
                if attempt:
                    mend(self, table, refused=str(error).partition("\n")[0])
        return self._opened(table)

    def _opened(self, table: str) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.uri(table), storage_options=self.storage_options or None)
        except TableNotFoundError:
            return None

    def store(self, table: str) -> ObjectStore:
        """A table's files. Raises OSError when there can be no such directory."""
        return store_at(self.uri(table), self.storage_options)

    def ensure(self, table: str) -> "DeltaTable":
        """The table, created empty when missing; safe when two writers do it at once."""
        if (existing := self.open(table)) is not None:
            return existing
        with suppress(AlreadyExistsError):  # another writer was quicker
            self.store(table).put(log_entry(0), first_entry(table), mode="create", use_multipart=False)
        opened = self.open(table)
        if opened is None:
            raise LakeError(f"the lake table {table} could not be created at {self.url}")
        return opened

    def append(self, delta: "DeltaTable", table: str, rows: pa.Table, app_id: str, version: int) -> None:
        """Commit rows once: an `app_id` whose transaction `version` is in the table already adds nothing.

        Raises what deltalake raises when the store fails; the caller may retry with the same version.
        """
        self.append_all(delta, table, rows, {app_id: version})

    def append_all(
        self, delta: "DeltaTable", table: str, rows: pa.Table, versions: Mapping[str, int]
    ) -> None:
        """Append with several transactions; one commit has them all, so the first stands for the rest."""
        from deltalake import Transaction
        from deltalake.exceptions import CommitFailedError

        app_id, version = next(iter(versions.items()))
        for attempt in range(1, _APPEND_ATTEMPTS + 1):
            delta.update_incremental()
            if (done := delta.transaction_version(app_id)) is not None and done >= version:
                return
            try:
                _write(delta, table, rows, [Transaction(*each) for each in versions.items()])
                return
            except CommitFailedError:  # retention deleted old days meanwhile; nothing was written
                if attempt == _APPEND_ATTEMPTS:
                    raise


def _write(delta: "DeltaTable", table: str, rows: pa.Table, transactions: list["Transaction"]) -> None:
    from deltalake import CommitProperties, PostCommitHookProperties, write_deltalake

    write_deltalake(
        delta,
        rows,
        mode="append",
        writer_properties=writer_properties(table),
        commit_properties=CommitProperties(app_transactions=transactions),
        post_commithook_properties=PostCommitHookProperties(
            create_checkpoint=True, cleanup_expired_logs=False
        ),
    )


def log_entry(version: int) -> str:
    """Path of a version's log entry, relative to the table."""
    return f"{LOG_FOLDER}/{version:020}.json"


def partition_of(ts_us: int) -> tuple[str, int]:
    """`date` and `hour` of a time in µs, UTC."""
    moment = datetime.datetime.fromtimestamp(ts_us // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%d"), moment.hour

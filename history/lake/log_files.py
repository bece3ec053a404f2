"""The files of a table's Delta log, read without the library: entries, checkpoints and the hint at one.

What cannot be read is a `DamagedError` that names the file; what is not there is a FileNotFoundError. An
entry of ours carries a checksum (`history.lake.entries`); what the library would refuse or misread in any is
refused here first.
"""

import os
import re
from collections.abc import Iterable
from typing import Any, Final, cast
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET, Struct, UnsetType
from obstore.store import ObjectStore

from history.lake.entries import checksum
from history.lake.schema import PARTITIONS
from history.lake.tables import LOG_FOLDER, Lake, LakeError, log_entry

HINT: Final = f"{LOG_FOLDER}/_last_checkpoint"
_LOG_FILE: Final = re.compile(rf"{LOG_FOLDER}/(\d{{20}})\.(json|checkpoint\.parquet)")
_ASKED: Final = ["txn.appId", "txn.version", "protocol.minWriterVersion", "metaData.schemaString"]


class DamagedError(LakeError):
    """A file of the lake that says nothing, or not what it should."""

    def __init__(self, lake: Lake, table: str, path: str, what: str) -> None:
        super().__init__(f"{lake.uri(table)}/{path} is damaged: {what}")
        self.path = path
        self.what = what


class Transaction(Struct):
    """The names here are the protocol's."""

    appId: str
    version: int


class Protocol(Struct):
    """Versions of the protocol that a writer must know."""

    minWriterVersion: int


class Metadata(Struct):
    """Schema and properties of the table."""

    schemaString: str


class CommitInfo(Struct):
    """Time an entry was written, ms since the epoch; `crc32` is that of the lines after this one."""

    timestamp: int | None = None
    crc32: int | None = None


class Statistics(Struct, forbid_unknown_fields=True):
    """Statistics of a data file's content in an entry; Delta's names."""

    numRecords: int
    minValues: dict[str, Any] = {}
    maxValues: dict[str, Any] = {}
    nullCount: dict[str, Any] = {}
    tightBounds: bool = True


class Add(Struct):
    """A data file that belongs to the table from this entry on."""

    path: str
    partitionValues: dict[str, str | None]
    size: int
    modificationTime: int
    dataChange: bool
    stats: str | None = None

    def check(self) -> None:
        """Raise ValueError for what contradicts itself."""
        said = {f"{name}={value}" for name, value in self.partitionValues.items()}
        # A table without partitions is none of ours: its columns say so (history.write.appending).
        if self.partitionValues and (
            set(self.partitionValues) != set(PARTITIONS) or None in self.partitionValues.values()
        ):
            raise ValueError(f"{self.path} is of no partition: {self.partitionValues}")
        if self.path.startswith("/") or ".." in unquote(self.path).split("/"):
            raise ValueError(f"{self.path} lies outside the table")
        if self.path.startswith(f"{PARTITIONS[0]}=") and said != set(unquote(self.path).split("/")[:-1]):
            raise ValueError(f"{self.path} is not of the partition {self.partitionValues}")
        if self.stats:
            msgspec.json.decode(self.stats, type=Statistics)


class Remove(Struct):
    """A data file that belongs to the table no longer."""

    path: str
    dataChange: bool = True
    deletionTimestamp: int | None = None
    extendedFileMetadata: bool | None = None
    partitionValues: dict[str, str | None] | None = None
    size: int | None = None


class Action(Struct):
    """One line of an entry, what does not matter here left out."""

    txn: Transaction | None = None
    protocol: Protocol | None = None
    metaData: Metadata | None = None
    commitInfo: CommitInfo | UnsetType | None = UNSET
    add: Add | None = None
    remove: Remove | None = None
    cdc: Any = None
    domainMetadata: Any = None

    @property
    def known(self) -> bool:
        """Whether it is any of these."""
        rest = (self.txn, self.protocol, self.metaData, self.add, self.remove, self.cdc, self.domainMetadata)
        return self.commitInfo is not UNSET or any(each is not None for each in rest)


_ACTION: Final = msgspec.json.Decoder(Action)


class Listed(Struct):
    """Versions there are entries of, those of checkpoints, and when each checkpoint was written, s."""

    entries: set[int]
    checkpoints: dict[int, float]


def hinted(store: ObjectStore) -> int:
    """The version of the checkpoint the hint names; -1 when there is none, or nothing the hint says."""
    if (version := said_by_hint(store)) < 0:
        return -1
    try:
        store.head(checkpoint_file(version))
    except FileNotFoundError:
        return -1
    return version


def said_by_hint(store: ObjectStore) -> int:
    """The version the hint names, whether it is there or not; -1 when it names none."""
    try:
        return max(-1, int(msgspec.json.decode(bytes(store.get(HINT).bytes()))["version"]))
    except (FileNotFoundError, msgspec.DecodeError, KeyError, RecursionError, TypeError, ValueError):
        return -1


def listed(store: ObjectStore, since: int = 0) -> Listed:
    """List a log from a version on. Directories, half-written and other files are not of it."""
    found = Listed(set(), {})
    for page in store.list(LOG_FOLDER, offset=f"{LOG_FOLDER}/{max(0, since):020}"):
        for file in page:
            if named := _LOG_FILE.fullmatch(file["path"]):
                version = int(named[1])
                if named[2] == "json":
                    found.entries.add(version)
                else:
                    found.checkpoints[version] = file["last_modified"].timestamp()
    return found


def checkpoint_file(version: int) -> str:
    """Path of a checkpoint, relative to the table."""
    return f"{LOG_FOLDER}/{version:020}.checkpoint.parquet"


def entry_at(lake: Lake, table: str, store: ObjectStore, version: int) -> list[Action]:
    """Read and parse an entry."""
    content = _content(lake, table, store, log_entry(version))
    try:
        return _actions(content)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise DamagedError(lake, table, log_entry(version), _nature(content) or str(error)) from error


def _actions(content: bytes) -> list[Action]:
    """Parse the lines of an entry. Raises ValueError."""
    content.decode()  # the library refuses what is not UTF-8 anywhere
    lines = [line for line in content.split(b"\n") if line]
    actions = [_ACTION.decode(line) for line in lines]
    if not actions or not all(action.known for action in actions):
        raise ValueError("it says nothing that Delta knows")
    for action in actions:
        if action.add is not None:
            action.add.check()
    info = actions[0].commitInfo
    if isinstance(info, CommitInfo) and info.crc32 not in {None, checksum(lines[1:])}:
        raise ValueError("its checksum is another")
    return actions


def checkpoint_at(
    lake: Lake, table: str, store: ObjectStore, version: int, columns: Iterable[str] = _ASKED
) -> list[Action]:
    """Read a checkpoint's transactions and metadata, or other `columns`."""
    path = checkpoint_file(version)
    content = _content(lake, table, store, path)
    try:
        read = pq.ParquetFile(pa.BufferReader(pa.py_buffer(cast("Any", content)))).read(list(columns))
        return [
            msgspec.convert({name: value}, Action)
            for name in read.column_names
            for value in read[name].drop_null().to_pylist()
        ]
    except (pa.ArrowException, OSError, ValueError, msgspec.ValidationError) as error:
        raise DamagedError(lake, table, path, _nature(content) or _first_line(error)) from error


def check_checkpoint(lake: Lake, table: str, store: ObjectStore, version: int) -> set[str]:
    """The data files a checkpoint knows, those that left the table included; reads all of it."""
    path = checkpoint_file(version)
    content = _content(lake, table, store, path)
    try:
        read = pq.ParquetFile(pa.BufferReader(content)).read()
        read.validate(full=True)
        if any(kind not in read.column_names or read[kind].null_count == len(read) for kind in _NEEDED):
            raise DamagedError(lake, table, path, "it does not say what kind of table it is")
        columns = [read[kind].combine_chunks().field("path") for kind in _FILES if kind in read.column_names]
        return {name for column in columns for name in column.drop_null().to_pylist()}
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedError(lake, table, path, _nature(content) or _first_line(error)) from error


_NEEDED: Final = ("protocol", "metaData")
_FILES: Final = ("add", "remove")


def _content(lake: Lake, table: str, store: ObjectStore, path: str) -> bytes:
    try:
        return bytes(store.get(path).bytes())
    except FileNotFoundError:
        if lake.is_remote or not os.path.lexists(where := f"{lake.uri(table)}/{path}"):
            raise
        what = "it is a directory" if os.path.isdir(where) else "it is a link that leads nowhere"
        raise DamagedError(lake, table, path, what) from None


def _nature(content: bytes) -> str:
    """Kind of damage, where a word says it."""
    if not content:
        return "it is empty"
    return "it is filled with zeros" if not content.strip(b"\0") else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

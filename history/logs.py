"""What a collector needs of a table's Delta log, without loading the library that reads it."""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore

from history import log_child
from history.first_entry import DELTA_TYPES, WRITER_VERSION, first_entry
from history.lake import LOG_FOLDER, Lake, LakeError, log_entry
from history.schema import SCHEMAS
from history.stores import anything_under

TIMEOUT_S: Final = 30
_TRIES: Final = 3
_GETS_AT_ONCE: Final = 16
_PROGRAM: Final = str(Path(log_child.__file__))
_HINT: Final = f"{LOG_FOLDER}/_last_checkpoint"
_LOG_FILE: Final = re.compile(rf"{LOG_FOLDER}/(\d{{20}})\.(json|checkpoint\.parquet)")
_ASKED: Final = ["txn.appId", "txn.version", "protocol.minWriterVersion", "metaData.schemaString"]


class TableLog(Struct):
    """A table's newest version, and what was the newest transaction of those asked for."""

    version: int
    min_writer_version: int
    columns: list[str]
    transactions: dict[str, int]


class _Transaction(Struct):
    """The names here are the protocol's."""

    appId: str
    version: int


class _Protocol(Struct):
    minWriterVersion: int


class _Metadata(Struct):
    schemaString: str


class _Action(Struct):
    """One line of an entry, what does not matter here left out."""

    txn: _Transaction | None = None
    protocol: _Protocol | None = None
    metaData: _Metadata | None = None


_ACTION: Final = msgspec.json.Decoder(_Action)


def look(lake: Lake, table: str, *app_ids: str) -> TableLog | None:
    """What the log says; None while nothing was ever written. Raises LakeError, OSError or obstore's."""
    if not anything_under(lake.uri(table), lake.storage_options, LOG_FOLDER):
        return None
    for attempt in range(1, _TRIES + 1):
        try:
            return _read(lake, table, app_ids)
        except (LakeError, FileNotFoundError):  # old entries were deleted meanwhile
            if attempt == _TRIES:
                raise
    raise AssertionError("unreachable")


def ensure(lake: Lake, table: str, *app_ids: str) -> TableLog:
    """As `look`, of a table that is created empty when missing; safe when two writers do it at once."""
    if (there := look(lake, table, *app_ids)) is not None:
        return there
    try:
        lake.store(table).put(log_entry(0), first_entry(table), mode="create", use_multipart=False)
    except AlreadyExistsError:  # another writer was quicker
        if (there := look(lake, table, *app_ids)) is not None:
            return there
        raise LakeError(f"{lake.uri(table)} was begun and deleted at once") from None
    return TableLog(0, WRITER_VERSION, SCHEMAS[table].names, {})


def _read(lake: Lake, table: str, app_ids: Iterable[str]) -> TableLog | None:
    """From the newest checkpoint on; None when there is neither one nor any entry."""
    store = lake.store(table)
    newest, checkpoint = _ends(store)
    if newest < 0:
        return None
    log = TableLog(newest, -1, [], {})
    if checkpoint >= 0:
        _take_over(log, _summed_up(store, checkpoint), app_ids)
    with ThreadPoolExecutor(_GETS_AT_ONCE) as pool:  # an object store answers each after 20 ms
        for actions in pool.map(partial(_said, store), range(checkpoint + 1, newest + 1)):
            _take_over(log, actions, app_ids)
    if log.min_writer_version < 0 or not log.columns:
        raise LakeError(f"{lake.uri(table)} does not say what kind of table it is")
    return log


def _ends(store: ObjectStore) -> tuple[int, int]:
    """The newest version listed, which a commit under way may exceed, and that of the newest checkpoint.

    Both -1 for none. Listed, not only taken from the hint: that may be older than entries deleted since.
    """
    newest = checkpoint = -1
    for page in store.list(LOG_FOLDER, offset=f"{LOG_FOLDER}/{_hinted(store):020}"):
        for file in page:
            if found := _LOG_FILE.fullmatch(file["path"]):
                version = int(found[1])
                newest = max(newest, version)
                if found[2] != "json":
                    checkpoint = max(checkpoint, version)
    return newest, checkpoint


def _hinted(store: ObjectStore) -> int:
    """The version of a checkpoint, so that a long log is not listed from its beginning; 0 if unknown."""
    try:
        return max(0, int(msgspec.json.decode(bytes(store.get(_HINT).bytes()))["version"]))
    except (FileNotFoundError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return 0


def _said(store: ObjectStore, version: int) -> list[_Action]:
    content = bytes(store.get(log_entry(version)).bytes())
    return [_ACTION.decode(line) for line in content.splitlines()]


def _summed_up(store: ObjectStore, version: int) -> Iterator[_Action]:
    content = store.get(f"{LOG_FOLDER}/{version:020}.checkpoint.parquet").bytes()
    table = pq.ParquetFile(pa.BufferReader(pa.py_buffer(cast("Any", content)))).read(_ASKED)
    for name in table.column_names:
        for value in table[name].drop_null().to_pylist():
            yield msgspec.convert({name: value}, _Action)


def _take_over(log: TableLog, actions: Iterable[_Action], app_ids: Iterable[str]) -> None:
    for action in actions:
        if (done := action.txn) is not None and done.appId in app_ids:
            log.transactions[done.appId] = done.version
        if action.protocol is not None:
            log.min_writer_version = action.protocol.minWriterVersion
        if action.metaData is not None:
            fields = msgspec.json.decode(action.metaData.schemaString)["fields"]
            log.columns = [field["name"] for field in fields]


def sum_up(lake: Lake, table: str) -> None:
    """Write a checkpoint, so that opening the table reads few entries. Raises LakeError."""
    _run_child(lake, table, {}, "summed up")


def widen(lake: Lake, table: str, names: Iterable[str]) -> None:
    """Give a table the columns of ours that it does not have yet; older rows have nulls there.

    Raises LakeError when it cannot be done, and for a column that needs a value in every row.
    """
    schema = SCHEMAS[table]
    if needed := [name for name in names if not schema.field(name).nullable]:
        raise LakeError(f"{lake.uri(table)} is of another version: no {', '.join(needed)}")
    columns = {name: DELTA_TYPES[schema.field(name).type] for name in names}
    _run_child(lake, table, {"columns": columns}, "given new columns")


def _run_child(lake: Lake, table: str, more: dict[str, Any], done_to: str) -> None:
    question = {"uri": lake.uri(table), "options": lake.storage_options} | more
    command = [sys.executable, "-I", _PROGRAM]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(question), capture_output=True, timeout=TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        raise LakeError(f"{lake.uri(table)} did not answer within {TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise LakeError(f"{lake.uri(table)} could not be {done_to}: {reason[-200:]}") from error
    if problem := done.stdout.decode(errors="replace"):
        raise LakeError(problem)

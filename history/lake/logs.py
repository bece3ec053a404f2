"""The part of a table's Delta log that a collector needs, without loading the library that reads it."""

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from obstore.exceptions import AlreadyExistsError

from history.lake import durable, log_child
from history.lake.first_entry import DELTA_TYPES, WRITER_VERSION, first_entry
from history.lake.log_files import Action, checkpoint_at, entry_at, hinted, listed
from history.lake.schema import SCHEMAS
from history.lake.stores import anything_under
from history.lake.tables import LOG_FOLDER, Lake, LakeError, log_entry

TIMEOUT_S: Final = 30
_TRIES: Final = 3
_GETS_AT_ONCE: Final = 16
_HOLE: Final = 1000
"""Entries missing at most that are still asked for one by one: a listing may lag behind."""

_PROGRAM: Final = str(Path(log_child.__file__))


class TableLog(Struct):
    """A table's newest version, and what was the newest transaction of those asked for."""

    version: int
    min_writer_version: int
    columns: list[str]
    transactions: dict[str, int]


def look(lake: Lake, table: str, *app_ids: str) -> TableLog | None:
    """Read the log; None while nothing was ever written. Raises LakeError, OSError or obstore's."""
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
    """Read the log of a table, created empty when missing; safe when two writers do it at once."""
    if (there := look(lake, table, *app_ids)) is not None:
        return there
    try:
        durable.put(lake, table, log_entry(0), first_entry(table), create=True)
    except AlreadyExistsError:  # another writer was quicker
        if (there := look(lake, table, *app_ids)) is not None:
            return there
        raise LakeError(f"{lake.uri(table)} was begun and deleted at once") from None
    return TableLog(0, WRITER_VERSION, SCHEMAS[table].names, {})


def _read(lake: Lake, table: str, app_ids: Iterable[str]) -> TableLog | None:
    """Read from the newest checkpoint on; None when there is neither one nor any entry."""
    store = lake.store(table)
    # Listed, not only taken from the hint: that may be older than entries deleted since.
    there = listed(store, hinted(store))
    checkpoint = max(there.checkpoints, default=-1)
    newest = max(there.entries | {checkpoint}, default=-1)
    if newest < 0:
        return None
    if newest - checkpoint > len(there.entries) + _HOLE:
        raise FileNotFoundError(f"{lake.uri(table)} lacks entries of its log before {newest}")
    log = TableLog(newest, -1, [], {})
    if checkpoint >= 0:
        _take_over(log, checkpoint_at(lake, table, store, checkpoint), app_ids)
    read = partial(entry_at, lake, table, store)
    with ThreadPoolExecutor(_GETS_AT_ONCE) as pool:  # an object store answers each after 20 ms
        for actions in pool.map(read, range(checkpoint + 1, newest + 1)):
            _take_over(log, actions, app_ids)
    if log.min_writer_version < 0 or not log.columns:
        raise LakeError(f"{lake.uri(table)} does not say what kind of table it is")
    return log


def _take_over(log: TableLog, actions: Iterable[Action], app_ids: Iterable[str]) -> None:
    for action in actions:
        if (done := action.txn) is not None and done.appId in app_ids:
            log.transactions[done.appId] = done.version
        if action.protocol is not None:
            log.min_writer_version = action.protocol.minWriterVersion
        if action.metaData is not None:
            log.columns = _columns(action.metaData.schemaString)


def _columns(schema: str) -> list[str]:
    try:
        return [field["name"] for field in msgspec.json.decode(schema)["fields"]]
    except (msgspec.DecodeError, KeyError, TypeError):
        return []


def sum_up(lake: Lake, table: str) -> None:
    """Write a checkpoint, so that opening the table reads few entries. Raises LakeError."""
    _run_child(lake, table, {}, "checkpointed")


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
        done = subprocess.run(  # nosec B603 # our own program, no shell
            command, input=msgspec.json.encode(question), capture_output=True, timeout=TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        raise LakeError(f"{lake.uri(table)} did not answer within {TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise LakeError(f"{lake.uri(table)} could not be {done_to}: {reason[-200:]}") from error
    if problem := done.stdout.decode(errors="replace"):
        raise LakeError(problem)

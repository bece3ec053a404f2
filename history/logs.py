"""What a collector needs of a table's Delta log, without loading the library that reads it."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from obstore.exceptions import AlreadyExistsError

from history import log_child
from history.first_entry import WRITER_VERSION, first_entry
from history.lake import LOG_FOLDER, Lake, LakeError, log_entry
from history.schema import SCHEMAS
from history.stores import anything_under

TIMEOUT_S: Final = 30
_TRIES: Final = 3
_PROGRAM: Final = str(Path(log_child.__file__))


class TableLog(Struct):
    """A table's newest version, and what was the newest transaction of those asked for."""

    version: int
    min_writer_version: int
    columns: list[str]
    transactions: dict[str, int]


def look(lake: Lake, table: str, *app_ids: str) -> TableLog | None:
    """What the log says; None while nothing was ever written. Raises LakeError, OSError or obstore's."""
    if not anything_under(lake.uri(table), lake.storage_options, LOG_FOLDER):
        return None
    for attempt in range(1, _TRIES + 1):
        try:
            return _ask(lake, table, app_ids)
        except LakeError:  # a directory listed during commits may show a later one and not an earlier
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
        return _ask(lake, table, app_ids)
    return TableLog(0, WRITER_VERSION, SCHEMAS[table].names, {})


def sum_up(lake: Lake, table: str) -> None:
    """Write a checkpoint, so that opening the table reads few entries. Raises LakeError."""
    _ask(lake, table, checkpoint=True)


def _ask(lake: Lake, table: str, app_ids: tuple[str, ...] = (), *, checkpoint: bool = False) -> TableLog:
    question = {
        "uri": lake.uri(table),
        "options": lake.storage_options,
        "app_ids": app_ids,
        "checkpoint": checkpoint,
    }
    command = [sys.executable, "-I", _PROGRAM]
    try:
        done = subprocess.run(
            command, input=msgspec.json.encode(question), capture_output=True, timeout=TIMEOUT_S, check=True
        )
        found: dict[str, object] = msgspec.json.decode(done.stdout)
    except subprocess.TimeoutExpired:
        raise LakeError(f"{lake.uri(table)} did not answer within {TIMEOUT_S} s") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise LakeError(f"{lake.uri(table)} could not be looked at: {reason[-200:]}") from error
    if "error" in found:
        raise LakeError(str(found["error"]))
    return msgspec.convert(found, TableLog)

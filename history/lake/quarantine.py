"""Quarantine: damaged files are set aside, never deleted: `_quarantine/` in its table, with a note beside
each file.

Nothing that reads or cleans a Delta table looks into a directory whose name begins with an underscore. The
notes are what an operator sees (finding `lake_write`) until the directory is cleared by hand.
"""

import logging
import os
import posixpath
import shutil
import time
from typing import Final

import msgspec
from msgspec import Struct
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from history.lake import durable
from history.lake.tables import Lake

logger = logging.getLogger(__name__)

FOLDER: Final = "_quarantine"
_NOTE: Final = ".note.json"
NOTES_READ: Final = 100
"""Notes of a table that are read at most: more than anybody reads."""


class Note(Struct):
    """One damaged file: its path in the table, what is wrong with it, when that was seen, what is missing."""

    table: str
    file: str
    what: str
    at_us: int
    since_us: int | None = None
    until_us: int | None = None


def set_aside(lake: Lake, note: Note) -> bool:
    """Move a file (or what lies in its place) out of the way; False when another process was quicker."""
    name = f"{note.at_us}-{note.file.replace('/', '-')}"
    store = lake.store(note.table)
    try:
        if lake.is_remote:
            store.rename(note.file, f"{FOLDER}/{name}")
        else:
            root = lake.uri(note.table)
            shutil.move(f"{root}/{note.file}", f"{_folder(root, note.at_us)}/{name}")
            durable.sync(lake, note.table, posixpath.dirname(note.file) or ".")
    except FileNotFoundError:
        return False
    say(lake, note)
    return True


def _folder(root: str, at_us: int) -> str:
    """The folder, made if it has to be; what else lies under its name is put beside it."""
    folder = f"{root}/{FOLDER}"
    if os.path.lexists(folder) and not os.path.isdir(folder):
        os.rename(folder, f"{folder}-{at_us}")
    os.makedirs(folder, exist_ok=True)
    return folder


def say(lake: Lake, note: Note) -> None:
    """Log a damaged file and leave a note of it; a note that cannot be left costs nothing but itself."""
    logger.error("lake %s: %s is damaged and left out: %s", note.table, note.file, note.what)
    path = f"{FOLDER}/{note.at_us}{_ending(note)}"
    try:
        durable.put(lake, note.table, path, msgspec.json.encode(note))
    except (BaseError, OSError) as error:
        logger.warning("lake %s: no note of %s: %s", note.table, note.file, error)


def say_once(lake: Lake, note: Note) -> None:
    """The same, unless another process left a note of it: readers come and go, `export` with every run."""
    try:
        paths = [path for path in _paths(lake, note.table) if path.endswith(_ending(note))]
        if any(_read(lake.store(note.table), note.table, path).what == note.what for path in paths):
            return
    except (BaseError, OSError):
        logger.warning("lake %s: its notes cannot be read", note.table)
    say(lake, note)


def notes(lake: Lake, table: str) -> list[Note]:
    """Notes of the damage found in a table, the newest first. Raises OSError or obstore's."""
    store = lake.store(table)
    return [_read(store, table, path) for path in sorted(_paths(lake, table), reverse=True)[:NOTES_READ]]


def _paths(lake: Lake, table: str) -> list[str]:
    """Paths of a table's notes."""
    if not lake.is_remote and not os.path.isdir(f"{lake.uri(table)}/{FOLDER}"):
        return []
    paths = [file["path"] for page in lake.store(table).list(FOLDER) for file in page]
    return [path for path in paths if path.endswith(_NOTE)]


def _ending(note: Note) -> str:
    """End of a note's name, after the time."""
    return f"-{note.file.replace('/', '-')}{_NOTE}"


def _read(store: ObjectStore, table: str, path: str) -> Note:
    """A note; of one that is damaged itself, that it is there."""
    try:
        return msgspec.json.decode(bytes(store.get(path).bytes()), type=Note)
    except (msgspec.DecodeError, UnicodeDecodeError, BaseError, OSError):
        name = posixpath.basename(path)
        at_us = name.partition("-")[0]
        return Note(table, name, "the note of it cannot be read", int(at_us) if at_us.isdecimal() else 0)


def now_us() -> int:
    """The wall clock."""
    return time.time_ns() // 1000

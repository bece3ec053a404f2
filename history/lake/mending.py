"""A log that a dying host damaged, made whole again: one damaged file costs that file.

What cannot be read is set aside (`history.lake.quarantine`), an empty entry takes the number it had unless
it was the newest, and a `gap` row says between which moments something may be missing. An append whose entry
is lost has still written its data files: those that are whole and that no entry knows are added again, each
once, whichever process does the same, because `commits.commit` recognises the append by its name.

A checkpoint or hint that is damaged costs nothing: the log before it says the same, while it is kept.
"""

import logging
import os
import re
import threading
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from history.lake import durable
from history.lake.entries import sealed
from history.lake.first_entry import first_entry
from history.lake.log_files import (
    HINT,
    Action,
    DamagedError,
    check_checkpoint,
    checkpoint_file,
    entry_at,
    hinted,
    listed,
    said_by_hint,
)
from history.lake.logs import TableLog, ensure
from history.lake.parquet import damage, file_schema
from history.lake.quarantine import Note, now_us, say, set_aside
from history.lake.stores import anything_under
from history.lake.tables import LOG_FOLDER, Lake, LakeError, log_entry
from history.write.commits import File, added, commit, write_files

logger = logging.getLogger(__name__)

HOLE: Final = 1000
"""Entries missing in a row that are filled; what lies behind more is no log of ours and is set aside."""

# A checkpoint forgets files that left the table longer ago than this: see first_entry's configuration.
_REMEMBERED_S: Final = 7200 - 600
_COMPACTED: Final = re.compile(r"date=\d{4}-\d\d-\d\d/hour=\d+/(sorted|merged)-[^/]+\.parquet")
_APPENDED: Final = re.compile(
    r"date=\d{4}-\d\d-\d\d/hour=\d+/(?!sorted-|merged-)(?P<app>[^/]+)-(?P<sequence>\d+)\.parquet"
)
_ours: Final = threading.RLock()


class _State(Struct):
    """State of a table once its log is whole."""

    newest: int
    files: set[str]  # that any entry knows, those that left the table included
    since_s: float  # of files older than this nobody may remember that they left


def sound(lake: Lake, table: str, *app_ids: str) -> TableLog:
    """Do as `logs.ensure` for a table whose log is mended first if it has to be."""
    try:
        return ensure(lake, table, *app_ids)
    except (LakeError, FileNotFoundError):
        if not mend(lake, table, begin=True):
            raise
    return ensure(lake, table, *app_ids)


def looks_damaged(lake: Lake, table: str) -> bool:
    """Whether the log has what its readers pass over in silence: an entry that is empty, or no file.

    Asked before each opening, so only of a local table, whose files alone are cut by a dying host, and only
    of the entries since the newest checkpoint.
    """
    if lake.is_remote:
        return False
    try:
        with os.scandir(f"{lake.uri(table)}/{LOG_FOLDER}") as entries:
            files = {entry.name: entry for entry in entries if entry.name[:20].isdecimal()}
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        return True
    summed_up = max((name[:20] for name in files if name.endswith(".checkpoint.parquet")), default="")
    newer = [entry for name, entry in files.items() if name.endswith(".json") and name[:20] > summed_up]
    return any(not os.path.isfile(entry) or not entry.stat().st_size for entry in newer)


def mend(lake: Lake, table: str, *, begin: bool = False, refused: str = "") -> list[str]:
    """Set aside what is damaged in a table's log and add what was lost by it; names what it found.

    Safe beside writers, readers and other menders. A writer may `begin` a log again of which nothing can be
    read. `refused` is why the library does not read a log in which everything seems whole: then the newest
    checkpoint goes as well, where the log says the same without it. Raises LakeError when the log cannot be
    made whole, OSError or obstore's when the store fails.
    """
    with _ours:
        notes = _displaced(lake, table)
        if not anything_under(lake.uri(table), lake.storage_options, LOG_FOLDER if not begin else ""):
            return [note.file for note in notes]
        store = lake.store(table)
        state, found = _log(lake, table, store, begin=begin)
        notes += found
        if refused and not notes:
            notes += _distrusted(lake, table, store, refused)
        notes += _hint(lake, table, store)
        notes += _recover(lake, table, store, state)
        _log_damage(lake, notes)
    return [note.file for note in notes]


def _distrusted(lake: Lake, table: str, store: ObjectStore, what: str) -> list[Note]:
    """The newest checkpoint, if another one and every entry since say the same."""
    there = listed(store)
    *earlier, newest = sorted(there.checkpoints) or [-1]
    base = max(earlier, default=-1)
    if newest < 0 or not set(range(base + 1, newest + 1)) <= there.entries:
        return []
    return _aside(lake, table, checkpoint_file(newest), what)


def _displaced(lake: Lake, table: str) -> list[Note]:
    """Files where a directory belongs (the log's, a day's, an hour's), and dead links in the log."""
    if lake.is_remote:
        return []
    root = Path(lake.uri(table))
    places = [root / LOG_FOLDER, *root.glob("date=*"), *root.glob("date=*/hour=*")]
    wrong = {
        place: "it is no directory, and one belongs there"
        for place in places
        if os.path.lexists(place) and not os.path.isdir(place)
    }
    linked = (entry for place in (LOG_FOLDER, "date=*/hour=*") for entry in root.glob(f"{place}/*"))
    links = [entry for entry in linked if entry.is_symlink() and not os.path.exists(entry)]
    wrong |= dict.fromkeys(links, "it is a link that leads nowhere")
    return [
        n for place, what in wrong.items() for n in _aside(lake, table, str(place.relative_to(root)), what)
    ]


def _hint(lake: Lake, table: str, store: ObjectStore) -> list[Note]:
    """A hint that leads nowhere; none at all is fine."""
    if hinted(store) >= 0:
        return []
    version = said_by_hint(store)
    what = "it names no checkpoint"
    return _aside(lake, table, HINT, what if version < 0 else f"there is no {checkpoint_file(version)}")


def _aside(lake: Lake, table: str, path: str, what: str, since_us: int | None = None) -> list[Note]:
    note = Note(table, path, what, now_us(), since_us, now_us())
    return [note] if set_aside(lake, note) else []


# --- the log -------------------------------------------------------------------------------------


def _log(lake: Lake, table: str, store: ObjectStore, *, begin: bool) -> tuple[_State, list[Note]]:
    """Make the log whole, from its newest sound checkpoint on."""
    notes: list[Note] = []
    base, state = _base(lake, table, store, notes)
    there = listed(store).entries | _directories(lake, table)
    versions = sorted(version for version in there if version >= max(base, 0))
    if base < 0 and versions and versions[0] > 0:
        raise LakeError(f"{lake.uri(table)} has neither a checkpoint nor the entries before {versions[0]}")
    if base < 0 and not begin and not any(_is_sound(lake, table, store, version) for version in versions):
        raise LakeError(f"nothing of the log of {lake.uri(table)} can be read; a collector begins it again")
    last = base
    seen_us: int | None = None
    for version in versions:
        if version - last > HOLE and last >= 0:
            what = f"there are no entries between {last} and it"
            notes += _aside(lake, table, log_entry(version), what, seen_us)
            continue
        try:
            actions = entry_at(lake, table, store, version)
        except FileNotFoundError:  # deleted meanwhile
            continue
        except DamagedError as damage:
            notes += _aside(lake, table, damage.path, damage.what, seen_us)
            continue
        notes += _fill(lake, table, range(last + 1, version), there, seen_us)
        last = max(last, version)
        seen_us = _when_us(actions) or seen_us
        state.files |= _paths(actions)
    if last < 0:
        _put(lake, table, 0)
        last = 0
        notes += _unknown(lake, table, store)
    state.newest = last
    return state, notes


def _unknown(lake: Lake, table: str, store: ObjectStore) -> list[Note]:
    """Compacted files of a log begun again, kept apart: what they replaced may still lie beside them."""
    paths = [file["path"] for page in store.list() for file in page if _COMPACTED.fullmatch(file["path"])]
    what = "nothing is left of the log that knew it"
    return [note for path in paths for note in _aside(lake, table, path, what)]


def _is_sound(lake: Lake, table: str, store: ObjectStore, version: int) -> bool:
    try:
        entry_at(lake, table, store, version)
    except (DamagedError, FileNotFoundError):
        return False
    return True


def _base(lake: Lake, table: str, store: ObjectStore, notes: list[Note]) -> tuple[int, _State]:
    """The newest sound checkpoint and the files it knows; -1 without one."""
    checkpoints = listed(store).checkpoints
    for version in sorted(checkpoints, reverse=True):
        try:
            known = check_checkpoint(lake, table, store, version)
        except FileNotFoundError:
            continue
        except DamagedError as damage:
            notes += _aside(lake, table, damage.path, damage.what)
        else:
            since_s = checkpoints[version] - _REMEMBERED_S
            return version, _State(version, {unquote(path) for path in known}, since_s)
    return -1, _State(-1, set(), 0.0)


def _directories(lake: Lake, table: str) -> set[int]:
    """Versions in whose place lies a directory or a dead link, which an object store does not list."""
    if lake.is_remote:
        return set()
    try:
        with os.scandir(f"{lake.uri(table)}/{LOG_FOLDER}") as entries:
            names = [entry.name for entry in entries if not os.path.isfile(entry)]
    except FileNotFoundError:
        return set()
    return {int(name[:20]) for name in names if re.fullmatch(r"\d{20}\.json", name)}


def _fill(
    lake: Lake, table: str, versions: Sequence[int], there: set[int], seen_us: int | None
) -> list[Note]:
    """An entry that changes nothing for each that is missing: a log has no holes."""
    for version in versions:
        _put(lake, table, version)
    if not (gone := [version for version in versions if version not in there]):
        return []
    what = "it is missing" if len(gone) == 1 else f"it and {len(gone) - 1} more are missing"
    note = Note(table, log_entry(gone[0]), what, now_us(), seen_us, now_us())
    say(lake, note)
    return [note]


def _put(lake: Lake, table: str, version: int) -> None:
    content = sealed({"operation": "MEND", "operationParameters": {}}) if version else first_entry(table)
    try:
        durable.put(lake, table, log_entry(version), content, create=True)
    except AlreadyExistsError:
        return


def _when_us(actions: Iterable[Action]) -> int | None:
    infos = [action.commitInfo for action in actions if action.commitInfo]
    return next((info.timestamp * 1000 for info in infos if info.timestamp), None)


def _paths(actions: Iterable[Action]) -> set[str]:
    files = [file.path for action in actions for file in (action.add, action.remove) if file is not None]
    return {unquote(path) for path in files}


# --- what was lost by it -------------------------------------------------------------------------


def _recover(lake: Lake, table: str, store: ObjectStore, state: _State) -> list[Note]:
    """Add the files of appends that no entry knows, each append in one entry."""
    sizes = {file["path"]: file["size"] for page in store.list() for file in page}
    notes: list[Note] = []
    for (app, sequence), paths in _appends(store, state).items():
        files: list[File] = []
        for path in paths:
            try:
                file = _whole(store, table, path)
            except FileNotFoundError:
                continue
            except (pa.ArrowException, OSError, ValueError) as error:
                notes += _aside(lake, table, path, (str(error).splitlines() or ["unreadable"])[0])
                continue
            if twin := _twin(store, path, state.files, sizes):
                notes += _aside(lake, table, path, f"it is a copy of {twin}")
            else:
                files.append(file)
        if files:
            state.newest = commit(lake, table, state.newest, files, app, sequence)
            logger.warning("lake %s: rows of %s-%d are in the table again", table, app, sequence)
    return notes


def _appends(store: ObjectStore, state: _State) -> dict[tuple[str, int], list[str]]:
    """The data files no entry knows, by the append they are of."""
    found: dict[tuple[str, int], list[str]] = {}
    for page in store.list():
        for file in page:
            named = _APPENDED.fullmatch(file["path"])
            if not named or file["path"] in state.files:
                continue
            if file["last_modified"].timestamp() > state.since_s:
                found.setdefault((named["app"], int(named["sequence"])), []).append(file["path"])
    return dict(sorted(found.items()))


def _twin(store: ObjectStore, path: str, files: set[str], sizes: dict[str, int]) -> str:
    """A file that the table knows, in the same partition and with the same content; empty: none."""
    folder = path.rpartition("/")[0]
    alike = [each for each in files & sizes.keys() if each.rpartition("/")[0] == folder]
    alike = [each for each in alike if sizes[each] == sizes.get(path)]
    content = bytes(store.get(path).bytes()) if alike else b""
    return next((each for each in alike if bytes(store.get(each).bytes()) == content), "")


def _whole(store: ObjectStore, table: str, path: str) -> File:
    """The action that adds a file; raises what Arrow does, or ValueError, unless all of it can be read."""
    content = bytes(store.get(path).bytes())
    parquet = pq.ParquetFile(pa.BufferReader(content))
    if not parquet.schema_arrow.equals(file_schema(table)):
        raise ValueError(f"its columns are not those of {table}")
    if what := damage(pa.BufferReader(content)):
        raise ValueError(what)
    return added(path, len(content), parquet.metadata)


# --- saying so -----------------------------------------------------------------------------------


def _log_damage(lake: Lake, notes: list[Note]) -> None:
    """A gap row for every entry or file that something may be missing by."""
    rows = [gap for note in notes if (gap := gap_row(note))]
    if rows:
        append_gaps(lake, rows)


def gap_row(note: Note) -> dict[str, Any] | None:
    """The row of `stream_states` for a damaged file; None for one by which nothing can be missing."""
    if note.file == HINT or note.file.endswith(".checkpoint.parquet"):
        return None
    return {
        "exchange": "",
        "symbol": "",
        "state": "gap",
        "reason": f"{note.table}: {note.file} is damaged: {note.what}",
        "dropped": 0,
        "since_us": note.since_us,
        "received_ts_us": note.until_us or note.at_us,
    }


def append_gaps(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """Write gap rows; when even that cannot be done, the log has what happened."""
    table, app_id = "stream_states", f"mend-{uuid.uuid4()}"
    try:
        log = sound(lake, table)
        files = write_files(lake, table, pa.Table.from_pylist(rows, file_schema(table)), app_id, 0)
        commit(lake, table, log.version, files, app_id, 0)
    except (LakeError, BaseError, OSError) as error:
        logger.error("lake: no gap row for what is damaged: %s", error)

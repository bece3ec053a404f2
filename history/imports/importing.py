"""The predecessor's files into the lake: each once, whatever happens meanwhile."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from msgspec import Struct

from core.names.symbols import AmbiguousName
from history.imports.old_files import Content, OldFile, OldFileError, fingerprint, load, parse
from history.imports.old_names import Names
from history.lake.schema import CLOCK, SCHEMAS
from history.lake.tables import Lake

GROUP_ROWS: Final = 200_000
GROUP_FILES: Final = 500
"""A commit takes this much: few commits, and an interruption costs little."""


class Fate(StrEnum):
    """Outcome for a file, in a word."""

    IMPORTED = "imported"
    THERE = "there already"
    SKIPPED = "skipped"  # of an exchange or symbol that nobody knows
    QUARANTINED = "quarantined"


class Outcome(Struct):
    """Outcome for a file, with the reason where it was not imported; `oldest_us` is its first row's time."""

    file: OldFile
    fate: Fate
    problem: str = ""
    rows: int = 0
    left_out: int = 0
    oldest_us: int | None = None


class Importer:
    """Imports files into one lake; a dry run reads them all the same and writes nothing.

    A commit carries a transaction per file: its name in the predecessor's layout, and as the version
    a fingerprint of its content. So a file is in the lake or it is not, and the lake itself knows which.
    """

    def __init__(self, lake: Lake, names: Names, *, dry_run: bool) -> None:
        self._lake = lake
        self._names = names
        self._dry_run = dry_run
        self._tables: dict[str, DeltaTable | None] = {}
        self._taken: dict[str, int] = {}  # transactions of this run, committed or waiting
        self._waiting: defaultdict[str, list[tuple[Outcome, pa.Table]]] = defaultdict(list)

    def run(self, files: Iterable[OldFile]) -> Iterator[Outcome]:
        """Yield the outcome of each file once it is certain.

        Raises what deltalake raises when the lake cannot be written; run again, it goes on.
        """
        for file in files:
            outcome = self._take(file)
            if outcome is not None:
                yield outcome
            elif self._is_full(file.table):
                yield from self._commit(file.table)
        for table in list(self._waiting):
            yield from self._commit(table)

    def _take(self, file: OldFile) -> Outcome | None:
        """Read a file and let it wait for its commit; an outcome when it is not to be imported."""
        exchange = self._names.exchange(file.exchange)
        if exchange is None:
            return Outcome(file, Fate.SKIPPED, f"unknown exchange {file.exchange}: add it in the admin")
        try:
            symbol = self._names.symbol(exchange, file.symbol)
        except AmbiguousName as problem:
            return Outcome(file, Fate.SKIPPED, f"unknown symbol {file.symbol} on {exchange}: {problem}")
        if symbol is None:
            return Outcome(
                file,
                Fate.SKIPPED,
                f"unknown symbol {file.symbol} on {exchange}: sync the markets, or add it in the admin",
            )
        try:
            content = load(file)
            version = fingerprint(content)
            if known := self._known(file, version):
                return known
            found = parse(file, content, exchange, symbol)
        except OldFileError as error:
            return Outcome(file, Fate.QUARANTINED, str(error))
        self._wait(file, found, version)
        return None

    def _known(self, file: OldFile, version: int) -> Outcome | None:
        """An outcome when the file was imported before, in this run or another one."""
        delta, app_id = self._table(file.table), _app_id(file)
        before = self._taken.get(app_id)
        if before is None and delta is not None:
            before = delta.transaction_version(app_id)
        if before is None:
            return None
        if before == version:
            return Outcome(file, Fate.THERE)
        changed = "changed since it was imported; most of its rows would come twice"
        return Outcome(file, Fate.QUARANTINED, changed)

    def _wait(self, file: OldFile, found: Content, version: int) -> None:
        oldest_us = pc.min(found.rows[CLOCK[file.table]]).as_py()
        outcome = Outcome(file, Fate.IMPORTED, "", len(found.rows), found.left_out, oldest_us)
        self._taken[_app_id(file)] = version
        self._waiting[file.table].append((outcome, found.rows))

    def _is_full(self, table: str) -> bool:
        waiting = self._waiting[table]
        return len(waiting) >= GROUP_FILES or sum(outcome.rows for outcome, _ in waiting) >= GROUP_ROWS

    def _commit(self, table: str) -> Iterator[Outcome]:
        waiting = self._waiting.pop(table)
        if not self._dry_run:
            delta = self._tables[table] = self._table(table) or self._lake.ensure(table)
            rows = pa.concat_tables([rows for _, rows in waiting])
            names = [_app_id(outcome.file) for outcome, _ in waiting]
            versions = {app_id: self._taken[app_id] for app_id in names}
            self._lake.append_all(delta, table, _partitioned(rows, table), versions)
        for outcome, _ in waiting:
            yield outcome

    def _table(self, table: str) -> DeltaTable | None:
        if table not in self._tables:
            self._tables[table] = self._lake.open(table)
        return self._tables[table]


def _app_id(file: OldFile) -> str:
    return f"import-{blake2b(file.name.encode(), digest_size=12).hexdigest()}"


def _partitioned(rows: pa.Table, table: str) -> pa.Table:
    """Rows with the columns they are partitioned by."""
    clock = pl.from_epoch(CLOCK[table], time_unit="us")
    parts = pl.DataFrame(rows.select([CLOCK[table]])).select(
        date=clock.dt.strftime("%Y-%m-%d"), hour=clock.dt.hour().cast(pl.Int32)
    )
    for name in parts.columns:
        rows = rows.append_column(name, parts[name].to_arrow(compat_level=pl.CompatLevel.oldest()))
    return rows.cast(SCHEMAS[table])

"""Batches of events to PostgreSQL: binary COPY into a staging table, then insert what is not there yet."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from msgspec import Struct
from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from orderbook.ingest.binary import copied
from orderbook.ingest.events import StoreEvent
from orderbook.ingest.rows import BadRow, Key, Rows, good, rows_of
from orderbook.store.engine import Engine
from orderbook.store.tables import HOUR_S, MINUTE_S, RAW, RawTable, named


class Writer:
    """Writes batches; what it learned of symbols and partitions is kept from one to the next.

    One thread at a time. A batch is one transaction: it is there whole or not at all, and writing it again
    changes nothing. Events of which no row can be made are left out, and counted in `set_aside` by kind.
    """

    def __init__(self, engine: Engine, set_aside: Counter[str] | None = None) -> None:
        self.set_aside: Counter[str] = Counter() if set_aside is None else set_aside
        self._engine = engine
        self._ids: dict[Key, int] = {}
        self._hours: set[tuple[str, int]] = set()

    def write(self, connection: Connection[Any], events: Sequence[StoreEvent]) -> int:
        """Write a batch; returns how many rows were not there yet.

        Raises psycopg.Error, and ValueError if the connection is in a transaction: only a commit of its
        own makes the batch safe and empties the staging tables.
        """
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            raise ValueError("connection: a batch needs a transaction of its own; commit the present one")
        set_aside: Counter[str] = Counter()
        tables = _tables(events, set_aside)
        try:
            with connection.transaction():
                self._learn(connection, {key for rows in tables for key in rows.keys})
                inserted = sum(self._insert(connection, rows) for rows in tables)
        except BaseException:
            self._ids.clear()  # what was learned in it may be rolled back
            self._hours.clear()
            raise
        self.set_aside += set_aside
        return inserted

    def _learn(self, connection: Connection[Any], keys: set[Key]) -> None:
        """Look up ids of symbols that were not written before, and give one to each new symbol."""
        if new := sorted(
            keys - self._ids.keys()
        ):  # sorted: two writers wait for each other in one order only
            columns = {"exchanges": [key[0] for key in new], "symbols": [key[1] for key in new]}
            connection.execute(_NEW_SYMBOLS, columns)
            for id, exchange, symbol in connection.execute(_IDS, columns):
                self._ids[exchange, symbol] = id

    def _insert(self, connection: Connection[Any], rows: Rows) -> int:
        table, name = rows.table, rows.table.name
        for hour in _beginnings(rows, HOUR_S):
            if (name, hour) not in self._hours:
                at = datetime.fromtimestamp(hour, UTC)
                self._engine.make_partitions(connection, name, at, at)
                self._hours.add((name, hour))
        ids = np.array(list(map(self._ids.__getitem__, rows.keys)), np.int32)
        statements = _STATEMENTS[name]
        connection.execute(statements.staging)
        with connection.cursor() as cursor, cursor.copy(statements.copy) as copy:
            copy.write(copied([ids, *rows.columns]))
        inserted = self._engine.insert(connection, name, statements.staged)
        if table.rollup and inserted:
            minutes = [datetime.fromtimestamp(at, UTC) for at in _beginnings(rows, MINUTE_S)]
            connection.execute(_TOUCH, [name, minutes])
        return inserted


def _tables(events: Sequence[StoreEvent], set_aside: Counter[str]) -> list[Rows]:
    try:
        return rows_of(events)
    except (BadRow, TypeError, ValueError, OverflowError, AttributeError):
        return rows_of(good(events, set_aside))


def _beginnings(rows: Rows, length_s: int) -> list[int]:
    """Beginnings of the hours or minutes that rows were received in, s since the epoch."""
    return [int(at) * length_s for at in np.unique(rows.received_us // (length_s * 1_000_000))]


class _Statements(Struct, frozen=True):
    staging: sql.Composed
    copy: sql.Composed
    staged: sql.Identifier


def _statements(table: RawTable) -> _Statements:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.types))
    staging = sql.Identifier(f"staging_{table.name}")
    return _Statements(
        _STAGING.format(staging, named(table.name)),
        _COPY.format(staging, columns),
        staging,
    )


_NEW_SYMBOLS: Final = sql.SQL(
    "INSERT INTO {} (exchange, symbol) SELECT * FROM unnest(%(exchanges)s::text[], %(symbols)s::text[]) "
    "ON CONFLICT DO NOTHING"
).format(named("symbols"))
_IDS: Final = sql.SQL(
    "SELECT id, exchange, symbol FROM {} "
    "JOIN unnest(%(exchanges)s::text[], %(symbols)s::text[]) AS k(exchange, symbol) USING (exchange, symbol)"
).format(named("symbols"))
_STAGING: Final = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {}) ON COMMIT DELETE ROWS")
_COPY: Final = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)")
_TOUCH: Final = sql.SQL("INSERT INTO {} (raw_table, minute) SELECT %s, unnest(%s::timestamptz[])").format(
    named("touched")
)
_STATEMENTS: Final = {name: _statements(table) for name, table in RAW.items()}

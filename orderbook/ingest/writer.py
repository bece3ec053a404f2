"""Batches of events to PostgreSQL: binary COPY into a staging table, then insert what is not there yet."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import Connection, sql
from psycopg.pq import TransactionStatus

from markets.events import Quote, Trade
from orderbook.ingest.rows import quote_row, trade_row
from orderbook.store.engine import Engine
from orderbook.store.tables import BOOK_TICKER, RAW, TRADES, RawTable, named

Key = tuple[str, str]  # exchange, symbol


class Writer:
    """Writes batches; what it learned of symbols and partitions is kept from one to the next.

    One thread at a time. A batch is one transaction: it is there whole or not at all, and writing it again
    changes nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids: dict[Key, int] = {}
        self._hours: set[tuple[str, datetime]] = set()

    def write(self, connection: Connection[Any], events: Iterable[Quote | Trade]) -> int:
        """Write a batch; returns how many rows were not there yet.

        Raises psycopg.Error, and ValueError if the connection is in a transaction: only a commit of its
        own makes the batch safe and empties the staging tables.
        """
        if connection.info.transaction_status is not TransactionStatus.IDLE:
            raise ValueError("connection: a batch needs a transaction of its own; commit the present one")
        events = list(events)
        try:
            with connection.transaction():
                self._learn(connection, {(each.exchange, each.symbol) for each in events})
                return sum(self._insert(connection, *part) for part in self._parts(events))
        except BaseException:
            self._ids.clear()  # what was learned in it may be rolled back
            self._hours.clear()
            raise

    def _parts(self, events: Sequence[Quote | Trade]) -> Iterable[tuple[RawTable, list[tuple[Any, ...]]]]:
        rows: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for event in events:
            symbol_id = self._ids[event.exchange, event.symbol]
            if isinstance(event, Quote):
                rows[BOOK_TICKER.name].append(quote_row(symbol_id, event))
            else:
                rows[TRADES.name].append(trade_row(symbol_id, event))
        return [(RAW[name], found) for name, found in rows.items()]

    def _learn(self, connection: Connection[Any], keys: set[Key]) -> None:
        """Look up ids of symbols that were not written before, and give one to each new symbol."""
        if new := sorted(
            keys - self._ids.keys()
        ):  # sorted: two writers wait for each other in one order only
            columns = {"exchanges": [key[0] for key in new], "symbols": [key[1] for key in new]}
            connection.execute(_NEW_SYMBOLS, columns)
            for id, exchange, symbol in connection.execute(_IDS, columns):
                self._ids[exchange, symbol] = id

    def _insert(self, connection: Connection[Any], table: RawTable, rows: list[tuple[Any, ...]]) -> int:
        times = [row[1] for row in rows]
        for hour in sorted({at.replace(minute=0, second=0, microsecond=0) for at in times}):
            if (table.name, hour) not in self._hours:
                self._engine.make_partitions(connection, table.name, hour, hour)
                self._hours.add((table.name, hour))
        staging, columns = _staging(table)
        connection.execute(staging)
        names = sql.Identifier(f"staging_{table.name}")
        with (
            connection.cursor() as cursor,
            cursor.copy(_COPY.format(names, columns)) as copy,
        ):
            copy.set_types([type.split()[0].replace("double", "float8") for type in table.types.values()])
            for row in rows:
                copy.write_row(row)
        inserted = self._engine.insert(connection, table.name, names)
        if table.rollup and inserted:
            minutes = sorted({at.replace(second=0, microsecond=0) for at in times})
            connection.execute(_TOUCH, [table.name, minutes])
        return inserted


def _staging(table: RawTable) -> tuple[sql.Composed, sql.Composed]:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.types))
    name = sql.Identifier(f"staging_{table.name}")
    return _STAGING.format(name, named(table.name)), columns


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

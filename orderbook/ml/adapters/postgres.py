"""Second bars out of the schema `marketdata`, with or without TimescaleDB.

ADBC sends binary COPY and fills Arrow columns in C. Minutes whose bars wait to be renewed are computed from
their rows, in the same snapshot: the newest seconds are there, and none is half a bar.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import adbc_driver_postgresql.dbapi as adbc
import polars as pl
from psycopg import sql

from orderbook.ml.adapters.base import BARS, PLACE, QUOTE_BARS, TRADE_BARS, Key, joined
from orderbook.ml.bars import QUOTED, TRADED, quote_bars, trade_bars
from orderbook.ml.errors import BarsBehindError, StoreUnreadableError, UnknownSymbolError
from orderbook.store.common import runs
from orderbook.store.tables import BOOK_TICKER, ORDERBOOK_TOP5, TRADES, RawTable, named

MOST_WAITING: Final = 60
"""Minutes that are computed from rows, at most: beyond, the renewal is down and rows would take long."""

LEVELS: Final = 5
_MINUTE: Final = timedelta(minutes=1)


class PostgresMLAdapter:
    """An `orderbook.ml.adapters.base.MLAdapter`; `dsn` is libpq's, a URL or `name=value` pairs.

    Every call reads one snapshot, and the session can only read. Raises StoreUnreadableError.
    """

    def __init__(self, dsn: str) -> None:
        with _readable():
            self._connection = adbc.connect(dsn, autocommit=True)
            self._cursor = self._connection.cursor()
            self._cursor.execute("SET default_transaction_read_only = on")
            self._cursor.execute("SET default_transaction_isolation = 'repeatable read'")
            self._cursor.execute("SET jit = off")  # costs more than it saves for queries that only copy
        self._ids: dict[Key, int] = {}

    def keys(self, symbols: Sequence[str], _start: datetime, _end: datetime) -> list[Key]:
        """See MLAdapter."""
        with self._snapshot():
            known = self._read(_SYMBOLS.format(symbols=named("symbols")))
        self._ids = {(symbol, exchange): id for id, exchange, symbol in known.iter_rows()}
        for symbol in symbols:
            if not any(symbol == key[0] for key in self._ids):
                raise UnknownSymbolError(symbol, (key[0] for key in self._ids))
        return sorted(key for key in self._ids if key[0] in symbols)

    def bars(
        self, keys: Sequence[Key], start: datetime, end: datetime, columns: Sequence[str] = tuple(BARS)
    ) -> pl.DataFrame:
        """See MLAdapter."""
        with self._snapshot():
            quotes = self._bars_of(BOOK_TICKER, keys, start, end, [c for c in QUOTE_BARS if c in columns])
            trades = self._bars_of(TRADES, keys, start, end, [c for c in TRADE_BARS if c in columns])
        return joined(quotes, trades).select(*PLACE, *columns)

    def depth(self, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        """See MLAdapter."""
        query = _DEPTH.format(
            rows=named(ORDERBOOK_TOP5.name), where=self._where(keys, "received_at", start, end)
        )
        with self._snapshot():
            rows = self._read(query)
        depths = [_sum_of_levels(f"{side}_sizes").alias(f"{side}_depth") for side in ("bid", "ask")]
        return self._placed(rows, keys).select(*PLACE, *depths).sort(*PLACE)

    def newest(self, keys: Sequence[Key]) -> datetime | None:
        """See MLAdapter."""
        query = _NEWEST.format(bars=named(_rollup_of(BOOK_TICKER)), ids=self._literal_ids(keys))
        with self._snapshot():
            found: datetime | None = self._read(query).item()
        return found

    def cancel(self) -> None:
        """See MLAdapter."""
        self._cursor.adbc_cancel()

    def close(self) -> None:
        """See MLAdapter."""
        self._cursor.close()
        self._connection.close()

    def _bars_of(
        self, table: RawTable, keys: Sequence[Key], start: datetime, end: datetime, columns: list[str]
    ) -> pl.DataFrame:
        if not columns:
            return pl.DataFrame(schema=PLACE)
        waiting = self._waiting(table, start, end)
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        where = self._where(keys, "second", start, end)
        bars = named(_rollup_of(table))
        rolled = self._placed(self._read(_ROLLED.format(columns=names, bars=bars, where=where)), keys)
        if not waiting:
            return rolled.select(*PLACE, *columns)
        rolled = rolled.filter(~pl.col("second").dt.truncate("1m").is_in(waiting))
        make = quote_bars if table is BOOK_TICKER else trade_bars
        rows = [self._rows(table, keys, max(run, start), min(until, end)) for run, until in runs(waiting)]
        return pl.concat([each.select(*PLACE, *columns) for each in (rolled, make(pl.concat(rows)))])

    def _rows(self, table: RawTable, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        columns = QUOTED if table is BOOK_TICKER else TRADED
        query = _ROWS.format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            rows=named(table.name),
            where=self._where(keys, "received_at", start, end),
            more=sql.SQL(table.rollup.where if table.rollup else "true"),
        )
        return self._placed(self._read(query), keys)

    def _waiting(self, table: RawTable, start: datetime, end: datetime) -> list[datetime]:
        query = _WAITING.format(
            touched=named("touched"),
            table=sql.Literal(table.name),
            start=sql.Literal(start - _MINUTE),
            end=sql.Literal(end),
        )
        minutes = self._read(query)["minute"].sort().to_list()
        if len(minutes) > MOST_WAITING:
            raise BarsBehindError(table.name, len(minutes))
        return minutes

    def _placed(self, rows: pl.DataFrame, keys: Sequence[Key]) -> pl.DataFrame:
        """Exchange symbol ids for places in `keys`."""
        ids = [self._ids[key] for key in keys]
        places = pl.Series(range(len(ids)), dtype=pl.Int32)
        key = pl.col("symbol_id").replace_strict(ids, places, return_dtype=pl.Int32)
        return rows.with_columns(key.alias("key")).drop("symbol_id")

    def _where(self, keys: Sequence[Key], clock: str, start: datetime, end: datetime) -> sql.Composed:
        return _WHERE.format(
            ids=self._literal_ids(keys),
            clock=sql.Identifier(clock),
            start=sql.Literal(start),
            end=sql.Literal(end),
        )

    def _literal_ids(self, keys: Sequence[Key]) -> sql.SQL:
        return sql.SQL(",".join(str(int(self._ids[key])) for key in keys))

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        with _readable():
            self._cursor.execute("BEGIN")
            try:
                yield
            finally:
                self._cursor.execute("ROLLBACK")

    def _read(self, query: sql.Composed) -> pl.DataFrame:
        self._cursor.execute(query.as_string())  # without parameters: only so does the driver COPY
        frame: pl.DataFrame = self._cursor.fetch_polars()
        return frame


@contextmanager
def _readable() -> Iterator[None]:
    """Say what to do where the database refuses."""
    try:
        yield
    except adbc.Error as error:
        what = str(error).split("\n")[0]
        if "permission denied" in what:
            hint = "give the role the right to read with deploy/postgres/researcher.sql"
        elif "does not exist" in what:
            hint = "check that dsn names the desk's database and that `manage.py migrate` ran there"
        else:
            hint = "check dsn and the server"
        raise StoreUnreadableError(f"dsn: {what}; {hint}") from error


def _rollup_of(table: RawTable) -> str:
    return table.rollup.name if table.rollup else table.name


def _sum_of_levels(column: str) -> pl.Expr:
    levels: list[Any] = [
        pl.col(column).list.get(level, null_on_oob=True).fill_null(0.0) for level in range(LEVELS)
    ]
    total: pl.Expr = levels[0] + levels[1] + levels[2] + levels[3] + levels[4]
    return total


_SYMBOLS: Final = sql.SQL("SELECT id, exchange, symbol FROM {symbols}")
_WHERE: Final = sql.SQL("symbol_id = ANY(ARRAY[{ids}]::integer[]) AND {clock} >= {start} AND {clock} < {end}")
_ROLLED: Final = sql.SQL("SELECT symbol_id, second, {columns} FROM {bars} WHERE {where}")
_ROWS: Final = sql.SQL(
    "SELECT symbol_id, received_at, digest, {columns} FROM {rows} WHERE {where} AND {more}"
)
_DEPTH: Final = sql.SQL(
    "SELECT DISTINCT ON (symbol_id, second) symbol_id, date_trunc('second', received_at) AS second, "
    "bid_sizes, ask_sizes FROM {rows} WHERE {where} "
    "ORDER BY symbol_id, second, received_at DESC, digest DESC"
)
_WAITING: Final = sql.SQL(
    "SELECT DISTINCT minute FROM {touched} WHERE raw_table = {table} AND minute > {start} AND minute < {end}"
)
_NEWEST: Final = sql.SQL("SELECT max(second) FROM {bars} WHERE symbol_id = ANY(ARRAY[{ids}]::integer[])")

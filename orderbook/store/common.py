"""Parts of the store that are alike on every engine: schema, symbols, marks of what waits for its bars."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import Connection, sql

from orderbook.store.engine import HOW_TO_SWITCH, StoreError
from orderbook.store.tables import BOOK_TICKER, HOUR_S, SCHEMA, RawTable, named

COMMA: Final = sql.SQL(", ")
COMMON: Final = ("symbols", "touched", "backfilled")
_MINUTE: Final = timedelta(minutes=1)


def create_common(connection: Connection[Any]) -> None:
    """Create the schema and the tables that are never partitioned."""
    # Asked first: IF NOT EXISTS would need the right to create schemas even where it exists.
    if connection.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    connection.execute(_SYMBOLS)
    connection.execute(_TOUCHED)
    connection.execute(_BACKFILLED)


def drop_tables(connection: Connection[Any], tables: Iterable[str]) -> None:
    """Drop tables with all that is in them."""
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE {}").format(named(table)))


def refuse_another(connection: Connection[Any], kind: str, engine: str) -> None:
    """Raise StoreError if there are raw tables of another kind (`pg_class.relkind`) than the engine's."""
    found = connection.execute(_KIND, [f"{SCHEMA}.{BOOK_TICKER.name}"]).fetchone()
    if found not in {None, (kind,)}:
        raise StoreError(f"the tables of {SCHEMA} are kept by the engine {engine}; {HOW_TO_SWITCH}")


def columns_and_key(columns: Mapping[str, str], key: tuple[str, ...]) -> sql.Composed:
    """Body of CREATE TABLE."""
    listed = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type)) for name, type in columns.items()]
    return COMMA.join([*listed, sql.SQL("PRIMARY KEY ({})").format(names_of(key))])


def create_time_index(connection: Connection[Any], table: str, clock: str) -> None:
    """Find a time by block ranges: rows come in its order, so the index stays a few kB an hour."""
    index, at = sql.Identifier(f"{table}_at"), sql.Identifier(clock)
    connection.execute(
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} USING brin ({})").format(index, named(table), at)
    )


def names_of(columns: Mapping[str, Any] | tuple[str, ...]) -> sql.Composed:
    """Names of columns, quoted."""
    return COMMA.join(map(sql.Identifier, columns))


def insert_new(table: RawTable, staged: sql.Composable) -> sql.Composed:
    """Statement that inserts the staged rows that are not there yet."""
    return _INSERT.format(named(table.name), names_of(table.types), staged)


def floor(at: datetime, length_s: int = HOUR_S) -> datetime:
    """Begin of the part that a time lies in."""
    return datetime.fromtimestamp(at.timestamp() // length_s * length_s, UTC)


def runs(minutes: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Ranges [from, until) of minutes that follow each other; the minutes are sorted, and one at least."""
    begins = until = minutes[0]
    for minute in minutes:
        if minute > until:
            yield begins, until
            begins = minute
        until = minute + _MINUTE
    yield begins, until


_SYMBOLS: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, "
    "exchange text NOT NULL, symbol text NOT NULL, UNIQUE (exchange, symbol))"
).format(named("symbols"))
_TOUCHED: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {0} (raw_table text NOT NULL, minute timestamptz NOT NULL); "
    "ALTER TABLE {0} ADD COLUMN IF NOT EXISTS marked_at timestamptz NOT NULL DEFAULT now()"
).format(named("touched"))
_BACKFILLED: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (raw_table text, hour timestamptz, symbols text, "
    "lake_rows bigint NOT NULL, PRIMARY KEY (raw_table, hour, symbols))"
).format(named("backfilled"))
_KIND: Final = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"
_INSERT: Final = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM {2} ON CONFLICT DO NOTHING")

"""Choice of the engine: TimescaleDB's where a new store may have it, and after that the one it has.

The tables themselves say by which engine they were made: nothing else can be wrong about it. A store with
rows is never switched: rows of one engine are not readable as those of the other.
"""

from typing import Any, Final

from psycopg import Connection
from psycopg.errors import InsufficientPrivilege

from orderbook.store.engine import HOW_TO_SWITCH, Engine, StoreError
from orderbook.store.plain import PlainEngine
from orderbook.store.tables import BOOK_TICKER, SCHEMA
from orderbook.store.timescale import TimescaleEngine

OLDEST_TIMESCALE: Final = (2, 18)
"""The first version with the columnstore's names."""


def engine_of(connection: Connection[Any]) -> Engine:
    """The engine that keeps this database's tables. Raises StoreError where there are none it can keep."""
    [(kind, is_loaded)] = connection.execute(_KEPT_BY, [f"{SCHEMA}.{BOOK_TICKER.name}"])
    if kind is None:
        raise StoreError(f"the schema {SCHEMA} has no tables: run `manage.py migrate`")
    if kind == "p":
        return PlainEngine()
    if not is_loaded:
        raise StoreError(
            f"the tables of {SCHEMA} were made by TimescaleDB, and this database has it no longer: put "
            f"timescaledb into shared_preload_libraries and restart PostgreSQL; {HOW_TO_SWITCH}"
        )
    return TimescaleEngine()


def choose(connection: Connection[Any]) -> Engine:
    """Give a store without rows the best engine this database has; one with rows keeps its own.

    Raises StoreError.
    """
    present = engine_of(connection)
    wanted = TimescaleEngine() if timescale_is_possible(connection) else PlainEngine()
    if wanted.name == present.name or not is_empty(connection):
        present.create(connection)  # what a newer version added
        return present
    return switch(connection, wanted)


def switch(connection: Connection[Any], engine: Engine) -> Engine:
    """Let another engine keep the tables. Raises StoreError where there are rows."""
    if not is_empty(connection):
        raise StoreError(
            f"the store has rows, which the engine {engine.name} could not read: switching is refused; "
            f"{HOW_TO_SWITCH}"
        )
    engine_of(connection).drop(connection)
    engine.create(connection)
    return engine


def is_empty(connection: Connection[Any]) -> bool:
    """Whether the store was never written to: every row has a symbol."""
    return connection.execute("SELECT EXISTS (SELECT FROM marketdata.symbols)").fetchone() == (False,)


def timescale_is_possible(connection: Connection[Any]) -> bool:
    """Whether the extension is there, or may be installed by this role, with all that the engine uses."""
    [(preloaded, licence, installed, available)] = connection.execute(_TIMESCALE)
    version = installed or available
    # Without its library preloaded the server ends a connection that asks for the extension.
    if not preloaded or not version or _parts(version) < OLDEST_TIMESCALE:
        return False
    if installed:
        return bool(licence == "timescale")  # the other one has neither compression nor continuous aggregates
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION timescaledb")
    except InsufficientPrivilege:
        return False
    return connection.execute("SHOW timescaledb.license").fetchone() == ("timescale",)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split(".") if part.isdecimal())


_KEPT_BY: Final = (
    "SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)), "
    "to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL "
    "AND current_setting('timescaledb.max_background_workers', true) IS NOT NULL"
)
_TIMESCALE: Final = (
    "SELECT current_setting('timescaledb.max_background_workers', true) IS NOT NULL, "
    "current_setting('timescaledb.license', true), "
    "(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), "
    "(SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb')"
)

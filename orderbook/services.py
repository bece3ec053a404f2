"""Upkeep of the store: partitions ahead, second bars, retention."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from psycopg import Connection

from orderbook.models import StoreSettings
from orderbook.store.choice import engine_of
from orderbook.store.engine import Engine
from orderbook.store.tables import RAW, ROLLUPS

AHEAD: Final = timedelta(hours=2)
"""Rows find their partition even if no upkeep runs for that long; writers make what is missing."""

MINUTES_AT_ONCE: Final = 10
"""Minutes whose bars are renewed in one transaction."""


def engine() -> Engine:
    """The engine that keeps the tables of this database. Raises StoreError."""
    return engine_of(own())


def make_ahead(now: datetime) -> int:
    """Create the partitions of the next hours, once the store is in use; returns how many."""
    with transaction.atomic():
        [(in_use,)] = own().execute(_IN_USE)
        tables = RAW if in_use else ()
        return sum(engine().make_partitions(own(), table, now, now + AHEAD) for table in tables)


def roll_up(table: str) -> int:
    """Renew the second bars of the oldest minutes that wait; returns how many, 0 where somebody else does."""
    with _alone(f"roll up {table}") as mine:
        return engine().roll_up(own(), table, MINUTES_AT_ONCE) if mine else 0


def fold_late(table: str) -> int:
    """Fold the late rows of the oldest hour into it; returns how many, 0 where somebody else does."""
    with _alone(f"fold {table}") as mine, transaction.atomic():
        return engine().fold_late(own(), table) if mine else 0


def retain(now: datetime) -> int:
    """Drop what no setting keeps; returns how many parts. A table is locked for a moment each."""
    kept, dropped = kept_days(), 0
    for table, days in kept.items():
        with transaction.atomic():
            dropped += engine().keep(own(), table, days, now)
            # Should its days become more, a dropped hour is filled again.
            own().execute(_UNFILL, [table, now - timedelta(days=days)])
    return dropped


def kept_days() -> dict[str, int]:
    """Days that each table is kept."""
    kept = StoreSettings.objects.first() or StoreSettings()
    return {**dict.fromkeys(RAW, kept.raw_days), **dict.fromkeys(ROLLUPS, kept.rollup_days)}


@contextmanager
def _alone(what: str) -> Iterator[bool]:
    """Whether nobody else does this; nobody begins until it is over. A refresh must be in no transaction."""
    held = own()
    [(mine,)] = held.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [what])
    try:
        yield mine
    finally:
        if mine and not held.closed:
            held.execute("SELECT pg_advisory_unlock(hashtext(%s))", [what])


def own() -> Connection[Any]:
    """psycopg's connection under Django's."""
    connection.ensure_connection()
    found: Connection[Any] = connection.connection
    return found


_IN_USE: Final = "SELECT EXISTS (SELECT FROM marketdata.symbols)"
_UNFILL: Final = "DELETE FROM marketdata.backfilled WHERE raw_table = %s AND hour < %s"

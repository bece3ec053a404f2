"""Upkeep of the store: partitions ahead, second bars, retention."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from psycopg import Connection

from orderbook.models import StoreSettings
from orderbook.store.plain import PlainEngine
from orderbook.store.tables import RAW, ROLLUPS

AHEAD: Final = timedelta(hours=2)
"""Rows find their partition even if no upkeep runs for that long; writers make what is missing."""

MINUTES_AT_ONCE: Final = 10
"""Minutes whose bars are renewed in one transaction."""


def engine() -> PlainEngine:
    """The engine that keeps the tables of this database."""
    return PlainEngine()


def make_ahead(now: datetime) -> int:
    """Create the partitions of the next hours, once the store is in use; returns how many."""
    with transaction.atomic():
        own = _own()
        [(in_use,)] = own.execute(_IN_USE)
        tables = RAW if in_use else ()
        return sum(engine().make_partitions(own, table, now, now + AHEAD) for table in tables)


def roll_up(table: str) -> int:
    """Renew the second bars of the oldest minutes that wait; returns how many, 0 where somebody else does."""
    with transaction.atomic():
        own = _own()
        [(mine,)] = own.execute(_MINE, [f"roll up {table}"])
        return engine().roll_up(own, table, MINUTES_AT_ONCE) if mine else 0


def retain(now: datetime) -> int:
    """Drop the partitions that no setting keeps; returns how many. A table is locked for a moment each."""
    kept = StoreSettings.objects.first() or StoreSettings()
    days = {**dict.fromkeys(RAW, kept.raw_days), **dict.fromkeys(ROLLUPS, kept.rollup_days)}
    dropped = 0
    for table, each in days.items():
        with transaction.atomic():
            dropped += engine().drop_before(_own(), table, now - timedelta(days=each))
    return dropped


def _own() -> Connection[Any]:
    """psycopg's connection under Django's; inside a transaction only."""
    connection.ensure_connection()
    own: Connection[Any] = connection.connection
    return own


_IN_USE: Final = "SELECT EXISTS (SELECT FROM marketdata.symbols)"
_MINE: Final = "SELECT pg_try_advisory_xact_lock(hashtext(%s))"

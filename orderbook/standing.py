"""How the store stands: its tables, how far its second bars are behind, the disk under it."""

import shutil
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import Struct
from psycopg import Connection

from core.health.upkeep import us_of
from orderbook import services
from orderbook.store.choice import engine_of
from orderbook.store.engine import Size
from orderbook.store.tables import RAW, length_of


class StoreTable(Struct, frozen=True):
    """A table of the store; sizes as in `orderbook.store.engine.Size`, times in µs.

    `waits_since_us` is since when its oldest rows wait for their second bars; None: none waits.
    """

    table: str
    parts: int
    bytes: int
    keep_days: int
    rows: int | None = None
    compressed: int = 0
    late: int = 0
    oldest_us: int | None = None
    oldest_ends_us: int | None = None
    waits_since_us: int | None = None


class Standing(Struct, frozen=True):
    """The whole store. `room_until_us` is where a table has no partition any more; None: none is needed.

    The disk is known where PostgreSQL runs on this host, and says where its data lie.
    """

    engine: str
    symbols: int
    tables: tuple[StoreTable, ...]
    room_until_us: int | None = None
    disk_bytes: int | None = None
    disk_free_bytes: int | None = None


def measure() -> Standing:
    """Look everything up. Blocks for up to seconds. Raises psycopg.Error, DatabaseError or StoreError."""
    connection = services.own()
    engine = engine_of(connection)
    [(symbols,)] = connection.execute("SELECT count(*) FROM marketdata.symbols")
    waits = dict(connection.execute(_WAITS).fetchall())
    days, sizes = services.kept_days(), engine.sizes(connection)
    disk = _disk(connection)
    return Standing(
        engine.name,
        symbols,
        tuple(_table(size, days[size.table], waits.get(size.table)) for size in sizes),
        room_until_us=_room_until_us(sizes) if symbols and engine.name == "plain" else None,
        disk_bytes=disk and disk[0],
        disk_free_bytes=disk and disk[1],
    )


def _table(size: Size, keep_days: int, waits_since: datetime | None) -> StoreTable:
    return StoreTable(
        size.table,
        size.partitions,
        size.bytes,
        keep_days,
        size.rows,
        size.compressed,
        size.late,
        oldest_us=_us(size.oldest),
        oldest_ends_us=_us(size.oldest and _end(size.table, size.oldest)),
        waits_since_us=_us(waits_since),
    )


def _room_until_us(sizes: list[Size]) -> int:
    """Where the first raw table has no partition any more; 0: it never had one."""
    newest = [(size.table, size.newest) for size in sizes if size.table in RAW]
    return min(us_of(_end(table, begins)) if begins else 0 for table, begins in newest)


def _end(table: str, begins: datetime) -> datetime:
    return begins + timedelta(seconds=length_of(table))


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else us_of(moment)


def _disk(connection: Connection[Any]) -> tuple[int, int] | None:
    """All and free bytes of the disk under PostgreSQL's data; None where they are not ours to see."""
    found = connection.execute(_PLACE).fetchone()
    if found is None:
        return None
    try:
        usage = shutil.disk_usage(found[0])
    except OSError:
        return None
    return usage.total, usage.free


_WAITS: Final = "SELECT raw_table, min(marked_at) FROM marketdata.touched GROUP BY 1"
# Of another host the path may be one of ours, too: only a server that is reached by a socket file or over
# loopback is here.
_PLACE: Final = (
    "SELECT setting FROM pg_settings WHERE name = 'data_directory' "
    "AND coalesce(inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1', true)"
)

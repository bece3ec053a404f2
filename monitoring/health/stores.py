"""Sizes of the stores and results of their upkeep: slow questions, asked by the monitor for everybody.

| key | what |
|---|---|
| `monitoring:stores` | `Stores` as JSON, written every `MEASURE_EVERY_S`, gone after `KEPT_S` |
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from django.db import DatabaseError, connection
from django.utils import timezone
from msgspec import structs
from psycopg import Error as PostgresError
from redis.asyncio import Redis

from core.clock.moments import Ages
from core.health import upkeep
from core.health.findings import Lack
from core.health.upkeep import LastRun, Overdue
from history.lake.standing import lake_disk, lake_tables
from history.models import RetentionPolicy
from markets.models import ConfigRevision
from markets.selectors import exchange_names
from monitoring.health.observed import Stores
from orderbook.standing import Standing
from orderbook.standing import measure as store_standing
from orderbook.store.engine import StoreError

MEASURE_EVERY_S: Final = 30.0
KEPT_S: Final = 120
CONNECT_S: Final = 2
KEY: Final = "monitoring:stores"


def saved_revision() -> int:
    """The saved revision, over a connection of its own: one that is stuck must not be waited for.

    Raises DatabaseError or OSError.
    """
    own = connection.copy()
    own.settings_dict["OPTIONS"] = {**own.settings_dict.get("OPTIONS", {}), "connect_timeout": CONNECT_S}
    sql, params = ConfigRevision.objects.values_list("number").query.sql_with_params()
    try:
        with own.cursor() as cursor:
            cursor.execute(sql, params)
            row = cursor.fetchone()
    finally:
        own.close()
    return int(row[0]) if row else 0


def measure() -> Stores:
    """Look everything up; what cannot be is named in `missing`. Blocks for up to seconds, never raises."""
    missing: list[str] = []
    database_bytes: int | None = None
    runs: tuple[LastRun, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    names: dict[str, str] = {}
    keep_days: dict[str, int | None] = {}
    store: Standing | None = None
    try:
        names = exchange_names()
        database_bytes = _database_bytes()
        runs = tuple(run for question in upkeep.runs for run in question())
        overdue = tuple(each for question in upkeep.overdue for each in question(timezone.now()))
        keep_days = dict(RetentionPolicy.objects.values_list("table", "days"))
        store = store_standing()
    except (DatabaseError, PostgresError, StoreError, OSError) as error:
        missing.append(f"database sizes and maintenance runs: {type(error).__name__}")
    finally:
        connection.close()
    return Stores(
        at_us=int(timezone.now().timestamp() * 1e6),
        database_bytes=database_bytes,
        lake=tuple(lake_tables(keep_days, missing)),
        disk=lake_disk(missing),
        store=store,
        runs=runs,
        overdue=overdue,
        names=names,
        missing=tuple(missing),
    )


def load_lacks() -> dict[str, Lack]:
    """Parts the desk lacks, whatever collectors say. Raises DatabaseError."""
    return {name: lack for question in upkeep.lacks for name, lack in question()}


def by_our_clock(runs: Sequence[LastRun], ages: Ages, at_us: int, now_s: float) -> Iterator[LastRun]:
    """The runs as old as the monotonic clock has it, where the wall clock says otherwise: it was set."""
    old_s = ages.take({run.job: run.done_us or run.tried_us for run in runs}, at_us, now_s)
    for run in runs:
        done_us = at_us - int(old_s[run.job] * 1e6)
        was_set = run.done_us is not None and abs(done_us - run.done_us) > 2 * MEASURE_EVERY_S * 1e6
        yield structs.replace(run, done_us=done_us) if was_set else run


async def publish_stores(redis: "Redis", stores: Stores) -> None:
    """Publish to every process. Raises RedisError."""
    await redis.set(KEY, msgspec.json.encode(stores), ex=KEPT_S)


async def read_stores(redis: "Redis") -> Stores | None:
    """Last measurement of the monitor; None when there is none lately. Raises RedisError."""
    value = await redis.get(KEY)
    try:
        return None if value is None else msgspec.json.decode(value, type=Stores)
    except msgspec.MsgspecError:  # of another version, during an update
        return None


# --- PostgreSQL ----------------------------------------------------------------------------------


def _database_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])

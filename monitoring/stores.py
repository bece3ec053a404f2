"""How large the stores are and how their upkeep went: slow questions, asked by the monitor for everybody.

| key | what |
|---|---|
| `monitoring:stores` | `Stores` as JSON, written every `MEASURE_EVERY_S`, gone after `KEPT_S` |
"""

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from axes.models import AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection
from django.db.models import Min
from django.utils import timezone
from msgspec import structs
from redis.asyncio import Redis

from history.models import Kind, MaintenanceRun, RetentionPolicy
from markets.models import CatalogueSync, ConfigRevision, WalletSync
from markets.moments import Ages
from monitoring.assess import RETAINED_WITHIN_DAYS
from monitoring.models import Alert, Delivery
from monitoring.observed import Disk, LakeTable, LastRun, Overdue, Stores
from realtime.models import OpportunityEpisode

MEASURE_EVERY_S: Final = 30.0
KEPT_S: Final = 120
CONNECT_S: Final = 2
KEY: Final = "monitoring:stores"

DUE_EVERY_S: Final = {Kind.COMPACT: 600.0, Kind.CLEAN: 3600.0, Kind.RETAIN: 86_400.0}
"""As CELERY_BEAT_SCHEDULE has them, the syncs too."""

MARKETS_EVERY_S: Final = 3600.0
WALLETS_EVERY_S: Final = 900.0

JOBS: Final = {Kind.COMPACT: "compact", Kind.CLEAN: "clean", Kind.RETAIN: "retain"}


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
    keep_days: dict[str, int | None] = {}
    try:
        database_bytes = _database_bytes()
        runs = tuple(_runs())
        overdue = tuple(_overdue(timezone.now()))
        keep_days = dict(RetentionPolicy.objects.values_list("table", "days"))
    except (DatabaseError, OSError) as error:
        missing.append(f"database size and maintenance runs: {type(error).__name__}")
    finally:
        connection.close()
    return Stores(
        at_us=int(timezone.now().timestamp() * 1e6),
        database_bytes=database_bytes,
        lake=tuple(structs.replace(one, keep_days=keep_days.get(one.table)) for one in _lake(missing)),
        disk=_disk(missing),
        runs=runs,
        overdue=overdue,
        missing=tuple(missing),
    )


def by_our_clock(runs: Sequence[LastRun], ages: Ages, at_us: int, now_s: float) -> Iterator[LastRun]:
    """The runs as old as the monotonic clock has it, where the wall clock says otherwise: it was set."""
    old_s = ages.take({run.job: run.done_us or run.tried_us for run in runs}, at_us, now_s)
    for run in runs:
        done_us = at_us - int(old_s[run.job] * 1e6)
        was_set = run.done_us is not None and abs(done_us - run.done_us) > 2 * MEASURE_EVERY_S * 1e6
        yield structs.replace(run, done_us=done_us) if was_set else run


async def publish_stores(redis: "Redis", stores: Stores) -> None:
    """Let every process know. Raises RedisError."""
    await redis.set(KEY, msgspec.json.encode(stores), ex=KEPT_S)


async def read_stores(redis: "Redis") -> Stores | None:
    """What the monitor measured last; None when none did lately. Raises RedisError."""
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


def _runs() -> Iterator[LastRun]:
    for kind, job in JOBS.items():
        tables = MaintenanceRun.objects.filter(kind=kind).order_by().values_list("table", flat=True)
        for table in tables.distinct():
            yield _maintenance(kind, f"{job} {table}", table)
    for markets in CatalogueSync.objects.select_related("exchange").filter(exchange__enabled=True):
        yield _sync(f"market sync {markets.exchange.key}", markets, MARKETS_EVERY_S)
    for wallets in WalletSync.objects.select_related("exchange").filter(exchange__enabled=True):
        yield _sync(f"wallet sync {wallets.exchange.key}", wallets, WALLETS_EVERY_S)


def _maintenance(kind: Kind, job: str, table: str) -> LastRun:
    runs = MaintenanceRun.objects.filter(kind=kind, table=table).order_by("-pk")
    last = runs[0]
    good = runs.filter(state__in=("done", "stopped"), ended__isnull=False).first()
    return LastRun(
        job=job,
        state=last.state,
        tried_us=_us(last.started) or 0,
        done_us=_us(good.ended) if good else None,
        due_every_s=DUE_EVERY_S[kind],
        error=last.error,
    )


def _sync(job: str, sync: CatalogueSync | WalletSync, every_s: float) -> LastRun:
    return LastRun(
        job=job,
        state="partial" if sync.in_part else "failed" if sync.error else "done",
        tried_us=_us(sync.tried_at) or 0,
        done_us=_us(sync.synced_at),
        due_every_s=every_s,
        error=sync.error,
    )


def _overdue(now: datetime) -> Iterator[Overdue]:
    """What lies in the database although a daily task that works would have deleted it days ago.

    These tasks keep no record of their runs as the lake's do, and need none: the rows tell.
    """
    kept = {
        "retain episodes": settings.EPISODE_DAYS,
        "retain alerts": settings.ALERT_DAYS,
        "retain sessions": 0,
    }
    before = {job: now - timedelta(days=days + RETAINED_WITHIN_DAYS) for job, days in kept.items()}
    began_then = OpportunityEpisode.objects.filter(started_at__lt=before["retain episodes"])  # by its index
    columns = (
        ("retain episodes", began_then, "seen_at"),
        ("retain alerts", Alert.objects, "resolved_at"),
        ("retain alerts", Delivery.objects.filter(alert=None), "created_at"),
        ("retain alerts", AccessLog.objects, "attempt_time"),
        ("retain sessions", Session.objects, "expire_date"),
    )
    oldest: dict[str, int] = {}
    for job, rows, column in columns:
        if moment := _oldest(rows, column, before[job]):
            oldest[job] = min(oldest.get(job, moment), moment)
    for job, oldest_us in oldest.items():
        yield Overdue(job, oldest_us, kept[job])


def _oldest(rows: Any, column: str, before: datetime) -> int | None:
    """The oldest of what lies before a time, µs."""
    return _us(rows.filter(**{f"{column}__lt": before}).aggregate(oldest=Min(column))["oldest"])


def _us(moment: Any) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1e6)


# --- the lake ------------------------------------------------------------------------------------


def _lake(missing: list[str]) -> Iterator[LakeTable]:
    # The lake's libraries weigh 70 MB: only the process that measures loads them.
    from deltalake.exceptions import DeltaError

    from history.appending import STORE_ERRORS
    from history.inventory import files_of, size_of
    from history.lake import Lake
    from history.quarantine import notes
    from history.schema import SCHEMAS

    lake, today = Lake.from_settings(), timezone.now().date()
    for table in SCHEMAS:
        try:
            size = size_of(files_of(lake, table), today)
            found = notes(lake, table)
        except (DeltaError, *STORE_ERRORS) as error:
            missing.append(f"lake table {table}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
            continue
        yield LakeTable(
            table,
            size.files,
            size.rows,
            size.bytes,
            size.newest_us,
            size.oldest_us,
            bytes_per_day=size.bytes_per_day,
            damaged=tuple(dict.fromkeys(f"{note.file}: {note.what}" for note in found)),
            damaged_us=found[0].at_us if found else 0,
        )


def _disk(missing: list[str]) -> Disk | None:
    if "://" in settings.LAKE_URL:
        return None
    try:
        usage = shutil.disk_usage(settings.LAKE_URL)
    except FileNotFoundError:  # nothing was written yet
        return None
    except OSError as error:
        missing.append(f"the disk under the lake: {type(error).__name__}")
        return None
    return Disk(usage.total, usage.free)

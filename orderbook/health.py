"""Whether the store is healthy: its second bars, its partitions, its retention, the disk under it."""

from collections.abc import Iterator
from typing import Final, Protocol

from core.health.findings import Finding, finds, graded
from core.names.formats import counted
from history.lake.standing import Disk
from orderbook.standing import Standing

ROLLUP_LATE_S: Final = 300
"""Bars are renewed every minute, and a minute may be missed."""

ROOM_S: Final = 1800
"""Partitions are made two hours ahead, every minute."""

RETAINED_WITHIN_DAYS: Final = 1
"""Retention runs every hour."""

CRITICAL_DISK_PCT: Final = 3.0
DAY_US: Final = 86_400_000_000


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def store(self) -> Standing | None: ...
    @property
    def disk(self) -> Disk | None: ...


class Limits(Protocol):
    """Limits that an operator sets."""

    @property
    def disk_free_pct(self) -> float: ...


@finds(store_upkeep="the store's second bars or partitions are late")
def late_bars(now: Look, _limits: object) -> Iterator[Finding]:
    """Rows wait long for their second bars."""
    for table in now.store.tables if now.store else ():
        if table.waits_since_us is None:
            continue
        waits_s = (now.at_us - table.waits_since_us) / 1e6
        if waits_s > ROLLUP_LATE_S:
            yield Finding(
                "store_upkeep", f"bars of {table.table}", "warning", table.waits_since_us,
                f"Rows of {table.table} have waited {waits_s / 60:.0f} min for their second bars.",
                "Check that worker and beat are running; the worker's log shows why orderbook.tasks.roll_up "
                "fails. Nothing is lost: what waits is rolled up later.",
                round(waits_s), ROLLUP_LATE_S,
            )  # fmt: skip


@finds()
def missing_partitions(now: Look, _limits: object) -> Iterator[Finding]:
    """The partitions made ahead end soon, or have ended."""
    if now.store is None or now.store.room_until_us is None:
        return
    room_s = (now.store.room_until_us - now.at_us) / 1e6
    if room_s < ROOM_S:
        yield Finding(
            "store_upkeep", "partitions", "warning", now.at_us,
            "The store has no partitions for the next half hour.",
            "Check that worker and beat are running: orderbook.tasks.roll_up makes them. Meanwhile each "
            "writer makes those it needs, and waits for it.",
            round(max(room_s, 0)), ROOM_S,
        )  # fmt: skip


@finds()
def late_retention(now: Look, _limits: object) -> Iterator[Finding]:
    """Tables hold what the store settings keep no longer."""
    for table in now.store.tables if now.store else ():
        if table.oldest_ends_us is None:
            continue
        old_days = (now.at_us - table.oldest_ends_us) / DAY_US
        if old_days > table.keep_days + RETAINED_WITHIN_DAYS:
            yield Finding(
                "maintenance_late", f"retain store {table.table}", "warning", now.at_us,
                f"The store's {table.table} has rows {counted(old_days, 'day')} old; its settings keep "
                f"{counted(table.keep_days, 'day')}.",
                "Check that worker and beat are running; the worker's log shows why orderbook.tasks.retain "
                "fails.",
                round(old_days * 86_400), table.keep_days * 86_400.0,
            )  # fmt: skip


@finds()
def full_disk(now: Look, limits: Limits) -> Iterator[Finding]:
    """The disk under PostgreSQL has little left, and it is not the lake's."""
    store = now.store
    if store is None or not store.disk_bytes or store.disk_free_bytes is None:
        return
    if now.disk is not None and now.disk.total_bytes == store.disk_bytes:
        return  # the same disk, which the lake's check reports
    free_pct = 100 * store.disk_free_bytes / store.disk_bytes
    if free_pct < limits.disk_free_pct:
        yield Finding(
            "disk", "store", graded(free_pct < CRITICAL_DISK_PCT), now.at_us,
            f"The disk under PostgreSQL has {free_pct:.1f} % left "
            f"({round(store.disk_free_bytes / 2**20):,} MB).",
            "Keep fewer days in the store (admin, Store settings), or get a larger disk.",
            round(100 - free_pct, 1), 100 - limits.disk_free_pct,
        )  # fmt: skip

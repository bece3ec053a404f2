"""Whether the lake is healthy: its disk, its files, those who write it, and what it keeps."""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from core.health.findings import Finding, finds, graded
from core.health.upkeep import RETAINED_WITHIN_DAYS, LastRun
from core.names.formats import counted
from history.lake.standing import Disk, LakeTable
from markets.follow.runtime import CollectorStatus

CRITICAL_DISK_PCT: Final = 3.0
FILES_SHOWN: Final = 3
DAY_US: Final = 86_400_000_000


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def lake(self) -> Iterable[LakeTable]: ...
    @property
    def disk(self) -> Disk | None: ...
    @property
    def runs(self) -> Iterable[LastRun]: ...
    @property
    def collectors(self) -> Iterable[CollectorStatus]: ...


class Limits(Protocol):
    """Limits that an operator sets."""

    @property
    def disk_free_pct(self) -> float: ...
    @property
    def lake_flush_s(self) -> float: ...


@finds(disk="the disk under the lake fills up")
def full_disk(now: Look, limits: Limits) -> Iterator[Finding]:
    """The disk under the lake has little left."""
    if now.disk is None or not now.disk.total_bytes:
        return
    free_pct = 100 * now.disk.free_bytes / now.disk.total_bytes
    if free_pct < limits.disk_free_pct:
        yield Finding(
            "disk", "lake", graded(free_pct < CRITICAL_DISK_PCT), now.at_us,
            f"The disk under the lake has {free_pct:.1f} % left ({round(now.disk.free_bytes / 2**20):,} MB).",
            "Keep fewer days of the large tables (admin, Lake tables), clean up, or get a larger disk.",
            round(100 - free_pct, 1), 100 - limits.disk_free_pct,
        )  # fmt: skip


@finds(lake_write="the lake cannot be written, or writing is slow")
def slow_flushes(now: Look, limits: Limits) -> Iterator[Finding]:
    """A collector takes long to write the lake. (That it cannot at all is found with its other sinks.)"""
    for collector in now.collectors:
        for name, stats in collector.sinks.items():
            flush_s = float(stats.get("flush_s", 0.0))
            if flush_s > limits.lake_flush_s:
                subject = f"collector {collector.shard}"
                yield Finding(
                    "lake_write", f"{subject} {name} slow", "warning", now.at_us,
                    f"Each write of {subject} to the lake takes {flush_s:.0f} s.",
                    "The disk or object store under LAKE_URL is slow: check what else uses it.",
                    round(flush_s, 1), limits.lake_flush_s,
                )  # fmt: skip


@finds()
def damaged_files(now: Look, _limits: Limits) -> Iterator[Finding]:
    """Files of the lake are damaged and left out."""
    for table in now.lake:
        if table.damaged:
            shown = "; ".join(table.damaged[:FILES_SHOWN])
            rest = len(table.damaged) - FILES_SHOWN
            yield Finding(
                "lake_write", f"lake {table.table} damaged", "warning", table.damaged_us,
                f"Damaged files of the lake table {table.table} are left out: {shown}"
                + (f"; and {rest} more." if rest > 0 else "."),
                f"See docs/lake_care.md, Damage; this stays until {table.table}/_quarantine is moved away.",
                len(table.damaged), 0,
            )  # fmt: skip


@finds()
def never_retained(now: Look, _limits: Limits) -> Iterator[Finding]:
    """Tables hold what no policy keeps, and no run of their retention is on record."""
    ran = {run.job for run in now.runs}
    for table in now.lake:
        job = f"retain {table.table}"
        if job in ran or table.keep_days is None or table.oldest_us is None:
            continue
        old_days = (now.at_us - table.oldest_us) / DAY_US
        if old_days > table.keep_days + RETAINED_WITHIN_DAYS:
            yield Finding(
                "maintenance_late", job, "warning", now.at_us,
                f"The task {job} never ran: the table holds data {counted(old_days, 'day')} old; its policy "
                f"keeps {counted(table.keep_days, 'day')}.",
                "Check that worker and beat are running. Deletion begins when an exchange confirms the time. "
                "The admin can start a run at once.",
                round(old_days * 86_400, 0), table.keep_days * 86_400.0,
            )  # fmt: skip

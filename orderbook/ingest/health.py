"""Whether the store gets what it is to get: written in time, nothing lost, nothing refused."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from core.health.findings import Finding, finds, graded
from core.names.formats import counted
from core.outage import lasted
from markets.follow.runtime import CollectorStatus

SINKS: Final = ("StoreSink", "IngestSink")
LAG_S: Final = 120.0
"""A batch waits 60 s at most by the settings; beyond this the store is behind."""

CRITICAL_LAG_S: Final = 600.0
REPORTED_S: Final = 3600.0
"""For so long after the last one, what was lost or refused is reported."""


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def collectors(self) -> Iterable[CollectorStatus]: ...
    @property
    def ingests(self) -> Iterable[CollectorStatus]: ...


@finds(store_write="what is to be in the store is not written whole and in time")
def behind(now: Look, _limits: object) -> Iterator[Finding]:
    """The oldest of what is not written waits for long. (That nothing is written, all sinks' check finds.)"""
    for subject, stats in _writers(now):
        lag_s = float(stats.get("lag_s", 0.0))
        if stats["problem"] or lag_s <= LAG_S:
            continue
        waiting = counted(stats["waiting"] + stats["spilled_events"], "event")
        yield Finding(
            "store_write", f"{subject} behind", graded(lag_s > CRITICAL_LAG_S), now.at_us,
            f"The store lacks the last {lasted(lag_s)} of what {subject} received: "
            f"{waiting} wait, {stats['spilled_bytes'] / 1e6:,.1f} MB of them on disk.",
            "It catches up by itself where PostgreSQL is quicker than what comes in. Otherwise store fewer "
            "symbols or kinds (admin, Store settings), share the work with --shard, or give PostgreSQL a "
            "faster disk.",
            round(lag_s, 1), LAG_S,
        )  # fmt: skip


@finds()
def lost(now: Look, _limits: object) -> Iterator[Finding]:
    """Batches that waited on disk were dropped, or damaged, within the last hour."""
    for subject, stats in _writers(now):
        if not _is_recent(now, stats.get("lost_us")):
            continue
        yield Finding(
            "store_write", f"{subject} lost", "critical", stats["lost_us"],
            f"The store has a hole: {counted(stats['dropped'], 'event')} of {subject} were dropped and "
            f"{stats['torn_bytes']:,} bytes on disk were damaged since it began.",
            "The log says when. The lake has the quotes and trades that the store lacks: `manage.py "
            "backfill_orderbook` brings them; books are not in the lake. If the database may be away for "
            "longer, allow more megabytes on disk (admin, Store settings), and see that the disk of "
            "STORE_SPILL_DIR has them.",
            float(stats["dropped"]),
        )  # fmt: skip


@finds()
def set_aside(now: Look, _limits: object) -> Iterator[Finding]:
    """Rows were refused within the last hour."""
    for subject, stats in _writers(now):
        if not _is_recent(now, stats.get("set_aside_us")):
            continue
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(stats["set_aside"].items()))
        yield Finding(
            "store_write", f"{subject} set aside", "warning", stats["set_aside_us"],
            f"Of some events that {subject} received no row can be made, by kind: {kinds}. The rest of their "
            "batches was written.",
            "Events like these come from a fault of an exchange or of its codec: compare with the exchange's "
            "bad frames on this page, and report it.",
            float(sum(stats["set_aside"].values())),
        )  # fmt: skip


def _is_recent(now: Look, at_us: int | None) -> bool:
    return at_us is not None and now.at_us - at_us <= REPORTED_S * 1e6


def _writers(now: Look) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Processes that write into the store, with their sink's counters."""
    for status in (*now.collectors, *now.ingests):
        for name in SINKS:
            if stats := status.sinks.get(name):
                yield f"{status.role} {status.shard}", stats

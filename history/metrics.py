"""The metrics of the lake: of those who write it, and how large it is."""

from collections.abc import Iterable
from typing import Protocol

from core.metrics import Samples, Stats, declare, exported_in, exported_of, of_desk
from core.process.histogram import Buckets
from history.lake.standing import Disk, LakeTable

# --- collectors ----------------------------------------------------------------------------------

declare(
    "lake_rows_written_total",
    "shard table",
    "Rows committed to the lake: quotes, trades, points and more.",
)
declare("lake_rows_pending", "shard", "Rows that wait to be committed.")
declare("lake_flushes_total", "shard", "Flushes to the lake that were begun.")
declare("lake_flush_seconds", "shard", "How long flushes to the lake took.", "histogram")
declare("lake_last_flush_seconds", "shard", "The last flush, or the one under way if that is longer.")
declare("lake_failures_total", "shard", "Commits to the lake that failed.")
declare("lake_events_lost_total", "shard", "Events that did not come to the lake.")
declare(
    "lake_funding_refused_total",
    "shard reason",
    "What exchanges said of funding that cannot be, by reason.",
)
declare("lake_intervals_changed_total", "shard", "Swaps whose time between settlements changed.")
declare(
    "lake_symbol_rows_total",
    "shard table symbol",
    "Rows of the busiest symbols; METRICS_SYMBOLS of them.",
)


@exported_of("LakeSink")
def export_lake_sink(to: Samples, shard: str, stats: Stats, symbols: int) -> None:
    """Export the sink's counters; of single symbols the busiest."""
    for table, rows in stats["rows"].items():
        to.add("lake_rows_written_total", rows, shard, table)
    to.add("lake_rows_pending", stats["pending_rows"], shard)
    to.add("lake_flushes_total", stats["flushes"], shard)
    to.add_buckets("lake_flush_seconds", Buckets(**stats["flush_buckets"]), shard)
    to.add("lake_last_flush_seconds", stats["flush_s"], shard)
    to.add("lake_failures_total", stats["failures"], shard)
    to.add("lake_events_lost_total", stats["events_lost"], shard)
    for reason, count in stats.get("funding_refused", {}).items():
        to.add("lake_funding_refused_total", count, shard, reason)
    to.add("lake_intervals_changed_total", stats.get("intervals_changed", 0), shard)
    for table, by_symbol in stats["rows_by_symbol"].items():
        for symbol in sorted(by_symbol, key=lambda each: (-by_symbol[each], each))[:symbols]:
            to.add("lake_symbol_rows_total", by_symbol[symbol], shard, table, symbol)


# --- the monitor ---------------------------------------------------------------------------------

declare("lake_bytes", "table", "Size of the lake, live files only.")
declare("lake_files", "table", "Live files of the lake.")
declare("lake_rows", "table", "Rows in the lake.")
declare("disk_free_bytes", "", "Free on the disk under the lake.")
declare("disk_bytes", "", "All of that disk.")


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def lake(self) -> Iterable[LakeTable]: ...
    @property
    def disk(self) -> Disk | None: ...


@exported_in(of_desk)
def export_lake(to: Samples, now: Look) -> None:
    """The lake and the disk under it."""
    for table in now.lake:
        to.add("lake_bytes", table.bytes, table.table)
        to.add("lake_files", table.files, table.table)
        to.add("lake_rows", table.rows, table.table)
    if now.disk is not None:
        to.add("disk_free_bytes", now.disk.free_bytes)
        to.add("disk_bytes", now.disk.total_bytes)

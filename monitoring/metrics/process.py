"""What a process answers when Prometheus asks it, read at that moment from what it counts anyway.

Nothing of the desk counts for Prometheus' sake while it works. Everything here is called in the thread
of a scrape and reads values that are replaced as a whole or only grow.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from prometheus_client.metrics_core import Metric as Family

from accounts.tally import SIGN_IN_OUTCOMES
from core.process.heartbeat import Heartbeat
from core.process.histogram import Buckets
from markets.follow.runtime import CollectorStatus
from monitoring.metrics.families import Families
from monitoring.metrics.tasks import TaskBook
from monitoring.metrics.traffic import DOORS, Traffic
from monitoring.quality.connections import CROSSED, MALFORMED, RECONNECTS, UNKNOWN, ZERO
from monitoring.quality.latency import EDGES_MS, Counts

US: Final = 1e6
MS: Final = 1e3

BAD_FRAMES: Final = {
    "malformed": MALFORMED,
    "unknown": UNKNOWN,
    "crossed": CROSSED,
    "zero": ZERO,
    "empty_side": ("empty_side", "one_sided"),
    "frozen": ("frozen",),
    "out_of_order": ("out_of_order",),
    "bad_time": ("bad_time",),
    "late": ("late",),
    "read_late": ("read_late",),
    "duplicate_trade": ("duplicate_trades",),
}

SUPERVISING: Final = ("collector", "monitor", "web")
"""Roles that are made of supervised parts."""

_DELAY_STEP: Final = 7
"""Every seventh edge: 2.66 times the one before, 14 buckets instead of 95."""

_DELAY_EDGES_MS: Final = EDGES_MS[_DELAY_STEP - 1 :: _DELAY_STEP]
_DELAY_EDGES_S: Final = tuple(float(f"{edge:.4g}") / MS for edge in _DELAY_EDGES_MS)

Tell = Callable[[Families], None]


def families(tellers: Iterable[Tell]) -> Iterable[Family]:
    """Everything these have to tell."""
    found = Families()
    for tell in tellers:
        tell(found)
    return found


# --- every process -------------------------------------------------------------------------------------


def tell_process(to: Families, beat: Heartbeat) -> None:
    """A process as it last felt its own pulse."""
    role = beat.role
    to.add("process_info", 1, role, beat.name, beat.host)
    to.add("process_start_time_seconds", beat.started_ts_us / US, role)
    to.add("process_heartbeat_time_seconds", beat.reported_ts_us / US, role)
    to.add("process_memory_bytes", beat.rss_bytes, role)
    to.add("process_memory_limit_bytes", beat.memory_limit_bytes, role)
    to.add("process_cpu_ratio", beat.cpu_pct / 100, role)
    to.add("process_loop_lag_seconds", None if beat.loop_lag_ms is None else beat.loop_lag_ms / MS, role)
    to.add("process_gc_full_per_minute", beat.gc_gen2_per_min, role)
    to.add("process_gc_pause_seconds", beat.gc_pause_ms / MS, role)
    to.add("process_tasks", beat.tasks, role)
    to.add("process_sockets", beat.sockets, role)
    to.add("process_revision", beat.revision, role)
    if role in SUPERVISING:
        restarts = sum(beat.counters.get(name, 0) for name in ("restarts", "scanner_restarts"))
        to.add("process_part_restarts_total", restarts, role)
    for queue, fill in beat.queues.items():
        to.add("queue_length", fill.length, role, queue)
        to.add("queue_capacity", fill.capacity, role, queue)
        to.add("queue_dropped_total", fill.dropped, role, queue)
    if role == "web":
        _tell_web(to, beat.counters)
    if role == "collector":
        to.add("collector_stands_by", bool(beat.stands_by))


# --- collectors ----------------------------------------------------------------------------------------


def tell_collector(to: Families, status: CollectorStatus, symbols: int) -> None:
    """A collector's feeds and sinks; of single symbols the `symbols` busiest."""
    shard = status.shard
    for queue, channel in status.channels.items():
        to.add("queue_accepted_total", channel["accepted"], shard, queue)
    for exchange, feed in status.exchanges.items():
        _tell_feed(to, shard, exchange, feed)
    sinks: dict[str, Callable[[Families, str, Mapping[str, Any]], None]] = {
        "RealtimeSink": _tell_realtime,
        "EpisodeSink": _tell_episodes,
        "QualitySink": _tell_quality_sink,
        "LakeSink": lambda to, shard, stats: _tell_lake(to, shard, stats, symbols),
    }
    for sink, stats in status.sinks.items():
        if stats and sink in sinks:
            sinks[sink](to, shard, stats)


def _tell_feed(to: Families, shard: str, exchange: str, feed: Mapping[str, Any]) -> None:
    counts = feed["counts"]
    to.add("exchange_up", feed["state"] == "live", shard, exchange)
    to.add("exchange_breaker_open", feed["state"] == "breaker open", shard, exchange)
    to.add("exchange_connections", feed["connections"], shard, exchange)
    to.add("exchange_topics", feed["topics"], shard, exchange)
    to.add("exchange_refused_topics", feed["refused"], shard, exchange)
    to.add("exchange_reconnects_total", _sum(counts, RECONNECTS), shard, exchange)
    for kind, names in BAD_FRAMES.items():
        to.add("exchange_bad_frames_total", _sum(counts, names), shard, exchange, kind)


def _sum(counts: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(counts.get(name, 0) for name in names)


def tell_delays(to: Families, shard: str, exchanges: Iterable[str], totals: Counts) -> None:
    """The latencies of exchanges since the start; the sum is what the buckets' middles say."""
    middles_ms = np.concatenate(([EDGES_MS[0] / 2], np.sqrt(EDGES_MS[:-1] * EDGES_MS[1:]), [EDGES_MS[-1]]))
    places = np.searchsorted(_DELAY_EDGES_MS, np.append(EDGES_MS, np.inf))
    for exchange, counts in zip(exchanges, totals, strict=True):
        if counts.any():
            coarse = np.bincount(places, counts, minlength=len(_DELAY_EDGES_S) + 1)
            sum_s = float(counts @ middles_ms) / MS
            to.add_histogram("exchange_delay_seconds", _DELAY_EDGES_S, coarse.astype(int).tolist(), sum_s,
                             shard, exchange)  # fmt: skip


def _tell_realtime(to: Families, shard: str, stats: Mapping[str, Any]) -> None:
    to.add("engine_quotes_total", stats["quotes"], shard)
    to.add("engine_points_total", stats["points"], shard)
    reasons = ("invalid", "ignored_old", "unknown", "malformed", "unpriced")
    for reason in reasons:
        to.add("engine_passed_over_total", stats[reason], shard, reason)
    to.add("engine_points_thinned_total", stats["thinned"], shard, "engine")
    to.add("engine_points_thinned_total", stats["points_thinned_waiting"], shard, "publisher")
    to.add("engine_busy_seconds_total", stats["busy_s"], shard)
    to.add("scanner_pairs", stats["pairs_scanned"], shard)
    to.add("scanner_judged_total", stats["judged"], shard)
    to.add("scanner_jumps_total", stats["jumps"], shard)
    to.add("scanner_frames_total", stats["scan_frames"], shard)
    to.add("publisher_batches_total", stats["batches_published"], shard)
    to.add("publisher_failures_total", stats["flushes_failed"], shard, "flush")
    to.add("publisher_failures_total", stats["broadcasts_lost"], shard, "broadcast")
    to.add("publisher_failures_total", stats["scan_failed"], shard, "scanner frame")
    to.add("episodes_opened_total", stats["episodes_opened"], shard)
    to.add("episodes_closed_total", stats["episodes_closed"], shard)


def _tell_episodes(to: Families, shard: str, stats: Mapping[str, Any]) -> None:
    to.add("episodes_open", stats["episodes_open"], shard)
    to.add("episodes_waiting", stats["waiting"], shard)
    to.add("episodes_written_total", stats["written"], shard)
    to.add("episodes_lost_total", stats["refused"], shard, "refused")
    to.add("episodes_lost_total", stats["lost"], shard, "too many")
    to.add("episodes_failures_total", stats["failures"], shard)


def _tell_quality_sink(to: Families, shard: str, stats: Mapping[str, Any]) -> None:
    to.add("quality_reports_total", stats["quality_reports"], shard)
    to.add("quality_reports_failed_total", stats["quality_failed"], shard)


def _tell_lake(to: Families, shard: str, stats: Mapping[str, Any], symbols: int) -> None:
    for table, rows in stats["rows"].items():
        to.add("lake_rows_written_total", rows, shard, table)
    to.add("lake_rows_pending", stats["pending_rows"], shard)
    to.add("lake_flushes_total", stats["flushes"], shard)
    to.add_buckets("lake_flush_seconds", Buckets(**stats["flush_buckets"]), shard)
    to.add("lake_last_flush_seconds", stats["flush_s"], shard)
    to.add("lake_failures_total", stats["failures"], shard)
    to.add("lake_events_lost_total", stats["events_lost"], shard)
    for table, by_symbol in stats["rows_by_symbol"].items():
        for symbol in sorted(by_symbol, key=lambda each: (-by_symbol[each], each))[:symbols]:
            to.add("lake_symbol_rows_total", by_symbol[symbol], shard, table, symbol)


# --- web -----------------------------------------------------------------------------------------------


def tell_traffic(to: Families, traffic: Traffic) -> None:
    """What a web process was asked."""
    for (method, route, status), count in list(traffic.requests.items()):
        to.add("http_requests_total", count, method, route, str(status))
    for route, durations in list(traffic.durations.items()):
        to.add_buckets("http_request_seconds", durations.buckets(), route)
    for outcome in ("accepted", "refused"):
        to.add("websocket_handshakes_total", traffic.handshakes[outcome], outcome)
    for why in DOORS:
        to.add("web_refused_total", traffic.doors[why], why)


def tell_sign_ins(to: Families, counts: Mapping[str, int]) -> None:
    """Sign-ins, by what became of them."""
    for outcome in SIGN_IN_OUTCOMES:
        to.add("sign_ins_total", counts.get(outcome, 0), outcome)


def tell_audit(to: Families, entries: Mapping[str, int]) -> None:
    """Entries of the audit, by kind."""
    for kind, count in list(entries.items()):
        to.add("audit_entries_total", count, kind)


def _tell_web(to: Families, counters: Mapping[str, float]) -> None:
    """A web process whose hub has not started yet, for want of a socket, has done nothing."""
    said = counters.get
    to.add("web_sockets", said("sockets", 0), "charts")
    to.add("web_sockets", said("scanner_sockets", 0), "scanner")
    to.add("web_connections", said("connections", 0))
    to.add("web_charts_watched", said("charts_watched", 0))
    to.add("web_shards", said("shards", 0))
    to.add("web_shards_silent", said("shards_silent", 0))
    to.add("web_batches_total", said("batches", 0))
    to.add("web_batches_missed_total", said("batches_missed", 0))
    unreadable = said("unreadable_batches", 0) + said("scanner_unreadable_frames", 0)
    to.add("web_batches_unreadable_total", unreadable)
    to.add("web_messages_sent_total", said("messages_sent", 0))
    to.add("web_points_thinned_total", said("points_thinned", 0))
    to.add("web_sockets_given_up_total", said("sockets_given_up", 0))
    to.add("web_rights_ended_total", said("rights_ended", 0))
    to.add("web_rights_unanswered_total", said("rights_unanswered", 0))
    to.add("web_hub_restarts_total", said("restarts", 0), "charts")
    to.add("web_hub_restarts_total", said("scanner_restarts", 0), "scanner")
    to.add("scanner_rows", said("scanner_rows", 0))


# --- Celery --------------------------------------------------------------------------------------------


def tell_tasks(to: Families, book: TaskBook) -> None:
    """A worker's tasks, also those that have not run yet: a rate needs the zero."""
    for task in book.tasks:
        for outcome, count in book.outcomes(task).items():
            to.add("task_runs_total", count, task, outcome)
        to.add_buckets("task_seconds", book.durations(task), task)


def tell_queued(to: Families, queued: Mapping[str, int]) -> None:
    """Tasks this process has put into the queue."""
    for task, count in list(queued.items()):
        to.add("tasks_queued_total", count, task)

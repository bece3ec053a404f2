"""Metrics of a process, read at that moment from what it counts anyway.

Nothing of the desk counts for Prometheus' sake while it works. Everything here is called in the thread
of a scrape and reads values that are replaced as a whole or only grow.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from prometheus_client.metrics_core import Metric as Family

from core.metrics import Samples, Stats, exported_of, of_web
from core.process.heartbeat import Heartbeat
from monitoring.metrics.families import Families
from monitoring.metrics.tasks import TaskBook
from monitoring.metrics.traffic import DOORS, Traffic
from monitoring.quality.latency import EDGES_MS, Counts

US: Final = 1e6
MS: Final = 1e3

SUPERVISING: Final = ("collector", "monitor", "web")
"""Roles that are made of supervised parts."""

_DELAY_STEP: Final = 7
"""Every seventh edge: 2.66 times the one before, 14 buckets instead of 95."""

_DELAY_EDGES_MS: Final = EDGES_MS[_DELAY_STEP - 1 :: _DELAY_STEP]
_DELAY_EDGES_S: Final = tuple(float(f"{edge:.4g}") / MS for edge in _DELAY_EDGES_MS)


def families(exporters: Iterable[Callable[[Families], None]]) -> Iterable[Family]:
    """Families of all these."""
    found = Families()
    for export in exporters:
        export(found)
    return found


# --- every process -------------------------------------------------------------------------------------


def export_process(to: Families, beat: Heartbeat) -> None:
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
        to.add("web_connections", beat.counters.get("connections", 0))
        for export in of_web:
            export(to, beat.counters)
    if role == "collector":
        to.add("collector_stands_by", bool(beat.stands_by))


# --- collectors ----------------------------------------------------------------------------------------


def export_delays(to: Families, shard: str, exchanges: Iterable[str], totals: Counts) -> None:
    """The latencies of exchanges since the start; the sum is what the buckets' middles say."""
    middles_ms = np.concatenate(([EDGES_MS[0] / 2], np.sqrt(EDGES_MS[:-1] * EDGES_MS[1:]), [EDGES_MS[-1]]))
    places = np.searchsorted(_DELAY_EDGES_MS, np.append(EDGES_MS, np.inf))
    for exchange, counts in zip(exchanges, totals, strict=True):
        if counts.any():
            coarse = np.bincount(places, counts, minlength=len(_DELAY_EDGES_S) + 1)
            sum_s = float(counts @ middles_ms) / MS
            to.add_histogram("exchange_delay_seconds", _DELAY_EDGES_S, coarse.astype(int).tolist(), sum_s,
                             shard, exchange)  # fmt: skip


@exported_of("QualitySink")
def export_quality_sink(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export the sink's counters."""
    to.add("quality_reports_total", stats["quality_reports"], shard)
    to.add("quality_reports_failed_total", stats["quality_failed"], shard)


# --- web -----------------------------------------------------------------------------------------------


def export_traffic(to: Families, traffic: Traffic) -> None:
    """Add the requests to a web process."""
    for (method, route, status), count in list(traffic.requests.items()):
        to.add("http_requests_total", count, method, route, str(status))
    for route, durations in list(traffic.durations.items()):
        to.add_buckets("http_request_seconds", durations.buckets(), route)
    for outcome in ("accepted", "refused"):
        to.add("websocket_handshakes_total", traffic.handshakes[outcome], outcome)
    for why in DOORS:
        to.add("web_refused_total", traffic.doors[why], why)


# --- Celery --------------------------------------------------------------------------------------------


def export_tasks(to: Families, book: TaskBook) -> None:
    """A worker's tasks, also those that have not run yet: a rate needs the zero."""
    for task in book.tasks:
        for outcome, count in book.outcomes(task).items():
            to.add("task_runs_total", count, task, outcome)
        to.add_buckets("task_seconds", book.durations(task), task)


def export_queued(to: Families, queued: Mapping[str, int]) -> None:
    """Tasks this process has put into the queue."""
    for task, count in list(queued.items()):
        to.add("tasks_queued_total", count, task)

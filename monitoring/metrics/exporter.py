"""Answers Prometheus: on a port of its own in every process (METRICS_PORT), and from the web's /metrics.

The port is served by a thread, so that a loop that hangs can still be asked why. It starts and ends with
the process's heartbeat.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final
from wsgiref.simple_server import WSGIServer

from django.conf import settings
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from collectors.metrics import export_collector
from core.metrics import of_processes
from core.process.vitals import Vitals, process_vitals
from markets.follow.runtime import own_status
from monitoring.alerts.attempts import attempts
from monitoring.health import watching
from monitoring.metrics import tasks as task_book
from monitoring.metrics.desk import export_attempts, export_desk
from monitoring.metrics.families import Families
from monitoring.metrics.process import (
    export_delays,
    export_process,
    export_queued,
    export_tasks,
    export_traffic,
    families,
)
from monitoring.metrics.traffic import traffic
from monitoring.quality.sink import running_quality

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class Desk(Collector):
    """Collector of all that this process knows, asked again at every scrape."""

    def collect(self) -> Iterable[Family]:
        """The families of now."""
        return families(
            (
                _export_vitals,
                _export_collector,
                _export_traffic,
                _export_celery,
                _export_monitor,
                *of_processes,
            )
        )

    def describe(self) -> Iterable[Family]:
        """Describe nothing beforehand: what a process exports depends on what it does."""
        return []


def _export_vitals(to: Families) -> None:
    vitals = process_vitals()
    if vitals is not None and vitals.latest is not None:
        export_process(to, vitals.latest)


def _export_collector(to: Families) -> None:
    status, quality = own_status(), running_quality()
    if status is None:
        return
    export_collector(to, status, settings.METRICS_SYMBOLS)
    if quality is not None:
        exchanges, totals = quality.feeds.exchanges, quality.feeds.latencies.totals.copy()
        if len(exchanges) == len(totals):  # not while another configuration is taken over
            export_delays(to, status.shard, exchanges, totals)


def _export_traffic(to: Families) -> None:
    vitals = process_vitals()
    if vitals is not None and vitals.latest is not None and vitals.latest.role == "web":
        export_traffic(to, traffic)


def _export_celery(to: Families) -> None:
    book = task_book.book()
    if book is not None:
        export_tasks(to, book)
    export_queued(to, task_book.queued)


def _export_monitor(to: Families) -> None:
    monitor = watching.watcher()
    if monitor is not None:
        to.add("monitor_leads", monitor.leads)
        export_attempts(to, attempts)
        if monitor.leads and monitor.observed is not None:
            export_desk(to, monitor.observed, monitor.findings, settings.METRICS_SYMBOLS)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Desk())
    GCCollector(registry)
    ProcessCollector(registry=registry)
    return registry


_registries: list[CollectorRegistry] = []


def exposition() -> bytes:
    """The answer to one scrape, in Prometheus' text format."""
    if not _registries:
        _registries.append(_registry())
    return generate_latest(_registries[0])


def serve(_vitals: Vitals) -> Callable[[], None]:
    """Answer on METRICS_PORT until the result is called. A port that is taken costs only the metrics."""
    port = settings.METRICS_PORT
    try:
        server, thread = start_http_server(port, settings.METRICS_HOST, registry=_registry())
    except OSError as error:
        logger.error("no metrics: cannot listen on %s port %d: %s", settings.METRICS_HOST, port, error)
        return lambda: None
    logger.debug("metrics on http://%s:%d/metrics", settings.METRICS_HOST, port)
    return lambda: _stop(server, thread)


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join(1.0)

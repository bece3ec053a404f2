"""Metrics: each app declares its own, and their export, when Django is ready.

`monitoring` answers scrapes with them, and docs/metrics.md is held against what is declared. Plain Python, no
Django, and nothing of Prometheus: its library is loaded only where somebody asks.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Protocol, TypeVar

from msgspec import Struct

from core.process.histogram import Buckets

Kind = Literal["gauge", "counter", "histogram"]


class Metric(Struct, frozen=True):
    """One family. Counters end in `_total`, times are in seconds and sizes in bytes."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    words: str


metrics: Final[dict[str, Metric]] = {}
"""All that were declared, by their name."""


def declare(name: str, labels: str, words: str, kind: Kind | None = None) -> None:
    """Declare a metric, its name without `arbdesk_`, its labels separated by spaces.

    Raises ValueError when the name is taken.
    """
    kind = kind or ("counter" if name.endswith("_total") else "gauge")
    metric = Metric(f"arbdesk_{name}", kind, tuple(labels.split()), words)
    if metric.name in metrics:
        raise ValueError(f"{metric.name}: declared already")
    metrics[metric.name] = metric


class Samples(Protocol):
    """Samples of one process in one scrape; takes only what was declared (KeyError)."""

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """A gauge or a counter, its labels in the order of the metric's; None is no sample."""

    def add_buckets(self, name: str, buckets: Buckets, *labels: str) -> None:
        """Durations as a histogram."""


Stats = Mapping[str, Any]
Export = Callable[[Samples], None]
ExportSink = Callable[[Samples, str, Stats, int], None]
ExportWeb = Callable[[Samples, Mapping[str, float]], None]
ExportDesk = Callable[[Samples, Any], None]

of_processes: Final[list[Export]] = []
"""Asked in every process, at every scrape."""

of_web: Final[list[ExportWeb]] = []
"""Asked in web processes, with the counters of their heartbeat (`core.web.reports`)."""

of_sinks: Final[dict[str, ExportSink]] = {}
"""Asked in collectors, by a sink's name: with the shard, its counters, and the number of exported symbols."""

of_desk: Final[list[ExportDesk]] = []
"""Asked in the monitor that works, with its look at the desk (`monitoring.health.observed.Observed`)."""

Exporter = TypeVar("Exporter", Export, ExportWeb, ExportDesk)


def exported_in(exporters: list[Exporter]) -> Callable[[Exporter], Exporter]:
    """Register an exporter with `of_processes`, `of_web` or `of_desk`."""

    def register(exporter: Exporter) -> Exporter:
        exporters.append(exporter)
        return exporter

    return register


def exported_of(sink: str) -> Callable[[ExportSink], ExportSink]:
    """Register the export of a sink's counters."""

    def register(exporter: ExportSink) -> ExportSink:
        of_sinks[sink] = exporter
        return exporter

    return register

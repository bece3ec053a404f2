"""Samples gathered to families as Prometheus takes them; what was not declared (core.metrics) is refused."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from core.metrics import Metric, metrics
from core.process.histogram import SECONDS, Buckets

SERIES_MOST: Final = 5_000
"""Series of one metric at most: what is beyond them is counted and not exported, so that nothing explodes."""


class Families:
    """Families of one process in one scrape."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """A gauge or a counter, its labels in the order of the metric's; None is no sample.

        Raises:
            KeyError: it was not declared.
        """
        metric = metrics[f"arbdesk_{name}"]
        family = self._family(metric)
        if value is not None and len(family.samples) < SERIES_MOST:
            family.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), float(value))

    def add_buckets(self, name: str, buckets: Buckets, *labels: str) -> None:
        """Durations as a histogram."""
        self.add_histogram(name, SECONDS, buckets.counts, buckets.sum_s, *labels)

    def add_histogram(
        self, name: str, edges: tuple[float, ...], counts: list[int], sum_s: float, *labels: str
    ) -> None:
        """A histogram from counts per bucket; the last bucket has no edge."""
        metric = metrics[f"arbdesk_{name}"]
        upper = [*(f"{edge:g}" for edge in edges), "+Inf"]
        family = self._family(metric)
        seen, cumulative = 0, []
        for edge, count in zip(upper, counts, strict=True):
            seen += count
            cumulative.append((edge, float(seen)))
        if isinstance(family, HistogramMetricFamily) and len(family.samples) < SERIES_MOST:
            family.add_metric(labels, cumulative, sum_s)

    def _family(self, metric: Metric) -> Family:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = _new(metric)
        return family


def _new(metric: Metric) -> Family:
    if metric.kind == "histogram":
        return HistogramMetricFamily(metric.name, metric.words, labels=metric.labels)
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.words, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.words, labels=metric.labels)

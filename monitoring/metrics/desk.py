"""Metrics of the whole desk, from the monitor that works."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np

from core.health.findings import Finding, kinds
from core.metrics import of_desk
from core.process.heartbeat import is_missing
from monitoring.alerts.attempts import Attempts
from monitoring.health.observed import Observed
from monitoring.metrics.families import Families
from monitoring.quality.wire import ExchangeQuality, Quality

US: Final = 1e6
MS: Final = 1e3
SEVERITIES: Final = ("warning", "critical")
FAILED: Final = frozenset({"failed", "died"})


def export_attempts(to: Families, made: Attempts) -> None:
    """Add the outcomes of attempts to deliver, and their durations."""
    for (channel, outcome), count in list(made.outcomes.items()):
        to.add("alert_attempts_total", count, channel, outcome)
    for channel, durations in list(made.durations.items()):
        to.add_buckets("alert_attempt_seconds", durations.buckets(), channel)


def export_desk(to: Families, now: Observed, findings: Iterable[Finding], symbols: int) -> None:
    """Add one observation of the desk; of single instruments the `symbols` worst."""
    _export_findings(to, findings)
    _export_processes(to, now)
    _export_stores(to, now)
    for run in now.runs:
        to.add("job_last_success_time_seconds", None if run.done_us is None else run.done_us / US, run.job)
        to.add("job_period_seconds", run.due_every_s, run.job)
        to.add("job_failed", run.state in FAILED, run.job)
    for trouble in now.channels:
        to.add("alert_channel_waiting", trouble.waiting, trouble.channel)
    for each in now.quality.exchanges:
        _export_exchange(to, each)
    _export_symbols(to, now.quality, symbols)
    for export in of_desk:
        export(to, now)


def _export_findings(to: Families, findings: Iterable[Finding]) -> None:
    """Add findings, also the zero of what is healthy: an alert needs it to end."""
    counts = Counter((finding.kind, finding.severity) for finding in findings)
    for kind in kinds:
        for severity in SEVERITIES:
            to.add("findings", counts[kind, severity], kind, severity)


def _export_processes(to: Families, now: Observed) -> None:
    beats = now.heartbeats
    counts = Counter((beat.role, is_missing(beat, now.at_us)) for beat in beats)
    for role in sorted({beat.role for beat in beats}):
        to.add("processes", counts[role, False], role, "running")
        to.add("processes", counts[role, True], role, "missing")


def _export_stores(to: Families, now: Observed) -> None:
    for store, answer in (("redis", now.redis), ("database", now.database)):
        to.add("store_up", answer.well, store)
        to.add("store_answer_seconds", answer.took_ms / MS, store)
    to.add("redis_memory_bytes", now.redis_bytes)
    to.add("redis_memory_limit_bytes", now.redis_limit_bytes)
    to.add("database_bytes", now.database_bytes)


def _export_exchange(to: Families, each: ExchangeQuality) -> None:
    exchange, offset_ms = each.exchange, each.clock_offset_ms
    for state, count in each.symbols.items():
        to.add("exchange_symbols", count, exchange, state)
    to.add("exchange_quotes_per_minute", each.quotes_per_min, exchange)
    to.add("exchange_trades_per_minute", each.trades_per_min, exchange)
    to.add("exchange_gaps_per_minute", each.gaps_per_min, exchange)
    to.add("exchange_age_seconds", None if each.age_ms is None else each.age_ms / MS, exchange)
    to.add("exchange_clock_offset_seconds", None if offset_ms is None else offset_ms / MS, exchange)


def _export_symbols(to: Families, quality: Quality, symbols: int) -> None:
    """The worst state first, and of one state the longest silent."""
    if not symbols or not len(quality):
        return
    rows = quality.rows
    worst = np.lexsort((-np.nan_to_num(rows["age_ms"], nan=0.0), -rows["state"].astype(int)))[:symbols]
    for index in worst:
        each = quality.symbol(int(index))
        age_s = None if each.age_ms is None else each.age_ms / MS
        to.add("symbol_age_seconds", age_s, each.exchange, each.symbol)
        to.add("symbol_quotes_per_minute", each.quotes_per_min, each.exchange, each.symbol)

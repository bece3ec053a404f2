"""Sections of the health page, made of one observation; pure. The messages are in docs/health.md.

Times are seconds since the epoch (UTC), so that a browser shows ages without another message. Ages
of data are as of the collectors' report: by the browser's clock nothing would be younger than that.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from core.health.findings import Finding
from core.health.upkeep import LastRun
from core.process.heartbeat import Heartbeat, is_missing
from monitoring.health.assess import status
from monitoring.health.assess_market import standing
from monitoring.health.observed import Answer, Observed
from monitoring.quality.store import WORST_FIRST
from monitoring.quality.wire import ExchangeQuality

SECTIONS: Final = ("head", "findings", "processes", "exchanges", "stores")

_json = msgspec.json.Encoder()


def sections(now: Observed, findings: list[Finding]) -> dict[str, bytes]:
    """Every section but the symbols, as JSON."""
    said = (
        _head(now, findings),
        [_finding(each) for each in findings],
        [_process(beat, now) for beat in sorted(now.heartbeats, key=lambda beat: _process_order(beat, now))],
        _exchanges(now, findings),
        _stores(now),
    )
    return {name: _json.encode(part) for name, part in zip(SECTIONS, said, strict=True)}


def worst(now: Observed, findings: list[Finding]) -> dict[str, Any]:
    """The desk in one line, for the top of every page."""
    first = findings[0] if findings else None
    return {
        "status": status(now, findings),
        "findings": len(findings),
        "worst": "" if first is None else first.words,
        "severity": "" if first is None else first.severity,
    }


def _head(now: Observed, findings: list[Finding]) -> dict[str, Any]:
    return {
        "status": status(now, findings),
        "critical": sum(each.severity == "critical" for each in findings),
        "collectors": len(now.collectors),
        "revision": now.saved_revision,
        "redis": _answer(now.redis),
        "database": _answer(now.database),
        "missing": now.missing,
    }


def _answer(answer: Answer) -> str:
    return "" if answer.well else answer.words


def _finding(of: Finding) -> dict[str, Any]:
    return {
        "id": of.key,
        "kind": of.kind,
        "subject": of.subject,
        "severity": of.severity,
        "since": _s(of.since_us),
        "words": of.words,
        "remedy": of.remedy,
    }


# --- processes -----------------------------------------------------------------------------------


def _process_order(beat: Heartbeat, now: Observed) -> tuple[bool, str]:
    return not is_missing(beat, now.at_us), beat.name


def _process(beat: Heartbeat, now: Observed) -> dict[str, Any]:
    missing = is_missing(beat, now.at_us)
    return {
        "id": beat.name,
        "state": "missing" if missing else "running",
        "host": beat.host,
        "pid": beat.pid,
        "started": _s(beat.started_ts_us),
        "heard": _s(beat.reported_ts_us) if missing else None,
        "revision": beat.revision,
        "rss": beat.rss_bytes,
        "rss_limit": beat.memory_limit_bytes,
        "cpu_pct": round(beat.cpu_pct),
        "lag_ms": None if beat.loop_lag_ms is None else round(beat.loop_lag_ms, 1),
        "gen2_per_min": beat.gc_gen2_per_min,
        "gc_pause_ms": round(beat.gc_pause_ms, 1),
        "tasks": beat.tasks,
        "sockets": beat.sockets,
        "queues": [
            {
                "name": name,
                "length": fill.length,
                "capacity": fill.capacity,
                "dropped": fill.dropped,
                "drops_per_min": now.drops_per_min.get(f"{beat.name} {name}", 0),
            }
            for name, fill in sorted(beat.queues.items())
        ],
    }


# --- exchanges -----------------------------------------------------------------------------------


def _exchanges(now: Observed, findings: Iterable[Finding]) -> list[dict[str, Any]]:
    subjects = [finding.subject for finding in findings]
    rows = [_exchange(each, now, _count_of(each.exchange, subjects)) for each in now.quality.exchanges]
    return sorted(rows, key=lambda row: (WORST_FIRST.index(row["state"]), -row["findings"], row["id"]))


def _count_of(exchange: str, subjects: Iterable[str]) -> int:
    return sum(subject == exchange or subject.endswith(f" on {exchange}") for subject in subjects)


def _exchange(of: ExchangeQuality, now: Observed, findings: int) -> dict[str, Any]:
    late, stands = of.latency, standing(of, now.at_us)
    return {
        "id": of.exchange,
        "state": stands.word,
        "since": _s(stands.since_us),
        "reason": stands.reason,
        "findings": findings,
        "connections": of.connections,
        "shards": [_connections(collector.shard, reported) for collector in now.collectors
                   if (reported := collector.exchanges.get(of.exchange)) is not None],
        "topics": of.topics,
        "refused": of.refused,
        "symbols": of.symbols,
        "updates_per_hour": round(of.updates_per_hour),
        "quotes_per_min": round(of.quotes_per_min),
        "heard_ms": of.heard_ms,
        "quoted_ms": of.age_ms,
        "latency": None if late is None else [late.p50_ms, late.p95_ms, late.p99_ms, late.max_ms],
        "offset_ms": of.clock_offset_ms,
        "reconnects_per_min": of.reconnects_per_min,
        "gaps_per_min": of.gaps_per_min,
        "bad": {
            "malformed": of.malformed_per_min,
            "unknown": of.unknown_per_min,
            "crossed": of.crossed_per_min,
            "zero": of.zero_per_min,
            "empty": of.empty_per_min,
            "late": of.late_per_min,
            "out_of_order": of.out_of_order_per_min,
            "terms": of.bad_terms_per_min,
        },
    }  # fmt: skip


def _connections(shard: str, reported: dict[str, Any]) -> dict[str, Any]:
    return {"shard": shard, "state": reported.get("state", ""), "connections": reported.get("connections", 0)}


# --- stores --------------------------------------------------------------------------------------


def _stores(now: Observed) -> dict[str, Any]:
    return {
        "measured": None if now.measured_us is None else _s(now.measured_us),
        "database_bytes": now.database_bytes,
        "redis_bytes": None if now.redis_bytes is None else now.redis_bytes >> 20 << 20,  # calm
        "redis_limit_bytes": now.redis_limit_bytes,
        "disk": now.disk,
        "lake": [
            {
                "id": table.table,
                "files": table.files,
                "rows": table.rows,
                "bytes": table.bytes,
                "newest": None if table.newest_us is None else _s(table.newest_us),
                "bytes_per_day": table.bytes_per_day,
            }
            for table in sorted(now.lake, key=lambda table: -table.bytes)
        ],
        "runs": [_run(run) for run in sorted(now.runs, key=_run_order)],
    }


def _run_order(run: LastRun) -> tuple[bool, str]:
    return run.state not in ("failed", "died", "partial"), run.job


def _run(run: LastRun) -> dict[str, Any]:
    return {
        "id": run.job,
        "state": run.state,
        "tried": _s(run.tried_us),
        "done": None if run.done_us is None else _s(run.done_us),
        "due_every_s": run.due_every_s,
        "error": run.error,
    }


def _s(at_us: int) -> float:
    return round(at_us / 1e6, 1)

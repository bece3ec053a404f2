"""A healthy desk as the monitor observes it, and ways to make it unhealthy."""

from typing import Any

import numpy as np
from msgspec import structs

from core.health.findings import Finding
from core.health.upkeep import LastRun
from core.process.heartbeat import Heartbeat
from history.lake.standing import Disk
from markets.follow.runtime import CollectorStatus
from monitoring.health.assess import assess
from monitoring.health.observed import Answer, Limits, Observed
from monitoring.quality.latency import Latency
from monitoring.quality.wire import SYMBOL_ROW, ExchangeQuality, Quality

NOW = 1_800_000_000_000_000
S = 1_000_000
HOUR = 3600 * S
LIMITS = Limits()


def beat(role: Any, name: str = "", silent_s: float = 1.0, **other: Any) -> Heartbeat:
    return Heartbeat(
        role=role,
        name=name or role,
        host="desk",
        pid=4711,
        started_ts_us=other.pop("started_ts_us", NOW - HOUR),
        reported_ts_us=NOW - int(silent_s * S),
        **other,
    )


def exchange(**other: Any) -> ExchangeQuality:
    about: dict[str, Any] = {
        "exchange": "okx", "state": "live", "since_us": NOW - HOUR, "symbols": {"live": 20},
        "heard_ms": 10.0, "age_ms": 10.0, "latency": Latency(20, 40, 60, 90, 1000), "clock_offset_ms": -5.0,
    }  # fmt: skip
    return ExchangeQuality(**about | other)


def symbols(*states: int) -> Quality:
    rows = np.zeros(len(states), SYMBOL_ROW)
    rows["state"] = states
    rows["since_us"] = NOW - 40 * S
    rows["age_ms"], rows["gap_ms"] = 40_000, 200
    names = tuple(("okx", f"C{number}/USDT") for number in range(len(states)))
    return Quality(at_us=NOW, exchanges=(exchange(),), names=names, rows=rows)


PROCESSES = (
    beat("collector", "collector 1/1"),
    beat("web", "web desk:1"),
    beat("worker"),
    beat("beat"),
    beat("monitor"),
)
COLLECTOR = CollectorStatus("1/1", revision=7)
WELL = Observed(
    at_us=NOW,
    redis=Answer(True),
    database=Answer(True),
    saved_revision=7,
    saved_us=NOW - HOUR,
    listening_since_us=NOW - HOUR,
    heartbeats=PROCESSES,
    collectors=(COLLECTOR,),
    quality=Quality(at_us=NOW, exchanges=(exchange(),)),
    redis_bytes=10 * 2**20,
    redis_limit_bytes=512 * 2**20,
    disk=Disk(100, 50),
    runs=(LastRun("compact quotes", "done", NOW - 300 * S, NOW - 300 * S, 600.0),),
)


def look(**other: Any) -> Observed:
    return structs.replace(WELL, **other)


def with_collector(**other: Any) -> Observed:
    return look(collectors=(structs.replace(COLLECTOR, **other),))


def with_process(**other: Any) -> Observed:
    return look(heartbeats=(beat("web", "web desk:1", **other), *PROCESSES[:1], *PROCESSES[2:]))


def with_exchange(**other: Any) -> Observed:
    return look(quality=Quality(at_us=NOW, exchanges=(exchange(**other),)))


def found(now: Observed, limits: Limits = LIMITS) -> dict[str, Finding]:
    return {finding.key: finding for finding in assess(now, limits)}

"""Graphs over time, in Redis: every 10 s for 6 hours and every minute for a week, 8 bytes a point.

| key | what |
|---|---|
| `series:10s:{name}`, `series:1m:{name}` | list, oldest first: uint32 s since the epoch, float32 value |
| `series:names` | sorted set: name -> s of its newest point |

A name is `process|collector 1/1|rss_mb`, `queue|collector 1/1 LakeSink|length`, `exchange|okx|quotes_per_min`
or `store|redis|mb`. A Redis that is emptied loses the graphs, and nothing else.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis

from monitoring.health.observed import Observed

Resolution = Literal["10s", "1m"]

STEP_S: Final[dict[Resolution, int]] = {"10s": 10, "1m": 60}
POINTS: Final[dict[Resolution, int]] = {"10s": 6 * 360, "1m": 7 * 1440}
NAMES: Final = "series:names"
PER_PROCESS: Final = (
    "rss_mb",
    "cpu_pct",
    "loop_lag_ms",
    "gc_gen2_per_min",
    "gc_pause_ms",
    "tasks",
    "sockets",
)
WORST: Final = frozenset({"loop_lag_ms", "gc_pause_ms", "length", "latency_p99_ms"})
"""Of these a step keeps the highest: their mean says nothing. Of the others, the mean."""

_POINT: Final = struct.Struct("<If")
_POINTS: Final = np.dtype([("s", "<u4"), ("value", "<f4")])


def sample(now: Observed) -> dict[str, float]:
    """Values of one observation, name -> value."""
    return dict(_sampled(now))


class Steps:
    """Gathers observations to points, for both resolutions."""

    def __init__(self) -> None:
        self._open: dict[Resolution, tuple[int, dict[str, list[float]]]] = {}

    def add(self, at_s: float, values: Mapping[str, float]) -> dict[Resolution, dict[str, bytes]]:
        """Add an observation; returns the points of the steps that it ended."""
        ended: dict[Resolution, dict[str, bytes]] = {}
        for resolution, step_s in STEP_S.items():
            begin = int(at_s) // step_s * step_s
            before, gathered = self._open.get(resolution, (begin, {}))
            if begin != before:
                ended[resolution] = {
                    name: _POINT.pack(before, _summed_up(name, seen)) for name, seen in gathered.items()
                }
                gathered = {}
            for name, value in values.items():
                gathered.setdefault(name, []).append(value)
            self._open[resolution] = begin, gathered
        return ended


async def write(redis: "Redis", ended: Mapping[Resolution, Mapping[str, bytes]], at_s: float) -> None:
    """Append points. Raises RedisError."""
    async with redis.pipeline(transaction=False) as pipe:
        for resolution, points in ended.items():
            kept = POINTS[resolution]
            for name, point in points.items():
                key = f"series:{resolution}:{name}"
                pipe.rpush(key, point)
                pipe.ltrim(key, -kept, -1)
                pipe.expire(key, kept * STEP_S[resolution])
            if points:
                pipe.zadd(NAMES, dict.fromkeys(points, int(at_s)))
        pipe.zremrangebyscore(NAMES, 0, int(at_s) - POINTS["1m"] * STEP_S["1m"])
        await pipe.execute()


async def series_names(redis: "Redis") -> list[str]:
    """Every name that has points. Raises RedisError."""
    names: list[bytes] = await redis.zrange(NAMES, 0, -1)  # type: ignore[assignment]
    return sorted(name.decode() for name in names)


async def read_series(
    redis: "Redis", names: Sequence[str], resolution: Resolution, since_s: float = 0
) -> dict[str, tuple[list[int], list[float]]]:
    """Read of each name the times (s since the epoch) and values after `since_s`. Raises RedisError."""
    if not names:
        return {}
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.lrange(f"series:{resolution}:{name}", 0, -1)
        answers = await pipe.execute()
    return {name: _unpacked(b"".join(points), since_s) for name, points in zip(names, answers, strict=True)}


def _unpacked(raw: bytes, since_s: float) -> tuple[list[int], list[float]]:
    points: NDArray[np.void] = np.frombuffer(raw, _POINTS)
    points = points[points["s"] > since_s]
    return points["s"].tolist(), points["value"].astype(float).round(3).tolist()


def _summed_up(name: str, seen: list[float]) -> float:
    what = name.rpartition("|")[2]
    return max(seen) if what in WORST else sum(seen) / len(seen)


def _sampled(now: Observed) -> Iterator[tuple[str, float]]:
    for beat in now.heartbeats:
        for what in PER_PROCESS:
            value = beat.rss_bytes / 2**20 if what == "rss_mb" else getattr(beat, what)
            if value is not None:
                yield f"process|{beat.name}|{what}", float(value)
        for queue, fill in beat.queues.items():
            yield f"queue|{beat.name} {queue}|length", float(fill.length)
    for exchange in now.quality.exchanges:
        rates = {
            "quotes_per_min": exchange.quotes_per_min,
            "clock_offset_ms": exchange.clock_offset_ms,
            "reconnects_per_min": exchange.reconnects_per_min,
        }
        if (late := exchange.latency) is not None:
            rates |= {
                "latency_p50_ms": late.p50_ms,
                "latency_p95_ms": late.p95_ms,
                "latency_p99_ms": late.p99_ms,
            }
        for what, rate in rates.items():
            if rate is not None:
                yield f"exchange|{exchange.exchange}|{what}", rate
    if now.redis_bytes is not None:
        yield "store|redis|mb", now.redis_bytes / 2**20
    if now.database_bytes is not None:
        yield "store|database|mb", now.database_bytes / 2**20
    for table in now.lake:
        yield f"store|lake {table.table}|mb", table.bytes / 2**20

"""Reads what the collectors know of their data out of Redis; the layout is in quality_wire."""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, structs
from redis.asyncio import Redis

from core.clock.moments import AHEAD_S
from monitoring.quality import wire
from monitoring.quality.latency import latency
from monitoring.quality.wire import ExchangeQuality, Name, Quality, ShardReport

WORST_FIRST: Final = ("down", "breaker open", "refused", "stale", "connecting", "suspect", "live", "idle")
"""How an exchange does that several collectors serve: as where it does worst. Rows have this order."""

SKEWED_US: Final = (wire.EXPIRY_S + AHEAD_S) * 1e6
"""A report that says it is so old was stamped by another clock: it would be gone."""

NAMES_KEPT: Final = 64
"""Lists of instruments remembered, which are read once: one a shard, and those of an hour ago."""

_names: dict[str, tuple[Name, ...]] = {}  # by digest


class Minute(Struct, frozen=True):
    """One minute of an instrument; None: no quote was there to say it."""

    start_us: int  # wall clock
    quotes: int
    rejected: int
    longest_gap_ms: float
    spread_bps: float | None


Fresh = Callable[[Mapping[str, int]], Container[str]]
"""Of shards and when each made its report, µs: whose are not too old."""


async def read_quality(redis: "Redis", fresh: Fresh = lambda made_us: made_us) -> Quality:
    """Read the last reports of the collectors, all of them together; those silent for 4 s are missing.

    A process that reads again and again knows that better than Redis, whose clock may be set back: it says
    which are `fresh`. Raises redis.RedisError.
    """
    shards = await _shards(redis)
    answers: list[Any] = await redis.mget([wire.report_key(shard) for shard in shards]) if shards else []
    now_us = time.time_ns() // 1000
    made = [wire.decode_report(answer) for answer in answers if answer is not None]
    kept = fresh({report.shard: report.at_us for report in made})
    reports = [_by_our_clock(report, now_us) for report in made if report.shard in kept]
    names = await _names_of(redis, {report.names for report in reports})
    reports = [report for report in reports if report.names in names]
    if not reports:
        return Quality()
    return Quality(
        at_us=min(report.at_us for report in reports),
        exchanges=_merged(reports),
        names=tuple(name for report in reports for name in names[report.names]),
        rows=np.concatenate([np.frombuffer(report.rows, wire.SYMBOL_ROW) for report in reports]),
    )


async def read_last_hour(redis: "Redis", exchange: str, symbol: str) -> list[Minute]:
    """The minutes of the last hour that a collector saw of an instrument, oldest first.

    Raises redis.RedisError.
    """
    now_minute = time.time_ns() // 60_000_000_000
    minutes = range(now_minute - wire.HOUR_MINUTES, now_minute + 1)
    kept = [(shard, minute) for shard in await _shards(redis) for minute in minutes]
    async with redis.pipeline(transaction=False) as pipe:
        for shard, minute in kept:
            pipe.getrange(wire.minute_key(shard, minute), 0, wire.DIGEST_BYTES - 1)
        digests = [digest.hex() for digest in await pipe.execute()]
    names = await _names_of(redis, {digest for digest in digests if digest})
    places = {digest: _place(names.get(digest, ()), (exchange, symbol)) for digest in set(digests)}
    found = [(each, place) for each, digest in zip(kept, digests, strict=True)
             if (place := places[digest]) is not None]  # fmt: skip
    async with redis.pipeline(transaction=False) as pipe:
        for (shard, minute), place in found:
            pipe.getrange(wire.minute_key(shard, minute), *wire.minute_row_range(place))
        rows = await pipe.execute()
    return sorted(
        (_minute(minute, row) for ((_, minute), _), row in zip(found, rows, strict=True) if row),
        key=lambda minute: minute.start_us,
    )


def _by_our_clock(report: ShardReport, now_us: int) -> ShardReport:
    """A report of a collector whose clock is not ours: it is gone 10 s after it was made, which shows it."""
    ahead_us = report.at_us - now_us
    if -SKEWED_US < ahead_us <= AHEAD_S * 1e6:
        return report
    rows = np.frombuffer(report.rows, wire.SYMBOL_ROW).copy()
    rows["since_us"] -= ahead_us
    exchanges = [structs.replace(row, since_us=row.since_us - ahead_us) for row in report.exchanges]
    return ShardReport(report.shard, now_us, report.names, exchanges, rows.tobytes())


async def _shards(redis: "Redis") -> list[str]:
    known: Any = await redis.hkeys(wire.SHARDS)
    return sorted(shard.decode() for shard in known)


async def _names_of(redis: "Redis", digests: Iterable[str]) -> dict[str, tuple[Name, ...]]:
    """The lists of these digests, as far as they are there; what was read once is not read again."""
    wanted = sorted(digests)
    missing = [digest for digest in wanted if digest not in _names]
    if missing:
        answers: list[Any] = await redis.mget([wire.names_key(digest) for digest in missing])
        if len(_names) > NAMES_KEPT:
            _names.clear()
        for digest, answer in zip(missing, answers, strict=True):
            if answer is not None:
                _names[digest] = tuple(wire.decode_names(answer))
    return {digest: _names[digest] for digest in wanted if digest in _names}


def _place(names: Sequence[Name], name: Name) -> int | None:
    try:
        return names.index(name)
    except ValueError:
        return None


def _minute(minute: int, row: bytes) -> Minute:
    quotes, spread, longest_gap, rejected = np.frombuffer(row, wire.MINUTE_ROW)[0].item()
    spread_bps = None if spread == wire.NO_SPREAD else spread / 10
    return Minute(minute * 60_000_000, quotes, rejected, longest_gap * 100.0, spread_bps)


def _merged(reports: Iterable[ShardReport]) -> tuple[ExchangeQuality, ...]:
    """One row per exchange, by key."""
    parts: dict[str, list[ExchangeQuality]] = {}
    for report in reports:
        for row in report.exchanges:
            parts.setdefault(row.exchange, []).append(row)
    return tuple(_together(parts[key]) for key in sorted(parts))


def _together(rows: list[ExchangeQuality]) -> ExchangeQuality:
    """One exchange as several collectors see it: counts add up, ages are of the last that was received."""
    if len(rows) == 1:
        return rows[0]
    lives = any(row.state == "live" for row in rows)  # what it refuses to others is a finding of its own
    worst = min(
        (row for row in rows if not (lives and row.state == "refused")),
        key=lambda row: (WORST_FIRST.index(row.state), row.since_us),
    )
    each = [np.frombuffer(row.latencies, np.int32) for row in rows]
    counts = np.array(each).sum(axis=0, dtype=np.int32)
    longest_ms = max((row.latency.max_ms for row in rows if row.latency), default=0.0)
    offsets_ms = [row.clock_offset_ms for row in rows if row.clock_offset_ms is not None]
    return structs.replace(
        worst,
        symbols={state: sum(row.symbols[state] for row in rows) for state in wire.SYMBOL_STATES},
        heard_ms=_least(row.heard_ms for row in rows),
        age_ms=_least(row.age_ms for row in rows),
        quote_age_ms=_least(row.quote_age_ms for row in rows),
        excused_ms=_least(row.excused_ms for row in rows),
        unusable_reason=next((row.unusable_reason for row in rows if row.unusable), ""),
        latency=latency(counts, longest_ms),
        latencies=counts.tobytes(),
        clock_offset_ms=max(offsets_ms, default=None),  # of the quickest way here
        **{name: sum(getattr(row, name) for row in rows) for name in _ADDED},
    )


_ADDED: Final = (
    "connections", "topics", "refused", "unusable", "quotes_per_min", "trades_per_min", "updates_per_hour",
    "reconnects_per_min", "malformed_per_min", "unknown_per_min", "crossed_per_min", "zero_per_min",
    "empty_per_min", "late_per_min", "out_of_order_per_min", "bad_times_per_min", "bad_terms_per_min",
    "gaps_per_min",
)  # fmt: skip


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)

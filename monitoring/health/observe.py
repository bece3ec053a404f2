"""Looks at everything that runs: what it says of itself, what it has not said, and whether stores answer.

Every process may observe; one observation a second is made at most, and shared. It never raises and never
takes longer than `TIMEOUT_S`: what could not be asked is named in it.
"""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, Final, TypeVar

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError
from msgspec import Struct, structs
from redis.exceptions import RedisError

from core.clock.moments import Ages, is_over
from core.health.findings import Finding
from core.process.heartbeat import REMEMBERED_S, Heartbeat
from core.process.per_loop import PerLoop
from core.process.vitals import read_heartbeats
from core.redis_client import async_redis
from markets.follow.runtime import STATUS_TTL_S, CollectorRole, CollectorStatus, acollector_statuses
from monitoring.health.assess import assess, replaced
from monitoring.health.memory import FRESH_S, Published, read_published
from monitoring.health.observed import Answer, Limits, Observed, Restart, Stores
from monitoring.health.stores import KEPT_S as STORES_KEPT_S
from monitoring.health.stores import by_our_clock, read_stores, saved_revision
from monitoring.jumps import Jumps
from monitoring.quality.store import read_quality
from monitoring.quality.wire import EXPIRY_S as QUALITY_KEPT_S
from monitoring.quality.wire import Quality

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
TIMEOUT_S: Final = 2.0
MINUTE_S: Final = 60.0

T = TypeVar("T")


class FromRedis(Struct, frozen=True, eq=False):
    """Report of Redis, about itself and about others."""

    heartbeats: list[Heartbeat]
    collectors: list[CollectorStatus]
    ingests: list[CollectorStatus]
    quality: Quality
    stores: Stores | None
    published: Published | None
    used_bytes: int
    limit_bytes: int | None


class Observer:
    """Observer that polls, and remembers what one observation alone does not show."""

    def __init__(self) -> None:
        self.jumps = Jumps()
        self._redis = async_redis(TIMEOUT_S / 2)
        self._listening_since_s: float | None = None  # by the monotonic clock, as the next
        self._saved: tuple[int, float] | None = None  # revision, when it was first seen
        self._beats = _Beats()
        self._kept = _Kept()
        self._runs = Ages()
        self._drops: dict[str, deque[tuple[float, int]]] = {}
        self._asking: asyncio.Task[int] | None = None
        self._latest: tuple[float, Observed] | None = None
        self._published: Published | None = None
        self._looking: asyncio.Task[Observed] | None = None

    async def observe(self) -> Observed:
        """The newest observation, at most `LOOK_EVERY_S` old."""
        if self._latest is not None and time.monotonic() - self._latest[0] < LOOK_EVERY_S:
            return self._latest[1]
        if self._looking is None:
            # Of its own context: that of the request that happened to come first ends with it.
            self._looking = asyncio.create_task(self._look_once(), name="look", context=Context())
        return await asyncio.shield(self._looking)

    async def look(self) -> Observed:
        """Observe now."""
        (redis_said, redis), (revision, database) = await asyncio.gather(
            _answered(self._ask_redis()), _answered(self._ask_database())
        )
        at_us = self.jumps.now_us()
        jumps_us, now_s = self.jumps.total_us, time.monotonic()
        self._remember(now_s, redis_said, revision)
        self._published = None if redis_said is None else redis_said.published
        stores = None if redis_said is None else redis_said.stores
        if redis_said is None:
            self._beats = _Beats(after_outage=True)  # who comes and goes meanwhile, nobody can know
            self._kept = _Kept()
        beats = () if redis_said is None else tuple(self._beats.received(redis_said.heartbeats, at_us))
        return Observed(
            at_us=at_us,
            redis=redis,
            database=database,
            simulated=settings.FEED == "sim",
            names={} if stores is None else stores.names,
            saved_revision=revision,
            saved_us=None if self._saved is None else at_us - _us(now_s - self._saved[1]),
            listening_since_us=None
            if self._listening_since_s is None
            else at_us - _us(now_s - self._listening_since_s),
            heartbeats=beats,
            ahead_s=self._beats.ahead_s,
            restarts=tuple(self._beats.restarts(beats, at_us)),
            collectors=() if redis_said is None else tuple(redis_said.collectors),
            ingests=() if redis_said is None else tuple(redis_said.ingests),
            quality=Quality() if redis_said is None else self.jumps.steady(redis_said.quality),
            drops_per_min=self._drops_per_min(beats),
            redis_bytes=None if redis_said is None else redis_said.used_bytes,
            redis_limit_bytes=None if redis_said is None else redis_said.limit_bytes,
            database_bytes=None if stores is None else stores.database_bytes,
            lake=() if stores is None else stores.lake,
            disk=None if stores is None else stores.disk,
            store=None if stores is None else stores.store,
            measured_us=None if stores is None else stores.at_us,
            runs=() if stores is None else tuple(by_our_clock(stores.runs, self._runs, at_us, now_s)),
            overdue=() if stores is None else stores.overdue,
            jumps_us=jumps_us,
            missing=tuple(_missing(redis, stores)),
        )

    def findings_of(self, now: Observed) -> list[Finding]:
        """Findings in this observation: the monitor's, which know since when; else our own."""
        if self._published is not None:
            return list(self._published.findings)
        return assess(now, Limits())

    async def close(self) -> None:
        """Release the connection."""
        await self._redis.aclose()

    async def _look_once(self) -> Observed:
        try:
            found = await self.look()
            self._latest = time.monotonic(), found
            return found
        finally:
            self._looking = None

    async def _ask_redis(self) -> FromRedis:
        memory: dict[str, Any] = await self._redis.info("memory")
        stores, published = await read_stores(self._redis), await read_published(self._redis)
        return FromRedis(
            heartbeats=await read_heartbeats(self._redis),
            collectors=await self._statuses("collector"),
            ingests=await self._statuses("ingest"),
            quality=await self._quality(),
            stores=stores if stores and self._is_fresh("stores", stores.at_us, STORES_KEPT_S) else None,
            published=published if published and self._is_fresh("found", published.at_us, FRESH_S) else None,
            used_bytes=int(memory["used_memory"]),
            limit_bytes=int(memory.get("maxmemory", 0)) or None,
        )

    async def _statuses(self, role: CollectorRole) -> list[CollectorStatus]:
        statuses = await acollector_statuses(self._redis, role)
        reported = self._kept.fresh(role, {s.shard: s.reported_ts_us for s in statuses}, STATUS_TTL_S)
        return [status for status in statuses if status.shard in reported]

    async def _quality(self) -> Quality:
        try:
            return await read_quality(
                self._redis, lambda made_us: self._kept.fresh("quality", made_us, QUALITY_KEPT_S)
            )
        except (msgspec.MsgspecError, ValueError) as error:  # of another version, during an update
            logger.debug("a collector's quality report cannot be read: %s", error)
            return Quality()

    def _is_fresh(self, kind: str, made_us: int, most_s: float) -> bool:
        return kind in self._kept.fresh(kind, {kind: made_us}, most_s)

    async def _ask_database(self) -> int:
        """Ask one question at a time: a database that hangs must not collect threads that wait for it."""
        if self._asking is None or self._asking.done():
            ask = sync_to_async(saved_revision, thread_sensitive=False)
            self._asking = asyncio.create_task(ask(), name="ask the database")
            self._asking.add_done_callback(_seen)
        return await asyncio.shield(self._asking)

    def _remember(self, now_s: float, said: FromRedis | None, revision: int | None) -> None:
        if said is None:
            self._listening_since_s = None
        elif self._listening_since_s is None:
            self._listening_since_s = now_s
        if revision is not None and (self._saved is None or self._saved[0] != revision):
            self._saved = revision, now_s

    def _drops_per_min(self, beats: Iterable[Heartbeat]) -> dict[str, int]:
        now = time.monotonic()
        rates = {}
        for beat in beats:
            for queue, fill in beat.queues.items():
                name = f"{beat.name} {queue}"
                seen = self._drops.setdefault(name, deque())
                if seen and fill.dropped < seen[-1][1]:  # another process of that name
                    seen.clear()
                seen.append((now, fill.dropped))
                while seen[0][0] < now - MINUTE_S:
                    seen.popleft()
                rates[name] = fill.dropped - seen[0][1]
        return rates


class _Kept:
    """Keys that outlive their expiry in Redis, whose clock was set back."""

    def __init__(self) -> None:
        self._ages: defaultdict[str, Ages] = defaultdict(Ages)

    def fresh(self, kind: str, made_us: Mapping[str, int], most_s: float) -> set[str]:
        """Those of these that are no older than they are kept; those first seen are."""
        old_s = self._ages[kind].take(made_us, None, time.monotonic())
        return {name for name in made_us if old_s[name] <= most_s + LOOK_EVERY_S}


class _Beats:
    """Time of each new heartbeat by our own clock: hosts' clocks may be off."""

    def __init__(self, *, after_outage: bool = False) -> None:
        self._after_outage = after_outage
        self._since_s: float | None = None  # when the first were read
        self.ahead_s: dict[str, float] = {}
        """By how much the clock of each process is ahead of ours, as far as two observations show."""
        self._silent = Ages()
        self._up = Ages()
        self._started: dict[str, int] = {}
        self._reborn: set[str] = set()  # another life under the same name, since the observation before
        self._restarts: dict[str, Restart] = {}

    def received(self, beats: Sequence[Heartbeat], at_us: int) -> Iterator[Heartbeat]:
        """Processes not silent for too long, with their times as our clock would have stamped them."""
        now_s = time.monotonic()
        self._since_s = now_s if self._since_s is None else self._since_s
        silent_s = self._silent.take({beat.name: beat.reported_ts_us for beat in beats}, at_us, now_s)
        if self._after_outage:  # that nothing could be received is not that a process sent nothing
            listened_s = now_s - self._since_s
            silent_s = {name: min(each_s, listened_s) for name, each_s in silent_s.items()}
        known, self._started = self._started, {beat.name: beat.started_ts_us for beat in beats}
        up_s = self._up.take(self._started, at_us, now_s)
        self._reborn = {name for name, us in self._started.items() if known.get(name, us) != us}
        self.ahead_s = {}
        for beat in beats:
            reported_us = at_us - _us(silent_s[beat.name])
            if silent_s[beat.name] < REMEMBERED_S:
                self.ahead_s[beat.name] = (beat.reported_ts_us - reported_us) / 1e6
                started_us = beat.started_ts_us
                if started_us > at_us:  # before a clock was set back
                    started_us = at_us - _us(up_s[beat.name])
                yield structs.replace(beat, reported_ts_us=reported_us, started_ts_us=started_us)

    def restarts(self, beats: Iterable[Heartbeat], at_us: int) -> Iterator[Restart]:
        """Restarts of the last minute: a new life under an old name, or a new name in place of an old one.

        A process that stops cleanly takes its heartbeat away first, so that its next life has none before it.
        """
        places = replaced(tuple(beats), at_us)
        for beat in beats:
            if beat.name in places or beat.name in self._reborn:
                self._restarts[beat.name] = Restart(beat.name, beat.role, at_us)
        for each in list(self._restarts.values()):
            if is_over((at_us - each.at_us) / 1e6, MINUTE_S):
                del self._restarts[each.name]
        yield from self._restarts.values()


def _us(seconds: float) -> int:
    return int(seconds * 1e6)


def _missing(redis: Answer, stores: Stores | None) -> Iterator[str]:
    if not redis.well:
        yield "processes, exchanges and symbols (Redis does not respond)"
    elif stores is None:
        yield "sizes and maintenance runs (no monitor has measured them)"
    else:
        yield from stores.missing


async def _answered(question: Awaitable[T]) -> tuple[T | None, Answer]:
    """(answer, healthy), or (None, the problem)."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await question
    except TimeoutError:
        return None, Answer(False, f"no answer within {TIMEOUT_S:g} s", TIMEOUT_S * 1000)
    except (DatabaseError, RedisError, OSError) as problem:
        return None, Answer(False, type(problem).__name__, _ms_since(began))
    return answer, Answer(True, took_ms=_ms_since(began))


def _ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


def _seen(task: "asyncio.Task[int]") -> None:
    """Take note of its failure, also when nobody waits for it any more."""
    with suppress(asyncio.CancelledError):
        task.exception()


process_observer = PerLoop(Observer)
"""This process's observer."""


async def observe() -> Observed:
    """Observation of this process, at most a second old. Never raises, never hangs."""
    return await process_observer().observe()


def findings_of(now: Observed) -> list[Finding]:
    """Findings in the newest observation, the worst first."""
    return process_observer().findings_of(now)

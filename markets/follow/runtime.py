"""Messages of running processes to each other through Redis: the revision nudge and the collectors' status.

Nothing here is kept: a Redis that is down or emptied costs at most one poll interval.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec
from redis import RedisError
from redis.asyncio import Redis as AsyncRedis

from core.outage import Outage
from core.redis_client import redis_client

logger = logging.getLogger(__name__)

Guard = Callable[[Any], Awaitable[None]]

REVISION_CHANNEL = "markets.revision"  # message: the new revision as text, published on commit
STATUS_KEY = "{role}:{shard}"
STATUS_INDEX = "{role}s"  # the shards that reported lately, so that nobody scans the keyspace
STATUS_TTL_S = 5


CollectorRole = Literal["collector", "ingest"]
"""What a process collects for: everything a desk shows, or the store of quotes, trades and books alone."""


class CollectorStatus(msgspec.Struct):
    """One collector process as it saw itself at `reported_ts_us` (wall clock, µs since the epoch, UTC).

    `revision` is the configuration it runs; `error` says why it could not take over a newer one,
    empty when it did. `exchanges`: key -> {"state": "live" | "connecting" | "refused" | "down" |
    "breaker open" | "idle", "connections": int, "topics": int, "refused_topics": [...],
    "refusals": [{"symbol", "channel", "reason", "since_us", "times", "next_try_s"}],
    "polls_failing": [{"path", "reason", "since_us", "times"}], "next_try_s": float | None}.
    `books`: order books of this process, summed over exchanges, see `collectors.reporter`.
    `channels`: sink name -> {"len", "capacity", "accepted", "dropped"}. `sinks`: sink name -> its own
    counters. `memory`: see collectors.memory. `lacks`: why nothing is collected or compared,
    see markets.lacks.
    """

    shard: str
    pid: int = 0
    host: str = ""
    revision: int = 0
    error: str = ""
    started_ts_us: int = 0
    reported_ts_us: int = 0
    exchanges: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    channels: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    sinks: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    memory: dict[str, float] = msgspec.field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    books: dict[str, Any] = msgspec.field(default_factory=dict)
    role: CollectorRole = "collector"


class RevisionNudge:
    """Publishes revisions; a Redis that is down is logged once, collectors poll anyway."""

    def __init__(self) -> None:
        self._outage = Outage(logger, logging.WARNING)

    def publish(self, revision: int) -> None:
        """Publish to every collector that `revision` is committed. Never raises for a Redis failure."""
        try:
            redis_client().publish(REVISION_CHANNEL, str(revision))
        except RedisError as error:
            self._outage.begins("revision %d saved, not in Redis: %s; collectors poll", revision, error)
        else:
            self._outage.ends("Redis gets revisions again")


publish_revision = RevisionNudge().publish


_own: list[CollectorStatus] = []


def own_status() -> CollectorStatus | None:
    """Status this process last reported, whether or not Redis took it; None when it is no collector."""
    return _own[0] if _own else None


async def report_status(redis: "AsyncRedis", status: CollectorStatus, guard: Guard | None = None) -> None:
    """Store a collector's status for `STATUS_TTL_S` seconds, if its `guard` of the pipeline lets it.

    Raises RedisError when Redis is down, and what the guard raises.
    """
    _own[:] = [status]
    async with redis.pipeline(transaction=True) as pipe:
        if guard is not None:
            await guard(pipe)
        key = STATUS_KEY.format(role=status.role, shard=status.shard)
        pipe.set(key, msgspec.json.encode(status), ex=STATUS_TTL_S)
        pipe.sadd(STATUS_INDEX.format(role=status.role), status.shard)
        await pipe.execute()


def collector_statuses(role: CollectorRole = "collector") -> list[CollectorStatus]:
    """The collectors that reported within `STATUS_TTL_S`, by shard. Raises RedisError when Redis is down."""
    redis = redis_client()
    shards = _shards(redis.smembers(STATUS_INDEX.format(role=role)))
    return _decode(redis.mget(_keys(role, shards)) if shards else [])


async def acollector_statuses(
    redis: "AsyncRedis", role: CollectorRole = "collector"
) -> list[CollectorStatus]:
    """`collector_statuses` for the event loop, over the caller's connection."""
    shards = _shards(await redis.smembers(STATUS_INDEX.format(role=role)))
    return _decode(await redis.mget(_keys(role, shards)) if shards else [])


def _shards(members: Any) -> list[str]:
    return sorted(member.decode() if isinstance(member, bytes) else member for member in members)


def _keys(role: CollectorRole, shards: Sequence[str]) -> list[str]:
    return [STATUS_KEY.format(role=role, shard=shard) for shard in shards]


def _decode(values: Sequence[Any]) -> list[CollectorStatus]:
    statuses = []
    for value in values:
        if value is None:  # silent for longer than the TTL: it is gone
            continue
        try:
            statuses.append(msgspec.json.decode(value, type=CollectorStatus))
        except msgspec.MsgspecError as error:
            logger.warning("a collector of another version reports a status this one cannot read: %s", error)
    return statuses

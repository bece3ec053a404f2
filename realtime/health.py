"""What works now: the database, Redis, the collectors, and this web process."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from msgspec import to_builtins
from redis.exceptions import RedisError

from markets.following import missing_shards
from markets.models import ConfigRevision
from markets.runtime import CollectorStatus, acollector_statuses
from realtime import recent
from realtime.hub import running_hub
from realtime.scan_hub import process_scan_hub

TIMEOUT_S: Final = 2.0
WELL: Final = ("live", "idle")  # idle: no instrument of that exchange is wanted here


async def check() -> dict[str, Any]:
    """Everything an operator asks first; `status` is `ok`, `degraded` or `down`. Never hangs, never raises.

    `down`: the database, Redis or all collectors are gone. `degraded`: an exchange is not live, a shard
    has no collector, a collector runs an older revision than the saved one, or a sink has a problem.
    """
    ask_database = sync_to_async(_revision, thread_sensitive=False)
    (revision, database), (collectors, redis) = await asyncio.gather(
        _within(TIMEOUT_S, ask_database()), _within(TIMEOUT_S, _collectors())
    )
    hub = running_hub()
    return {
        "status": _verdict(revision, collectors),
        "database": database,
        "redis": redis,
        "saved_revision": revision,
        "collectors": [to_builtins(status) for status in collectors or []],
        "web": (hub.stats() if hub else {"sockets": 0}) | process_scan_hub().stats(),
    }


def _verdict(revision: int | None, collectors: list[CollectorStatus] | None) -> str:
    if revision is None or not collectors:
        return "down"
    behind = any(status.revision != revision or status.error for status in collectors)
    broken = any(e.get("state") not in WELL for status in collectors for e in status.exchanges.values())
    failing = any(sink.get("problem") for status in collectors for sink in status.sinks.values())
    return "degraded" if behind or broken or failing or missing_shards(collectors) else "ok"


async def _within(seconds: float, question: Awaitable[Any]) -> tuple[Any, str]:
    """(answer, "ok"), or (None, what is wrong)."""
    try:
        async with asyncio.timeout(seconds):
            return await question, "ok"
    except TimeoutError:
        return None, f"no answer within {seconds:g} s"
    except (DatabaseError, RedisError, OSError) as problem:
        return None, type(problem).__name__


def _revision() -> int:
    """The saved revision, over a connection of its own: one that is stuck must not be waited for."""
    own = connection.copy()
    own.settings_dict["OPTIONS"] = {**own.settings_dict.get("OPTIONS", {}), "connect_timeout": int(TIMEOUT_S)}
    sql, params = ConfigRevision.objects.values_list("number").query.sql_with_params()
    try:
        with own.cursor() as cursor:
            cursor.execute(sql, params)
            row = cursor.fetchone()
    finally:
        own.close()
    return int(row[0]) if row else 0


async def _collectors() -> list[CollectorStatus]:
    async with recent.connect() as redis:
        return await acollector_statuses(redis)

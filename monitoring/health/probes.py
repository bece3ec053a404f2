"""`/healthz` and `/readyz`, for orchestrators: is this web process alive, and can it serve now?

Neither asks about exchanges, collectors or other processes: restarting this one would heal none of them.
"""

import asyncio
import time
from typing import Final

from asgiref.sync import sync_to_async
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from core.errors import InvalidConfig
from core.redis_client import async_redis
from markets.selectors import load_config
from monitoring.health.stores import saved_revision

FRESH_S: Final = 0.2
TIMEOUT_S: Final = 2.0


@require_safe
async def healthz(_request: HttpRequest) -> HttpResponse:
    """`GET /healthz`: 200 as long as the event loop turns; asks nobody."""
    return _plain({"status": "alive"}, 200)


@require_safe
async def readyz(_request: HttpRequest) -> HttpResponse:
    """`GET /readyz`: 200 while pages and sockets can be served, else 503 and why not."""
    reasons = await _readiness.reasons()
    if reasons:
        return _plain({"status": "not ready", "reasons": reasons}, 503)
    return _plain({"status": "ready"}, 200)


class Readiness:
    """Reasons that keep this process from serving, checked at most five times a second for all clients."""

    def __init__(self) -> None:
        self._known: tuple[float, list[str]] | None = None
        self._asking: asyncio.Task[list[str]] | None = None
        self._prepared = False

    async def reasons(self) -> list[str]:
        """Reasons in words; empty when it can serve."""
        if self._known is not None and time.monotonic() - self._known[0] < FRESH_S:
            return self._known[1]
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="readiness")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await asyncio.shield(self._asking)
        except TimeoutError:
            found = [f"PostgreSQL or Redis does not answer within {TIMEOUT_S:g} s"]
        self._known = time.monotonic(), found
        return found

    async def _ask(self) -> list[str]:
        database = sync_to_async(self._of_database, thread_sensitive=False)
        return [reason for reason in await asyncio.gather(database(), _of_redis()) if reason]

    def _of_database(self) -> str:
        """Whether it answers; once also whether its tables and its configuration are such as we can use."""
        try:
            if self._prepared:
                saved_revision()
            else:
                executor = MigrationExecutor(connection)
                if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                    return "migrations are not applied: manage.py migrate"
                load_config()
                self._prepared = True  # nobody takes tables back; what runs keeps its last good configuration
        except DatabaseError as error:
            return f"PostgreSQL: {type(error).__name__}"
        except InvalidConfig:
            return "the saved configuration cannot be used; the admin says why"
        finally:
            connection.close()
        return ""


async def _of_redis() -> str:
    try:
        async with async_redis(TIMEOUT_S / 2) as redis:
            await redis.ping()
    except (RedisError, OSError) as error:
        return f"Redis: {type(error).__name__}"
    return ""


_readiness = Readiness()


def _plain(said: dict[str, object], code: int) -> HttpResponse:
    response = JsonResponse(said, status=code)
    response["Cache-Control"] = "no-store"
    return response

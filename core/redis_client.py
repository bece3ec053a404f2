"""The ways to Redis: one client for what is asked now and then, one for each part that is always asking."""

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import Final

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection

REDIS_TIMEOUT_S: Final = 1.0
"""A page must not hang on a Redis that does not answer."""
ASYNC_TIMEOUT_S: Final = 2.0
"""Nor must the loop of a process."""


@cache
def redis_client() -> Redis:
    """The process's synchronous Redis connection pool, with short timeouts."""
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )


def async_redis(timeout_s: float = ASYNC_TIMEOUT_S, url: str = "") -> AsyncRedis:
    """A client of its own for an event loop, of REDIS_URL unless an address is given; close it after use."""
    return AsyncRedis.from_url(
        url or settings.REDIS_URL, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    )


_send = AbstractConnection.send_packed_command


async def _send_and_heed(
    self: AbstractConnection, command: bytes | str | Iterable[bytes], check_health: bool = True
) -> None:
    """Send, and raise a CancelledError that came meanwhile.

    redis-py sends within `asyncio.wait_for`, which before Python 3.12 returns as if nothing had happened when
    it is cancelled while what it waits for has just ended; and sending ends at once. So one
    cancellation in five of tasks that talk to Redis was lost, and such a task went on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    await _send(self, command, check_health)
    if task and task.cancelling() > before:
        await self.disconnect(nowait=True)  # as redis-py does: the answer would be the next question's
        raise asyncio.CancelledError


AbstractConnection.send_packed_command = _send_and_heed  # type: ignore[method-assign]
"""Of every connection in a process that imports this module: also those of the channel layer."""

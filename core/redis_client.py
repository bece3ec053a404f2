"""The ways to Redis: one client for what is asked now and then, one for each part that is always asking."""

from functools import cache
from typing import Final

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

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

"""The process's synchronous way to Redis."""

from functools import cache
from typing import Final

from django.conf import settings
from redis import Redis

REDIS_TIMEOUT_S: Final = 1.0  # a page must not hang on a Redis that does not answer


@cache
def redis_client() -> Redis:
    """The process's synchronous Redis connection pool, with short timeouts."""
    return Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )

"""Message over Redis that episodes were written, for readers that do not want to wait for their next poll."""

from contextlib import suppress
from typing import Final

from redis import RedisError

from core.redis_client import redis_client

EPISODES_WRITTEN: Final = "realtime.episodes"
"""The channel; its messages say how many. PostgreSQL is the truth, so one that is lost costs only time."""


def publish_written(count: int) -> None:
    """Publish it; blocks for a moment. Never raises for Redis."""
    with suppress(RedisError):
        redis_client().publish(EPISODES_WRITTEN, str(count))

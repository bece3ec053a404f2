"""Nudges through Redis: a message says that something is new, a poll finds it out without Redis, too."""

import asyncio
import logging
from typing import Final

from redis.exceptions import RedisError

from core.backoff import delays
from core.outage import Outage, of_redis
from core.redis_client import async_redis

logger = logging.getLogger(__name__)

AGAIN_FIRST_S: Final = 1.0
AGAIN_CEILING_S: Final = 5.0


async def listen(channel: str, nudged: asyncio.Event, what: str, redis_url: str = "") -> None:
    """Set the event at every message of a channel, and as listening begins: one may have been missed before.

    Runs for ever. A Redis that is down is logged once; `what` is what its users poll meanwhile.
    """
    outage = Outage(logger, logging.WARNING)
    pauses = delays(AGAIN_FIRST_S, AGAIN_CEILING_S)
    while True:
        try:
            async with async_redis(url=redis_url) as redis, redis.pubsub() as news:
                await news.subscribe(channel)
                async for _ in news.listen():  # the first one confirms the subscription
                    outage.ends("Redis is back: %s nudged again", what)
                    pauses = delays(AGAIN_FIRST_S, AGAIN_CEILING_S)
                    nudged.set()
        except (RedisError, OSError) as problem:
            outage.begins("%s: %s polled meanwhile", of_redis(problem, "Redis of REDIS_URL"), what)
        await asyncio.sleep(next(pauses))

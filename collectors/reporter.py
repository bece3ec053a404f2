"""Reports once a second what this collector does, for pages, health checks and alerts."""

import asyncio
import logging
import os
import socket
import time
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from collectors.feed import REFUSED_SHOWN
from collectors.lease import guard, why_not_written
from collectors.memory import Memory
from collectors.supervisor import Supervisor
from core.outage import Outage
from core.redis_client import async_redis
from markets.follow.follower import Follower
from markets.follow.runtime import CollectorRole, CollectorStatus, report_status

logger = logging.getLogger(__name__)

REPORT_S = 1.0


SUMMED = ("followed", "known", "levels", "topics", "updates", "updates_per_s")
"""What of a market's books makes sense as a sum."""


def books_status(supervisor: Supervisor) -> dict[str, Any]:
    """Order books of this process: what is followed, known and refused, and the budget."""
    chosen = supervisor.chosen
    markets = [feed.books_status() for feed in supervisor.feeds.values()]
    return {name: round(sum(each[name] for each in markets), 1) for name in SUMMED} | {
        "most": supervisor.most_books,
        "refused": len(chosen.refused),
        "refused_books": [f"{each.symbol} on {each.exchange}" for each in chosen.refused[:REFUSED_SHOWN]],
    }


class Reporter:
    """Stores a `CollectorStatus` in Redis every second; a Redis that is down is logged once."""

    def __init__(
        self,
        supervisor: Supervisor,
        follower: Follower,
        memory: Memory,
        redis_url: str,
        role: CollectorRole = "collector",
    ) -> None:
        self._role: CollectorRole = role
        self._supervisor = supervisor
        self._follower = follower
        self._memory = memory
        self._redis_url = redis_url
        self._started_us = time.time_ns() // 1000
        self._outage = Outage(logger, logging.WARNING)

    def status(self) -> CollectorStatus:
        """This collector as it is now."""
        supervisor = self._supervisor
        errors = [self._follower.error, *(outlet.error for outlet in supervisor.outlets)]
        return CollectorStatus(
            shard=str(supervisor.shard),
            pid=os.getpid(),
            host=socket.gethostname(),
            revision=self._follower.revision or 0,
            error="; ".join(error for error in errors if error),
            started_ts_us=self._started_us,
            reported_ts_us=time.time_ns() // 1000,
            exchanges=supervisor.status(),
            channels={outlet.name: outlet.status() for outlet in supervisor.outlets},
            sinks={outlet.name: outlet.stats() for outlet in supervisor.outlets},
            memory=self._memory.stats(),
            lacks=supervisor.lacks,
            books=books_status(supervisor),
            role=self._role,
        )

    async def run(self) -> None:
        """Report until cancelled."""
        async with async_redis(REPORT_S * 2, self._redis_url) as redis:
            while True:
                await self._report(redis)
                await asyncio.sleep(REPORT_S)

    async def _report(self, redis: Redis) -> None:
        try:
            await report_status(
                redis, self.status(), partial(guard, shard=self._supervisor.shard, role=self._role)
            )
        except (RedisError, OSError) as error:
            self._outage.begins("status not reported: %s", why_not_written(error, self._supervisor.shard))
        else:
            self._outage.ends("status reported again")

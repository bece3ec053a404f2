"""What each filter selects now, as this web process knows it."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Final

from channels.db import database_sync_to_async
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from core.errors import InvalidConfig
from core.redis_client import async_redis
from markets.config import MarketConfig
from markets.follow.runtime import REVISION_CHANNEL
from markets.selectors import current_revision, load_config

log = logging.getLogger(__name__)

POLL_EVERY_S: Final = 5.0
REFUSED_AGAIN_S: Final = 30.0  # an unusable revision may become usable: fees begin to hold, rows are mended


class Selection:
    """Follows the operator's configuration: one load per revision and process, shared by all sockets.

    A revision that makes no usable configuration leaves the last good one in place.
    """

    def __init__(self, on_change: Callable[[MarketConfig], None]) -> None:
        self.config: MarketConfig | None = None
        self.chart_ids: frozenset[str] = frozenset()
        self._on_change = on_change
        self._by_filter: dict[int, set[str]] = {}
        self._refused_revision = -1
        self._refused_until = 0.0
        self._loading = asyncio.Lock()

    async def current(self) -> MarketConfig:
        """The configuration, loaded now if it was not before.

        Raises InvalidConfig or a database error when there is none yet and it cannot be loaded.
        """
        async with self._loading:
            if self.config is not None:
                return self.config
            config: MarketConfig = await database_sync_to_async(load_config)()
            self._take_over(config)
            return config

    def default_filter(self) -> int | None:
        """The first enabled filter that has charts, or None where there is none."""
        filters = self.config.filters if self.config else ()
        return next((row.id for row in filters if row.charted), None)

    def charts_of(self, filter_id: int | None) -> set[str]:
        """The chart ids a filter selects; none for a filter that is disabled or gone."""
        return set() if filter_id is None else self._by_filter.get(filter_id, set())

    async def follow(self) -> None:
        """Reload when the revision moves: at once on a nudge through Redis, else within 5 s."""
        redis = async_redis()
        try:
            while True:
                await self._follow_nudges(redis)
                await self._reload_if_moved()
                await asyncio.sleep(POLL_EVERY_S)
        finally:
            await redis.aclose()

    async def _follow_nudges(self, redis: "Redis") -> None:
        """Return when Redis fails; the caller polls until it is back."""
        try:
            async with redis.pubsub() as nudges:
                await nudges.subscribe(REVISION_CHANNEL)
                while True:
                    await self._reload_if_moved()
                    await _nudge_or_pause(nudges)
        except (RedisError, OSError) as problem:
            log.debug("no revision nudges: %s", problem)

    async def _reload_if_moved(self) -> None:
        async with self._loading:
            revision = await database_sync_to_async(current_revision)()
            if self.config is not None and (revision == self.config.revision or self._waits(revision)):
                return
            try:
                config = await database_sync_to_async(load_config)()
            except InvalidConfig as problem:
                if revision != self._refused_revision:
                    log.error("revision %d is not usable, the last good one stays: %s", revision, problem)
                self._refused_revision, self._refused_until = revision, time.monotonic() + REFUSED_AGAIN_S
            else:
                self._take_over(config)

    def _waits(self, revision: int) -> bool:
        return revision == self._refused_revision and time.monotonic() < self._refused_until

    def _take_over(self, config: MarketConfig) -> None:
        self.config = config
        self._by_filter = {f.id: set() for f in config.filters}
        for opportunity in config.opportunities:
            for filter_id in opportunity.filters:
                self._by_filter.setdefault(filter_id, set()).add(opportunity.id)
        self.chart_ids = frozenset(o.id for o in config.opportunities)
        self._on_change(config)
        gc.freeze()  # it stays until the next one: no pause of the garbage collector looks at it again


async def _nudge_or_pause(nudges: "PubSub") -> None:
    """Wait for a nudge, at most the poll interval (redis-py also returns None for a mere confirmation)."""
    until = time.monotonic() + POLL_EVERY_S
    while (left := until - time.monotonic()) > 0:
        if await nudges.get_message(ignore_subscribe_messages=True, timeout=left):
            return

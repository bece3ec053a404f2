"""Reads the recent-points store into the chart book, so that its points and those of batches fit together."""

import asyncio
import time
from collections.abc import Sequence

from redis.asyncio import Redis

from core.redis_client import ASYNC_TIMEOUT_S
from realtime.charts import recent
from realtime.charts.book import ChartBook


class RecentReader:
    """Reads once batches are `receiving`, so that no flush falls between a read and the first batch."""

    def __init__(self, book: ChartBook, redis: "Redis", receiving: asyncio.Event) -> None:
        self._book = book
        self._redis = redis
        self._receiving = receiving

    async def read(self, chart_ids: Sequence[str]) -> recent.Snapshot:
        """Read what store and batches hold of these charts. Raises RedisError, OSError or TimeoutError."""
        async with asyncio.timeout(ASYNC_TIMEOUT_S):
            await self._receiving.wait()
            snapshot = await recent.read(self._redis, chart_ids, time.time_ns() // 1000)
        self._book.learn(snapshot)
        for chart_id, stored in snapshot.charts.items():
            self._refine(chart_id, stored)
        return snapshot

    def _refine(self, chart_id: str, stored: recent.Stored) -> None:
        """Make it end with what this process has received: later flushes reach viewers as batches."""
        shard = self._book.shards.get(stored.tail.shard)
        if shard is None or shard.silent:
            return
        backlog = self._book.backlog(chart_id)
        if backlog is None:
            stored.rows = stored.until(shard.flush_ts_us)
        else:
            backlog.refine(stored)

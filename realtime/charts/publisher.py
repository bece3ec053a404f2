"""Publisher of one collector shard to Redis: first the recent-points store, then the web processes."""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Final

import numpy as np
from redis.exceptions import RedisError

from collectors.lease import guard, why_not_written
from core.layer import get_channel_layer
from core.names.chart_ids import parts_of
from core.outage import Outage
from core.redis_client import ASYNC_TIMEOUT_S, async_redis
from engine.charts.pending import Pending, with_points
from engine.charts.points import POINT_COLUMNS, SET_BACK_US, ChartDelta, Points
from markets.config import Shard
from realtime.charts import recent
from realtime.charts.wire import GROUP, Batch, encode_batch, pack

logger = logging.getLogger(__name__)

FLUSH_EVERY_S: Final = 0.05
HEARTBEAT_EVERY_S: Final = 1.0


class Publisher:
    """Publishes what changed, at most 20 times a second, and a heartbeat at least once a second.

    While Redis does not answer, deltas are merged per chart (bounded) and go out when it is back.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.published = 0
        self.failed = 0
        self.lost_broadcasts = 0
        self._pending = Pending()
        self._writer = recent.RecentWriter(str(shard))
        self._redis = async_redis()
        self._layer = get_channel_layer()
        self._previous_us = 0
        self._last_flush = float("-inf")
        self._wanted: frozenset[str] = frozenset()
        self._forget: set[str] = set()
        self._resumed: set[str] | None = None
        self._outage = Outage(logger)

    @property
    def thinned(self) -> int:
        """Points given up while Redis did not answer."""
        return self._pending.thinned

    def add(self, deltas: Iterable[ChartDelta]) -> None:
        """Take over what changed; it goes out with the next flush."""
        for delta in deltas:
            self._pending.add(delta)

    def keep_only(self, wanted: frozenset[str]) -> None:
        """The charts there are from now on; the points of others leave the store."""
        gone = self._wanted - wanted
        self._pending.discard(gone)
        self._forget = (self._forget | gone) - wanted
        self._wanted = wanted

    @property
    def due(self) -> bool:
        """Whether there is something to publish, or a heartbeat's time has come."""
        silent_s = time.monotonic() - self._last_flush
        return bool(self._pending or self._forget) or silent_s >= HEARTBEAT_EVERY_S

    async def flush(self) -> None:
        """Store and broadcast what waits. A Redis that fails costs a counter, never an exception."""
        self._last_flush = time.monotonic()
        deltas = self._pending.take()
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                deltas = await self._broken_where_we_were_away(deltas)
                flush_us = await self._store(deltas)
        except (RedisError, OSError, TimeoutError) as problem:
            self._wait_for_redis(deltas, problem)
            return
        self._report_return()
        await self._broadcast(deltas, flush_us)

    async def aclose(self) -> None:
        """Release the connection."""
        await self._redis.aclose()

    async def _store(self, deltas: list[ChartDelta]) -> int:
        flush_us = time.time_ns() // 1000
        if flush_us > self._previous_us - SET_BACK_US:  # else it goes on from there, with the points
            flush_us = max(flush_us, self._previous_us + 1)
        forget = frozenset(self._forget)
        async with self._redis.pipeline(transaction=True) as pipe:
            await guard(pipe, self.shard)
            self._writer.write(pipe, deltas, flush_us)
            self._writer.forget(pipe, forget)
            await pipe.execute()
        self._writer.commit()
        self._forget -= forget
        return flush_us

    async def _broadcast(self, deltas: list[ChartDelta], flush_us: int) -> None:
        batch = Batch(str(self.shard), flush_us, self._previous_us, [pack(delta) for delta in deltas])
        self._previous_us = flush_us
        message = {"type": "spreads.batch", "data": encode_batch(batch)}
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                await self._layer.group_send(GROUP, message)
        except (RedisError, OSError, TimeoutError):
            # It is in the store, and the next batch's `previous_ts_us` makes hubs fetch it there.
            self.lost_broadcasts += 1
        else:
            self.published += 1

    async def _broken_where_we_were_away(self, deltas: list[ChartDelta]) -> list[ChartDelta]:
        """After a restart, the first points of a chart the store knows begin with a gap."""
        if self._resumed is None:
            self._resumed = await self._take_over_store()
        if not self._resumed:
            return deltas
        return [self._with_gap(delta) for delta in deltas]

    async def _take_over_store(self) -> set[str]:
        """Take the charts to go on with from what this shard's earlier process left; forget the others."""
        left = await recent.open_seconds(self._redis)
        ours = {chart_id for chart_id in left if self.shard.owns(parts_of(chart_id).symbol)}
        self._forget |= ours - self._wanted
        resumed = ours & self._wanted
        for chart_id in resumed:
            self._writer.adopt(chart_id, left[chart_id])
        return resumed

    def _with_gap(self, delta: ChartDelta) -> ChartDelta:
        resumed = self._resumed or set()
        if not len(delta.points) or delta.id not in resumed:
            return delta
        resumed.discard(delta.id)
        return with_points(delta, np.concatenate([_gap_before(delta.points), delta.points]))

    def _wait_for_redis(self, deltas: list[ChartDelta], problem: Exception) -> None:
        self.failed += 1
        newer = self._pending.take()
        self.add([*deltas, *newer])
        why = why_not_written(problem, self.shard)
        self._outage.begins("shard %s: points are not published: %s", self.shard, why)

    def _report_return(self) -> None:
        self._outage.ends("shard %s: points are published again", self.shard)


def _gap_before(points: Points) -> Points:
    gap = np.full((1, len(POINT_COLUMNS)), np.nan)
    gap[0, 0] = points[0, 0] - 1
    return gap

"""The collector's door to data quality: what is seen of every instrument and exchange, to Redis."""

import asyncio
import logging
import time
from typing import Any, Final

from redis.exceptions import RedisError

from collectors.lease import why_not_written
from collectors.sinks import EmitDerived
from core.channel import Channel
from core.clock.clocks import STANDSTILL_S
from core.outage import Outage
from core.redis_client import ASYNC_TIMEOUT_S, async_redis
from markets.config import MarketConfig, Shard
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring.quality.book import DataQuality
from monitoring.quality.wire import EVERY_S
from monitoring.quality.writer import QualityWriter

logger = logging.getLogger(__name__)

EXCUSED_S: Final = 15.0
"""So long after a standstill no delay counts."""

GATHER_S: Final = 0.25
"""Events are counted together: one by one would cost several times as much."""

HELD_UP_S: Final = 1.0
"""A timer that is so late was kept by a process that stood still, or had no processor."""

EVENTS_PER_TURN: Final = 4_000
"""About 2 ms of work before the loop gets its turn."""


class QualitySink:
    """A `collectors.sinks.Sink` that counts everything and publishes it every 2 s.

    Counting and publishing are tasks of their own. A Redis that fails costs a counter and a minute of an
    instrument's history, never an exception or memory; the next report holds all there is to know.
    """

    wants = frozenset({Quote, Trade, StreamState, FeedReport})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self.quality = DataQuality(time.monotonic_ns())
        self._channel = channel
        self._shard = shard
        self._redis = async_redis()
        self._published_s, self._excused_s = time.monotonic(), 0.0
        self._writer = QualityWriter(self._redis, shard, _now()[0])
        self._reports = 0
        self._failed = 0
        self._outage = Outage(logger)
        self._ending = asyncio.Event()

    def configure(self, config: MarketConfig) -> None:
        """Take over which instruments there are and when they count as silent."""
        self.quality.configure(config, self._shard.owns, *_now())

    async def run(self) -> None:
        """Consume until the channel is finished."""
        _running[:] = [self]
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_publishing(), name="quality publish")
                await self._consume()
        finally:
            await self._redis.aclose()

    def stats(self) -> dict[str, Any]:
        """Numbers of reports that were published, and that failed."""
        return {
            "quality_reports": self._reports,
            "quality_failed": self._failed,
            "quality_unknown": self.quality.unknown,
        }

    async def _consume(self) -> None:
        channel = self._channel
        while not channel.finished:
            await channel.wait()
            if events := channel.take(EVENTS_PER_TURN):
                self.quality.take(events, time.monotonic_ns())
            await self._pause(0.0 if len(channel) >= EVENTS_PER_TURN else GATHER_S)
        self._ending.set()

    async def _pause(self, seconds: float) -> None:
        """Let others run; a timer that comes much too late says that the whole process was held up."""
        since_us, began = _now()
        await asyncio.sleep(seconds)
        until_us, ended = _now()
        if ended - began > (seconds + HELD_UP_S) * 1e9:
            self.quality.feeds.held_up(since_us, until_us)

    async def _keep_publishing(self) -> None:
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._ending.wait()
            except TimeoutError:
                await self._try_to_publish()

    def _excuse(self, now_s: float) -> None:
        """After this process stood still, what waited meanwhile is read late: no exchange is to blame."""
        if now_s - self._published_s > EVERY_S + STANDSTILL_S:
            self._excused_s = now_s + EXCUSED_S
        self._published_s = now_s
        if now_s < self._excused_s:
            self.quality.feeds.latencies.forget()

    async def _try_to_publish(self) -> None:
        self._excuse(time.monotonic())
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                await self._writer.write(self.quality, *_now())
        except (RedisError, OSError, TimeoutError) as problem:
            self._failed += 1
            why = why_not_written(problem, self._shard)
            self._outage.begins("shard %s: the data's quality is not published: %s", self._shard, why)
        else:
            self._reports += 1
            self._outage.ends("shard %s: the data's quality is published again", self._shard)


_running: list[QualitySink] = []


def running_quality() -> DataQuality | None:
    """Quality of this collector's data; None in every other process."""
    return _running[0].quality if _running else None


def _now() -> tuple[int, int]:
    """The wall clock in µs and the monotonic one in ns."""
    return time.time_ns() // 1000, time.monotonic_ns()

"""The collector's door to data quality: what is seen of every instrument and exchange, to Redis."""

import asyncio
import logging
import time
from typing import Any, Final

from redis.exceptions import RedisError

from collectors.channel import Channel
from collectors.sinks import EmitDerived
from markets.config import MarketConfig, Shard
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring import quality_wire as wire
from monitoring.quality import DataQuality
from monitoring.quality_wire import ShardReport
from realtime import recent

logger = logging.getLogger(__name__)

GATHER_S: Final = 0.25
"""Events are counted together: one by one would cost several times as much."""

EVENTS_PER_TURN: Final = 4_000
"""About 2 ms of work before the loop gets its turn."""

_MINUTE_US: Final = 60_000_000


class QualitySink:
    """A `collectors.sinks.Sink` that counts everything and tells it every 2 s.

    Counting and telling are tasks of their own. A Redis that fails costs a counter and a minute of an
    instrument's history, never an exception or memory; the next report holds all there is to know.
    """

    wants = frozenset({Quote, Trade, StreamState, FeedReport})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self.quality = DataQuality(time.monotonic_ns())
        self._channel = channel
        self._shard = shard
        self._redis = recent.connect()
        self._layout = -1
        self._names = b""
        self._digest = ""
        self._minute = _now()[0] // _MINUTE_US
        self._reports = 0
        self._failed = 0
        self._reachable = True
        self._ending = asyncio.Event()

    def configure(self, config: MarketConfig) -> None:
        """Take over which instruments there are and when they count as silent."""
        self.quality.configure(config, self._shard.owns, *_now())

    async def run(self) -> None:
        """Consume until the channel is finished."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell(), name="quality tell")
                await self._consume()
        finally:
            await self._redis.aclose()

    def stats(self) -> dict[str, Any]:
        """What was told, and what could not be."""
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
            await asyncio.sleep(0 if len(channel) >= EVENTS_PER_TURN else GATHER_S)
        self._ending.set()

    async def _tell(self) -> None:
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(wire.EVERY_S):
                    await self._ending.wait()
            except TimeoutError:
                await self._try_to_tell()

    async def _try_to_tell(self) -> None:
        try:
            async with asyncio.timeout(recent.REDIS_TIMEOUT_S):
                await self._write(*self._made())
        except (RedisError, OSError, TimeoutError) as problem:
            self._failed += 1
            if self._reachable:
                logger.warning("shard %s: Redis does not take the data's quality: %s", self._shard, problem)
            self._reachable = False
        else:
            self._reports += 1
            self._reachable = True

    def _made(self) -> tuple[ShardReport, tuple[str, bytes] | None]:
        """The report of now and, where a minute has passed, what it brought."""
        now_us, now_ns = _now()
        quality = self.quality
        quality.assess(now_us, now_ns)
        if quality.layout != self._layout:
            self._names = wire.encode(quality.names())
            self._layout, self._digest = quality.layout, wire.digest_of(self._names)
        minute = None
        if now_us // _MINUTE_US != self._minute:
            key = wire.minute_key(str(self._shard), self._minute)
            minute = (key, wire.minute_value(self._digest, quality.take_minute(now_ns)))
            self._minute = now_us // _MINUTE_US
        report = ShardReport(
            str(self._shard),
            now_us,
            self._digest,
            quality.exchange_rows(now_ns),
            quality.rows(now_ns).tobytes(),
        )
        return report, minute

    async def _write(self, report: ShardReport, minute: tuple[str, bytes] | None) -> None:
        names_key = wire.names_key(report.names)
        async with self._redis.pipeline(transaction=True) as pipe:
            if not await self._redis.expire(names_key, wire.NAMES_EXPIRY_S):
                pipe.set(names_key, self._names, ex=wire.NAMES_EXPIRY_S)
            if minute is not None:
                pipe.set(*minute, ex=wire.MINUTE_EXPIRY_S)
            pipe.set(wire.report_key(report.shard), wire.encode(report), ex=wire.EXPIRY_S)
            pipe.hset(wire.SHARDS, report.shard, report.at_us)
            await pipe.execute()


def _now() -> tuple[int, int]:
    """The wall clock in µs and the monotonic one in ns."""
    return time.time_ns() // 1000, time.monotonic_ns()

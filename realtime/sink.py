"""The collector's door to realtime: quotes of one shard in, batches of chart deltas out."""

import asyncio
import time
from typing import Final

from msgspec import structs

from collectors.channel import Channel
from markets.config import MarketConfig, Shard
from markets.events import Event, Quote, StreamState
from realtime.engine import SpreadEngine
from realtime.publisher import FLUSH_EVERY_S, Publisher

EVENTS_PER_TURN: Final = 500
"""Events handled before the loop gets its turn: about 5 ms of work."""


class RealtimeSink:
    """A `collectors.sinks.Sink` that feeds the spread engine and publishes what changes.

    Reading, collecting and publishing are three tasks, so a slow Redis delays neither the events
    nor the growth-free merging of what waits for it.
    """

    def __init__(self, channel: Channel[Event], shard: Shard) -> None:
        self._channel = channel
        self._shard = shard
        self._engine = SpreadEngine()
        self._publisher = Publisher(shard)

    def configure(self, config: MarketConfig) -> None:
        """Take over the opportunities whose symbols this shard owns."""
        owned = tuple(o for o in config.opportunities if self._shard.owns(o.symbol))
        self._engine.configure(structs.replace(config, opportunities=owned))
        self._publisher.keep_only(frozenset(o.id for o in owned))

    async def run(self) -> None:
        """Consume until the channel is finished, then publish what is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect(), name="realtime collect")
                tasks.create_task(self._publish(), name="realtime publish")
                await self._consume()
            self._publisher.add(self._engine.collect())
            await self._publisher.flush()
        finally:
            await self._publisher.aclose()

    def stats(self) -> dict[str, float]:
        """What the engine and the publisher did since the start."""
        publisher = self._publisher
        return structs.asdict(self._engine.counters) | {
            "batches_published": publisher.published,
            "flushes_failed": publisher.failed,
            "broadcasts_lost": publisher.lost_broadcasts,
            "points_thinned_waiting": publisher.thinned,
        }

    async def _consume(self) -> None:
        while not self._channel.finished:
            await self._channel.wait()
            for event in self._channel.take(EVENTS_PER_TURN):
                self._handle(event)
            await asyncio.sleep(0)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Quote):
            self._engine.on_quote(event)
        elif isinstance(event, StreamState):
            self._engine.on_state(event)

    # Both end by themselves, so that no flush is cut off in the middle.

    async def _collect(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._engine.expire(time.monotonic_ns(), time.time_ns() // 1000)
            self._publisher.add(self._engine.collect())

    async def _publish(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(FLUSH_EVERY_S)
            if self._publisher.due:
                await self._publisher.flush()

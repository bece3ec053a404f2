"""The collector's door to realtime: quotes of one shard in, batches of chart deltas out."""

import asyncio
import time
from typing import Final

from msgspec import structs

from collectors.channel import Channel
from collectors.sinks import EmitDerived
from markets.config import MarketConfig, Shard
from markets.events import Quote, SinkEvent, SpreadPoints, StreamState
from realtime.engine import SpreadEngine
from realtime.passing import Passing
from realtime.publisher import FLUSH_EVERY_S, Publisher

EVENTS_PER_TURN: Final = 500
"""Events handled before the loop gets its turn: about 5 ms of work."""


class RealtimeSink:
    """A `collectors.sinks.Sink` that feeds the spread engine and publishes what changes.

    Reading, collecting and publishing are three tasks, so a slow Redis delays neither the events
    nor the growth-free merging of what waits for it. The points and what passes the filters are
    emitted, too: the sinks after this one may keep them.
    """

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None:
        self._channel = channel
        self._shard = shard
        self._emit = emit
        self._engine = SpreadEngine()
        self._passing = Passing()
        self._publisher = Publisher(shard)
        self._handled: Quote | StreamState | None = None

    def configure(self, config: MarketConfig) -> None:
        """Take over the opportunities whose symbols this shard owns."""
        owned = tuple(o for o in config.opportunities if self._shard.owns(o.symbol))
        config = structs.replace(config, opportunities=owned)
        self._engine.configure(config)
        for event in self._passing.configure(config, time.time_ns() // 1000):
            self._emit(event)
        self._publisher.keep_only(frozenset(o.id for o in owned))

    async def run(self) -> None:
        """Consume until the channel is finished, then publish what is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect(), name="realtime collect")
                tasks.create_task(self._publish(), name="realtime publish")
                await self._consume()
            self._hand_on()
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

    def _handle(self, event: SinkEvent) -> None:
        if isinstance(event, Quote):
            self._engine.on_quote(event)
            self._handled = event
        elif isinstance(event, StreamState):
            self._engine.on_state(event)
            self._handled = event

    def _expire(self) -> None:
        """Let charts age until now, or while events wait only until the last one that was handled.

        Otherwise a backlog would make charts stale whose next quotes are at hand.
        """
        if not self._channel:
            self._engine.expire(time.monotonic_ns(), time.time_ns() // 1000)
        elif self._handled:
            self._engine.expire(self._handled.received_mono_ns, self._handled.received_ts_us)

    def _hand_on(self) -> None:
        deltas = self._engine.collect()
        self._publisher.add(deltas)
        for delta in deltas:
            if len(delta.points):
                self._emit(SpreadPoints(delta.symbol, delta.exchange1, delta.exchange2, delta.points))
        for event in self._passing.update(deltas):
            self._emit(event)

    # Both end by themselves, so that no flush is cut off in the middle.

    async def _collect(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._expire()
            self._hand_on()

    async def _publish(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(FLUSH_EVERY_S)
            if self._publisher.due:
                await self._publisher.flush()

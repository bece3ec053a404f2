"""The collector's door to depth: the books of this process out to Redis, five times a second."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from collectors.sinks import EmitDerived
from core.channel import Channel
from engine.books.book import Book
from markets.config import MarketConfig, Shard
from markets.events import SinkEvent
from realtime.depth.publisher import FLUSH_EVERY_S, DepthPublisher
from realtime.depth.wire import Key

NOTHING: Final[frozenset[type]] = frozenset()
EVENTS_PER_TURN: Final = 1000


class DepthSink:
    """A `collectors.sinks.Sink` that no event comes to: it reads the books of this process themselves."""

    wants = NOTHING

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self._channel = channel
        self._publisher = DepthPublisher(shard, ())
        self._ending = asyncio.Event()

    def use_books(self, books: Iterable[tuple[Key, Book]]) -> None:
        """Take over the books of this process."""
        self._publisher.books = books

    def configure(self, config: MarketConfig) -> None:
        """Apply nothing: what is followed is among the books."""

    async def run(self) -> None:
        """Publish until the channel is finished."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._publish(), name="depth publish")
                while not self._channel.finished:
                    await self._channel.wait()
                    self._channel.take(EVENTS_PER_TURN)
                self._ending.set()
        finally:
            await self._publisher.aclose()

    def stats(self) -> dict[str, Any]:
        """Numbers of books that are published, of frames, and of what failed."""
        publisher = self._publisher
        return {
            "depth_books": len(publisher),
            "depth_frames": publisher.frames,
            "depth_failed": publisher.failed,
        }

    async def _publish(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_EVERY_S):
                    await self._ending.wait()
            await self._publisher.flush()

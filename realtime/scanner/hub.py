"""One scanner per web process: follows the collectors' legs while a page is open, and makes pages.

It receives frames only while a scanner is open, and for a moment after, so that a reload is quick. The
table is computed at most 4 times a second, rows change places at most once a second.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from channels.db import database_sync_to_async
from redis.asyncio import Redis

from core.process.per_loop import PerLoop
from core.redis_client import async_redis
from core.supervised import end, supervise
from core.web.reports import register
from markets.follow.fundings import Snapshot, read_snapshots
from opportunities.episodes import counts_per_pair
from realtime.charts.hub import process_hub
from realtime.depth import wire as depth
from realtime.scanner.book import ScanBook
from realtime.scanner.pages import Pages
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query
from realtime.scanner.wire import FRAMES, decode_frame, read_scan
from realtime.shard_reader import ShardReader, Source

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
COUNT_EVERY_S: Final = 10.0
FUNDING_EVERY_S: Final = 2.0  # as often as collectors write it
COUNT_PATIENCE_S: Final = 1.0
"""How long the first page waits for the opportunities of the last hour, funding and depth: until these are
read the former are unknown, and no book seems to be followed."""
LINGER_S: Final = 10
READY_WITHIN_S: Final = 5.0

LEGS: Final = Source(FRAMES, "unreadable_frames", decode_frame, read_scan)
LADDERS: Final = Source(depth.FRAMES, "unreadable_depth_frames", depth.decode_frame, depth.read_states)


class Viewer(Protocol):
    """A browser that follows the book. `page` is what it shows, `query` the rows of it, None: none."""

    page: str

    @property
    def query(self) -> Query | None:
        """Rows whose order is to be kept fresh."""

    def refreshed(self) -> None:
        """The book is newer."""

    def leave(self) -> None:
        """Send nothing more."""


class ScanHub:
    """Keeps the book fresh and viewers served. All of it runs on one event loop, so nothing is locked."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.book = ScanBook()
        self.pages = Pages(self.book)
        self._viewers: set[Viewer] = set()
        self._users = 0
        self._counted = asyncio.Event()
        self._funded = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._configured = asyncio.Event()
        self._ready = asyncio.Event()

    # --- life ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self) -> AsyncIterator["ScanHub"]:
        """Keep the table fresh as long as this is held; it is ready on entry.

        Raises InvalidConfig, a database error, RedisError or TimeoutError when it cannot be.
        """
        self._users += 1
        try:
            await self.ready()
            yield self
        finally:
            self._users -= 1

    async def ready(self) -> None:
        """Start if need be, and return once there is a table; raises as `open` does."""
        await process_hub().seats.selection.current()
        if self._running is None:
            # Of its own context: that of the request that happened to start it ends with that request.
            self._running = asyncio.create_task(self._run(), name="scanner", context=Context())
        async with asyncio.timeout(READY_WITHIN_S):
            await self._ready.wait()

    async def _run(self) -> None:
        """Work until nobody has looked for a while."""
        redis = async_redis()
        legs = ShardReader(self.book, LEGS, self.counters)
        ladders = ShardReader(self.book.depth, LADDERS, self.counters)
        parts = [
            asyncio.create_task(supervise(name, part, logger, self.counters), name=name)
            for name, part in (
                ("scanner frames", lambda: legs.listen(redis)),
                ("scanner states", lambda: legs.read(redis)),
                ("scanner funding", lambda: self._read_funding(redis)),
                ("depth frames", lambda: ladders.listen(redis)),
                ("depth states", lambda: ladders.read(redis)),
                ("scanner configuration", self._configure),
                ("scanner table", lambda: self._tick(legs.known, ladders.known)),
                ("scanner counts", self._count),
            )
        ]
        try:
            unused_s = 0
            while unused_s < LINGER_S:
                await asyncio.sleep(1)
                unused_s = 0 if self._users or self._viewers else unused_s + 1
        finally:
            self._running = None
            self._ready.clear()
            self._configured.clear()
            self._counted.clear()
            self._funded.clear()
            self.book.clear()
            self.pages.clear()
            await end(*parts)
            await redis.aclose()

    # --- what collectors say ---------------------------------------------------------------------

    async def _read_funding(self, redis: "Redis") -> None:
        while True:
            snapshots: list[Snapshot] = []
            try:
                snapshots = await read_snapshots(redis)
                self._funded.set()
            finally:  # what cannot be read now is not what it was before
                self.book.learn_funding(snapshots)
            await asyncio.sleep(FUNDING_EVERY_S)

    # --- the table -------------------------------------------------------------------------------

    async def _configure(self) -> None:
        """Follow the configuration beside the table: a database that hangs keeps no quote back."""
        while True:
            config = await process_hub().seats.selection.current()
            if config is not self.book.table.config:
                self.pages.adopt(await asyncio.to_thread(ScanTable, config))
            self._configured.set()
            await asyncio.sleep(TICK_S)

    async def _tick(self, legs: asyncio.Event, ladders: asyncio.Event) -> None:
        await legs.wait()
        await self._configured.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_PATIENCE_S):
                await self._counted.wait()
                await self._funded.wait()
                await ladders.wait()
        while True:
            self.pages.refresh()
            await self.pages.sort({viewer.query for viewer in self._viewers if viewer.query})
            self._ready.set()
            for viewer in list(self._viewers):
                viewer.refreshed()
            await asyncio.sleep(TICK_S)

    async def _count(self) -> None:
        while True:
            since = datetime.now(UTC) - timedelta(hours=1)
            counts = None
            try:
                counts = await database_sync_to_async(counts_per_pair)(since)
                self._counted.set()
            finally:  # what cannot be counted now is not what it was before
                self.book.count_hour(counts)
            await asyncio.sleep(COUNT_EVERY_S)

    # --- viewers ---------------------------------------------------------------------------------

    def join(self, viewer: Viewer) -> None:
        """Add a socket."""
        self._viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Forget a socket."""
        viewer.leave()
        self._viewers.discard(viewer)

    def stats(self) -> dict[str, int]:
        """Counters an operator can see, name -> value."""
        sockets = Counter(viewer.page for viewer in self._viewers)
        return {
            "scanner_sockets": sockets["scanner"],
            "depth_sockets": sockets["depth"],
            "scanner_rows": len(self.book.table),
            "scanner_views": len(self.pages),
            "depth_ladders": len(self.book.depth),
        } | {f"scanner_{name}": count for name, count in self.counters.items()}


process_scan_hub = PerLoop(ScanHub)
"""This process's scanner, idle until somebody looks."""


@register
def _report() -> dict[str, int]:
    return process_scan_hub().stats()

"""One scanner per web process: follows the collectors' legs while somebody looks, and makes pages.

It hears frames only while a scanner is open, and for a moment after, so that a reload is quick. The
table is computed at most 4 times a second, rows change places at most once a second.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Final
from weakref import WeakKeyDictionary

import msgspec
from channels.db import database_sync_to_async
from redis.asyncio import Redis

from core.clock.clocks import JUMP_S
from core.redis_client import async_redis
from core.supervised import end, supervise
from core.web.reports import register
from markets.config import MarketConfig
from opportunities.episodes import counts_per_pair
from realtime.charts.hub import process_hub
from realtime.scanner.messages import Page, Show, make_page
from realtime.scanner.table import NEVER_S, Match, Query, ScanTable, View
from realtime.scanner.viewer import ScanViewer
from realtime.scanner.wire import FRAMES, ShardScan, decode_frame, on_the_way_s, read_scan
from realtime.shard_view import SILENT_AFTER_S

log = logging.getLogger(__name__)

TICK_S: Final = 0.25
SORT_EVERY_S: Final = 1.0
READ_EVERY_S: Final = 10.0
COUNT_EVERY_S: Final = 10.0
COUNT_PATIENCE_S: Final = 1.0
"""How long the first page waits for the opportunities of the last hour, which are unknown until then."""
LISTEN_S: Final = 1.0  # shorter than the connection's own patience, which is for answers
LINGER_S: Final = 10
READY_WITHIN_S: Final = 5.0
GONE_AFTER_S: Final = 60.0
NOTHING: Final = MarketConfig(0, (), frozenset(), ())


class _Shard:
    """A shard as it is followed, and where its rows go in the present table."""

    def __init__(self, scan: ShardScan, match: Match) -> None:
        self.scan = scan
        self.match = match
        self.since_s = NEVER_S  # when it spoke again, after a silence
        self._was_silent = False

    def turn(self, now_s: float) -> None:
        """Note when a silence ends."""
        silent = self.silent(now_s)
        if self._was_silent and not silent:
            self.since_s = now_s
        self._was_silent = silent

    def silent(self, now_s: float) -> bool:
        """Whether nothing has been heard of it lately."""
        return now_s - self.scan.heard_s > SILENT_AFTER_S


def _wall_us() -> int:
    """By how much the wall clock is ahead of the monotonic one, µs."""
    return time.time_ns() // 1000 - time.monotonic_ns() // 1000


class ScanHub:
    """The process's table and its viewers. All of it runs on one event loop, so nothing is locked."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.table = ScanTable(NOTHING)
        self._views: dict[Query, View] = {}
        self._pages: dict[Show, Page] = {}
        self._shards: dict[str, _Shard] = {}
        self._stale: set[str] = set()
        self._viewers: set[ScanViewer] = set()
        self._users = 0
        self._counts: dict[str, int] | None = None
        self._counted = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self._configured = asyncio.Event()
        self._ready = asyncio.Event()
        self._wall_us = _wall_us()
        self._now_s = 0.0  # whole µs, so that `now_us` less it is always the same

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
        parts = [
            asyncio.create_task(supervise(name, part, log, self.counters), name=name)
            for name, part in (
                ("scanner frames", lambda: self._listen(redis)),
                ("scanner states", lambda: self._read_states(redis)),
                ("scanner configuration", self._configure),
                ("scanner table", self._tick),
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
            self._known.clear()
            self._configured.clear()
            self._counted.clear()
            self._forget()
            await end(*parts)
            await redis.aclose()

    def _forget(self) -> None:
        self.table = ScanTable(NOTHING)
        self._counts = None
        self._views.clear()
        self._pages.clear()
        self._shards.clear()

    # --- what collectors say ---------------------------------------------------------------------

    async def _listen(self, redis: "Redis") -> None:
        async with redis.pubsub() as frames:
            await frames.subscribe(FRAMES)
            while True:
                message = await frames.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
                if message is not None:
                    self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            frame = decode_frame(data)
        except msgspec.MsgspecError as problem:
            self.counters["unreadable_frames"] += 1
            if self.counters["unreadable_frames"] == 1:
                log.error("a frame this version cannot read (a collector of another version?): %s", problem)
            return
        shard = self._shards.get(frame.shard)
        if shard is None or not shard.scan.apply(frame, time.monotonic()):
            self._stale.add(frame.shard)

    async def _read_states(self, redis: "Redis") -> None:
        """Everything now and then, for what no frame carries; a shard that frames were missed of at once."""
        due = float("-inf")
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + READ_EVERY_S
                self._know(await read_scan(redis))
                self._drop_gone()
            elif self._stale:
                stale, self._stale = self._stale, set()
                self._know(await read_scan(redis, stale))
            await asyncio.sleep(TICK_S)

    def _know(self, scans: dict[str, ShardScan]) -> None:
        """Take over from states what no frame has said better."""
        for name, scan in scans.items():
            shard = self._shards.get(name)
            if shard is None or shard.scan.layout != scan.layout:
                shard = self._follow(name, scan, shard)
            else:
                shard.scan.merge(scan)
            self.table.take_evidence(shard.scan, shard.match)
        self._known.set()

    def _follow(self, name: str, scan: ShardScan, old: _Shard | None) -> _Shard:
        """Follow a shard by this state's layout, unless that is an earlier one than what is heard now.

        Layouts rise. One that does not is a collector's whose clock was set back while Redis was emptied:
        it is followed as soon as the one before it says nothing any more.
        """
        now_s = time.monotonic()
        if old is not None and scan.layout < old.scan.layout and not old.silent(now_s):
            return old
        # A state says nothing about how lately its writer lived: frames do.
        scan.heard_s = now_s - on_the_way_s(scan.ts_us, time.time_ns() // 1000)
        if old is not None:
            scan.heard_s = max(scan.heard_s, old.scan.heard_s)
            scan.succeed(old.scan)
        shard = self._shards[name] = _Shard(scan, self.table.match(scan))
        return shard

    def _drop_gone(self) -> None:
        now_s = time.monotonic()
        for name, shard in list(self._shards.items()):
            if now_s - shard.scan.heard_s >= GONE_AFTER_S:
                self.table.lose(shard.match)
                del self._shards[name]

    # --- the table -------------------------------------------------------------------------------

    async def _configure(self) -> None:
        """Follow the configuration beside the table: a database that hangs keeps no quote back."""
        while True:
            await self._follow_configuration()
            self._configured.set()
            await asyncio.sleep(TICK_S)

    async def _tick(self) -> None:
        await self._known.wait()
        await self._configured.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_PATIENCE_S):
                await self._counted.wait()
        while True:
            self._refresh()
            await self._sort()
            self._ready.set()
            for viewer in list(self._viewers):
                viewer.refreshed()
            await asyncio.sleep(TICK_S)

    async def _follow_configuration(self) -> None:
        config = await process_hub().seats.selection.current()
        if config is self.table.config:
            return
        table = await asyncio.to_thread(ScanTable, config)
        table.count_hour(self._counts)
        self.table = table
        self._views.clear()
        for shard in self._shards.values():
            shard.match = table.match(shard.scan)
            table.take_evidence(shard.scan, shard.match)
        self._refresh()  # who asks before the next tick asks this one

    def _refresh(self) -> None:
        self._now_s = now_s = time.monotonic_ns() // 1000 / 1e6
        if abs((wall_us := _wall_us()) - self._wall_us) > JUMP_S * 1e6:  # it was set; all rows go along
            self._wall_us = wall_us
        self.table.now_s = now_s
        # The split may have changed: a shard that lives goes over one that does not.
        for shard in sorted(self._shards.values(), key=lambda each: each.scan.heard_s):
            shard.turn(now_s)
            self.table.take(shard.scan, shard.match, now_s, shard.silent(now_s), shard.since_s)
        self.table.refresh()
        self._pages.clear()

    async def _sort(self) -> None:
        """Rows may change places now, in the views somebody looks at; the others are forgotten."""
        wanted = {viewer.shows.query for viewer in self._viewers if viewer.shows}
        self._views = {query: view for query, view in self._views.items() if query in wanted}
        for view in list(self._views.values()):
            if self._now_s - view.sorted_s >= SORT_EVERY_S:
                view.sort()
                await asyncio.sleep(0)

    async def _count(self) -> None:
        while True:
            since = datetime.now(UTC) - timedelta(hours=1)
            counts = None
            try:
                counts = await database_sync_to_async(counts_per_pair)(since)
                self._counted.set()
            finally:  # what cannot be counted now is not what it was before
                self._counts = counts
                self.table.count_hour(counts)
            await asyncio.sleep(COUNT_EVERY_S)

    # --- viewers (realtime.scanner.viewer.Pages) ----------------------------------------------------

    def join(self, viewer: ScanViewer) -> None:
        """Add a socket."""
        self._viewers.add(viewer)

    def leave(self, viewer: ScanViewer) -> None:
        """Forget a socket."""
        viewer.leave()
        self._viewers.discard(viewer)

    def view(self, query: Query) -> View:
        """The rows of a query in order, shared by all who ask the same."""
        view = self._views.get(query)
        if view is None:
            view = self._views[query] = View(self.table, query)
        return view

    def page(self, show: Show) -> Page:
        """The rows this asks for, as of the newest refresh."""
        page = self._pages.get(show)
        if page is None:
            place = slice(show.offset, show.offset + show.limit)
            page = make_page(self.view(show.query), place, self.collectors(), self.now_us())
            self._pages[show] = page
        return page

    def now_us(self) -> int:
        """The time of the newest refresh, by a clock that jumps only where the wall clock was set."""
        return self._wall_us + round(self._now_s * 1e6)

    def collectors(self) -> int:
        """How many collector shards are heard."""
        return sum(not shard.silent(self._now_s) for shard in self._shards.values())

    def stats(self) -> dict[str, int]:
        """Counters an operator can see, name -> value."""
        return {
            "scanner_sockets": len(self._viewers),
            "scanner_rows": len(self.table),
            "scanner_views": len(self._views),
        } | {f"scanner_{name}": count for name, count in self.counters.items()}


_hubs: "WeakKeyDictionary[asyncio.AbstractEventLoop, ScanHub]" = WeakKeyDictionary()


def process_scan_hub() -> ScanHub:
    """This process's scanner, idle until somebody looks. (Per event loop: a web process has one.)"""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = ScanHub()
    return _hubs[loop]


@register
def _report() -> dict[str, int]:
    return process_scan_hub().stats()

"""Shared reads of the store: what many sockets ask at once is read, thinned and encoded once.

After a restart of the web process a thousand browsers come back within seconds, and most of them
ask for the same charts after the same flush.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from redis.exceptions import RedisError

from engine.charts.points import ChartDelta, Points, no_points
from engine.charts.thinning import thin
from realtime.charts import recent
from realtime.charts.book import ChartBook

FRESH_S: Final = 1.0
"""How long a read serves others; what was flushed since then follows out of the backlog."""
CHARTS_KEPT: Final = 64
POINTS_KEPT: Final = 100_000
RETRY_S: Final = 1.0
SNAPSHOT_POINTS: Final = 1500
"""Points per chart in a snapshot: the newest 3 minutes at least as stored, older ones as extremes."""


class Fetched(Struct, eq=False):
    """A chart out of the store.

    `as_of` is the flush (µs) up to which it is complete; `repeats` says that batches may yet bring
    points it already has.
    """

    chart: ChartDelta
    as_of: int
    repeats: bool


class Read(Struct, eq=False):
    """One chart as it was read."""

    stored: recent.Stored | None
    as_of: int
    repeats: bool
    read_at: float


class SharedReads:
    """Serves every viewer's fetches; at most one read of the store is under way.

    `read` reads the store and raises RedisError, OSError or TimeoutError (`RecentReader.read`).
    """

    def __init__(self, book: ChartBook, read: Callable[[Sequence[str]], Awaitable[recent.Snapshot]]) -> None:
        self.book = book
        self._read_store = read
        self._turn = asyncio.Lock()
        self._failed_at = float("-inf")
        self._reads: dict[str, Read] = {}
        self._fetched: dict[tuple[str, int], tuple[float, Fetched]] = {}
        self._points = 0

    async def fetch(self, asked: Mapping[str, int]) -> dict[str, Fetched]:
        """Charts with the points after these flushes (0: all, thinned to what a snapshot shows).

        Raises RedisError, OSError or TimeoutError.
        """
        found = {id: one for id, after in asked.items() if (one := self._at_hand(id, after))}
        if len(found) < len(asked):
            async with self._turn:
                found |= await self._read_missing({id: asked[id] for id in asked if id not in found})
        return found

    def forget(self) -> None:
        """Batches were missed: what was read before them does not go on with what follows."""
        self._reads.clear()
        self._fetched.clear()
        self._points = 0

    def tidy(self) -> None:
        """Release what serves nobody any more; call it a few times a second."""
        now = time.monotonic()
        if self._fetched and all(now - made_at > FRESH_S for made_at, _ in self._fetched.values()):
            self.forget()

    def _at_hand(self, chart_id: str, after: int) -> Fetched | None:
        made_at, fetched = self._fetched.get((chart_id, after), (0.0, None))
        if (
            fetched is None
            or time.monotonic() - made_at > FRESH_S
            or self._is_behind(chart_id, fetched.as_of, after)
        ):
            return None
        return fetched

    def _is_behind(self, chart_id: str, as_of: int, after: int) -> bool:
        """Whether it holds nothing new after that flush, while a newer one has been received.

        Otherwise a socket that asks for what came since would be given the same nothing again and again.
        """
        return as_of <= after and as_of < self.book.flushed_us(chart_id)

    async def _read_missing(self, asked: Mapping[str, int]) -> dict[str, Fetched]:
        unread = [
            id
            for id, after in asked.items()
            if self._from_memory(id, after) is None and not self._is_read(id, after)
        ]
        if unread:
            await self._read(unread)
        found = {}
        for id, after in asked.items():
            found[id] = self._at_hand(id, after) or await self._make(id, after)
            await asyncio.sleep(0)  # thinning and encoding a chart takes milliseconds: others have their turn
        return found

    def _is_read(self, chart_id: str, after: int) -> bool:
        read = self._reads.get(chart_id)
        if read is None or time.monotonic() - read.read_at > FRESH_S:
            return False
        return not self._is_behind(chart_id, read.as_of, after)

    async def _read(self, chart_ids: Sequence[str]) -> dict[str, Read]:
        if time.monotonic() - self._failed_at < RETRY_S:
            raise RedisError("the store did not answer a moment ago")
        try:
            snapshot = await self._read_store(chart_ids)
        except (RedisError, OSError, TimeoutError):
            self._failed_at = time.monotonic()
            raise
        now = time.monotonic()
        reads = {
            id: Read(snapshot.charts.get(id), self.book.flushed_us(id), self.book.is_silent(id), now)
            for id in chart_ids
        }
        self._reads = {id: read for id, read in self._reads.items() if id not in reads} | reads
        while len(self._reads) > CHARTS_KEPT:
            del self._reads[next(iter(self._reads))]
        return reads

    def _from_memory(self, chart_id: str, after: int) -> Points | None:
        """Take what was flushed since from the chart's backlog, when that goes back so far."""
        backlog = self.book.backlog(chart_id)
        if not after or backlog is None or backlog.from_us > after or self.book.is_silent(chart_id):
            return None
        return backlog.after(after)

    async def _make(self, chart_id: str, after: int) -> Fetched:
        points = self._from_memory(chart_id, after)
        if points is not None:
            chart = self.book.chart(chart_id, points)
            return Fetched(chart, self.book.flushed_us(chart_id), repeats=False)
        # What was read with the others may be forgotten since, where batches were missed meanwhile.
        read = self._reads.get(chart_id) or (await self._read([chart_id]))[chart_id]
        known = no_points() if read.stored is None else read.stored.points(after)
        fetched = Fetched(self.book.chart(chart_id, thin(known, SNAPSHOT_POINTS)), read.as_of, read.repeats)
        self._keep((chart_id, after), fetched, read.read_at)
        return fetched

    def _keep(self, key: tuple[str, int], fetched: Fetched, made_at: float) -> None:
        _made_at, expired = self._fetched.pop(key, (0.0, None))
        self._points += len(fetched.chart.points) - (0 if expired is None else len(expired.chart.points))
        self._fetched[key] = made_at, fetched
        while self._points > POINTS_KEPT:
            _made_at, oldest = self._fetched.pop(next(iter(self._fetched)))
            self._points -= len(oldest.chart.points)

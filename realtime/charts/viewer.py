"""One browser's socket: what it watches, what waits for it, and its acks.

Nothing here waits for the browser: a message goes out when there is something to say and the last
one was acked, whatever happens first; until then what is new merges.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from redis.exceptions import RedisError

from core.web.closing import CLOSE_RESTART, Closed
from core.web.pipe import Pipe
from engine.charts.points import ChartDelta
from realtime.charts.outlet import Outlet
from realtime.charts.shared_reads import Fetched, SharedReads
from realtime.charts.waiting import Changes, Portion, Wants
from realtime.charts.wire import error_json

logger = logging.getLogger(__name__)

STORE_RETRY_S: Final = 1.0
MESSAGE_POINTS: Final = 4000
"""Points in one message, some 150 bytes each: what a browser parses without a hitch."""
COMPLAINTS_KEPT: Final = 10


class Viewer:
    """Sends one message at a time and the next only after its ack; meanwhile newer points merge.

    All that is kept here is bounded.
    """

    def __init__(
        self, user_id: int, pipe: Pipe, reads: SharedReads, close: Callable[[Closed], None], seen_seq: int = 0
    ) -> None:
        self.user_id = user_id
        self.charts: frozenset[str] = frozenset()
        self.filter_id: int | None = None
        self.extra: frozenset[str] = frozenset()
        self.unwanted: frozenset[str] = frozenset()
        self.wants = Wants()
        self.changes = Changes()
        self.out = Outlet(pipe, reads.book.shards, seen_seq)
        self.close = close
        self._reads = reads
        self._book = reads.book
        self._greet = False
        self._left = False
        self._complaints: list[bytes] = []
        self._fetching: asyncio.Task[None] | None = None

    # --- what changes ----------------------------------------------------------------------------

    def push(self, portion: Portion) -> None:
        """Watched charts changed."""
        self.changes.push(portion)
        self.advance()

    def catch_up(self, chart_ids: Iterable[str], after_flush_us: int) -> None:
        """Fetch these charts' points from the store, those of later flushes (0: a snapshot)."""
        for chart_id in chart_ids:
            self.wants.add(chart_id, after_flush_us)
            self.changes.restore(chart_id)
        self.advance()

    def remove(self, chart_ids: Iterable[str]) -> None:
        """These charts are no longer watched."""
        for chart_id in chart_ids:
            self.wants.discard(chart_id)
            self.changes.remove(chart_id)
        self.advance()

    def greet(self) -> None:
        """Send a snapshot next, even when there is no chart to show."""
        self._greet = True
        self.advance()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self.out.acked(seq)
        self.advance()

    def complain(self, code: str, message: str) -> None:
        """Send an `error`: it needs no ack, and the socket stays open."""
        self._complaints.append(error_json(code, message))
        del self._complaints[:-COMPLAINTS_KEPT]
        self.advance()

    def leave(self) -> None:
        """The socket is gone: send nothing more."""
        self._left = True
        if self._fetching is not None and self._fetching is not asyncio.current_task():
            self._fetching.cancel()

    def check(self) -> None:
        """To be called a few times a second: time lets browsers that never ack have their next message,
        makes a sign of life due, and ends patience.

        Raises Closed when the browser stopped acking, or never read at all.
        """
        self.out.check()
        self.advance()
        # What comes first says what is watched: no sign of life goes before it.
        if self.out.sent and not self._is_waiting() and self._fetching is None:
            self._live(self._book.shards.watermark, [])

    # --- sending ---------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send what waits, if a message may go out now."""
        if self._left or not self._is_waiting() or not self.out.is_ready:
            return
        if self._complaints:
            self.out.error(self._complaints.pop(0))
        elif self._fetching is None and self.out.is_open:
            self._send_next()

    def _is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.changes or self.wants or self._complaints or self._greet)

    def _send_next(self) -> None:
        if self.wants or self._greet:
            self._fetching = asyncio.create_task(self._send_stored(), name="viewer fetch")
        elif portion := self.changes.take_portion():
            self.out.portion(portion)
        else:
            charts = self.changes.take(MESSAGE_POINTS)
            flush_us = 0 if self.changes.pending else self._book.shards.watermark
            self.out.update("delta", flush_us, charts, self.changes.take_removed())

    def _live(self, flush_us: int, charts: list[ChartDelta]) -> None:
        """Send a sign of life, where none was for a while and a message may go out."""
        if self.out.is_quiet and not self._left and self.out.is_ready and self.out.is_open:
            self.out.update("delta", flush_us, charts, [])

    # --- out of the store ------------------------------------------------------------------------

    async def _send_stored(self) -> None:
        try:
            await self._fetch_and_send()
        except Exception:
            logger.exception("a socket could not be served; its browser connects again")
            self.close(Closed(CLOSE_RESTART, "internal error: connect again"))
            return
        self._fetching = None
        self.advance()

    async def _fetch_and_send(self) -> None:
        """A snapshot of the charts that need one, else a delta with what the others missed."""
        asked = self.wants.snapshots()
        is_snapshot = bool(asked) or self._greet
        if not is_snapshot:
            asked = self.wants.deltas()
        try:
            fetched = await self._reads.fetch(asked)
        except (RedisError, OSError, TimeoutError):
            await self._do_without_store(asked)
            return
        if self._left:
            return
        self._greet = False
        self.wants.settle(asked)
        self.changes.merge()
        charts = self._take_in(asked, fetched)
        # What was wanted or waits of other charts is older: then the flush is not yet complete.
        complete = not self.wants and not self.changes.pending
        as_of = min((f.as_of for f in fetched.values()), default=self._book.shards.watermark)
        kind: Final = "snapshot" if is_snapshot else "delta"
        self.out.update(kind, as_of if complete else 0, charts, self.changes.take_removed())
        for chart in charts:
            if self._book.flushed_us(chart.id) > fetched[chart.id].as_of:
                self.wants.again(chart.id, fetched[chart.id].as_of)

    def _take_in(self, asked: Mapping[str, int], fetched: Mapping[str, Fetched]) -> list[ChartDelta]:
        """The charts that fit into one message; the others are asked for again."""
        charts: list[ChartDelta] = []
        room = MESSAGE_POINTS
        for chart_id, after in asked.items():
            if chart_id not in self.charts:
                continue  # unwatched while the store was read
            room -= len(fetched[chart_id].chart.points)
            if charts and room < 0:
                self.wants.again(chart_id, after)
            else:
                charts.append(self.changes.replace(fetched[chart_id], is_snapshot=not after))
        return charts

    async def _do_without_store(self, asked: Mapping[str, int]) -> None:
        """The store does not answer: show the states at least, then what becomes of them, and ask again."""
        if self._greet:
            self._greet = False
            charts = [self._book.chart(chart_id) for chart_id in asked if chart_id in self.charts]
            self.out.update("snapshot", 0, charts, self.changes.take_removed())
        else:
            self.changes.merge()
            self._live(0, [self._book.chart(chart_id) for chart_id in self.changes.pending])
        await asyncio.sleep(STORE_RETRY_S)

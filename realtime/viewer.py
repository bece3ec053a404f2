"""One browser's socket: what it watches, what waits for it, and its acks."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Final, Literal, Protocol

import numpy as np
from redis.exceptions import RedisError

from realtime.pending import Pending, with_points
from realtime.points import ChartDelta, Points, no_points
from realtime.recent import Snapshot
from realtime.thinning import thin
from realtime.wire import CLOSE_NO_ACK, error_json, update_json

ACK_TIMEOUT_S: Final = 30.0
NEVER_ACKED_EVERY_S: Final = 0.5
STORE_RETRY_S: Final = 1.0
SNAPSHOT_POINTS: Final = 1500
"""Points per chart in a snapshot: the newest 3 minutes at least as stored, older ones as extremes."""
MESSAGE_POINTS: Final = 4000
"""Points in one message, some 150 bytes each: Daphne sends no message above 1 MiB."""
CHARTS_A_READ: Final = 50


class Closed(Exception):
    """The socket is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Source(Protocol):
    """What a viewer asks of the hub."""

    def watermark(self) -> int:
        """The flush (µs) up to which every live shard has been heard."""

    def chart(self, chart_id: str, points: Points) -> ChartDelta:
        """The chart's present state with these points."""

    async def stored(self, chart_ids: Sequence[str]) -> Snapshot:
        """What the recent-points store and the hub hold. Raises RedisError, OSError or TimeoutError."""


class Viewer:
    """Sends one message at a time and the next only after its ack; meanwhile newer points merge.

    `wants` maps a chart to the flush after which its points are to be fetched from the store
    (0: everything, as a snapshot). All that is kept here is bounded by the number of charts.
    """

    def __init__(self, user_id: int, send: Callable[[str], Awaitable[None]], seen_seq: int = 0) -> None:
        self.user_id = user_id
        self.charts: set[str] = set()
        self.filter_id: int | None = None
        self.extra: set[str] = set()
        self.unwanted: set[str] = set()
        self.wants: dict[str, int] = {}
        self.pending = Pending()
        self.sent = 0
        self._send = send
        self._greet = False
        self._left = False
        self._removed: dict[str, None] = {}
        self._last_ts: dict[str, float] = {}
        self._seq = self._acked_seq = seen_seq
        self._acked_at: float | None = None
        self._sent_at = float("-inf")
        self._wake = asyncio.Event()

    # --- what the hub tells ----------------------------------------------------------------------

    def push(self, delta: ChartDelta) -> None:
        """A watched chart changed."""
        self.pending.add(delta)
        self._wake.set()

    def catch_up(self, chart_ids: Iterable[str], after_flush_us: int) -> None:
        """Fetch these charts' points from the store, those of later flushes (0: a snapshot)."""
        for chart_id in chart_ids:
            self.wants[chart_id] = min(after_flush_us, self.wants.get(chart_id, after_flush_us))
            self._removed.pop(chart_id, None)
        self._wake.set()

    def remove(self, chart_ids: Iterable[str]) -> None:
        """These charts are no longer watched."""
        for chart_id in chart_ids:
            self._removed[chart_id] = None
            self.wants.pop(chart_id, None)
            self._last_ts.pop(chart_id, None)
            self.pending.discard([chart_id])
        self._wake.set()

    def greet(self) -> None:
        """Send a snapshot next, even when there is no chart to show."""
        self._greet = True
        self._wake.set()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acked_seq = max(self._acked_seq, min(seq, self._seq))
        self._acked_at = time.monotonic()
        self._wake.set()

    def leave(self) -> None:
        """The socket is gone: send nothing more."""
        self._left = True
        self._wake.set()

    async def complain(self, code: str, message: str) -> None:
        """Send an `error`, at once: it needs no ack, and the socket stays open."""
        await self._send(error_json(code, message))

    # --- sending ---------------------------------------------------------------------------------

    async def run(self, source: Source) -> None:
        """Send until `leave`. Raises Closed when a browser that acked before stops acking."""
        while True:
            await self._until_there_is_something_to_send()
            if self._left:
                return
            if self.wants or self._greet:
                await self._send_stored(source)
            else:
                charts = self.pending.take(MESSAGE_POINTS)
                await self._update("delta", charts, 0 if self.pending else source.watermark())

    async def _until_there_is_something_to_send(self) -> None:
        while True:
            shut_s = self._shut_for_s()
            if self._left:
                return
            if not shut_s and (self.wants or self._greet or self.pending or self._removed):
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(shut_s or None):
                    await self._wake.wait()
            except TimeoutError:
                continue  # the window opened, or `_shut_for_s` says that the browser is gone

    def _shut_for_s(self) -> float:
        """How long no further message may go out; 0 when one may."""
        if self._acked_seq >= self._seq:
            return 0
        since_s = time.monotonic() - self._sent_at
        if self._acked_at is None:
            return max(0, NEVER_ACKED_EVERY_S - since_s)
        if since_s >= ACK_TIMEOUT_S:
            raise Closed(CLOSE_NO_ACK, f"no ack for {ACK_TIMEOUT_S:g} s")
        return ACK_TIMEOUT_S - since_s

    async def _send_stored(self, source: Source) -> None:
        """A snapshot of the charts that need one, else a delta with what the others missed."""
        whole = [chart_id for chart_id, after in self.wants.items() if not after]
        is_snapshot = bool(whole) or self._greet
        next_ones = islice(whole if is_snapshot else self.wants, CHARTS_A_READ)
        asked = {chart_id: self.wants[chart_id] for chart_id in next_ones}
        try:
            stored = await source.stored(list(asked))
        except (RedisError, OSError, TimeoutError):
            await self._send_without_store(source, asked)
            return
        self._settle(asked)
        charts: list[ChartDelta] = []
        room = MESSAGE_POINTS
        for chart_id, after in asked.items():
            if chart_id not in self.charts:
                continue  # unwatched while the store was read
            known = stored.charts.get(chart_id)
            points = thin(no_points() if known is None else known.points(after), SNAPSHOT_POINTS)
            room -= len(points)
            if charts and room < 0:
                self.catch_up([chart_id], after)  # with the next message
                continue
            if not after:
                self._last_ts.pop(chart_id, None)
            charts.append(source.chart(chart_id, points))
        kind: Literal["snapshot", "delta"] = "snapshot" if is_snapshot else "delta"
        # Of charts that were not read, older points may still wait: then the flush is not yet complete.
        complete = {chart.id for chart in charts} >= self.charts
        await self._update(kind, charts, source.watermark() if complete else 0)

    def _settle(self, asked: dict[str, int]) -> None:
        """What was asked for is at hand; keep what was wanted anew, from further back, meanwhile."""
        self._greet = False
        for chart_id, after in asked.items():
            if self.wants.get(chart_id, -1) >= after:
                del self.wants[chart_id]

    async def _send_without_store(self, source: Source, asked: dict[str, int]) -> None:
        """The store does not answer: show the states at least, once, and ask again."""
        if self._greet:
            self._greet = False
            charts = [source.chart(chart_id, no_points()) for chart_id in asked if chart_id in self.charts]
            await self._update("snapshot", charts, 0)
        await asyncio.sleep(STORE_RETRY_S)

    async def _update(
        self, kind: Literal["snapshot", "delta"], charts: list[ChartDelta], watermark: int
    ) -> None:
        new = [self._only_new(chart) for chart in charts]
        removed = list(self._removed)
        self._removed.clear()
        self._seq = max(self._seq + 1, watermark)
        self._sent_at = time.monotonic()
        self.sent += 1
        await self._send(update_json(kind, self._seq, new, removed))

    def _only_new(self, delta: ChartDelta) -> ChartDelta:
        """Without the points this browser already has; timestamps rise strictly per chart."""
        points = delta.points
        if not len(points):
            return delta
        last = self._last_ts.get(delta.id, float("-inf"))
        self._last_ts[delta.id] = max(last, float(points[-1, 0]))
        if points[0, 0] > last:
            return delta
        return with_points(delta, points[np.searchsorted(points[:, 0], last, side="right") :])

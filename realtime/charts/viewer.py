"""One browser's socket: what it watches, what waits for it, and its acks.

Nothing here waits for the browser: a message goes out when there is something to say and the last
one was acked, whatever happens first; until then what is new merges.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

import msgspec
import numpy as np
from redis.exceptions import RedisError

from core.web.acks import SIGN_OF_LIFE_S, AckWindow
from core.web.closing import CLOSE_RESTART, Closed
from core.web.pipe import Pipe
from engine.charts.pending import Pending, with_points
from engine.charts.points import SET_BACK_US, ChartDelta, no_points
from realtime.charts.wire import error_json, update_json

log = logging.getLogger(__name__)

NEVER_ACKED_EVERY_S: Final = 0.5
STORE_RETRY_S: Final = 1.0
MESSAGE_POINTS: Final = 4000
"""Points in one message, some 150 bytes each: what a browser parses without a hitch."""
WAITING_POINTS: Final = 5000
"""Points that wait for one socket, 80 bytes each, over all its charts: what a dead browser costs."""
CHARTS_A_READ: Final = 50
COMPLAINTS_KEPT: Final = 10


class Portion:
    """What one batch brings for everybody who watches the same charts: encoded once for all of them."""

    __slots__ = ("_message", "_seq", "charts")

    def __init__(self, charts: list[ChartDelta]) -> None:
        self.charts = charts
        self._seq = -1
        self._message = b""

    def message(self, seq: int, until_s: float) -> bytes:
        """The delta message with this seq; sockets that kept up have the same."""
        if seq != self._seq:
            self._seq, self._message = seq, update_json("delta", seq, self.charts, [], until_s)
        return self._message


class Fetched(msgspec.Struct, eq=False):
    """A chart out of the store.

    `as_of` is the flush (µs) up to which it is complete; `repeats` says that batches may yet bring
    points it already has.
    """

    chart: ChartDelta
    as_of: int
    repeats: bool


class Source(Protocol):
    """What a viewer asks of the hub."""

    def watermark(self) -> int:
        """The flush (µs) up to which every live shard has been heard."""

    def until_s(self, flush_us: int) -> float:
        """When everything up to a flush had been heard, s by the wall clock here; 0 while nothing was."""

    def is_current(self, chart_id: str, as_of: int) -> bool:
        """Whether nothing was heard of the chart's shard since that flush."""

    def chart(self, chart_id: str) -> ChartDelta:
        """The chart's present state, without points."""

    async def fetch(self, asked: Mapping[str, int]) -> dict[str, Fetched]:
        """Charts with the points after these flushes. Raises RedisError, OSError or TimeoutError."""


class Viewer:
    """Sends one message at a time and the next only after its ack; meanwhile newer points merge.

    `wants` maps a chart to the flush after which its points are to be fetched from the store
    (0: everything, as a snapshot). All that is kept here is bounded.
    """

    def __init__(
        self, user_id: int, pipe: Pipe, source: Source, close: Callable[[Closed], None], seen_seq: int = 0
    ) -> None:
        self.user_id = user_id
        self.charts: frozenset[str] = frozenset()
        self.filter_id: int | None = None
        self.extra: frozenset[str] = frozenset()
        self.unwanted: frozenset[str] = frozenset()
        self.wants: dict[str, int] = {}
        self.pending = Pending(cap_in_all=WAITING_POINTS)
        self.sent = 0
        self._pipe = pipe
        self._source = source
        self.close = close
        self._portion: Portion | None = None
        self._greet = False
        self._left = False
        self._removed: dict[str, None] = {}
        self._floor: dict[str, float] = {}
        self._complaints: list[bytes] = []
        self._acks = AckWindow(seen_seq)
        self._until_s = 0.0
        self._has_acked = False
        self._fetching: asyncio.Task[None] | None = None

    # --- what the hub tells ----------------------------------------------------------------------

    def push(self, portion: Portion) -> None:
        """Watched charts changed."""
        if self._portion is None and not self.pending and not self._floor:
            self._portion = portion
        else:
            self._merge(portion)
        self.advance()

    def catch_up(self, chart_ids: Iterable[str], after_flush_us: int) -> None:
        """Fetch these charts' points from the store, those of later flushes (0: a snapshot)."""
        for chart_id in chart_ids:
            self.wants[chart_id] = min(after_flush_us, self.wants.get(chart_id, after_flush_us))
            self._removed.pop(chart_id, None)
        self.advance()

    def remove(self, chart_ids: Iterable[str]) -> None:
        """These charts are no longer watched."""
        self._spread_out()
        for chart_id in chart_ids:
            self._removed[chart_id] = None
            self.wants.pop(chart_id, None)
            self._floor.pop(chart_id, None)
            self.pending.discard([chart_id])
        self.advance()

    def greet(self) -> None:
        """Send a snapshot next, even when there is no chart to show."""
        self._greet = True
        self.advance()

    def number_from(self, seq: int) -> None:
        """Number the messages from here on: what another socket had seen does not go on in this one."""
        if not self.sent:
            self._acks = AckWindow(seq)

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acks.acked(seq)
        self._has_acked = True
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
        """To be called a few times a second: time opens the window of who never acks, asks for a sign of
        life, and ends patience.

        Raises Closed when the browser stopped acking, or never read at all.
        """
        if self._acks.is_overdue:
            if self._has_acked:
                raise self._acks.overdue()
            if not self._pipe.ready:
                raise self._acks.overdue("nothing was read")
        self.advance()
        # What comes first says what is watched: no sign of life goes before it.
        if self.sent and not self._is_waiting() and self._fetching is None:
            self._live(self._source.watermark())

    # --- sending ---------------------------------------------------------------------------------

    def advance(self) -> None:
        """Send what waits, if a message may go out now."""
        if self._left or not self._is_waiting() or not self._pipe.ready:
            return
        if self._complaints:
            self._pipe.send(self._complaints.pop(0))
        elif self._fetching is None and self._may_send():
            self._send_next()

    def _is_waiting(self) -> bool:
        """Whether there is anything to send."""
        return bool(
            self._portion or self.wants or self._complaints or self._greet or self._removed or self.pending
        )

    def _may_send(self) -> bool:
        if self._acks.is_open:
            return True
        return not self._has_acked and self._acks.since_sent_s >= NEVER_ACKED_EVERY_S

    def _send_next(self) -> None:
        if self.wants or self._greet:
            self._fetching = asyncio.create_task(self._send_stored(), name="viewer fetch")
        elif self._portion is not None and not self._removed:
            portion, self._portion = self._portion, None
            seq = self._next_seq(self._source.watermark())
            self._send(portion.message(seq, self._until_s))
        else:
            self._spread_out()
            charts = [self._only_new(chart) for chart in self.pending.take(MESSAGE_POINTS)]
            seq = self._next_seq(0 if self.pending else self._source.watermark())
            self._send(update_json("delta", seq, charts, self._take_removed(), self._until_s))

    def _next_seq(self, watermark: int) -> int:
        """Number the next message, complete up to that flush; 0: to no later one than the last."""
        self._acks.seq = max(self._acks.seq + 1, watermark)
        if watermark:
            self._until_s = self._source.until_s(watermark)
        return self._acks.seq

    def _send(self, message: bytes) -> None:
        self._acks.sent()
        self.sent += 1
        self._pipe.send(message)

    def _live(self, watermark: int, charts: Sequence[ChartDelta] = ()) -> None:
        """Send a sign of life, where none was for a while and a message may go out."""
        is_due = self._acks.since_sent_s >= SIGN_OF_LIFE_S
        if is_due and not self._left and self._pipe.ready and self._may_send():
            seq = self._next_seq(watermark)
            self._send(update_json("delta", seq, list(charts), [], self._until_s))

    def _take_removed(self) -> list[str]:
        removed = list(self._removed)
        self._removed.clear()
        return removed

    def _merge(self, portion: Portion) -> None:
        self._spread_out()
        for chart in portion.charts:
            self.pending.add(chart)

    def _spread_out(self) -> None:
        """A portion that has to wait is merged chart by chart with what comes after it."""
        if self._portion is not None:
            portion, self._portion = self._portion, None
            self._merge(portion)

    # --- out of the store ------------------------------------------------------------------------

    async def _send_stored(self) -> None:
        try:
            await self._fetch_and_send()
        except Exception:
            log.exception("a socket could not be served; its browser connects again")
            self.close(Closed(CLOSE_RESTART, "internal error: connect again"))
            return
        self._fetching = None
        self.advance()

    async def _fetch_and_send(self) -> None:
        """A snapshot of the charts that need one, else a delta with what the others missed."""
        whole = [chart_id for chart_id, after in self.wants.items() if not after]
        is_snapshot = bool(whole) or self._greet
        next_ones = islice(whole if is_snapshot else self.wants, CHARTS_A_READ)
        asked = {chart_id: self.wants[chart_id] for chart_id in next_ones}
        try:
            fetched = await self._source.fetch(asked)
        except (RedisError, OSError, TimeoutError):
            await self._do_without_store(asked)
            return
        if self._left:
            return
        self._settle(asked)
        self._spread_out()
        charts = self._take_in(asked, fetched)
        # Of charts that are not in it, older points may still wait: then the flush is not yet complete.
        complete = not self.wants and {chart.id for chart in charts} >= self.charts
        as_of = min((f.as_of for f in fetched.values()), default=self._source.watermark())
        seq = self._next_seq(min(as_of, self._source.watermark()) if complete else 0)
        kind: Final = "snapshot" if is_snapshot else "delta"
        self._send(update_json(kind, seq, charts, self._take_removed(), self._until_s))
        for chart in charts:
            if not self._source.is_current(chart.id, fetched[chart.id].as_of):
                self.wants.setdefault(chart.id, fetched[chart.id].as_of)

    def _take_in(self, asked: Mapping[str, int], fetched: Mapping[str, Fetched]) -> list[ChartDelta]:
        """The charts that fit into one message; the others are asked for again."""
        charts: list[ChartDelta] = []
        room = MESSAGE_POINTS
        for chart_id, after in asked.items():
            if chart_id not in self.charts:
                continue  # unwatched while the store was read
            one = fetched[chart_id]
            room -= len(one.chart.points)
            if charts and room < 0:
                self.wants.setdefault(chart_id, after)
                continue
            if not after:
                self._floor.pop(chart_id, None)
            chart = self._only_new(one.chart)
            charts.append(chart)
            self.pending.discard([chart_id])
            if one.repeats and len(chart.points):
                self._floor[chart_id] = float(chart.points[-1, 0])
        return charts

    def _settle(self, asked: Mapping[str, int]) -> None:
        """What was asked for is at hand; keep what was wanted anew, from further back, meanwhile."""
        self._greet = False
        for chart_id, after in asked.items():
            if self.wants.get(chart_id, -1) >= after:
                del self.wants[chart_id]
        if not self.wants:
            self.wants = {}  # an emptied one keeps its table

    async def _do_without_store(self, asked: Sequence[str] | Mapping[str, int]) -> None:
        """The store does not answer: show the states at least, then what becomes of them, and ask again."""
        if self._greet:
            self._greet = False
            charts = [self._source.chart(chart_id) for chart_id in asked if chart_id in self.charts]
            seq = self._next_seq(0)
            self._send(update_json("snapshot", seq, charts, self._take_removed(), self._until_s))
        else:
            self._spread_out()
            self._live(0, [self._source.chart(chart_id) for chart_id in self.pending])
        await asyncio.sleep(STORE_RETRY_S)

    def _only_new(self, delta: ChartDelta) -> ChartDelta:
        """Without the points this browser already has from the store."""
        floor = self._floor.get(delta.id)
        if floor is None or not len(delta.points):
            return delta
        if delta.points[0, 0] > floor or delta.points[-1, 0] < floor - SET_BACK_US:
            del self._floor[delta.id]
            return delta
        first_new = int(np.searchsorted(delta.points[:, 0], floor, side="right"))
        return with_points(delta, delta.points[first_new:] if first_new < len(delta.points) else no_points())

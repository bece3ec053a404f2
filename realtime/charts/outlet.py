"""The way out to one browser: numbered messages, one in flight, the next after its ack."""

from collections.abc import Sequence
from typing import Final, Literal

from core.web.acks import SIGN_OF_LIFE_S, AckWindow
from core.web.pipe import Pipe
from engine.charts.points import ChartDelta
from realtime.charts.shards import Shards
from realtime.charts.waiting import Portion
from realtime.charts.wire import update_json

NEVER_ACKED_EVERY_S: Final = 0.5
"""A browser that never acked is sent a message that often."""


class Outlet:
    """Numbers messages by the flush up to which they are complete, and says when one may go out."""

    __slots__ = ("_acks", "_has_acked", "_pipe", "_shards", "_until_s", "sent")

    def __init__(self, pipe: Pipe, shards: Shards, seen_seq: int) -> None:
        self.sent = 0
        self._pipe = pipe
        self._shards = shards
        self._acks = AckWindow(seen_seq)
        self._until_s = 0.0
        self._has_acked = False

    @property
    def is_ready(self) -> bool:
        """Whether the last message has left this process."""
        return self._pipe.ready

    @property
    def is_open(self) -> bool:
        """Whether the next update may go out, once it is ready."""
        if self._acks.is_open:
            return True
        return not self._has_acked and self._acks.since_sent_s >= NEVER_ACKED_EVERY_S

    @property
    def is_quiet(self) -> bool:
        """Whether a sign of life is due."""
        return self._acks.since_sent_s >= SIGN_OF_LIFE_S

    def number_from(self, seq: int) -> None:
        """Number the messages from here on: what another socket had seen does not go on in this one."""
        if not self.sent:
            self._acks = AckWindow(seq)

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acks.acked(seq)
        self._has_acked = True

    def check(self) -> None:
        """Raise Closed when the browser stopped acking, or never read at all."""
        if self._acks.is_overdue:
            if self._has_acked:
                raise self._acks.overdue()
            if not self._pipe.ready:
                raise self._acks.overdue("nothing was read")

    def error(self, message: bytes) -> None:
        """Send a message that needs no ack."""
        self._pipe.send(message)

    def portion(self, portion: Portion) -> None:
        """Send what a batch brought, encoded once for all that kept up."""
        seq = self._next_seq(self._shards.watermark)
        self._send(portion.message(seq, self._until_s))

    def update(
        self,
        kind: Literal["snapshot", "delta"],
        flush_us: int,
        charts: Sequence[ChartDelta],
        removed: list[str],
    ) -> None:
        """Send an update that is complete up to a flush; 0: to no later one than the last."""
        seq = self._next_seq(min(flush_us, self._shards.watermark))
        self._send(update_json(kind, seq, charts, removed, self._until_s))

    def _next_seq(self, flush_us: int) -> int:
        self._acks.seq = max(self._acks.seq + 1, flush_us)
        if flush_us:
            self._until_s = self._shards.until_s(flush_us)
        return self._acks.seq

    def _send(self, message: bytes) -> None:
        self._acks.sent()
        self.sent += 1
        self._pipe.send(message)

"""Acknowledgements of browsers: the next message waits until the last is drawn, and not for ever.

The same for the sockets of charts, scanner and health (docs/messages.md).
"""

import time
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from core.web.closing import CLOSE_NO_ACK, Closed

ACK_TIMEOUT_S: Final = 30.0
"""A browser that has not acked for so long is closed."""
SIGN_OF_LIFE_S: Final = 0.75
"""A socket with nothing to say says that, so that a browser receives something at least once a second."""


class Ack(Struct, tag="ack", forbid_unknown_fields=True):
    """Acknowledgement that everything up to `seq` is drawn."""

    seq: Annotated[int, Meta(ge=0)]


_decoder: Final = msgspec.json.Decoder(Ack)


def acked_seq(text: bytes) -> int | None:
    """The seq of an ack; None when it is another message."""
    try:
        return _decoder.decode(text).seq
    except (msgspec.DecodeError, UnicodeError):
        return None


class AckWindow:
    """One message in flight: `seq` is the last one sent, and it is open again once that is acked."""

    def __init__(self, seen_seq: int = 0) -> None:
        self.seq = seen_seq
        self._acked_seq = seen_seq
        self._sent_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether everything that was sent is drawn."""
        return self._acked_seq >= self.seq

    @property
    def since_sent_s(self) -> float:
        """Seconds since the last message went out; infinite before the first."""
        return time.monotonic() - self._sent_at

    @property
    def is_overdue(self) -> bool:
        """Whether the ack of the last message is missing for longer than anybody waits."""
        return not self.is_open and self.since_sent_s >= ACK_TIMEOUT_S

    def sent(self) -> None:
        """Note that the message numbered `seq` goes out now."""
        self._sent_at = time.monotonic()

    def acked(self, seq: int) -> None:
        """Note that everything up to `seq` is drawn; a number that was never sent counts as the last one."""
        self._acked_seq = max(self._acked_seq, min(seq, self.seq))

    def overdue(self, what: str = "no ack") -> Closed:
        """Close code and reason of a socket whose ack is overdue."""
        return Closed(CLOSE_NO_ACK, f"{what} for {ACK_TIMEOUT_S:g} s")

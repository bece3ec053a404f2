"""WebSockets on Daphne without detours: messages leave, and acks arrive, in the same breath.

Daphne's own way out queues every message, asks the event loop to call back when the socket can
be written, and writes one turn later: five times what the write itself costs. Here a message is
written at once whenever nothing else waits in front of it. What the kernel does not take waits in
Daphne's transport, as ever, and `ready` says so; the sender then sends no more through the pipe.

On the way in, a whole short text message in one read, which every ack is, is unmasked here and
offered to the application directly; everything else goes through Daphne's parser, as many frames a second
as a socket may send: the parser reads on to the end of what has come, and a ping is as much work as an ack.

Importing this module (arbsite.asgi does) is all that is needed, however Daphne is started.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from daphne.server import Server
from daphne.ws_protocol import WebSocketFactory
from twisted.internet.tcp import Connection

from accounts.access.browser_socket import MESSAGES_PER_S
from arbsite.daphne import time as daphne_time  # noqa: F401 - by its import
from arbsite.daphne.close import ReasonedProtocol
from core.web.closing import CLOSE_TOO_MANY
from core.web.pipe import EXTENSION
from monitoring.metrics.traffic import traffic

FRAMES_PER_S: Final = 2 * MESSAGES_PER_S
"""Frames of all kinds, so that pings, pongs and fragments are bounded, too."""

WHOLE_TEXT: Final = 0x81
"""First byte of a frame: final, no extension, text."""
MASKED: Final = 0x80
LONGEST_SHORT: Final = 125
HEAD_BYTES: Final = 6  # of a masked short frame


class DirectProtocol(ReasonedProtocol):
    """Daphne's WebSocket protocol with a `core.web.pipe.ServerPipe`, which is itself."""

    data: bytes
    taken_by: Callable[[bytes], bool] | None = None
    _second = 0.0
    _frames = 0
    _is_deaf = False

    @property
    def ready(self) -> bool:
        """Whether all that was sent has left this process."""
        return not waits(self.transport)

    def send(self, text: bytes) -> None:
        """Send one text message, given as UTF-8."""
        if self.state == self.STATE_OPEN:
            write_now(self.transport, frame_head(len(text)) + text)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Handle a reply as Daphne does, but text goes out directly."""
        is_text = message["type"] == "websocket.send" and message.get("text")
        if is_text and self.state == self.STATE_OPEN and isinstance(self.transport, Connection):
            self.send(message["text"].encode())
        else:
            super().handle_reply(message)

    def dataReceived(self, data: bytes) -> None:
        """Receive as Autobahn does, but short text messages are offered to the application first."""
        if self._is_deaf:
            return
        if self.taken_by is not None and self._is_short_text(data) and self.taken_by(unmasked(data)):
            self.last_ping = time.monotonic()  # as Daphne notes of every message
        else:
            super().dataReceived(data)

    def processData(self) -> bool:
        """Process as Autobahn does, unless another frame begins after too many: then read no more."""
        if self.current_frame is None and len(self.data) > 1 and not self._may_come():
            self._is_deaf = True
            self.data = b""
            traffic.doors["many_frames"] += 1
            if self.state == self.STATE_OPEN:
                words = f"more than {FRAMES_PER_S} frames in one second"
                self.sendCloseFrame(code=CLOSE_TOO_MANY, reasonUtf8=words.encode())
            return False
        return bool(super().processData())

    def _may_come(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += 1
        return self._frames <= FRAMES_PER_S

    def _is_short_text(self, data: bytes) -> bool:
        """Whether this is one whole masked text frame, and nothing is half read before it."""
        size = len(data) - HEAD_BYTES
        return (
            0 <= size <= LONGEST_SHORT
            and data[0] == WHOLE_TEXT
            and data[1] == MASKED | size
            and not self.data
            and self.current_frame is None
            and not self.inside_message
            and self.state == self.STATE_OPEN
        )

    def onOpen(self) -> None:
        """Open as Daphne does; the HTTP request that became this socket, 5 KB, is released.

        Its channel was still registered as what produces for the transport, and has nothing to do any more.
        """
        if isinstance(self.transport, Connection):
            self.transport.unregisterProducer()  # type: ignore[no-untyped-call]
        super().onOpen()

    def connectionLost(self, reason: Any) -> None:
        """Release the application's end of the pipe: nothing more is received."""
        self.taken_by = None
        super().connectionLost(reason)


def frame_head(size: int) -> bytes:
    """The first bytes of a whole text frame from server to client."""
    if size <= LONGEST_SHORT:
        return bytes((WHOLE_TEXT, size))
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2)
    return b"\x81\x7f" + size.to_bytes(8)


def unmasked(frame: bytes) -> bytes:
    """The payload of a masked short frame."""
    size = len(frame) - HEAD_BYTES
    key = (frame[2:HEAD_BYTES] * (size // 4 + 1))[:size]
    return (int.from_bytes(frame[HEAD_BYTES:]) ^ int.from_bytes(key)).to_bytes(size)


def waits(transport: Any) -> bool:
    """Whether something written to a Twisted transport has not been taken by the kernel."""
    return bool(transport._tempDataBuffer) or len(transport.dataBuffer) > transport.offset


def write_now(transport: Any, data: bytes) -> None:
    """Write to the kernel at once where nothing waits in front; what it does not take waits."""
    written: object = 0
    if not (transport.disconnecting or waits(transport)):
        written = transport.writeSomeData(data)
    # Of a lost connection it is no number: the ordinary way finds that out, and says so, as ever.
    taken = written if isinstance(written, int) else 0
    if taken < len(data):
        transport.write(data[taken:])


create_application = Server.create_application


def create_application_with_pipe(server: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """Create as Daphne does; WebSockets offer their pipe."""
    if isinstance(protocol, DirectProtocol) and isinstance(protocol.transport, Connection):
        scope["extensions"] = {EXTENSION: protocol}
    return create_application(server, protocol, scope)


WebSocketFactory.protocol = DirectProtocol
Server.create_application = create_application_with_pipe

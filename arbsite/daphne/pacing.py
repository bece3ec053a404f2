"""Pace of HTTP answers: each waits for its reader.

Daphne's `send` never waits: an answer that is made faster than its client reads it piles up in the
server's memory. Here a streamed answer goes on only when its connection has room, as Twisted signals
every push producer, so a client that stops reading holds one piece. A client that reads too slowly, or for
too long altogether, is cut: an answer holds a reader of the lake and its place. A request can be cut by its
application, too (`accounts.access.guard.ABORT`).

Importing this module (arbsite.asgi does) is all that is needed, however Daphne is started.
"""

import asyncio
import logging
import time
from typing import Any, Final

from daphne.http_protocol import WebRequest
from daphne.server import Server

from accounts.access.guard import ABORT

logger = logging.getLogger(__name__)

FIRST_S: Final = 10.0
"""A client may stand still for so long, once or in several pauses; beyond that it is to read on."""

SLOWEST_BYTES_PER_S: Final = 16_000
"""What a client has to read on average of the time that its answer waits for it."""

ANSWER_S: Final = 15 * 60.0
"""An answer lasts no longer, however fast it is read."""


class Pace:
    """A Twisted push producer that knows whether its connection takes more, and how fast it was read."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.written = 0
        self._began = time.monotonic()
        self._waited_s = 0.0

    async def wait(self) -> None:
        """Wait for room. Raises TimeoutError when the client is too slow, or the answer too long."""
        asked = time.monotonic()
        left_s = self._began + ANSWER_S - asked
        if left_s <= 0:
            raise TimeoutError
        patience_s = FIRST_S + self.written / SLOWEST_BYTES_PER_S - self._waited_s
        async with asyncio.timeout(min(patience_s, left_s)):
            await self.room.wait()
        self._waited_s += time.monotonic() - asked

    def pauseProducing(self) -> None:
        """Note that what was written is not read yet."""
        self.room.clear()

    def resumeProducing(self) -> None:
        """There is room again."""
        self.room.set()

    def stopProducing(self) -> None:
        """Note that the connection is gone: the writer that waits finds out by itself."""
        self.room.set()


handle_reply = Server.handle_reply


async def handle_paced_reply(server: Any, protocol: Any, message: dict[str, Any]) -> None:
    """Handle a reply, but let a part of an HTTP answer wait until the connection can take the next one."""
    if not isinstance(protocol, WebRequest) or message.get("type") != "http.response.body":
        await handle_reply(server, protocol, message)
        return
    is_open = protocol.channel is not None and not protocol.finished
    if message.get("more_body") and is_open and protocol.producer is None:
        protocol.registerProducer(Pace(), True)
    pace = protocol.producer
    if pace is not None and is_open and not message.get("more_body"):
        protocol.unregisterProducer()
    await handle_reply(server, protocol, message)
    if pace is not None:
        pace.written += len(message.get("body", b""))
        try:
            await pace.wait()
        except TimeoutError:
            logger.warning("an answer is read too slowly or for too long: its connection is cut")
            abort(protocol)


def abort(protocol: Any) -> None:
    """Cut a request's connection, whatever waits to be written."""
    if protocol.channel is not None:  # else it is gone already
        protocol.channel.transport.abortConnection()


create_application = Server.create_application


def create_abortable_application(server: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """Create as Daphne does; requests offer to be cut."""
    if isinstance(protocol, WebRequest):
        scope["extensions"] = {ABORT: lambda: abort(protocol)}
    return create_application(server, protocol, scope)


Server.handle_reply = handle_paced_reply
Server.create_application = create_abortable_application

"""HTTP answers wait for who reads them.

Daphne's `send` never waits: an answer that is made faster than its client reads it piles up in the
server's memory. Here a streamed answer goes on only when its connection has room, as Twisted tells
every push producer, so a client that stops reading holds one piece, and for a minute: then its connection
is cut. A request can be cut by its application, too (`realtime.guard.ABORT`).

Importing this module (arbsite.asgi does) is all that is needed, whoever starts Daphne.
"""

import asyncio
import logging
from typing import Any, Final

from daphne.http_protocol import WebRequest
from daphne.server import Server

from realtime.guard import ABORT

log = logging.getLogger(__name__)

READ_WITHIN_S: Final = 60.0


class Pace:
    """A Twisted push producer that knows whether its connection takes more."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()

    def pauseProducing(self) -> None:
        """What was written is not read yet."""
        self.room.clear()

    def resumeProducing(self) -> None:
        """There is room again."""
        self.room.set()

    def stopProducing(self) -> None:
        """The connection is gone: whoever waits finds out by itself."""
        self.room.set()


handle_reply = Server.handle_reply


async def handle_paced_reply(server: Any, protocol: Any, message: dict[str, Any]) -> None:
    """As Daphne's, but a part of an HTTP answer waits until the connection can take the next one."""
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
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await pace.room.wait()
        except TimeoutError:
            log.warning("nothing of an answer was read for %g s: its connection is cut", READ_WITHIN_S)
            abort(protocol)


def abort(protocol: Any) -> None:
    """Cut a request's connection, whatever waits to be written."""
    if protocol.channel is not None:  # else it is gone already
        protocol.channel.transport.abortConnection()


create_application = Server.create_application


def create_abortable_application(server: Any, protocol: Any, scope: dict[str, Any]) -> Any:
    """As Daphne's; requests offer to be cut."""
    if isinstance(protocol, WebRequest):
        scope["extensions"] = {ABORT: lambda: abort(protocol)}
    return create_application(server, protocol, scope)


Server.handle_reply = handle_paced_reply
Server.create_application = create_abortable_application

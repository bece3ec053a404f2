"""HTTP answers wait for who reads them.

Daphne's `send` never waits: an answer that is made faster than its client reads it piles up in the
server's memory. Here a streamed answer goes on only when its connection has room, as Twisted tells
every push producer, so a client that stops reading holds one piece.

Importing this module (arbsite.asgi does) is all that is needed, whoever starts Daphne.
"""

import asyncio
from typing import Any

from daphne.http_protocol import WebRequest
from daphne.server import Server


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
        await pace.room.wait()


Server.handle_reply = handle_paced_reply

"""The WebSocket `/ws/scanner`: signs in, reads which rows a browser wants, `ScanHub` does the rest."""

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from redis.exceptions import RedisError

from markets.config import InvalidConfig
from realtime import wire
from realtime.scan_hub import ScanHub, process_scan_hub
from realtime.scan_messages import ScanMessage, Show, decode_scan_message
from realtime.scan_viewer import ScanViewer
from realtime.viewer import Closed

log = logging.getLogger(__name__)

MESSAGES_PER_S: Final = 50
FAREWELL_S: Final = 0.05  # the close frame needs a moment before the server cuts the connection


class Scanner(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One browser's scanner; the contract is docs/messages.md."""

    channel_layer_alias = ""  # the hub hears the frames once for all sockets

    viewer: ScanViewer | None = None
    hub: ScanHub
    _writer: "asyncio.Task[None] | None" = None
    _second = 0.0
    _messages = 0

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Hand a message to its handler, without the thread hop of Channels' own (see consumers.py)."""
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"no handler for {message['type']}")
        await handler(message)

    async def connect(self) -> None:
        """Accept; what to show comes with the first message."""
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(wire.CLOSE_NOT_SIGNED_IN, "not signed in: log in, or send a valid API token")
            return
        self.viewer = ScanViewer(user.pk, self.send)
        self._writer = asyncio.create_task(self._write(self.viewer), name="scan viewer")

    async def _write(self, viewer: ScanViewer) -> None:
        try:
            async with AsyncExitStack() as held:
                hub = await held.enter_async_context(process_scan_hub().open())
                held.callback(hub.leave, viewer)
                hub.join(viewer)
                await viewer.run(hub)
        except Closed as closed:
            await self.close(closed.code, closed.reason)
        except (InvalidConfig, DatabaseError, RedisError, TimeoutError) as problem:
            log.error("a scanner is refused, there is no table: %s", problem)
            await self.close(wire.CLOSE_RESTART, "the table cannot be made yet: connect again")
        except Exception:
            log.exception("a scanner's writer failed; its browser connects again")
            await self.close(wire.CLOSE_RESTART, "internal error: connect again")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the browser."""
        if self.viewer is None:
            return  # it is being closed
        try:
            self._obey(self.viewer, self._read(text_data))
        except Closed as closed:
            await self.close(closed.code, closed.reason)

    def _read(self, text: str | None) -> ScanMessage:
        self._count()
        if text is None:
            raise Closed(wire.CLOSE_BAD_MESSAGE, "binary message: send JSON as text")
        if len(text) > wire.MAX_MESSAGE_BYTES:
            raise Closed(wire.CLOSE_TOO_LARGE, f"a message is at most {wire.MAX_MESSAGE_BYTES // 1024} KiB")
        try:
            return decode_scan_message(text)
        except ValueError as problem:
            raise Closed(wire.CLOSE_BAD_MESSAGE, str(problem)) from None

    def _count(self) -> None:
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._messages = now, 0
        self._messages += 1
        if self._messages > MESSAGES_PER_S:
            raise Closed(wire.CLOSE_TOO_MANY, f"more than {MESSAGES_PER_S} messages in one second")

    def _obey(self, viewer: ScanViewer, message: ScanMessage) -> None:
        match message:
            case wire.Ack(seq=seq):
                viewer.acked(seq)
            case Show():
                viewer.show(message)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Stop sending, then close."""
        self._stop()
        await super().close(code, reason and wire.close_reason(reason))

    async def disconnect(self, code: int) -> None:
        """The socket is gone."""
        self._stop()

    def _stop(self) -> None:
        self.viewer = None
        if self._writer is not None and self._writer is not asyncio.current_task():
            self._writer.cancel()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As Channels', but a server that shuts down says so, and nothing outlives the socket."""
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            await self.close(wire.CLOSE_RESTART, "the server restarts: connect again")
            await asyncio.sleep(FAREWELL_S)
            raise
        finally:
            self._stop()

"""The WebSocket `/ws/realtime_charts`: signs in, reads the client's messages, the hub does the rest."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError

from markets.config import InvalidConfig
from realtime import wire
from realtime.hub import Hub, process_hub
from realtime.pipe import EXTENSION, AsgiPipe, Pipe, ServerPipe
from realtime.viewer import Closed, Viewer

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]

MESSAGES_PER_S: Final = 100
FAREWELL_S: Final = 0.05
"""A server that shuts down cuts the connection as soon as we return: the close frame needs a moment."""


class RealtimeCharts(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One browser's socket; the contract is docs/messages.md.

    It has no channel of its own: the hub hears the batches once for all sockets. And it dispatches
    by itself: Channels' own loop makes two tasks for every message, and a hop to a thread that
    closes old database connections, which together cost more than everything else an ack does.
    The database is used only inside `database_sync_to_async`, which does that itself.
    """

    viewer: Viewer | None = None
    hub: Hub
    _asgi_pipe: AsgiPipe | None = None
    _closing: "asyncio.Task[None] | None" = None
    _second = 0.0
    _messages = 0

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """Serve one socket. A server that shuts down says so, and nothing outlives the socket."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            return
        except asyncio.CancelledError:
            await self.close(wire.CLOSE_RESTART, "the server restarts: connect again")
            await asyncio.sleep(FAREWELL_S)
            raise
        finally:
            self._stop()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Hand a message to its handler."""
        match message["type"]:
            case "websocket.receive":
                await self.receive(message.get("text"), message.get("bytes"))
            case "websocket.connect":
                await self.connect()
            case "websocket.disconnect":
                raise StopConsumer
            case unknown:
                raise ValueError(f"no handler for {unknown}")

    async def connect(self) -> None:
        """Accept, say why when that cannot be, and start with the snapshot."""
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(wire.CLOSE_NOT_SIGNED_IN, "not signed in: log in, or send a valid API token")
            return
        try:
            await self._open(user.pk)
        except Closed as closed:
            await self.close(closed.code, closed.reason)
        except (InvalidConfig, DatabaseError) as problem:
            log.error("a socket is refused, there is no configuration: %s", problem)
            await self.close(wire.CLOSE_RESTART, "the configuration cannot be loaded yet: connect again")

    async def _open(self, user_id: int) -> None:
        watch, filter_id, seen_seq = _parse_query(self.scope["query_string"])
        self.hub = process_hub()
        viewer = Viewer(user_id, self._pipe(), self.hub, self._close_later, seen_seq)
        self.hub.join(viewer)
        self.viewer = viewer
        if watch:
            await self.hub.watch_filter(viewer, filter_id, seen_seq)
        else:
            viewer.greet()

    def _pipe(self) -> Pipe:
        """The server's own way to the socket where it has one, else ASGI's."""
        direct: ServerPipe | None = self.scope.get("extensions", {}).get(EXTENSION)
        if direct is not None:
            direct.heard = self._heard
            return direct
        self._asgi_pipe = AsgiPipe(self.base_send, self._advance)
        return self._asgi_pipe

    def _advance(self) -> None:
        if self.viewer is not None:
            self.viewer.advance()

    def _heard(self, text: bytes) -> bool:
        """Take an ack, which is nearly all that browsers send, in the same breath as it is read."""
        seq = wire.acked_seq(text)
        if seq is None or self.viewer is None or self._are_too_many():
            return False
        self.viewer.acked(seq)
        return True

    def _close_later(self, closed: Closed) -> None:
        """Close, said by who cannot wait for it."""
        self._closing = asyncio.create_task(self.close(closed.code, closed.reason), name="socket close")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the browser."""
        if self.viewer is None:
            return  # it is being closed
        try:
            await self._obey(self.viewer, self._read(text_data, bytes_data))
        except Closed as closed:
            await self.close(closed.code, closed.reason)

    def _read(self, text: str | None, binary: bytes | None) -> wire.ClientMessage:
        if self._are_too_many():
            raise Closed(wire.CLOSE_TOO_MANY, f"more than {MESSAGES_PER_S} messages in one second")
        size = len(text.encode(errors="replace")) if text is not None else len(binary or b"")
        if size > wire.MAX_MESSAGE_BYTES:
            raise Closed(wire.CLOSE_TOO_LARGE, f"a message is at most {wire.MAX_MESSAGE_BYTES // 1024} KiB")
        if text is None:
            raise Closed(wire.CLOSE_BAD_MESSAGE, "binary message: send JSON as text")
        try:
            return wire.decode_client_message(text)
        except ValueError as problem:
            raise Closed(wire.CLOSE_BAD_MESSAGE, str(problem)) from None

    def _are_too_many(self) -> bool:
        """At most 100 messages in a second: a browser needs 20 acks."""
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._messages = now, 0
        self._messages += 1
        return self._messages > MESSAGES_PER_S

    async def _obey(self, viewer: Viewer, message: wire.ClientMessage) -> None:
        match message:
            case wire.Ack(seq=seq):
                viewer.acked(seq)
            case wire.Subscribe(filter=int(filter_id)):
                await self.hub.watch_filter(viewer, filter_id)
            case wire.Subscribe(charts=list(chart_ids)):
                await self.hub.watch_charts(viewer, chart_ids)
            case wire.Unsubscribe(charts=chart_ids):
                self.hub.unwatch(viewer, chart_ids)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Stop sending, then close."""
        self._stop()
        await super().close(code, reason and wire.close_reason(reason))

    def _stop(self) -> None:
        if self._asgi_pipe is not None:
            self._asgi_pipe.stop()
        if self.viewer is not None:
            self.hub.leave(self.viewer)
            self.viewer = None


def _parse_query(query: bytes) -> tuple[bool, int | None, int]:
    """(whether to watch anything, filter or None for the default, seq seen). Raises Closed."""
    given = parse_qs(query.decode(errors="replace"))
    filter_text, seq_text = given.get("filter", [""])[-1], given.get("seq", ["0"])[-1]
    if not _is_number(seq_text):
        raise Closed(wire.CLOSE_BAD_MESSAGE, "seq takes the last seq seen, a whole number")
    if filter_text == "none":
        return False, None, int(seq_text)
    if filter_text and not _is_number(filter_text):
        raise Closed(wire.CLOSE_BAD_MESSAGE, "filter takes the number of a filter, or none")
    return True, int(filter_text) if filter_text else None, int(seq_text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18

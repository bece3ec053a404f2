"""Base of every WebSocket of a browser: admission, messages in and out, and its end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError
from redis.exceptions import RedisError

from accounts.access.rights import Credential, process_rights
from accounts.access.seats import seats
from core.errors import InvalidConfig
from core.web import closing
from core.web.acks import acked_seq
from core.web.closing import Closed
from core.web.pipe import EXTENSION, AsgiPipe, Pipe, ServerPipe

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]

MESSAGES_PER_S: Final = 100
FAREWELL_S: Final = 0.05
"""A server that shuts down cuts the connection as soon as we return: the close frame needs a moment."""


class SocketViewer(Protocol):
    """User behind a socket."""

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""

    def advance(self) -> None:
        """Send what waits, if a message may go out now."""


class BrowserSocket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One browser's socket; the contract is docs/messages.md. Subclasses know what it shows.

    It has no channel of its own: a hub receives what collectors publish once for all sockets. And it
    dispatches by itself: Channels' own loop makes two tasks for every message, and a hop to a thread
    that closes old database connections, which together cost more than everything else an ack does.
    The database is used only inside `database_sync_to_async`, which does that itself.
    """

    viewer: SocketViewer | None = None
    _asgi_pipe: AsgiPipe | None = None
    _closing: "asyncio.Task[None] | None" = None
    _leave_seat: Callable[[], None] | None = None
    _forget_rights: Callable[[], None] | None = None
    _second = 0.0
    _messages = 0

    async def _credential(self) -> Credential:
        """Credential that lets the socket in, for as long as it is good."""
        credential: Credential = self.scope["credential"]
        return credential

    async def _open(self, user_id: int) -> None:
        """Begin to show; sets `viewer`. Raises Closed, or what keeps the configuration from being there."""
        raise NotImplementedError

    def _decode(self, text: str) -> Any:
        """Read what the browser sent; raises ValueError whose text fits a close frame."""
        raise NotImplementedError

    async def _obey(self, message: Any) -> None:
        """Do what a decoded message asks. Raises Closed."""
        raise NotImplementedError

    def _leave(self) -> None:
        """The viewer is gone: nobody may send to it any more."""
        raise NotImplementedError

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """Serve one socket. A server that shuts down says so, and nothing outlives the socket."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            return
        except asyncio.CancelledError:
            await self.close(closing.CLOSE_RESTART, "the server restarts: connect again")
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
        """Accept, say why when that cannot be, and begin to show."""
        await self.accept()
        user = self.scope.get("user")
        if user is None:
            await self.close(closing.CLOSE_RESTART, "PostgreSQL does not say who you are: connect again")
            return
        if not user.is_authenticated:
            await self.close(closing.CLOSE_NOT_SIGNED_IN, "not signed in: log in, or send a valid API token")
            return
        try:
            self._leave_seat = seats.take(user.pk)
            self._forget_rights = process_rights().watch(await self._credential(), self._close_later)
            await self._open(user.pk)
        except Closed as closed:
            await self.close(closed.code, closed.reason)
        except (InvalidConfig, DatabaseError, RedisError, TimeoutError) as problem:
            logger.error("a socket is refused, there is no configuration: %s", problem)
            await self.close(closing.CLOSE_RESTART, "the configuration cannot be loaded yet: connect again")

    def _pipe(self) -> Pipe:
        """The server's own way to the socket where it has one, else ASGI's."""
        direct: ServerPipe | None = self.scope.get("extensions", {}).get(EXTENSION)
        if direct is not None:
            direct.taken_by = self._take_direct
            return direct
        self._asgi_pipe = AsgiPipe(self.base_send, self._advance)
        return self._asgi_pipe

    def _advance(self) -> None:
        if self.viewer is not None:
            self.viewer.advance()

    def _take_direct(self, text: bytes) -> bool:
        """Take an ack, which is nearly all that browsers send, in the same breath as it is read."""
        seq = acked_seq(text)
        if seq is None or self.viewer is None or self._are_too_many():
            return False
        self.viewer.acked(seq)
        return True

    def _close_later(self, closed: Closed) -> None:
        """Close, for a caller that cannot wait for it."""
        self._closing = asyncio.create_task(self.close(closed.code, closed.reason), name="socket close")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """One message of the browser."""
        if self.viewer is None:
            return  # it is being closed
        try:
            await self._obey(self._read(text_data, bytes_data))
        except Closed as closed:
            await self.close(closed.code, closed.reason)

    def _read(self, text: str | None, binary: bytes | None) -> Any:
        if self._are_too_many():
            raise Closed(closing.CLOSE_TOO_MANY, f"more than {MESSAGES_PER_S} messages in one second")
        size = len(text.encode(errors="replace")) if text is not None else len(binary or b"")
        if size > closing.MAX_MESSAGE_BYTES:
            raise Closed(
                closing.CLOSE_TOO_LARGE, f"a message is at most {closing.MAX_MESSAGE_BYTES // 1024} KiB"
            )
        if text is None:
            raise Closed(closing.CLOSE_BAD_MESSAGE, "binary message: send JSON as text")
        try:
            return self._decode(text)
        except ValueError as problem:
            raise Closed(closing.CLOSE_BAD_MESSAGE, str(problem)) from None

    def _are_too_many(self) -> bool:
        """Whether there were more than 100 messages in a second: a browser needs 20 acks."""
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._messages = now, 0
        self._messages += 1
        return self._messages > MESSAGES_PER_S

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Stop sending, then close."""
        self._stop()
        await super().close(code, reason and closing.close_reason(reason))

    def _stop(self) -> None:
        if self._forget_rights is not None:
            self._forget_rights()
        if self._leave_seat is not None:
            self._leave_seat()
        if self._asgi_pipe is not None:
            self._asgi_pipe.stop()
        if self.viewer is not None:
            self._leave()
            self.viewer = None

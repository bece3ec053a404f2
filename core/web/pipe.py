"""The way one message takes from a viewer to its socket.

A viewer hands over a message and goes on: it never waits for a browser. What it asks instead is
whether the last message has left this process.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

logger = logging.getLogger(__name__)

EXTENSION: Final = "realtime.pipe"
"""The name in an ASGI scope's `extensions` under which a server offers its own `ServerPipe`."""


class Pipe(Protocol):
    """Takes messages of one socket."""

    @property
    def ready(self) -> bool:
        """Whether all that was sent has left this process."""

    def send(self, text: bytes) -> None:
        """Send one text message, given as UTF-8."""


class ServerPipe(Pipe, Protocol):
    """A pipe of the server itself: it writes at once, and short messages come in without a detour."""

    taken_by: Callable[[bytes], bool] | None
    """Asked of every short text message first; says whether it took it. Others come as ASGI events."""


class AsgiPipe:
    """A pipe through ASGI's `send`, which some servers let wait for the browser."""

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], now_ready: Callable[[], None]
    ) -> None:
        self._send = send
        self._now_ready = now_ready
        self._waiting: deque[bytes] = deque()
        self._sending: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether the server took the last message."""
        return not self._waiting

    def send(self, text: bytes) -> None:
        """Send one text message, given as UTF-8."""
        self._waiting.append(text)
        if self._sending is None:
            self._sending = asyncio.create_task(self._hand_over(), name="socket send")

    def stop(self) -> None:
        """The socket is gone: nothing waits for it any longer."""
        if self._sending is not None:
            self._sending.cancel()

    async def _hand_over(self) -> None:
        while self._waiting:
            try:
                await self._send({"type": "websocket.send", "text": self._waiting[0].decode()})
            except Exception as problem:
                logger.debug("a message was not taken, its socket is gone: %s", problem)
                return
            self._waiting.popleft()
        self._sending = None
        self._now_ready()

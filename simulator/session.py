"""One client's connection: what it is subscribed to, and its bounded way out."""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from aiohttp import web

logger = logging.getLogger(__name__)

OUTBOX_LIMIT = 20_000
OUTBOX_BYTES = 64 * 1024 * 1024
"""Whole books are some 20 kB each: so many would be too much long before there are too many frames."""

Channel = Literal["quote", "trade", "depth", "status", "notice"]
Frame = str | bytes


class Topic(NamedTuple):
    """A subscription: the channel, the unified symbol, and its name on this exchange's wire."""

    channel: Channel
    symbol: str
    name: str


class Host(Protocol):
    """Part of an exchange that its sessions need."""

    delay_s: float
    silent: bool

    def encode(self, text: str) -> Frame: ...

    def sent(self, frames: int) -> None: ...


class Session:
    """One connected client. Times are monotonic seconds; `variant` distinguishes clients of one
    topic that need different frames (Binance's raw and combined streams)."""

    def __init__(self, host: Host, path: str, query: dict[str, str], headers: Mapping[str, str]) -> None:
        self.host = host
        self.path = path
        self.query = query
        self.headers = headers
        self.id = secrets.token_hex(8)
        self.variant = ""
        self.topics: dict[str, Topic] = {}
        self.opened = self.received_s = self.sent_s = self.pinged = self.lonely_since = time.monotonic()
        self.ping_payload = b""
        self.recent: deque[float] = deque(maxlen=256)
        self.closed = asyncio.Event()
        self._socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=256 * 1024)
        self._outbox: deque[tuple[float, Frame]] = deque()
        self._outbox_bytes = 0
        self._wake = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._farewell: tuple[int, str] | None = None

    async def open(self, request: web.Request) -> web.WebSocketResponse:
        """Complete the handshake."""
        await self._socket.prepare(request)
        transport = request.transport
        self._transport = transport if isinstance(transport, asyncio.Transport) else None
        return self._socket

    def send(self, text: str) -> None:
        """Queue a frame in the exchange's encoding (acks, errors, heartbeats)."""
        self.push(self.host.encode(text))

    def send_json(self, value: Any) -> None:
        """Queue a JSON frame."""
        self.send(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    def push(self, frame: Frame) -> None:
        """Queue an encoded frame; a client that does not read is cut, as real exchanges do."""
        if self.host.silent or self._farewell or self.closed.is_set():
            return
        if len(self._outbox) >= OUTBOX_LIMIT or self._outbox_bytes + len(frame) > OUTBOX_BYTES:
            logger.info("cutting a client that does not read: %d frames queued", len(self._outbox))
            self.abort()
            return
        self._outbox_bytes += len(frame)
        self._outbox.append((time.monotonic() + self.host.delay_s if self.host.delay_s else 0.0, frame))
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close politely once everything queued has been sent."""
        self._farewell = self._farewell or (code, reason)
        self._wake.set()

    def abort(self) -> None:
        """Cut the connection without a close frame (the client sees code 1006)."""
        self._outbox.clear()
        self._outbox_bytes = 0
        self.closed.set()
        self._wake.set()
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Send what is queued, in order, until closed."""
        try:
            while not self.closed.is_set():
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
                if self._farewell and not self.closed.is_set():
                    code, reason = self._farewell
                    await self._socket.close(code=code, message=reason.encode())
                    self.closed.set()
        finally:
            self.closed.set()

    async def _flush(self) -> None:
        sent = 0
        while self._outbox:
            due, frame = self._outbox.popleft()
            self._outbox_bytes -= len(frame)
            if due and (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
            sent += 1
        if sent:
            self.sent_s = time.monotonic()
            self.host.sent(sent)

    async def ping(self, payload: bytes) -> None:
        """Send a WebSocket ping frame."""
        self.ping_payload = payload
        if not self.host.silent:
            with contextlib.suppress(ConnectionError):
                await self._socket.ping(payload)

    async def pong(self, payload: bytes) -> None:
        """Answer a client's WebSocket ping frame."""
        if not self.host.silent:
            with contextlib.suppress(ConnectionError):
                await self._socket.pong(payload)

    def note_received(self) -> None:
        """Note that the client said something."""
        self.received_s = time.monotonic()

"""An open socket to an exchange: whole messages with the time they were read, and in the end why it ended."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from collectors.sockets.answers import foreign
from collectors.sockets.turns import Message, Read, Turns

Lost = Callable[[str], None]
"""Learns, in words, why there will be no more messages."""

MAX_MESSAGE_BYTES: Final = 4 * 2**20
MOST_WAITING: Final = 1024  # messages before anybody reads: exchanges greet at most, then wait for a request
PLAIN_RECEIVE_BYTES: Final = 32 * 1024  # the kernel doubles it; some 300 quotes
NO_CODE: Final = 1005  # how the protocol says that a goodbye gave no code
_TEXT: Final = WSMsgType.TEXT
_DATA: Final = (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION)


class ExchangeSocket(WSListener):
    """Hands on what arrives, gathered for a few ms with that of other sockets, without a task in between.

    It answers pings and close frames, puts fragments together, and knows when anything last arrived.
    Until `receive` is called a bounded number of messages waits.
    """

    def __init__(self, turns: Turns) -> None:
        self.received_ns = time.monotonic_ns()
        self.ended = ""
        self._turns = turns
        self._transport: WSTransport | None = None
        self._abandoned = False
        self._messages: list[Message] = []  # of the read under way
        self._read_us = self._read_ns = 0
        self._partial: bytearray | None = None  # a message of several frames, so far
        self._partial_is_text = False
        self._arrived = asyncio.Event()
        self._waiting: list[tuple[list[Message], int, int]] = []
        self._on_read: Read = self._keep
        self._on_lost: Lost = self._nobody_listens
        self._crash: Exception | None = None

    # --- for its owner ---------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the handshake is complete and nothing has ended the connection since."""
        return self._transport is not None and not self.ended

    async def welcome(self) -> bool:
        """Wait for the first message and drop it; False when the connection ended instead."""
        await self._arrived.wait()
        if not self._waiting:
            return False
        self._waiting[0][0].pop(0)
        return True

    def receive(self, read: Read, lost: Lost) -> None:
        """Hand everything on from now, first what has waited; `lost` is called once, after all messages.

        An exception out of `read` ends the connection and comes out of `wait_closed`.
        """
        self._on_read, self._on_lost = read, lost
        waiting, self._waiting = self._waiting, []
        for messages, read_us, read_ns in waiting:
            self._deliver(messages, read_us, read_ns)
        if self.ended:
            lost(self.ended)

    def send(self, text: str) -> None:
        """Send a text message; nothing happens when the connection is gone."""
        if self._transport is not None:
            self._transport.send(_TEXT, text.encode())

    def ping(self) -> None:
        """Send a ping of the WebSocket protocol; its answer is a sign of life."""
        if self._transport is not None:
            self._transport.send_ping()

    async def close(self, within_s: float) -> None:
        """Say goodbye and wait for the exchange to do so, too; after `within_s` no longer."""
        transport = self._transport
        if transport is None:
            return
        transport.send_close(WSCloseCode.OK)
        try:
            async with asyncio.timeout(within_s):
                await self._gone(transport)
        except TimeoutError:
            self.abort()
            await self._gone(transport)

    def abort(self) -> None:
        """Cut the connection: nobody is there to shake hands with, or nobody wants it any more."""
        self._abandoned = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    async def wait_closed(self) -> None:
        """Return once the connection is closed; raises what `read` raised."""
        if self._transport is not None:
            await self._gone(self._transport)
        if self._crash is not None:
            raise self._crash

    @staticmethod
    async def _gone(transport: WSTransport) -> None:
        with contextlib.suppress(Exception):  # a breach of protocol; `_reason` puts it into words
            await transport.wait_disconnected()

    # --- for picows ------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is complete."""
        self._transport = transport
        self._turns.join(transport.underlying_transport)
        if self._abandoned:
            transport.disconnect(graceful=False)
        elif not transport.is_secure:
            # TLS comes record by record; plain sockets are read in one go, as much as the kernel holds.
            plain = transport.underlying_transport.get_extra_info("socket")
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PLAIN_RECEIVE_BYTES)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called for every frame; those that were read together end with `last_in_buffer`."""
        messages = self._messages
        if not messages:
            self._read_us, self._read_ns = time.time_ns() // 1000, time.monotonic_ns()
            self.received_ns = self._read_ns
        try:
            if frame.msg_type == _TEXT and frame.fin:
                messages.append(frame.get_payload_as_utf8_text())
            else:
                self._other(transport, frame)
        except UnicodeDecodeError:
            self._break_off(transport, WSCloseCode.INVALID_TEXT, "text that is not UTF-8")
        if frame.last_in_buffer and messages:
            self._hand_over(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        self._turns.leave(transport.underlying_transport)
        self._lose(_reason(transport))

    # --- frames ----------------------------------------------------------------------------------

    def _other(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind in _DATA:
            self._data(transport, frame, kind)
        elif kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            self._hand_over(transport)
            self._lose(_reason(transport))
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _data(self, transport: WSTransport, frame: WSFrame, kind: WSMsgType) -> None:
        begins = kind != WSMsgType.CONTINUATION
        if begins != (self._partial is None):
            self._break_off(transport, WSCloseCode.PROTOCOL_ERROR, "fragments out of order")
        elif begins and frame.fin:
            self._messages.append(frame.get_payload_as_bytes())
        else:
            if self._partial is None:
                self._partial, self._partial_is_text = bytearray(), kind == _TEXT
            self._partial += frame.get_payload_as_bytes()
            self._complete(transport, self._partial, frame.fin)

    def _complete(self, transport: WSTransport, partial: bytearray, is_whole: bool) -> None:
        if len(partial) > MAX_MESSAGE_BYTES:
            self._break_off(transport, WSCloseCode.MESSAGE_TOO_BIG, "a message too big")
        elif is_whole:
            self._messages.append(partial.decode() if self._partial_is_text else bytes(partial))
            self._partial = None

    def _hand_over(self, transport: WSTransport) -> None:
        messages, self._messages = self._messages, []
        if not messages or self.ended or transport.is_close_frame_sent:
            return
        self._turns.gather(self._deliver, messages, self._read_us, self._read_ns)

    def _deliver(self, messages: list[Message], read_us: int, read_ns: int) -> None:
        try:
            self._on_read(messages, read_us, read_ns)
        except Exception as error:
            self._crash = error
            self.abort()

    def _keep(self, messages: list[Message], read_us: int, read_ns: int) -> None:
        """Let messages wait for `receive`."""
        self._waiting.append((messages, read_us, read_ns))
        self._arrived.set()
        if self._transport is not None and sum(len(each) for each, _, _ in self._waiting) > MOST_WAITING:
            self._break_off(self._transport, WSCloseCode.POLICY_VIOLATION, "a flood nobody asked for")

    def _break_off(self, transport: WSTransport, code: WSCloseCode, what: str) -> None:
        self._hand_over(transport)
        self._lose(f"protocol error: {what}")
        transport.send_close(code)
        transport.disconnect()

    def _lose(self, reason: str) -> None:
        if not self.ended:
            self._turns.hand_on()
            self.ended = reason
            self._arrived.set()
            self._on_lost(reason)

    def _nobody_listens(self, reason: str) -> None:
        """Take what comes before `receive`, which reports it then."""


def _reason(transport: WSTransport) -> str:
    """Why a connection ended. Where we closed it, its owner knows better."""
    handshake: Any = transport.close_handshake  # None before either side has said goodbye
    if handshake is None:
        return "connection lost"
    if handshake.sent is not None and not handshake.recv_then_sent and handshake.sent.reason:
        return f"protocol error: {foreign(handshake.sent.reason)}"
    if handshake.recv is None:
        return "connection lost"
    code, words = int(handshake.recv.code) or NO_CODE, foreign(handshake.recv.reason or "")
    return f"closed by the exchange ({f'{code} {words}'.strip()})"

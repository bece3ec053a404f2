"""One browser that looks at the scanner: which page it shows, and when the next message may go out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from realtime.scan_messages import Page, Show, message
from realtime.viewer import ACK_TIMEOUT_S, Closed
from realtime.wire import CLOSE_NO_ACK

SIGN_OF_LIFE_S: Final = 1.0


class Pages(Protocol):
    """What a viewer asks of the hub."""

    def page(self, show: Show) -> Page:
        """The rows this asks for, as of the newest refresh."""

    def now_us(self) -> int:
        """The time of the newest refresh."""


class ScanViewer:
    """Sends one message at a time and the next only after its ack; what it missed meanwhile is merged.

    A page is sent whole after every `show`, later only what differs from what this browser sees.
    """

    def __init__(self, user_id: int, send: Callable[[str], Awaitable[None]]) -> None:
        self.user_id = user_id
        self.shows: Show | None = None
        self._send = send
        self._sees: Page | None = None
        self._left = False
        self._changed = False
        self._seq = self._acked_seq = 0
        self._sent_at = float("-inf")
        self._wake = asyncio.Event()

    def show(self, show: Show) -> None:
        """Show other rows, from the first message on that now follows."""
        self.shows, self._sees = show, None
        self.refreshed()

    def refreshed(self) -> None:
        """The table is newer than what was sent."""
        self._changed = True
        self._wake.set()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acked_seq = max(self._acked_seq, min(seq, self._seq))
        self._wake.set()

    def leave(self) -> None:
        """The socket is gone: send nothing more."""
        self._left = True
        self._wake.set()

    async def run(self, pages: Pages) -> None:
        """Send until `leave`. Raises Closed when the browser does not ack."""
        while not self._left:
            if self._acked_seq < self._seq:
                await self._pause(self._patience_s())
            elif self._changed and self.shows is not None:
                self._changed = False
                await self._update(pages, self.shows)
            else:
                await self._pause(None)

    def _patience_s(self) -> float:
        """How long the ack may still take. Raises Closed when it took too long."""
        left_s = self._sent_at + ACK_TIMEOUT_S - time.monotonic()
        if left_s <= 0:
            raise Closed(CLOSE_NO_ACK, f"no ack for {ACK_TIMEOUT_S:g} s")
        return left_s

    async def _pause(self, seconds: float | None) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _update(self, pages: Pages, shows: Show) -> None:
        page, seen = pages.page(shows), self._sees
        kind, fields = ("page", page.whole()) if seen is None else ("changes", page.changes(seen))
        if not fields and time.monotonic() - self._sent_at < SIGN_OF_LIFE_S:
            return
        self._sees = page
        self._seq += 1
        self._sent_at = time.monotonic()
        await self._send(message(kind, self._seq, pages.now_us(), fields))

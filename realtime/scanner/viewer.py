"""One browser of the scanner: the page it shows, and when the next message may go out."""

import time
from collections.abc import Callable
from typing import Final

from core.web.acks import SIGN_OF_LIFE_S, AckWindow
from core.web.closing import Closed
from core.web.pipe import Pipe
from realtime.scanner.messages import Page, Show, message
from realtime.scanner.pages import Pages
from realtime.scanner.view import Query

MOVE_EVERY_US: Final = 1_000_000
PAGE_EVERY_S: Final = 0.2
"""Who asks for other rows faster than that gets the last of them: each may cost an order of all rows."""


class ScanViewer:
    """Sends one message at a time and the next only after its ack; what it missed meanwhile is merged.

    A page is sent whole after every `show`, later only what differs from what this browser sees. So
    nothing waits here but two pages, which all who look at the same rows share.
    """

    page = "scanner"

    def __init__(self, pipe: Pipe, pages: Pages, close: Callable[[Closed], None]) -> None:
        self.shows: Show | None = None
        self._pipe = pipe
        self._pages = pages
        self._close = close
        self._sees: Page | None = None
        self._left = False
        self._acks = AckWindow()
        self._moved_us = 0
        self._paged_at = float("-inf")

    @property
    def query(self) -> Query | None:
        """The rows it shows; None: it has not said yet."""
        return None if self.shows is None else self.shows.query

    def show(self, show: Show) -> None:
        """Show other rows, from the next message on."""
        self.shows, self._sees = show, None
        self.advance()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acks.acked(seq)
        if self._sees is None:
            self.advance()

    def refreshed(self) -> None:
        """The table is newer than what was sent; a browser that does not ack is closed."""
        if self._acks.is_overdue:
            self._close(self._acks.overdue())
        else:
            self.advance()

    def leave(self) -> None:
        """The socket is gone: send nothing more."""
        self._left = True

    def advance(self) -> None:
        """Send what differs now from what the browser sees, if a message may go out."""
        if self._left or self.shows is None or not self._acks.is_open or not self._pipe.ready:
            return
        now, seen = time.monotonic(), self._sees
        if seen is None and now - self._paged_at < PAGE_EVERY_S:
            return  # with the next refresh
        page, now_us = self._pages.page(self.shows), self._pages.book.now_us()
        moves = seen is None or page.ids != seen.ids
        if seen is not None and moves and now_us - self._moved_us < MOVE_EVERY_US:
            return  # it acked late: its rows, too, keep their places for a second
        kind, fields = ("page", page.whole()) if seen is None else ("changes", page.changes(seen))
        if not fields and self._acks.since_sent_s < SIGN_OF_LIFE_S:
            return
        self._paged_at = now if seen is None else self._paged_at
        self._moved_us = now_us if moves else self._moved_us
        self._sees = page
        self._acks.seq += 1
        self._acks.sent()
        self._pipe.send(message(kind, self._acks.seq, now_us, fields))

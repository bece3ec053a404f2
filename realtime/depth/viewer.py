"""One browser of the depth page: the pair it shows, and when the next message may go out."""

from collections.abc import Callable

from core.web.acks import SIGN_OF_LIFE_S, AckWindow
from core.web.closing import Closed
from core.web.pipe import Pipe
from realtime.depth.messages import Show, encoded, message
from realtime.depth.pair import PairDepth, pair_depth, row_of
from realtime.scanner.book import ScanBook


class DepthViewer:
    """Sends the pair as it is now, one message at a time and the next only after its ack.

    What it missed meanwhile is not sent any more: a picture of now stands for all before it.
    """

    page = "depth"
    query = None  # no rows

    def __init__(self, pipe: Pipe, book: ScanBook, close: Callable[[Closed], None]) -> None:
        self.shows: Show | None = None
        self._pipe = pipe
        self._book = book
        self._close = close
        self._sees = b""
        self._left = False
        self._acks = AckWindow()

    def show(self, show: Show) -> None:
        """Show another pair or size, from the next message on."""
        self.shows, self._sees = show, b""
        self.advance()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acks.acked(seq)
        if not self._sees:
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
        """Send the pair if it differs from what the browser sees, and a message may go out."""
        if self._left or self.shows is None or not self._acks.is_open or not self._pipe.ready:
            return
        depth = encoded(self._depth(self.shows))
        if depth == self._sees:
            if self._acks.since_sent_s < SIGN_OF_LIFE_S:
                return
            depth = b""
        else:
            self._sees = depth
        self._acks.seq += 1
        self._acks.sent()
        self._pipe.send(message(self._acks.seq, self._book.now_us(), depth))

    def _depth(self, shows: Show) -> PairDepth | None:
        table = self._book.table
        row = row_of(table, shows.id)
        if row is None:
            return None
        return pair_depth(table, self._book.depth, row, shows.size, self._book.now_us())

"""The ladders of a web process as the books that gate checks walk. Plain Python, no Django."""

from engine.books.side import Side
from engine.books.walk import Levels
from realtime.depth.book import Depth, DepthBook
from realtime.depth.wire import LEVELS, unpacked


class LadderLevels:
    """Both sides of one ladder, as `engine.books.walk.Levels`."""

    def __init__(self, depth: Depth) -> None:
        ladder = depth.ladder
        self.bids, self.asks = Side(-1.0, LEVELS), Side(1.0, LEVELS)
        self.bids.replace(map(tuple, unpacked(ladder.bids).tolist()))
        self.asks.replace(map(tuple, unpacked(ladder.asks).tolist()))
        self.resyncing = depth.problem

    def is_known(self, now_mono_ns: int) -> bool:
        """Whether its collector knew it, as of the message that said it."""
        return not self.resyncing


class PublishedBooks:
    """Books of all collectors, as `engine.books.followed.Books`: the best levels that they publish."""

    def __init__(self, book: DepthBook) -> None:
        self._book = book

    def get(self, market: str, symbol: str) -> Levels | None:
        """Return a book; None: no collector follows it."""
        depth = self._book.get((market, symbol))
        return None if depth is None else LadderLevels(depth)

"""State that all lines to one exchange share."""

from collections.abc import Callable, Sequence

from collectors.books import LiveBooks
from collectors.books.market import MarketBooks
from collectors.exchanges.base import Codec
from collectors.recent_trades import RecentTrades
from collectors.sockets.breaker import Breaker
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from core.backoff import Pace
from markets.config import ExchangeConfig
from markets.events import Event

Emit = Callable[[Sequence[Event]], None]


class FollowedExchange:
    """An exchange as the operator configured it, its codec, and where its events go."""

    def __init__(  # noqa: PLR0917
        self,
        config: ExchangeConfig,
        codec: Codec,
        emit: Emit,
        timing: Timing,
        turns: Turns,
        books: LiveBooks | None = None,
    ) -> None:
        self.config = config
        self.codec = codec
        self.sheet = codec.sheet
        self.emit = emit
        self.timing = timing
        self.turns = turns
        self.trades = RecentTrades()
        self.breaker = Breaker(config.key, timing)
        self.books_breaker = Breaker(f"{config.key} books", timing)
        self.connects = Pace(timing.connect_gap_s)
        self.books = MarketBooks(self, LiveBooks() if books is None else books)

    def failed(self, own: Breaker, error: ConnectFailed) -> None:
        """Count a failed attempt. For how long to stay away an exchange says of quotes and books alike."""
        for breaker in (self.breaker, self.books_breaker) if error.retry_after_s else (own,):
            breaker.failure(str(error), error.retry_after_s)

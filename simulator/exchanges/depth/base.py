"""Base of what a market says about books that are deeper than the best: deltas, whole books, REST.

The book itself is a `Ladder`, the same for all; an exchange's file spells it, and says how updates follow
one another.
"""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

from simulator.catalogue import Listing
from simulator.exchanges.base import RestCall, RestHandler, RestReply, SimulatedExchange
from simulator.exchanges.perpetual import number_of
from simulator.faults import Fault
from simulator.ladder import Change, Ladder, Rows, View
from simulator.session import Frame, Session


class Depth(ABC):
    """Depth of one market.

    `gone` is the size that it prints of a level that is gone; `paths` are where its whole books are asked
    for, `parameter` names the instrument there, `usual` and `most` are how many levels are answered;
    `budget`: what may be asked for within so many seconds; `idle_s`: it says so of a book that has not
    changed for so long.
    """

    gone: ClassVar[str] = "0"
    paths: tuple[str, ...]
    parameter: ClassVar[str] = "symbol"
    usual: ClassVar[int] = 100
    most: ClassVar[int] = 1000
    budget: tuple[int, float]
    idle_s: ClassVar[float | None] = None

    def __init__(self, exchange: SimulatedExchange) -> None:
        self.exchange = exchange
        self.changed_s: dict[str, float] = {}
        self.dice = Random(f"{exchange.key}/depth")  # noqa: S311 - fault dice, no secret  # nosec B311 # no secret
        self._stale: dict[str, View] = {}
        self._asked: deque[tuple[float, int]] = deque()

    # --- the dialect -----------------------------------------------------------------------------

    @abstractmethod
    def frames(
        self, topic: str, variant: str, listing: Listing, ladder: Ladder, change: Change
    ) -> Sequence[Frame]:
        """The frames that push a change which the ladder has just made."""

    def opening(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """The frames that a subscription begins with; none where a whole book has to be asked for."""
        return ()

    def idle(self, topic: str, variant: str, listing: Listing, ladder: Ladder) -> Sequence[Frame]:
        """The frames of a book that has not changed for `idle_s`."""
        return ()

    @abstractmethod
    def whole(self, call: RestCall, listing: Listing, view: View) -> Any:
        """The answer to a request for a whole book, `view.bids` and `view.asks` as many as it asked for."""

    @abstractmethod
    def unknown(self, call: RestCall) -> RestReply:
        """The answer about an instrument that is not listed."""

    @abstractmethod
    def too_many(self) -> RestReply:
        """The answer to a client that asks too often."""

    def listing_of(self, call: RestCall) -> Listing | None:
        """The instrument that a request is about."""
        return self.exchange.find(call.query.get(self.parameter, ""))

    def levels(self, call: RestCall) -> int:
        """How many levels a request asks for."""
        return number_of(call, "limit", self.usual)

    def cost(self, call: RestCall) -> int:
        """Return how much a request takes from the budget."""
        return 1

    def restart(self, fault: Fault) -> None:
        """Begin to count again with the next change of each book that is followed."""
        for channel, symbol in self.exchange.subscribers:
            if channel == "depth" and fault.concerns(symbol):
                ladder = self.exchange.source.ladder(self.exchange, self.exchange.listings[symbol])
                if ladder is not None:
                    ladder.restart()

    # --- shared ----------------------------------------------------------------------------------

    def routes(self) -> dict[str, RestHandler]:
        """Where whole books are asked for."""
        return {f"GET {path}": self._reply for path in self.paths}

    def greet(self, session: Session, topic: str, listing: Listing) -> None:
        """Begin a subscription."""
        ladder = self.exchange.source.ladder(self.exchange, listing)
        silent = self.exchange.quiet or self.exchange.fault("depth-silence", listing) is not None
        if ladder is not None and not silent:
            for frame in self.opening(topic, session.variant, listing, ladder):
                session.push(frame)

    def checksum(self, listing: Listing, ladder: Ladder, *, whole: bool = False) -> int:
        """The checksum a frame has: 0 since 2026; as long as a fault makes some, a share of them wrong."""
        share = self.exchange.fault("depth-checksum", listing)
        if share is None:
            return 0
        is_wrong = not whole and self.dice.random() < share
        return ladder.checksum() ^ is_wrong

    def _reply(self, call: RestCall) -> Any:
        if self._is_over(self.cost(call)):
            return self.too_many()
        listing = self.listing_of(call)
        if listing is None:
            return self.unknown(call)
        ladder = self.exchange.source.ladder(self.exchange, listing)
        if ladder is None:
            return self.exchange.not_found(call)
        return self.whole(call, listing, self._view(listing, ladder, min(self.levels(call), self.most)))

    def _view(self, listing: Listing, ladder: Ladder, levels: int) -> View:
        """The book now, or as it was when a fault that makes it stand still was noticed first."""
        if self.exchange.fault("depth-stale", listing) is None:
            self._stale.pop(listing.symbol, None)
            return ladder.view(levels)
        view = self._stale.setdefault(listing.symbol, ladder.view())
        return View(view.bids[:levels], view.asks[:levels], view.number, view.last, view.ts_ms)

    def _is_over(self, cost: int) -> bool:
        """Whether a request is too much, which then takes nothing from the budget."""
        most, seconds = self.budget
        now = time.monotonic()
        since = max(now - seconds * self.exchange.time_scale, self.exchange.late_at)
        while self._asked and self._asked[0][0] <= since:  # of what waited nobody knows when it was sent
            self._asked.popleft()
        if sum(each for _, each in self._asked) + cost > most:
            return True
        self._asked.append((now, cost))
        return False


def pairs(rows: Rows) -> str:
    """Levels as JSON lists of texts."""
    return "[" + ",".join([f'["{price}","{size}"]' for price, size in rows]) + "]"


def numbers(rows: Rows) -> list[list[float]]:
    """Levels as lists of numbers."""
    return [[float(price), float(size)] for price, size in rows]

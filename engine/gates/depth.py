"""Depth at a size: whether both order books leave what a filter asks at its own size, and what limits it.

Live it asks the books that this process follows. A leg whose book is not followed has its best levels only;
one whose book is not known now is unknown, never what it was last. Plain Python, no Django, no clock.
"""

from collections.abc import Mapping
from math import isnan, nan
from typing import Final

from msgspec import Struct

from core.names import formats as wording
from core.names.symbols import base_of, quote_of
from engine.books.followed import Books
from engine.books.walk import BothSides, Deal, Levels, Reach, Route, TopOfBook, Unit
from engine.gates.bits import Verdict
from engine.scan.directions import Direction
from engine.scan.legs import Leg
from markets.config import FilterConfig, GateTerms, MarketConfig
from markets.events import PROFIT_SIZES, AtDepth
from markets.worth.reference import REFERENCE, is_dollar

NOT_FOLLOWED: Final = "its depth is not followed"
NOT_RECORDED: Final = "no depth is recorded"

_LISTS: Final[dict[BothSides, str]] = {"buy": "asks", "sell": "bids"}
_LEVELS: Final[dict[BothSides, str]] = {"buy": "ask", "sell": "bid"}


class Asked(Struct, frozen=True):
    """Conditions of a filter at its own size; money in the reference currency."""

    size: float
    least_edge_bps: float
    least_profit: float | None

    @property
    def words(self) -> str:
        """Words for the condition."""
        edge = f"an edge of at least {wording.share(self.least_edge_bps)} bps at {_in_reference(self.size)}"
        if self.least_profit is None:
            return edge
        return f"{edge}, and a profit of at least {_in_reference(self.least_profit)}"


def asked_of(follows: FilterConfig | None, terms: GateTerms) -> Asked | None:
    """Conditions of a filter on depth; None: it has no size, so it does not ask."""
    if follows is None or follows.my_size is None:
        return None
    own_bps = follows.min_edge_at_size_bps
    least_bps = terms.min_edge_at_size_bps if own_bps is None else own_bps
    return Asked(follows.my_size, least_bps, follows.min_profit)


class Walked(Struct, frozen=True):
    """Books of both legs of a direction as of a moment, to be walked at any size."""

    legs: dict[BothSides, Leg]
    levels: dict[BothSides, Levels]
    route: Route
    now_mono_ns: int

    @classmethod
    def of(cls, buy: Leg, sell: Leg, books: Books | None, now_mono_ns: int) -> "Walked":
        """Take the book of each leg, or its best levels where that is not followed."""
        (bought, buy_unit), (sold, sell_unit) = _levels(buy, books), _levels(sell, books)
        route = Route(bought, sold, _fee(buy), _fee(sell), (buy_unit, sell_unit))
        return cls({"buy": buy, "sell": sell}, {"buy": bought, "sell": sold}, route, now_mono_ns)

    @property
    def worth(self) -> float:
        """Worth of one of the pair's quote currency in the reference; NaN: not known."""
        return self.legs["buy"].worth

    def at(self, size: float) -> Deal | None:
        """Buy and sell for so much of the reference currency; None: not known."""
        return None if isnan(self.worth) else self.route.at_quote(size / self.worth, self.now_mono_ns)

    def verdict(self, asked: Asked) -> Verdict:
        """Whether both books leave what is asked."""
        deal = self.at(asked.size)
        if deal is None:
            return "fail" if self._is_below_a_lot(asked.size) else "unknown"
        if asked.least_profit is not None and not deal.profit * self.worth >= asked.least_profit:
            return "fail"
        return "pass" if deal.edge_bps >= asked.least_edge_bps else "fail"

    def measured(self, my_size: float | None) -> AtDepth | None:
        """Profits and the best size, as an opportunity keeps them; None where a book is not known."""
        if isnan(self.worth) or not self.route.is_known(self.now_mono_ns):
            return None
        small, middle, large = (self._profit(self.at(size)) for size in PROFIT_SIZES)
        mine = None if my_size is None else self.at(my_size)
        best = self.route.best(self.now_mono_ns)
        return AtDepth(
            (small, middle, large),
            best.deal.buy.quote * self.worth if best else 0.0,
            best.deal.profit * self.worth if best else 0.0,
            None if mine is None else mine.edge_bps,
            self._profit(mine),
        )

    def _profit(self, deal: Deal | None) -> float | None:
        return None if deal is None else deal.profit * self.worth

    def _is_below_a_lot(self, size: float) -> bool:
        lot, ask = self.route.lot, self.legs["buy"].ask
        return lot > 0.0 and self.route.is_known(self.now_mono_ns) and size < lot * ask * self.worth

    # --- in words --------------------------------------------------------------------------------

    def value(self, asked: Asked) -> str:
        """Edge and profit at the size, in short."""
        deal = self.at(asked.size)
        return "unknown" if deal is None else f"{wording.bps(deal.edge_bps)}, {self._money(deal.profit)}"

    def words(self, asked: Asked, names: Mapping[str, str], missing: str) -> str:
        """Words for the measurement, and for what limits it; `missing` says why a leg has no book."""
        deal, size = self.at(asked.size), _in_reference(asked.size)
        if deal is None:
            return self._why_unknown(asked, names, missing)
        called = {side: names.get(leg.exchange, leg.exchange) for side, leg in self.legs.items()}
        reach = self.route.largest(asked.least_edge_bps, self.now_mono_ns)
        return (
            f"at {size} the edge is {wording.bps(deal.edge_bps)} and the profit {self._money(deal.profit)}: "
            f"bought at {self._price(deal.buy.average)} on {called['buy']}, "
            f"sold at {self._price(deal.sell.average)} on {called['sell']}; "
            f"{self._limit(asked, reach, called, missing)}"
        )

    def _limit(self, asked: Asked, reach: Reach | None, called: dict[BothSides, str], missing: str) -> str:
        edge = f"an edge of {wording.share(asked.least_edge_bps)} bps"
        if reach is None:
            return f"not even the best levels have {edge}"
        most, name = f"{edge} reaches to {self._money(reach.deal.buy.quote)}", called[reach.side]
        if reach.limited_by == "edge":
            level = f"the {_LEVELS[reach.side]} {self._price(reach.price)} of {name}"
            return f"{most}, limited by {level}, level {reach.level + 1}"
        if reach.limited_by == "book":
            return f"{most}, all that is known of the {_LISTS[reach.side]} of {name}"
        return f"{most}, the top of book of {name}: {missing}"

    def _why_unknown(self, asked: Asked, names: Mapping[str, str], missing: str) -> str:
        size, symbol = _in_reference(asked.size), self.legs["buy"].listing.counts_as
        if isnan(self.worth):
            return f"what a {self._quote} is worth is unknown"
        for side, levels in self.levels.items():
            if not levels.is_known(self.now_mono_ns):
                name = names.get(self.legs[side].exchange, self.legs[side].exchange)
                return f"the book of {name} is not known: {levels.resyncing or 'it is silent'}"
        if self._is_below_a_lot(asked.size):
            return f"{size} is less than a lot of {wording.share(self.route.lot)} {base_of(symbol)}"
        held, side = min((self._held(side), side) for side in self.levels)
        name = names.get(self.legs[side].exchange, self.legs[side].exchange)
        if isinstance(self.levels[side], TopOfBook):
            return f"the top of book of {name} holds {self._money(held)} of {size}, and {missing}"
        return f"the {_LISTS[side]} of {name} that are known hold {self._money(held)} of {size}"

    def _held(self, side: BothSides) -> float:
        """Money in a side of a book, in the pair's quote currency."""
        levels, leg = self.levels[side], self.legs[side]
        own = sum(price * size for price, size in (levels.asks if side == "buy" else levels.bids).top())
        return own if isinstance(levels, TopOfBook) else own * leg.scale * leg.listing.multiplier

    @property
    def _quote(self) -> str:
        return quote_of(self.legs["buy"].listing.counts_as)

    def _price(self, price: float) -> str:
        return f"{wording.price(price)} {self._quote}"

    def _money(self, amount: float) -> str:
        if is_dollar(self._quote):
            return f"{wording.amount(amount)} {self._quote}"
        return _in_reference(amount * self.worth)


class Depth:
    """Depth of a scanner's directions; without books nothing but the best levels is known."""

    def __init__(self, books: Books | None = None) -> None:
        self.books = books
        self._names: dict[str, str] = {}

    def configure(self, config: MarketConfig) -> None:
        """Take over what words call the exchanges."""
        self._names = {row.key: row.name for row in config.exchanges}

    def leaves(self, direction: Direction, asked: Asked, now_mono_ns: int) -> bool:
        """Whether both books leave what a filter asks at its size."""
        walked = Walked.of(direction.buy, direction.sell, self.books, now_mono_ns)
        return walked.verdict(asked) == "pass"

    def lack(self, direction: Direction, asked: Asked, now_mono_ns: int) -> str:
        """Words for what they lack, which take far longer to find than that they do."""
        walked = Walked.of(direction.buy, direction.sell, self.books, now_mono_ns)
        missing = NOT_RECORDED if self.books is None else NOT_FOLLOWED
        return f"depth: {walked.words(asked, self._names, missing)}"

    def measured(self, direction: Direction, my_size: float | None, now_mono_ns: int) -> AtDepth | None:
        """Depth that is kept of an opportunity; None where a book is not followed, or not known."""
        buy, sell, books = direction.buy, direction.sell, self.books
        if books is None or _book(buy, books) is None or _book(sell, books) is None:
            return None
        return Walked.of(buy, sell, books, now_mono_ns).measured(my_size)


def _book(leg: Leg, books: Books) -> Levels | None:
    return books.get(leg.exchange, leg.listing.symbol)


def _levels(leg: Leg, books: Books | None) -> tuple[Levels, Unit]:
    listing = leg.listing
    lot = (listing.lot_size or 0.0) * listing.multiplier
    book = None if books is None else _book(leg, books)
    if book is None:
        return TopOfBook(leg.bid, leg.bid_size, leg.ask, leg.ask_size), Unit(lot=lot)
    return book, Unit(leg.scale, listing.multiplier, lot)


def _fee(leg: Leg) -> float:
    return nan if leg.taker_fee_bps is None else leg.taker_fee_bps / 10_000


def _in_reference(amount: float) -> str:
    return f"{wording.amount(amount)} {REFERENCE}"

"""Cost of a size in a book, and profit of buying it in one and selling it in another. Pure.

A walk takes the levels from the best on, as a market order of that size would. Everything is unknown (None)
where a book is resyncing or silent, and where it ends before the size is reached. Sizes are in coins, money
is in quote currency, both as the pair has them (`Unit`); the edge is that of the average prices by the one
formula, `engine.pricing.edge_bps`. A leg whose book is not followed has its best levels only (`TopOfBook`).
"""

from math import floor
from typing import Final, Literal, Protocol

from msgspec import Struct

from engine.books.side import Side
from engine.pricing import BPS, edge_bps, fee_factor, profit

TOP: Final = "top of book"

LimitedBy = Literal["edge", "book", "top of book"]

BothSides = Literal["buy", "sell"]

NEARLY: Final = 1 - 1e-12
"""A size is reached but for what floats lose."""


class Levels(Protocol):
    """Both sides of a book: what a walk takes from. `resyncing` says in words why they are not known."""

    asks: Side
    bids: Side
    resyncing: str

    def is_known(self, now_mono_ns: int) -> bool:
        """Whether they are what the exchange has now."""


class TopOfBook:
    """Best bid and ask of a leg whose book is not followed: what is behind them nobody knows."""

    __slots__ = ("asks", "bids", "resyncing")

    def __init__(self, bid: float, bid_size: float, ask: float, ask_size: float) -> None:
        self.bids, self.asks = Side(-1.0, 1), Side(1.0, 1)
        for side, price, size in ((self.bids, bid, bid_size), (self.asks, ask, ask_size)):
            if price > 0.0 and size > 0.0:  # not NaN, either
                side.replace(((price, size),))
        self.resyncing = "" if 0.0 < bid <= ask else "it has no usable quote"

    def is_known(self, now_mono_ns: int) -> bool:
        """Whether there is a quote; how old it may be is another gate check."""
        return not self.resyncing


class Unit(Struct, frozen=True, gc=False):
    """Factors that turn prices and sizes of a book into the pair's, and its lot, in the pair's coins.

    A book of 1000PEPE/USDC in a pair of PEPE/USDT has prices × rate / 1000 and sizes × 1000. Orders are whole
    lots; 0: of any size.
    """

    price: float = 1.0
    size: float = 1.0
    lot: float = 0.0


PLAIN: Final = Unit()


class Fill(Struct, frozen=True, gc=False):
    """Deal that a size comes to: `worst` is the price of the last level it takes, the `level`-th, from 0."""

    coins: float
    quote: float
    worst: float
    level: int

    @property
    def average(self) -> float:
        """Average price."""
        return self.quote / self.coins


class Deal(Struct, frozen=True, gc=False):
    """One size bought in one book and sold in the other; `profit` is money after both taker fees."""

    buy: Fill
    sell: Fill
    edge_bps: float
    profit: float


class Reach(Struct, frozen=True, gc=False):
    """The largest size whose edge is high enough, and what limits it.

    `limited_by` a book: all of it that is known is taken, so it may reach further. The limiting level is
    the last of that book, or where it is the edge the one that brings it down: its side, price and place.
    """

    deal: Deal
    limited_by: LimitedBy
    side: BothSides
    price: float
    level: int


def for_coins(side: Side, coins: float) -> Fill | None:
    """Take so many coins from a side; None where it has fewer."""
    left, quote = coins, 0.0
    for level, (key, size) in enumerate(zip(side.keys, side.sizes, strict=True)):
        price = side.sign * key
        if size >= left:
            return Fill(coins, quote + left * price, price, level) if left > 0.0 else None
        left -= size
        quote += size * price
        if left <= coins * (1 - NEARLY):
            return Fill(coins, quote, price, level)
    return None


def for_quote(side: Side, quote: float) -> Fill | None:
    """Take levels of a side worth so much money; None where it has less."""
    left, coins = quote, 0.0
    for level, (key, size) in enumerate(zip(side.keys, side.sizes, strict=True)):
        price = side.sign * key
        value = size * price
        if value >= left:
            return Fill(coins + left / price, quote, price, level) if left > 0.0 else None
        left -= value
        coins += size
        if left <= quote * (1 - NEARLY):
            return Fill(coins, quote, price, level)
    return None


class Route:
    """Buying in one book and selling in another, at both taker fees (fractions: 0.001 is 10 bps).

    The size is rounded down to whole lots of both; what is less than one is no size, so None.
    """

    __slots__ = ("_buy", "_buy_fee", "_buy_unit", "_factor", "_sell", "_sell_unit", "lot")

    def __init__(
        self,
        buy: Levels,
        sell: Levels,
        buy_fee: float,
        sell_fee: float,
        units: tuple[Unit, Unit] = (PLAIN,) * 2,
    ) -> None:
        self._buy, self._sell = buy, sell
        self._buy_unit, self._sell_unit = units
        self._buy_fee = buy_fee
        self._factor = fee_factor(buy_fee, sell_fee)
        self.lot = max(unit.lot for unit in units)  # they are powers of ten, mostly: the coarser holds both

    def is_known(self, now_mono_ns: int) -> bool:
        """Whether both books are."""
        return self._buy.is_known(now_mono_ns) and self._sell.is_known(now_mono_ns)

    @property
    def capped_by(self) -> Literal["", "top of book"]:
        """`top of book` where a leg has no more than its best levels."""
        return TOP if isinstance(self._buy, TopOfBook) or isinstance(self._sell, TopOfBook) else ""

    def at_coins(self, coins: float, now_mono_ns: int) -> Deal | None:
        """Buy and sell so many coins."""
        return self._deal(self._in_lots(coins)) if self.is_known(now_mono_ns) else None

    def at_quote(self, quote: float, now_mono_ns: int) -> Deal | None:
        """Buy coins for so much money, the fee not counted, and sell them."""
        if not self.is_known(now_mono_ns):
            return None
        unit = self._buy_unit
        bought = for_quote(self._buy.asks, quote / (unit.price * unit.size))
        return None if bought is None else self._deal(self._in_lots(bought.coins * unit.size))

    def largest(self, least_edge_bps: float, now_mono_ns: int) -> Reach | None:
        """Return the largest size whose edge is at least this; None where not even the best levels have it.

        The edge of a size never rises with it, so both books are walked at once, to where it is met.
        """
        return self._reach((least_edge_bps + BPS) / self._factor, now_mono_ns, is_spent=True)

    def best(self, now_mono_ns: int) -> Reach | None:
        """Return the size with the highest profit: the largest of which every part has an edge of at least 0.

        None where not even the best levels have one. At `largest(0)` the rest has lost all of the profit.
        """
        return self._reach(BPS / self._factor, now_mono_ns, is_spent=False)

    def _reach(self, dearer: float, now_mono_ns: int, *, is_spent: bool) -> Reach | None:
        """Walk both books while what is sold is worth `dearer` times what is bought.

        With `is_spent` what the first levels have beyond that makes up for the next ones.
        """
        asks, bids = self._buy.asks, self._sell.bids
        if not self.is_known(now_mono_ns) or not asks.keys or not bids.keys:
            return None
        buy, sell = self._buy_unit, self._sell_unit
        ask_at = bid_at = 0
        ask_left, bid_left = asks.sizes[0] * buy.size, bids.sizes[0] * sell.size
        coins = spare = 0.0
        limited_by: LimitedBy = "edge"
        side: BothSides = "buy"
        while True:
            size = min(ask_left, bid_left)
            gain = -bids.keys[bid_at] * sell.price - dearer * asks.keys[ask_at] * buy.price
            if gain < 0.0 and not (is_spent and spare + gain * size >= 0.0):
                coins -= spare / gain if is_spent else 0.0
                break
            coins, spare = coins + size, spare + gain * size
            ask_left, bid_left = ask_left - size, bid_left - size
            side = "buy" if ask_left <= 0.0 else "sell"
            if ask_left <= 0.0:
                if ask_at + 1 == len(asks.keys):
                    limited_by = _source(self._buy)
                    break
                ask_at += 1
                ask_left = asks.sizes[ask_at] * buy.size
            if bid_left <= 0.0:
                if bid_at + 1 == len(bids.keys):
                    limited_by, side = _source(self._sell), "sell"
                    break
                bid_at += 1
                bid_left = bids.sizes[bid_at] * sell.size
        deal = self._deal(self._in_lots(coins))
        if deal is None:
            return None
        if side == "buy":
            return Reach(deal, limited_by, side, asks.keys[ask_at] * buy.price, ask_at)
        return Reach(deal, limited_by, side, -bids.keys[bid_at] * sell.price, bid_at)

    def _in_lots(self, coins: float) -> float:
        return floor(coins / self.lot / NEARLY) * self.lot if self.lot > 0.0 else coins

    def _deal(self, coins: float) -> Deal | None:
        buy = _converted(for_coins(self._buy.asks, coins / self._buy_unit.size), coins, self._buy_unit)
        sell = _converted(for_coins(self._sell.bids, coins / self._sell_unit.size), coins, self._sell_unit)
        if buy is None or sell is None:
            return None
        edge = edge_bps(sell.average, buy.average, self._factor)
        return Deal(buy, sell, edge, profit(buy.quote, self._buy_fee, edge))


def _converted(fill: Fill | None, coins: float, unit: Unit) -> Fill | None:
    """A fill of a book's own coins and money as the pair has them."""
    if fill is None or unit is PLAIN:
        return fill
    return Fill(coins, fill.quote * unit.price * unit.size, fill.worst * unit.price, fill.level)


def _source(levels: Levels) -> LimitedBy:
    return TOP if isinstance(levels, TopOfBook) else "book"

"""Cost of a size in a book, and profit of buying it in one and selling it in another. Pure.

A walk takes the levels from the best on, as a market order of that size would. Everything is unknown (None)
where a book is resyncing or silent, and where it ends before the size is reached. Sizes are in coins, money
is in quote currency; the edge is that of the average prices by the one formula, `engine.pricing.edge_bps`.
"""

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

from engine.books.book import Book
from engine.books.side import Side
from engine.pricing import BPS, edge_bps, fee_factor

LimitedBy = Literal["edge", "buy book", "sell book"]

NEARLY: Final = 1 - 1e-12
"""A size is reached but for what floats lose."""


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
    side: Literal["buy", "sell"]
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
    """Buying in one book and selling in another, at both taker fees (fractions: 0.001 is 10 bps)."""

    __slots__ = ("_buy", "_buy_fee", "_factor", "_sell")

    def __init__(self, buy: Book, sell: Book, buy_fee: float, sell_fee: float) -> None:
        self._buy, self._sell = buy, sell
        self._buy_fee = buy_fee
        self._factor = fee_factor(buy_fee, sell_fee)

    def at_coins(self, coins: float, now_mono_ns: int) -> Deal | None:
        """Buy and sell so many coins."""
        if not self._is_known(now_mono_ns):
            return None
        return self._deal(for_coins(self._buy.asks, coins))

    def at_quote(self, quote: float, now_mono_ns: int) -> Deal | None:
        """Buy coins for so much money, the fee not counted, and sell them."""
        if not self._is_known(now_mono_ns):
            return None
        return self._deal(for_quote(self._buy.asks, quote))

    def largest(self, least_edge_bps: float, now_mono_ns: int) -> Reach | None:
        """Return the largest size whose edge is at least this; None where not even the best levels have it.

        The edge of a size never rises with it, so both books are walked at once, to where it is met.
        """
        asks, bids = self._buy.asks, self._sell.bids
        if not self._is_known(now_mono_ns) or not asks.keys or not bids.keys:
            return None
        dearer = (least_edge_bps + BPS) / self._factor  # how often the value bought the one sold must be
        coins = spare = 0.0  # spare: money by which what was sold so far is above that
        limited_by, at = _shorter(asks, bids), (0, 0)
        for size, *levels in _pieces(asks, bids):
            gain = -bids.keys[levels[1]] - dearer * asks.keys[levels[0]]
            if spare + gain * size < 0.0:
                coins -= spare / gain
                limited_by = "edge"
                break
            coins, spare, at = coins + size, spare + gain * size, (levels[0], levels[1])
        deal = self._deal(for_coins(asks, coins))
        if deal is None:
            return None
        side: Literal["buy", "sell"] = "sell" if limited_by == "sell book" else "buy"
        if limited_by == "edge" and levels[0] == at[0] and levels[1] > at[1]:
            side = "sell"
        level = levels[0 if side == "buy" else 1]
        price = asks.keys[level] if side == "buy" else -bids.keys[level]
        return Reach(deal, limited_by, side, price, level)

    def _is_known(self, now_mono_ns: int) -> bool:
        return self._buy.is_known(now_mono_ns) and self._sell.is_known(now_mono_ns)

    def _deal(self, buy: Fill | None) -> Deal | None:
        sell = for_coins(self._sell.bids, buy.coins) if buy else None
        if buy is None or sell is None:
            return None
        edge = edge_bps(sell.average, buy.average, self._factor)
        return Deal(buy, sell, edge, buy.quote * (1 + self._buy_fee) * edge / BPS)


def _pieces(asks: Side, bids: Side) -> Iterator[tuple[float, int, int]]:
    """Sizes that are bought at one level and sold at one, and both levels, until a side ends."""
    ask_at = bid_at = 0
    ask_left, bid_left = asks.sizes[0], bids.sizes[0]
    while True:
        size = min(ask_left, bid_left)
        yield size, ask_at, bid_at
        ask_left, bid_left = ask_left - size, bid_left - size
        if ask_left <= 0.0:
            ask_at += 1
            if ask_at == len(asks.keys):
                return
            ask_left = asks.sizes[ask_at]
        if bid_left <= 0.0:
            bid_at += 1
            if bid_at == len(bids.keys):
                return
            bid_left = bids.sizes[bid_at]


def _shorter(asks: Side, bids: Side) -> LimitedBy:
    return "buy book" if sum(asks.sizes) <= sum(bids.sizes) else "sell book"

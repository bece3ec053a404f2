"""Edge and profit of the scanner's rows at a size: both books are walked where they are followed.

Pure: numpy. A book is walked in the terms of the symbol that its leg counts as, by `engine.books.columns`. A
row with a leg that is not followed is what its best bid and ask say, for no more than they hold.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.books.columns import Bools, Floats, Ints, Sides, Walk, padded
from engine.pricing import BPS, edge_bps, fee_factor
from realtime.depth.book import Depth
from realtime.depth.wire import LEVELS, Key, unpacked

SIZES: Final = ("at_edge", "at_profit", "at_zero")
"""Columns of a row at a size: edge in bps, profit in quote currency, and the money it is reached with."""

DEFAULT_SIZE: Final = 1_000.0
"""Size in the reference currency where a view is sorted or limited by one, and names none."""
MAX_SIZE: Final = 1e9

OF: Final = ("unknown", "book", "top")
"""What the figures of a row are of: both books, or the best levels."""
UNKNOWN, BOOK, TOP = range(3)

NEARLY: Final = 1 - 1e-9
"""A size is reached but for what floats lose."""


class Ladders(Struct, frozen=True):
    """Books of all legs at one moment, in the symbols' terms. Nothing of it is ever changed.

    `place` is a leg's number in `bids` and `asks`, -1 where its book is not followed, or not known:
    `unknown` says which. `problems` are by leg, in words.
    """

    place: Ints
    unknown: Bools
    bids: Sides
    asks: Sides
    problems: dict[int, str]

    def is_walked(self, legs: Ints) -> Bools:
        """Whether each leg's book is known."""
        known: Bools = self.place[legs] >= 0
        return known


def none_of(legs: int) -> Ladders:
    """Nothing followed."""
    return ladders_of((), {}, np.ones(legs), np.ones(legs))


def ladders_of(
    depths: Iterable[tuple[Key, Depth]], places: dict[Key, int], scale: Floats, multiplier: Floats
) -> Ladders:
    """Books as they are now; `scale` is what a leg's prices are multiplied with, `multiplier` its sizes."""
    place, unknown = np.full(len(scale), -1), np.zeros(len(scale), bool)
    known: list[int] = []
    sides: tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]] = [], []
    problems: dict[int, str] = {}
    for key, depth in depths:
        leg = places.get(key)
        if leg is None:
            continue
        problem = depth.problem or _why_not_walked(depth, scale[leg])
        if problem:
            unknown[leg], problems[leg] = True, problem
            continue
        place[leg] = len(known)
        known.append(leg)
        for side, levels in zip(sides, (depth.ladder.bids, depth.ladder.asks), strict=True):
            side.append(unpacked(levels))
    by_price, by_size = scale[known][:, None], multiplier[known][:, None]
    bids, asks = (
        Sides(price * by_price, size * by_size) for price, size in (padded(side, LEVELS) for side in sides)
    )
    return Ladders(place, unknown, bids, asks, problems)


def _why_not_walked(depth: Depth, scale: float) -> str:
    if np.isnan(scale):
        return "the rate of its currency is unknown"
    return "" if depth.ladder.bids and depth.ladder.asks else "a side of it is empty"


class Rows(Struct, frozen=True):
    """Rows in their better direction, at best prices: the legs that are bought and sold, and the edge in bps.

    `size` is what both best levels can execute, in quote currency, `worth` what that currency is worth.
    """

    buy: Ints
    sell: Ints
    edge: Floats
    size: Floats
    worth: Floats


class Sized(Struct, frozen=True):
    """Columns of rows at a size; NaN: unknown.

    `reach` is the money that edge and profit are of: the size, or less where no more is known to be there.
    `of` is of `OF`; `is_more`: the zero may lie further than what is known.
    """

    edge: Floats
    profit: Floats
    zero: Floats
    reach: Floats
    of: NDArray[np.uint8]
    is_more: Bools
    size: Floats

    def only(self, rows: NDArray[Any]) -> "Sized":
        """Some of the rows."""
        return Sized(*(getattr(self, name)[rows] for name in self.__struct_fields__))

    @property
    def is_capped(self) -> Bools:
        """Whether less than the size is known to be there."""
        capped: Bools = self.reach < self.size * NEARLY
        return capped


def at_size(rows: Rows, money: float, ladders: Ladders, fee: Floats) -> Sized:
    """Rows at a size of so much money, in the reference currency; `fee` is of every leg, a fraction."""
    size = money / rows.worth
    reach = np.minimum(size, rows.size)
    edge = rows.edge.copy()
    crosses = edge >= 0
    zero = np.where(crosses, rows.size, 0.0)
    zero[np.isnan(edge)] = np.nan
    of = np.full(len(edge), TOP, np.uint8)
    more = crosses.copy()
    profit = reach * (1 + fee[rows.buy]) * edge / BPS
    found = Sized(edge, profit, zero, reach, of, more, size)
    lost = ladders.unknown[rows.buy] | ladders.unknown[rows.sell] | np.isnan(edge) | np.isnan(size)
    _walk(
        np.flatnonzero(ladders.is_walked(rows.buy) & ladders.is_walked(rows.sell) & ~lost),
        rows,
        found,
        ladders,
        fee,
    )
    of[lost] = UNKNOWN
    more[lost] = False
    for column in (edge, profit, zero, reach):
        column[lost] = np.nan
    return found


def _walk(walked: Ints, rows: Rows, found: Sized, ladders: Ladders, fee: Floats) -> None:
    """Take over what both books say of these rows."""
    if not len(walked):
        return
    buy, sell = rows.buy[walked], rows.sell[walked]
    factor = fee_factor(fee[buy], fee[sell])
    walk = Walk(ladders.asks, ladders.place[buy], ladders.bids, ladders.place[sell], factor)
    coins = walk.coins_for(found.size[walked])
    cost, brought = walk.money(coins)
    edge = edge_bps(brought, cost, factor)
    found.of[walked], found.reach[walked], found.edge[walked] = BOOK, cost, edge
    found.profit[walked] = cost * (1 + fee[buy]) * edge / BPS
    until = walk.until_zero()
    found.zero[walked] = walk.money(until)[0]
    found.is_more[walked] = until >= walk.known_coins

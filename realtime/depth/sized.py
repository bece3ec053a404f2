"""Edge and profit of the scanner's rows at a size: both books are walked where they are followed.

Pure: numpy. A book is walked in the terms of the symbol that its leg counts as, by `engine.books.columns`. A
row with a leg that is not followed is what its best bid and ask say, for no more than they hold.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.books.columns import Bools, Floats, Ints, Sides, Walk, padded
from engine.pricing import edge_bps, fee_factor, profit
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
    `walked` and `unknown` say of each row whether both of its books are known, or one is not.
    """

    buy: Ints
    sell: Ints
    edge: Floats
    size: Floats
    worth: Floats
    walked: Bools
    unknown: Bools


class Sized:
    """Columns of rows at a size of so much money, in the reference currency; NaN: unknown.

    Each is computed when it is asked for. `fee` is of every leg, a fraction.
    """

    def __init__(self, rows: Rows, money: float, ladders: Ladders, fee: Floats) -> None:
        self._rows = rows
        self._ladders = ladders
        self._fee = fee
        self._size = money / rows.worth
        self._lost = rows.unknown | np.isnan(rows.edge) | np.isnan(self._size)
        self._walked = np.flatnonzero(rows.walked & ~self._lost)

    @cached_property
    def _walk(self) -> Walk:
        buy, sell = self._rows.buy[self._walked], self._rows.sell[self._walked]
        place = self._ladders.place
        factor = fee_factor(self._fee[buy], self._fee[sell])
        return Walk(self._ladders.asks, place[buy], self._ladders.bids, place[sell], factor)

    @cached_property
    def _money(self) -> tuple[Floats, Floats]:
        """Money that the size costs and brings in the rows that are walked."""
        return self._walk.money(self._walk.coins_for(self._size[self._walked]))

    @cached_property
    def _until(self) -> Floats:
        return self._walk.until_zero()

    @cached_property
    def reach(self) -> Floats:
        """Money that edge and profit are of: the size, or less where no more is known to be there."""
        return self._column(np.minimum(self._size, self._rows.size), self._money[0])

    @cached_property
    def edge(self) -> Floats:
        """Edge of the average prices, bps."""
        cost, brought = self._money
        return self._column(self._rows.edge.copy(), edge_bps(brought, cost, self._walk.factor))

    @cached_property
    def profit(self) -> Floats:
        """Profit in quote currency."""
        found: Floats = profit(self.reach, self._fee[self._rows.buy], self.edge)
        return found

    @cached_property
    def zero(self) -> Floats:
        """Money up to which the edge is at least zero."""
        found = np.where(self._rows.edge >= 0, self._rows.size, 0.0)
        return self._column(found, self._walk.money(self._until)[0])

    @cached_property
    def is_more(self) -> Bools:
        """Mask of the rows whose zero may lie further than what is known."""
        more: Bools = (self._rows.edge >= 0) & ~self._lost
        more[self._walked] = self._until >= self._walk.known_coins
        return more

    @cached_property
    def is_capped(self) -> Bools:
        """Mask of the rows of which less than the size is known to be there."""
        capped: Bools = self.reach < self._size * NEARLY
        return capped

    @property
    def of(self) -> NDArray[np.uint8]:
        """Source of each row's figures, see `OF`."""
        found = np.full(len(self._lost), TOP, np.uint8)
        found[self._walked], found[self._lost] = BOOK, UNKNOWN
        return found

    def _column(self, best_levels: Floats, walked: Floats) -> Floats:
        best_levels[self._walked], best_levels[self._lost] = walked, np.nan
        return best_levels

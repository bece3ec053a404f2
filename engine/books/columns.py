"""Sides of many books as columns, to walk them for many routes at once; the same as `walk`. Pure numpy.

Levels of all sides lie behind one another. Where a size ends is found by one binary search for all routes:
a level's key is the number of its side plus the share of the side that is reached with it, so keys rise.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.pricing import BPS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Levels = NDArray[np.float64]
"""Rows of price and size in coins, the best first."""

MOST_TANGENTS: Final = 1_000
"""More than both books have levels."""

NOTHING: Final = 1e-13
"""Part of the money that floats lose."""


class Sides:
    """Sides of books, by number; one without levels has nothing to take, and is never asked."""

    def __init__(self, price: Floats, size: Floats) -> None:
        """Take over a row of prices and sizes per side, the best first; behind its last level sizes are 0."""
        self._width = price.shape[1]
        self._counts = np.count_nonzero(size, axis=1)
        self._price, self._size = price.ravel(), size.ravel()
        self.coins, self._coins_before, self._coin_keys = _reached(size)
        self.quote, self._quote_before, self._quote_keys = _reached(size * price)

    def levels(self, side: int) -> Levels:
        """Return the levels of one side, the best first."""
        place = slice(side * self._width, side * self._width + int(self._counts[side]))
        return np.column_stack((self._price[place], self._size[place]))

    def best(self, side: Ints) -> Floats:
        """Best prices."""
        best: Floats = self._price[side * self._width]
        return best

    def price_at(self, side: Ints, coins: Floats) -> Floats:
        """Prices of the levels at which so many coins end."""
        price: Floats = self._price[self._at(self._coin_keys, side, coins / self.coins[side])]
        return price

    def quote_of(self, side: Ints, coins: Floats) -> Floats:
        """Money that so many coins, no more than there are, cost or bring."""
        at = self._at(self._coin_keys, side, coins / self.coins[side])
        return self._quote_before[at] + (coins - self._coins_before[at]) * self._price[at]

    def coins_of(self, side: Ints, quote: Floats) -> Floats:
        """Coins that so much money, no more than there is, comes to."""
        at = self._at(self._quote_keys, side, quote / self.quote[side])
        return self._coins_before[at] + (quote - self._quote_before[at]) / self._price[at]

    def _at(self, keys: Floats, side: Ints, share: Floats) -> Ints:
        """Levels that a share of each side ends in."""
        first = side * self._width
        found = np.searchsorted(keys, side + np.minimum(share, 1.0))
        return np.clip(found, first, first + self._counts[side] - 1)


def padded(sides: Sequence[Levels], width: int) -> tuple[Floats, Floats]:
    """Prices and sizes of sides as rows of one width."""
    levels = np.zeros((len(sides), width, 2))
    for row, side in enumerate(sides):
        levels[row, : len(side)] = side
    return levels[:, :, 0], levels[:, :, 1]


def _reached(amounts: Floats) -> tuple[Floats, Floats, Floats]:
    """Total of every side, what lies before every level, and its key."""
    reached = np.cumsum(amounts, axis=1)
    total = reached[:, -1]
    keys = np.arange(len(amounts))[:, None] + reached / np.where(total > 0.0, total, 1.0)[:, None]
    return total, (reached - amounts).ravel(), keys.ravel()


class Walk:
    """Routes through books: the numbers of the asks that are bought and the bids that are sold, and by what
    factor the money of each is to be multiplied to be of one currency (coins are the routes' own)."""

    def __init__(self, asks: Sides, buy: Ints, bids: Sides, sell: Ints, factor: Floats) -> None:
        self._asks, self._buy, self._bids, self._sell = asks, buy, bids, sell
        self._factor = factor / BPS  # rest of one after both taker fees

    @property
    def factor(self) -> Floats:
        """Rest of 10,000 after both taker fees."""
        factor: Floats = self._factor * BPS
        return factor

    @property
    def known_coins(self) -> Floats:
        """Coins that both books are known to hold."""
        held: Floats = np.minimum(self._asks.coins[self._buy], self._bids.coins[self._sell])
        return held

    def coins_for(self, quote: Floats) -> Floats:
        """Coins that are bought for so much money, no more than both books are known to hold."""
        affordable = self._asks.coins_of(self._buy, np.minimum(quote, self._asks.quote[self._buy]))
        held: Floats = np.minimum(affordable, self.known_coins)
        return held

    def money(self, coins: Floats) -> tuple[Floats, Floats]:
        """Money that they cost, and that they bring."""
        return self._asks.quote_of(self._buy, coins), self._bids.quote_of(self._sell, coins)

    def until_zero(self) -> Floats:
        """Coins up to which the edge is at least zero; all that are known where it never comes down.

        Zero where not even the best levels have one. The gain of a size rises as long as levels still cross,
        and then falls ever faster: from the right the root of its tangent never falls short of its own, and
        meets it at a level.
        """
        crosses = self._bids.best(self._sell) * self._factor >= self._asks.best(self._buy)
        coins = np.where(crosses, self.known_coins, 0.0)
        left = np.flatnonzero(crosses)
        for _ in range(MOST_TANGENTS):
            some = Walk(self._asks, self._buy[left], self._bids, self._sell[left], self._factor[left] * BPS)
            cost, brought = some.money(coins[left])
            gain = brought * some._factor - cost
            loses = gain < -NOTHING * cost
            if not loses.any():
                break
            left, at = left[loses], coins[left[loses]]
            buy, sell = some._buy[loses], some._sell[loses]
            slope = self._bids.price_at(sell, at) * some._factor[loses] - self._asks.price_at(buy, at)
            coins[left] = at - gain[loses] / slope
        return coins

    def best(self) -> float:
        """Coins with the highest profit, of the first route: all levels that cross; 0 where none do."""
        buy, sell = int(self._buy[0]), int(self._sell[0])
        steps = [np.cumsum(side[:, 1]) for side in (self._asks.levels(buy), self._bids.levels(sell))]
        coins = np.concatenate(([0.0], *steps))
        coins = np.sort(coins[coins <= self.known_coins[0]])
        same = np.zeros(len(coins), np.int64)
        each = Walk(
            self._asks, same + buy, self._bids, same + sell, np.full(len(coins), self._factor[0] * BPS)
        )
        return float(coins[np.argmax(each._gain(coins))])

    def _gain(self, coins: Floats) -> Floats:
        cost, brought = self.money(coins)
        gain: Floats = brought * self._factor - cost
        return gain

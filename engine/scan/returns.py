"""Evidence of sampled prices about two books: their ratio, how they move together, and what the market
explains.

Plain numpy, no Django, no clock. Columns are legs or pairs, rows are samples; NaN is a missing sample.
`engine.scan.identity` keeps the samples and draws the verdicts.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RETURN_SAMPLES: Final = 60
RETURN_OVER: Final = 3
"""Samples that a return spans."""

MIN_MOVES: Final = 40
"""Samples in which both prices moved, before their correlation says anything."""

MIN_OWN_MOVES: Final = 30
"""Samples in which both moved beyond the market, before their agreement says anything."""

LEAST_COINS: Final = 10
"""Symbols that make a market: among fewer, what all do cannot be distinguished from what one does."""

LEAP: Final = 5
"""A move so many times the market's usual one is a coin's own, and says nothing of how it follows."""

UNCERTAIN: Final = 1.25
"""A move beyond the market counts from so many standard errors of the market's on."""

OVERLAP: Final = (2 * RETURN_OVER**2 + 1) / (3 * RETURN_OVER)
"""How many overlapping returns say as much as one that stands alone."""

Samples = NDArray[np.float32]
Signs = NDArray[np.int8]


class MarketMoves:
    """Moves of the whole market over the last `RETURN_SAMPLES` samples, and their error.

    The move is the mean of the middle half of all moves. How far that may be from the truth is seen by
    asking either half of the coins alone: few coins, each with moves of its own, make a poor market, and two
    coins that have nothing in common but the market seem to agree where that error is counted as a move.
    """

    def __init__(self) -> None:
        self.returns: Samples = np.full((RETURN_SAMPLES, 1), np.nan, np.float32)
        self._apart = np.full(RETURN_SAMPLES, np.nan)
        self.taken = 0
        """How many samples there were."""

    def take(self, returns: NDArray[np.float64], coins: NDArray[np.intp]) -> None:
        """Take the newest return of every leg; `coins` numbers the symbols they are of."""
        place = self.taken % RETURN_SAMPLES
        self.taken += 1
        self.returns[place] = self._apart[place] = np.nan
        moved = (returns != 0) & ~np.isnan(returns)
        returns, coins = returns[moved], coins[moved]
        if len(np.unique(coins)) < LEAST_COINS:
            return
        self.returns[place] = _middle(returns)
        even = coins % 2 == 0
        if even.any() and not even.all():
            self._apart[place] = _middle(returns[even]) - _middle(returns[~even])

    @property
    def error(self) -> float:
        """The standard error of what the market did; NaN: not known."""
        known = ~np.isnan(self._apart)
        if not known.any():
            return np.nan
        apart, moves = self._apart[known], self.returns[known, 0].astype(float)
        shared = moves @ moves
        own = apart - (apart @ moves / shared * moves if shared else 0)  # halves may follow more or less
        return float(np.sqrt(np.mean(own**2)) / 2)


def medians(samples: Samples) -> tuple[Samples, NDArray[np.intp]]:
    """Median and number of each column's values, NaN left out."""
    ordered = np.sort(samples, axis=0)  # NaN last
    count = np.count_nonzero(~np.isnan(samples), axis=0)
    columns = np.arange(samples.shape[1])
    lower = ordered[np.maximum(count - 1, 0) // 2, columns]
    upper = ordered[count // 2, columns]
    return (lower + upper) / 2, count


def correlations(one: Samples, two: Samples) -> tuple[Samples, NDArray[np.intp]]:
    """Correlation of each pair of columns over the samples in which both moved, and their number.

    NaN where fewer than MIN_MOVES did.
    """
    product = one * two
    moved = (product != 0) & ~np.isnan(product)
    x, y = np.where(moved, one, 0), np.where(moved, two, 0)
    n = np.count_nonzero(moved, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = _sums(x, y) - x.sum(axis=0) * y.sum(axis=0) / n
        spread = np.sqrt(_variance(x, n) * _variance(y, n))
        return np.where(n >= MIN_MOVES, covariance / spread, np.nan).astype(np.float32), n


def own_moves(returns: Samples, market: MarketMoves) -> Signs:
    """Sign of each leg's own move: of what the market does not explain, by least squares.

    0 where it did not move, or by no more than the market is known. Signs are counted, not sizes, so that one
    leap of one price, as every opportunity begins with, decides nothing.
    """
    moves, error = market.returns, market.error
    if np.isnan(error):
        return np.zeros(returns.shape, np.int8)
    moved = ~np.isnan(returns) & ~np.isnan(moves)
    own, common = np.where(moved, returns, 0), np.where(moved, moves, 0)
    calm = np.abs(own) <= LEAP * np.nanmean(np.abs(moves))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(_sums(own * calm, common) / _sums(common * calm, common))
    beyond = np.where(own != 0, own - share * common, 0)
    signs: Signs = (np.sign(beyond) * (np.abs(beyond) > UNCERTAIN * np.abs(share) * error)).astype(np.int8)
    return signs


def agreement(one: Signs, two: Signs) -> NDArray[np.float64]:
    """Share of each pair of columns' own moves that go the same way, less twice its own standard error.

    NaN where fewer than MIN_OWN_MOVES say anything.
    """
    same = one * two
    n = np.count_nonzero(same, axis=0)
    share = np.count_nonzero(same > 0, axis=0) / np.maximum(n, 1)
    error = np.sqrt(share * (1 - share) * OVERLAP / np.maximum(n, 1))
    return np.where(n >= MIN_OWN_MOVES, share - 2 * error, np.nan)


def _middle(values: NDArray[np.float64]) -> float:
    """The mean of the middle half."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def _variance(values: Samples, n: NDArray[np.intp]) -> Any:
    return _sums(values, values) - values.sum(axis=0) ** 2 / n


def _sums(one: Samples, two: Samples) -> Any:
    return np.einsum("ij,ij->j", one, two)

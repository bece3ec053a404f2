"""Windows that make a value depend on nothing but the seconds in them, whatever else was loaded.

Sums are added oldest first, second by second: a running sum would carry the rounding of all that came before,
and training and live values would differ in their last bits. For the same reason indicators with a memory
start again every minute, LOOK_BACK_S before it.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from orderbook.ml.grid import Grid, Values

MINUTE_S: Final = 60
LOOK_BACK_S: Final = 120
"""Seconds before each minute that an indicator starts from: MACD's slowest mean has 0.01 % of its weight
beyond them (25/27 to the power of 120)."""


def window_sum(values: Values, seconds: int) -> Values:
    """Sum of the last `seconds` values; NaN where one of them is, or lies before the grid."""
    total = np.full_like(values, np.nan)
    width = values.shape[1] - seconds + 1
    if width > 0:
        added = values[:, :width].copy()
        for offset in range(1, seconds):
            added += values[:, offset : offset + width]
        total[:, seconds - 1 :] = added
    return total


def before(values: Values) -> Values:
    """Value of one second earlier."""
    shifted = np.full_like(values, np.nan)
    shifted[:, 1:] = values[:, :-1]
    return shifted


def by_minute(
    indicator: Callable[[Values], tuple[Values, ...]], values: Values, grid: Grid, outputs: int
) -> list[Values]:
    """Run an indicator over each minute and the LOOK_BACK_S before it, from its start.

    A value is NaN unless all seconds from that start to its own are known.
    """
    results = [np.full_like(values, np.nan) for _ in range(outputs)]
    until = _known_until(values)
    first_minute = -(-(grid.start_s + LOOK_BACK_S) // MINUTE_S) * MINUTE_S
    for start in range(first_minute - grid.start_s, grid.seconds, MINUTE_S):
        begin, end = start - LOOK_BACK_S, min(start + MINUTE_S, grid.seconds)
        for key in np.flatnonzero(until[:, begin] > start):
            stop = min(int(until[key, begin]), end)
            for result, found in zip(results, indicator(values[key, begin:stop]), strict=True):
                result[key, start:stop] = found[LOOK_BACK_S:]
    return results


def _known_until(values: Values) -> np.ndarray:
    """Column of the first NaN at or after each column."""
    columns = np.arange(values.shape[1])
    unknown = np.where(np.isnan(values), columns, values.shape[1])
    return np.minimum.accumulate(unknown[:, ::-1], axis=1)[:, ::-1]

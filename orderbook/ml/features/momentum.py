"""Momentum of the mid, by TA-Lib.

    rsi_14          = 100 · U / (U + D); U and D are Wilder's means of the rises and of the falls of the mid,
                      second by second: the mean of the first 14, then mean ← (13 · mean + new) / 14
    macd            = ema_12 − ema_26;  ema_n ← ema_n + 2 / (n + 1) · (mid − ema_n)
    macd_signal     = ema_9 of macd
    macd_histogram  = macd − macd_signal

MACD is in quote currency. The means have a memory without end: they start again every minute, 120 s before it
(`windows`). While the mid has not moved since then, RSI is 0 / 0: unknown.
"""

from typing import Final

import numpy as np
import talib

from orderbook.ml.features.windows import by_minute
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("rsi_14", "macd", "macd_signal", "macd_histogram")


def compute(grid: Grid) -> dict[str, Values]:
    """Return RSI and MACD."""
    return dict(zip(NAMES, by_minute(_indicator, grid.of["mid"], grid, len(NAMES)), strict=True))


def _indicator(mids: Values) -> tuple[Values, ...]:
    has_moved = np.logical_or.accumulate(mids != mids[0])
    rsi = np.where(has_moved, talib.RSI(mids, 14), np.nan)
    return rsi, *talib.MACD(mids, 12, 26, 9)

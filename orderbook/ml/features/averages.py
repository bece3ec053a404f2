"""Moving averages of the mid and the Bollinger bands, by TA-Lib.

Over the last n seconds' mids m, the newest included:

    sma_n             = (m_1 + … + m_n) / n                                     n = 10, 60
    bollinger_middle  = sma_20
    bollinger_upper   = sma_20 + 2 · sqrt((Σ m² / 20) − sma_20²)                 the population's deviation
    bollinger_lower   = sma_20 − 2 · sqrt((Σ m² / 20) − sma_20²)

In quote currency. TA-Lib keeps running sums: they start again every minute (`windows`).
"""

from typing import Final

import talib

from orderbook.ml.features.windows import by_minute
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("sma_10", "sma_60", "bollinger_upper", "bollinger_middle", "bollinger_lower")


def compute(grid: Grid) -> dict[str, Values]:
    """Return the averages and bands."""
    return dict(zip(NAMES, by_minute(_indicator, grid.of["mid"], grid, len(NAMES)), strict=True))


def _indicator(mids: Values) -> tuple[Values, ...]:
    return talib.SMA(mids, 10), talib.SMA(mids, 60), *talib.BBANDS(mids, 20, 2.0, 2.0)

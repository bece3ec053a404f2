"""Realised volatility of the mid.

    realised_volatility_60_bps = sqrt(Σ r²) · 10,000 over the last 60 s;  r = mid / mid' − 1

where ' is the second before. Unknown unless all 61 mids are known. Simple returns and not logarithms: every
step is exact to the bit on any processor, and at one second they differ by half of r².
"""

from typing import Final

import numpy as np

from engine.pricing import BPS
from orderbook.ml.features.windows import before, window_sum
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("realised_volatility_60_bps",)
_WINDOW_S: Final = 60


def compute(grid: Grid) -> dict[str, Values]:
    """Return the volatility."""
    mid = grid.of["mid"]
    returns = mid / before(mid) - 1
    return {NAMES[0]: np.sqrt(window_sum(returns * returns, _WINDOW_S)) * BPS}

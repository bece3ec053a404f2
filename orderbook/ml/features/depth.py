"""Depth near the best prices.

    depth_imbalance_5 = (B − A) / (B + A)

with B and A the sizes of the five best bids and asks of the second's last book. Unknown where depth was not
followed, or no book came for more than 10 s.
"""

from typing import Final

import numpy as np

from orderbook.ml.grid import Grid, Values

NAMES: Final = ("depth_imbalance_5",)


def compute(grid: Grid) -> dict[str, Values]:
    """Return the imbalance."""
    bids, asks = grid.of["bid_depth"], grid.of["ask_depth"]
    both = bids + asks
    return {NAMES[0]: np.where(both > 0, (bids - asks) / np.where(both > 0, both, 1), np.nan)}

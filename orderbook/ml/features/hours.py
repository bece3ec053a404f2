"""Prices of the hours before the present one.

    hour_open_lag_k, hour_high_lag_k, hour_low_lag_k, hour_close_lag_k      k = 1, 2, 3

of the mid in the k-th hour (UTC) before the one that the second lies in: first, highest, lowest and last of
what was quoted then. Unknown where nothing was. The present hour is no feature: it is not over.
"""

from typing import Final

import numpy as np

from orderbook.ml.bars import HOUR_VALUES
from orderbook.ml.grid import HOUR_S, LAGS, Grid, Values

NAMES: Final = tuple(f"hour_{name}_lag_{lag}" for lag in range(1, LAGS + 1) for name in HOUR_VALUES)


def compute(grid: Grid) -> dict[str, Values]:
    """Return the prices by lag."""
    hour = (grid.start_s + np.arange(grid.seconds)) // HOUR_S - grid.first_hour
    found = [grid.hours[name][:, hour - lag] for lag in range(1, LAGS + 1) for name in HOUR_VALUES]
    return dict(zip(NAMES, found, strict=True))

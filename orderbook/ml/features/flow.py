"""Flow: which side takers and quotes push.

    volume_imbalance_60      = (Σ buy_volume − Σ sell_volume) / (Σ buy_volume + Σ sell_volume)
                               over the takers of the last 60 s; unknown without a trade whose side is known
    order_flow_imbalance_10  = Σ e over the last 10 s, in coins (Cont, Kukanov and Stoikov, 2014), with
        e = [bid ≥ bid'] · bid_size − [bid ≤ bid'] · bid_size'
          − [ask ≤ ask'] · ask_size + [ask ≥ ask'] · ask_size'
                               where ' is the second before

Both are unknown unless a quote is known in each second they look at: what was silent may have been down.
"""

from typing import Final

import numpy as np

from orderbook.ml.features.windows import before, window_sum
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("volume_imbalance_60", "order_flow_imbalance_10")
_VOLUME_S: Final = 60
_ORDER_S: Final = 10


def compute(grid: Grid) -> dict[str, Values]:
    """Return the imbalances."""
    return dict(zip(NAMES, (_volume(grid), _orders(grid)), strict=True))


def _volume(grid: Grid) -> Values:
    is_known = ~np.isnan(grid.of["bid"])
    bought, sold = (
        window_sum(np.where(is_known, np.nan_to_num(grid.of[name]), np.nan), _VOLUME_S)
        for name in ("buy_volume", "sell_volume")
    )
    taken = bought + sold
    return np.where(taken > 0, (bought - sold) / np.where(taken > 0, taken, 1), np.nan)


def _orders(grid: Grid) -> Values:
    bid, bid_size, ask, ask_size = (grid.of[name] for name in ("bid", "bid_size", "ask", "ask_size"))
    bid_before, ask_before = before(bid), before(ask)
    flow = (
        (bid >= bid_before) * bid_size
        - (bid <= bid_before) * before(bid_size)
        - (ask <= ask_before) * ask_size
        + (ask >= ask_before) * before(ask_size)
    )
    return window_sum(flow, _ORDER_S)

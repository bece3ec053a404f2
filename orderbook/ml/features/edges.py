"""The edge between this exchange and the best of the others that quote the same symbol.

    edge_bps    = max over others of (bid_other / ask_here · 10,000 − 10,000)
                  buy here, sell there, before fees
    edge_age_s  = the older of both quotes of that pair, in seconds

Unknown where no other exchange has a known quote. Of equal edges the exchange first in the alphabet counts.
Spot and swaps are different symbols and are not compared.
"""

from itertools import groupby
from typing import Final

import numpy as np

from engine.pricing import BPS, edge_bps
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("edge_bps", "edge_age_s")


def compute(grid: Grid) -> dict[str, Values]:
    """Return the best edge of each second, and its age."""
    edges = np.full_like(grid.quote_age_s, np.nan)
    ages_s = np.full_like(grid.quote_age_s, np.nan)
    for _symbol, group in groupby(range(len(grid.keys)), key=lambda place: grid.keys[place][0]):
        places = list(group)
        for here in places:
            if others := [place for place in places if place != here]:
                edges[here], ages_s[here] = _best(grid, here, others)
    return dict(zip(NAMES, (edges, ages_s), strict=True))


def _best(grid: Grid, here: int, others: list[int]) -> tuple[Values, Values]:
    edges = edge_bps(grid.of["bid"][others], grid.of["ask"][here], BPS)
    edges = np.where(np.isnan(edges), -np.inf, edges)
    best = np.argmax(edges, axis=0)[np.newaxis]
    edge = np.take_along_axis(edges, best, axis=0)[0]
    their_age_s = np.take_along_axis(grid.quote_age_s[others], best, axis=0)[0]
    age_s = np.maximum(their_age_s, grid.quote_age_s[here])
    is_known = np.isfinite(edge)
    return np.where(is_known, edge, np.nan), np.where(is_known, age_s, np.nan)

"""The quote of a second's end on one exchange.

    spread_bps              = (ask − bid) / mid · 10,000;  mid = (bid + ask) / 2
    micro_price             = (bid · ask_size + ask · bid_size) / (bid_size + ask_size)
    micro_price_offset_bps  = (micro_price / mid − 1) · 10,000
    quote_age_s             = seconds since the last one that had a quote: 0 to 10

This spread lies between bid and ask of one exchange; the chart's lies between two exchanges' bids.
"""

from typing import Final

from engine.pricing import BPS
from orderbook.ml.grid import Grid, Values

NAMES: Final = ("spread_bps", "micro_price", "micro_price_offset_bps", "quote_age_s")


def compute(grid: Grid) -> dict[str, Values]:
    """Return spread, micro-price and age."""
    bid, bid_size, ask, ask_size, mid = (
        grid.of[name] for name in ("bid", "bid_size", "ask", "ask_size", "mid")
    )
    micro_price = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    offset_bps = (micro_price / mid - 1) * BPS
    return dict(zip(NAMES, ((ask - bid) / mid * BPS, micro_price, offset_bps, grid.quote_age_s), strict=True))

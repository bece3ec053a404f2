"""One side of what the scanner compares: an instrument's last quote, in the terms of the symbol it counts as.

Plain Python, no Django. The scanner writes legs, gates and lifecycle read them.
"""

from math import nan

from markets.config import ListingConfig


class Leg:
    """The newest best bid and ask of one instrument, and how it usually behaves.

    Prices are those of one coin of the symbol it counts as, in that symbol's quote currency: what the
    exchange said, times `scale` (the stablecoin rate over the multiplier). Sizes are in that coin.
    `bid` and `ask` are NaN while there is no usable quote: never seen, or not since the stream was
    interrupted.
    """

    __slots__ = (
        "ask", "ask_size", "bid", "bid_size", "gap_ms", "jumped", "listing", "quotes", "reason",
        "received_mono_ns", "received_ts_us", "scale", "up",
    )  # fmt: skip

    def __init__(self, listing: ListingConfig) -> None:
        self.listing = listing
        self.scale = 1 / listing.multiplier
        self.bid = self.ask = self.bid_size = self.ask_size = nan
        self.received_mono_ns = 0
        self.received_ts_us = 0
        self.gap_ms = nan  # its usual time between two quotes, a moving average
        self.quotes = 0
        self.jumped = False  # the last quote is far from the one before, and not confirmed yet
        self.up = True  # until a StreamState says otherwise
        self.reason = ""  # why it is not up, in the connection's words

    @property
    def exchange(self) -> str:
        """The venue's key."""
        return self.listing.exchange

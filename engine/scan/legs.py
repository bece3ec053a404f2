"""One side of what the scanner compares: an instrument's last quote, in the terms of the symbol it counts as.

Plain Python, no Django. The scanner writes legs, gates and lifecycle read them.
"""

from math import inf, isnan, nan
from typing import TYPE_CHECKING, Final

from core.names.market_keys import SWAP, market_of
from core.names.symbols import quote_of
from engine.scan.swaps import SwapLeg
from markets.config import ListingConfig
from markets.events import Quote, StreamState
from markets.worth.reference import is_dollar

if TYPE_CHECKING:
    from engine.scan.directions import Direction


MARKS_MS: Final = 1_000.0
"""How often it is noted what the legs of a symbol cost: for a leg that quotes no oftener, at its quotes."""


class Leg:
    """The newest best bid and ask of one instrument, and how it usually behaves.

    Prices are those of one coin of the symbol it counts as, in that symbol's quote currency: what the
    exchange said, times `scale` (the stablecoin rate over the multiplier). Sizes are in that coin.
    `bid` and `ask` are NaN while there is no usable quote: never seen, not since the stream was
    interrupted, or no rate known (`scale` is NaN then).

    `market` is of all legs of the same symbol, itself included; `sells` and `buys` are the directions that
    sell and buy here, `sell_reach` and `buy_reach` the longest of their reaches.
    """

    __slots__ = (
        "ask", "ask_size", "bid", "bid_size", "buy_reach", "buys", "changed", "gap_ms", "index", "is_plain",
        "jump", "jumped", "late_ns", "listing", "market", "marks", "moved_sent", "quote",
        "quotes", "reason", "received_mono_ns", "received_ts_us", "scale", "sell_reach", "sells", "swap",
        "taker_fee_bps", "up", "worth",
    )  # fmt: skip

    def __init__(self, listing: ListingConfig) -> None:
        self.listing = listing
        self.is_plain = _is_plain(listing)
        self.scale = 1 / listing.multiplier
        self.worth = 1.0  # of one of the symbol's quote currency, in the reference's; NaN: not known
        self.bid = self.ask = self.bid_size = self.ask_size = nan
        self.quote: Quote | None = None  # as the exchange said it, since the stream was last interrupted
        self.received_mono_ns = 0  # set back by `late_ns`, so ages count from here
        self.late_ns = 0  # by how much longer than usual its quote was on the way
        self.received_ts_us = 0
        self.gap_ms = nan  # its usual time between two quotes, a moving average
        self.quotes = 0  # since the stream was last interrupted
        self.jumped = False  # the last quote is far from the one before, and not confirmed yet
        self.jump = 0.0  # how far, as a share of the one before
        self.up = True  # until a StreamState says otherwise
        self.reason = ""  # why it is not up, in the connection's words
        self.index = 0  # its row in the frames
        self.changed = False  # since the last frame
        self.market = Market((self,))
        self.marks: list[float] = []  # what all legs of its market cost when its quote came, about
        self.moved_sent = nan  # `moved_bps` as of its row in the last frame
        self.sells: list[Direction] = []
        self.buys: list[Direction] = []
        self.sell_reach = self.buy_reach = 0.0
        self.taker_fee_bps: float | None = None  # as configured
        self.swap = SwapLeg() if market_of(listing.exchange) == SWAP else None

    def follow(self, listing: ListingConfig) -> None:
        """Apply a configuration; rate and directions have to be set again.

        The quote stays, unless it is another market's that the exchange had under the same name, or its sizes
        are of contracts that hold another number of coins now. What was said of another swap is forgotten.
        """
        old, self.listing = self.listing, listing
        if (listing.native_id, listing.contract_size) != (old.native_id, old.contract_size):
            self._forget()
        if listing.native_id != old.native_id and self.swap is not None:
            self.swap = SwapLeg()
        self.is_plain = _is_plain(listing)
        self.scale, self.worth = 1 / listing.multiplier, 1.0
        self.sells, self.buys = [], []
        self.price()

    def price(self) -> None:
        """Say the quote in the terms of the symbol it counts as; nothing while there is none to use."""
        quote, multiplier = self.quote, self.listing.multiplier
        if quote is None or not self.up or isnan(self.scale):
            self.bid = self.ask = self.bid_size = self.ask_size = nan
            return
        self.bid, self.ask = quote.bid * self.scale, quote.ask * self.scale
        self.bid_size, self.ask_size = quote.bid_size * multiplier, quote.ask_size * multiplier

    def turn(self, state: StreamState) -> None:
        """Follow the stream. After an interruption only a quote received since then counts."""
        if state.state == "up":
            self.up, self.reason = True, ""
        else:
            self.up = self.up and state.state != "down"
            self.reason = state.reason
            self._forget()
        self.price()

    def _forget(self) -> None:
        """No longer believe the last quote."""
        self.quote = None
        self.quotes = 0
        self.jumped = False

    def moved_bps(self, since_mono_ns: int, marks: list[float] | None = None) -> float:
        """Move of the others since its quote came, or since `marks`, by most that quoted since a moment.

        Each is compared with itself, so it does not matter who else came or went. A leg that was silent that
        long vouches for nothing. Of two only what both moved counts. NaN: none quoted.
        """
        moves = sorted(
            move
            for other, mark in zip(self.market.legs, self.marks if marks is None else marks, strict=False)
            if other.received_mono_ns >= since_mono_ns and other is not self and not other.jumped
            if (move := (other.bid + other.ask) / mark - 1) == move
        )
        if not moves:
            return nan
        low, high = moves[(len(moves) - 1) // 2], moves[len(moves) // 2]
        return min(abs(low), abs(high)) * 10_000 if low * high > 0 else 0.0

    def set_reach(self) -> None:
        """Know how far the directions that sell and buy here reach."""
        self.sell_reach = max((direction.reach for direction in self.sells), default=0.0)
        self.buy_reach = max((direction.reach for direction in self.buys), default=0.0)

    @property
    def siblings(self) -> "tuple[Leg, ...]":
        """All legs of the same symbol, itself included."""
        return self.market.legs

    @property
    def exchange(self) -> str:
        """The exchange's key."""
        return self.listing.exchange


def _is_plain(listing: ListingConfig) -> bool:
    """Whether no rate enters: neither a conversion, nor what its amounts are worth."""
    quote = quote_of(listing.counts_as)
    return listing.quote == quote and is_dollar(quote)


class Market:
    """All legs of one symbol, with the best prices anywhere: what they do not reach, no pair reaches.

    They spare most quotes the walk over the symbol's pairs. Infinite the wrong way while there is none.
    `marks` are what `mids` was up to `MARKS_MS` before `marks_due_ns`.
    """

    __slots__ = ("high_bid", "legs", "low_ask", "marks", "marks_due_ns")

    def __init__(self, legs: tuple[Leg, ...]) -> None:
        self.legs = legs
        self.marks: list[float] = []
        self.marks_due_ns = 0
        self.reckon()

    def note(self, now_mono_ns: int) -> None:
        """Take note of what each leg costs."""
        self.marks = self.mids()
        self.marks_due_ns = now_mono_ns + int(MARKS_MS * 1e6)

    def mids(self) -> list[float]:
        """Twice the middle price of each leg; NaN where there is no usable quote."""
        return [leg.bid + leg.ask for leg in self.legs]

    def reckon(self) -> None:
        """Find the best prices again."""
        high_bid, low_ask = -inf, inf
        for leg in self.legs:  # NaN is neither above nor below; max() would cost twice as much
            if leg.bid > high_bid:  # noqa: PLR1730
                high_bid = leg.bid
            if leg.ask < low_ask:  # noqa: PLR1730
                low_ask = leg.ask
        self.high_bid, self.low_ask = high_bid, low_ask

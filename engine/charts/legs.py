"""The legs of charts and the charts themselves, as the spread engine keeps them. Pure."""

from math import isnan, nan
from typing import Final

import numpy as np

from engine.charts.bands import RollingBands
from engine.charts.pairing import NEVER
from engine.charts.points import ChartDelta, ChartState, Points, no_points
from engine.charts.rings import PointRing
from engine.charts.thinning import thin
from engine.conversions import Conversion
from engine.pricing import fee_factors
from engine.rates import conversion
from markets.config import ListingConfig, Opportunity
from markets.events import Quote, StreamState

Trouble = tuple[ChartState, str]
_NS_PER_MS: Final = 1_000_000


class Leg:
    """One instrument: its last quote and whether that may be used."""

    __slots__ = (
        "charts", "enabled", "exchange", "index", "last_mono_ns", "lost", "multiplier", "name", "needs",
        "quote", "scale", "terms", "up", "usable",
    )  # fmt: skip

    def __init__(self, exchange: str) -> None:
        self.exchange = self.name = exchange  # the key of its market, and what words call that
        self.charts: list[Chart] = []
        self.index = -1  # among the legs of charts
        self.multiplier = 1.0  # of an alias, see markets.config.ListingConfig
        self.needs: Conversion | None = None  # the stablecoin rate that makes it comparable
        self.terms: tuple[str, float, Conversion | None] = "", 1.0, None  # which market it is, and these two
        self.scale = 1.0  # makes a price that of one coin, in the quote currency of the charts
        self.enabled = True
        self.up = True  # until a StreamState says otherwise: a quote proves that the stream lives
        self.lost = ""  # why the stream is down or has a gap, in the connection's words
        self.quote: Quote | None = None  # the last one since the stream was last interrupted
        self.usable: Quote | None = None  # the same, or None while the stream is not up
        self.last_mono_ns = 0

    def enable(self, enabled: bool) -> None:
        """Switch with the exchange. Either way nothing from before counts any more."""
        if enabled == self.enabled:
            return
        self.enabled = self.up = enabled
        self._forget("")

    def follow(self, listing: ListingConfig) -> None:
        """Take over what it is compared as. What was quoted under other terms does not count any more."""
        terms = listing.native_id, listing.multiplier, conversion(listing)
        if terms != self.terms:
            self.terms, self.multiplier, self.needs = terms, listing.multiplier, terms[2]
            self.scale = nan if self.needs else 1 / self.multiplier
            self._forget("")

    def convert(self, rate: float) -> bool:
        """Take over the rate of its quote currency, NaN: unknown. Says whether it lost its quote."""
        self.scale = rate / self.multiplier
        lost = self.quote is not None and isnan(rate)
        if lost:
            self._forget("")
        return lost

    def in_terms(self, quote: Quote) -> Quote:
        """A quote in the terms of the symbol it counts as."""
        return Quote(
            quote.exchange, quote.symbol,
            quote.bid * self.scale, quote.bid_size * self.multiplier,
            quote.ask * self.scale, quote.ask_size * self.multiplier,
            quote.exchange_ts_us, quote.received_ts_us, quote.received_mono_ns, quote.late_us,
        )  # fmt: skip

    def turn(self, state: StreamState) -> None:
        """Follow the stream. After an interruption only a quote received since then counts."""
        if state.state == "up":
            self.up = self.enabled
            self.usable = self.quote if self.up else None
            return
        if state.state == "down":
            self.up = False
        self._forget(state.reason)

    def _forget(self, reason: str) -> None:
        self.lost = reason
        self.quote = self.usable = None

    def trouble(self) -> Trouble | None:
        """Why there is no usable quote, in words that stay the same while the cause does."""
        if not self.enabled:
            return "down", f"{self.name}: exchange disabled"
        if not self.up:
            return "down", f"no stream from {self.name}: {self.lost}"
        if self.needs and isnan(self.scale):
            return "stale", f"waiting for the rate of {self.needs[0]} in {self.needs[1]}"
        if self.usable is None and self.lost:
            return "stale", f"waiting for the next quote of {self.name} after: {self.lost}"
        if self.usable is None:
            return "stale", f"waiting for the first quote of {self.name}"
        return None


class Chart:
    """One opportunity: its two legs, its bands, and what `collect` has not fetched yet."""

    __slots__ = (
        "bands", "compared", "dirty", "factors", "index", "leg1", "leg2", "opportunity", "pending", "reason",
        "reported", "state", "tolerance_ns", "waiting", "window",
    )  # fmt: skip

    leg1: Leg
    leg2: Leg
    bands: RollingBands

    def __init__(self, window: PointRing) -> None:
        self.window = window
        self.index = -1  # its row in the engine's `Charts`
        self.compared: object = None  # the terms of both legs
        self.pending: list[Points] = []
        self.waiting = 0  # how many points that is
        self.state: ChartState = "stale"
        self.reason = ""
        self.reported: Trouble | None = None
        self.dirty = False

    def set_terms(self, opportunity: Opportunity, fee1: float, fee2: float) -> None:
        """Take over tolerance and taker fees (as fractions); the points stay."""
        self.opportunity = opportunity
        tolerance_ms = opportunity.tolerance_ms
        self.tolerance_ns = NEVER if tolerance_ms is None else tolerance_ms * _NS_PER_MS
        self.factors = fee_factors(fee1, fee2)

    def assess(self, now_mono_ns: int) -> Trouble:
        """State and reason as of now: the worst of both legs, and what is wrong with each."""
        now_mono_ns = max(now_mono_ns, self.leg1.last_mono_ns, self.leg2.last_mono_ns)
        found = [t for leg in (self.leg1, self.leg2) if (t := self._trouble(leg, now_mono_ns))]
        if not found:
            return "live", ""
        state: ChartState = "down" if any(s == "down" for s, _ in found) else "stale"
        return state, "; ".join(reason for _, reason in found)

    def _trouble(self, leg: Leg, now_mono_ns: int) -> Trouble | None:
        quote = leg.usable
        if quote is None:
            return leg.trouble()
        if now_mono_ns - quote.as_of_ns <= self.tolerance_ns:
            return None
        return "stale", f"{leg.name} quote is older than the tolerance of {self.tolerance_ns / 1e9:g} s"

    def add(self, points: Points, cap: int) -> int:
        """Let points wait to be collected, and thin them above `cap`; returns how many that cost."""
        self.pending.append(points)
        self.waiting += len(points)
        if self.waiting <= cap:
            return 0
        kept = thin(np.concatenate(self.pending), cap // 2)
        given_up, self.pending, self.waiting = self.waiting - len(kept), [kept], len(kept)
        return given_up

    def has_news(self) -> bool:
        """Whether there is anything to hand over; a state that came back before a collect is none."""
        self.dirty = False
        return bool(self.pending) or self.reported != (self.state, self.reason)

    def take(self, quoted_us: tuple[int, int]) -> ChartDelta:
        """Hand over what changed, and when the legs last quoted; the points move into the window."""
        points = no_points()
        if self.pending:
            points = np.concatenate(self.pending)  # a copy: its keeper does not keep the whole run
            self.pending, self.waiting = [], 0
            self.window.extend(points)
        self.reported = (self.state, self.reason)
        o = self.opportunity
        return ChartDelta(
            o.id, o.symbol, o.exchange1, o.exchange2, self.state, self.reason, points, *quoted_us
        )

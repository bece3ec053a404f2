"""The spread engine: quotes of one shard in, chart points and states out. The rules are in docs/engine.md.

Pure: no sockets, no clock, no Django. It is fed in order of receipt, by one thread.
"""

from collections.abc import Mapping
from itertools import chain
from math import inf, isnan, nan
from typing import Final

import numpy as np
from msgspec import Struct

from markets.config import ListingConfig, MarketConfig, Opportunity
from markets.events import Quote, StreamState
from markets.selection import listed
from realtime.bands import RollingBands
from realtime.points import POINT_COLUMNS, ChartDelta, ChartState, Points, no_points
from realtime.rates import Conversion, conversion
from realtime.rings import PointRing
from realtime.thinning import thin

Point = tuple[float, ...]  # one value per column of POINT_COLUMNS
Trouble = tuple[ChartState, str]
LegKey = tuple[str, str]  # exchange, symbol

WINDOW_POINTS: Final = 256
"""Default capacity of a chart's window: 11 kB. Pages read the recent points from Redis (realtime.recent)."""

PENDING_POINTS: Final = 256
"""Points a chart may gather between two collects before they are thinned."""

_GAP: Final = (nan,) * (len(POINT_COLUMNS) - 1)
_NEVER_TOO_OLD: Final = 2**63
_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000


class Counters(Struct):
    """What the engine did since it was made. `points`, `invalid` and `thinned` count per chart."""

    quotes: int = 0  # taken over as an instrument's last quote
    points: int = 0  # valid points made
    invalid: int = 0  # quotes that made no point on a chart: a leg was missing, down or too old
    ignored_old: int = 0  # quotes received before the one already held
    unknown: int = 0  # quotes of instruments the configuration does not have
    malformed: int = 0  # quotes that break 0 < bid <= ask < inf
    unpriced: int = 0  # quotes in a stablecoin whose rate is not known
    thinned: int = 0  # points given up because collect() came too late


class _Leg:
    """One instrument: its last quote and whether that may be used."""

    __slots__ = (
        "charts", "enabled", "exchange", "last_mono_ns", "lost", "multiplier", "needs", "quote", "scale",
        "up", "usable",
    )  # fmt: skip

    def __init__(self, exchange: str) -> None:
        self.exchange = exchange
        self.charts: list[_Chart] = []
        self.multiplier = 1.0  # of an alias, see markets.config.ListingConfig
        self.needs: Conversion | None = None  # the stablecoin rate that makes it comparable
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
        terms = listing.multiplier, conversion(listing)
        if terms != (self.multiplier, self.needs):
            self.multiplier, self.needs = terms
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
            quote.exchange_ts_us, quote.received_ts_us, quote.received_mono_ns,
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
            return "down", f"{self.exchange}: exchange disabled"
        if not self.up:
            return "down", f"no stream from {self.exchange}: {self.lost}"
        if self.needs and isnan(self.scale):
            return "stale", f"waiting for the rate of {self.needs[0]} in {self.needs[1]}"
        if self.usable is None and self.lost:
            return "stale", f"waiting for the next quote of {self.exchange} after: {self.lost}"
        if self.usable is None:
            return "stale", f"waiting for the first quote of {self.exchange}"
        return None


class _Chart:
    """One opportunity: its two legs, its bands, and what `collect` has not fetched yet."""

    __slots__ = (
        "bands",
        "dirty",
        "factor12",
        "factor21",
        "last_ts_us",
        "leg1",
        "leg2",
        "older",
        "opportunity",
        "pending",
        "reason",
        "reported",
        "state",
        "tolerance_ns",
        "window",
    )

    leg1: _Leg
    leg2: _Leg

    def __init__(self, window: PointRing) -> None:
        self.window = window
        self.bands = RollingBands()
        self.pending: list[Point] = []
        self.last_ts_us = 0
        self.older: Quote | None = None  # while live: of the two quotes paired last, the one to expire first
        self.state: ChartState = "stale"
        self.reason = ""
        self.reported: Trouble | None = None
        self.dirty = False

    def set_terms(self, opportunity: Opportunity, fee1: float, fee2: float) -> None:
        """Take over tolerance and taker fees (as fractions); the points stay."""
        self.opportunity = opportunity
        tolerance_ms = opportunity.tolerance_ms
        self.tolerance_ns = _NEVER_TOO_OLD if tolerance_ms is None else tolerance_ms * _NS_PER_MS
        self.factor12 = (1 - fee1) / (1 + fee2) * 10_000
        self.factor21 = (1 - fee2) / (1 + fee1) * 10_000

    def assess(self, now_mono_ns: int) -> Trouble:
        """State and reason as of now: the worst of both legs, and what is wrong with each."""
        now_mono_ns = max(now_mono_ns, self.leg1.last_mono_ns, self.leg2.last_mono_ns)
        found = [t for leg in (self.leg1, self.leg2) if (t := self._trouble(leg, now_mono_ns))]
        if not found:
            return "live", ""
        state: ChartState = "down" if any(s == "down" for s, _ in found) else "stale"
        return state, "; ".join(reason for _, reason in found)

    def _trouble(self, leg: _Leg, now_mono_ns: int) -> Trouble | None:
        quote = leg.usable
        if quote is None:
            return leg.trouble()
        if now_mono_ns - quote.received_mono_ns <= self.tolerance_ns:
            return None
        return "stale", f"{leg.exchange} quote is older than the tolerance of {self.tolerance_ns / 1e9:g} s"

    def is_over(self, now_mono_ns: int) -> bool:
        """Whether this was a live chart until its older quote passed the tolerance."""
        older = self.older
        return older is not None and now_mono_ns - older.received_mono_ns > self.tolerance_ns

    def become(self, state: ChartState, reason: str, ts_us: int) -> None:
        """Take over a state; leaving "live" breaks the line."""
        if self.older is not None:
            self._break_line(self.older, ts_us)
        self.state, self.reason, self.older = state, reason, None
        quote1, quote2 = self.leg1.usable, self.leg2.usable
        if state == "live" and quote1 and quote2:
            self.older = min(quote1, quote2, key=lambda quote: quote.received_mono_ns)

    def _break_line(self, older: Quote, ts_us: int) -> None:
        """Append a gap where the pairing ended: at its expiry, however late that was noticed."""
        expiry_us = older.received_ts_us + self.tolerance_ns // _NS_PER_US
        self.last_ts_us = max(min(ts_us, expiry_us), self.last_ts_us + 1)
        self.pending.append((self.last_ts_us, *_GAP))

    def has_news(self) -> bool:
        """Whether there is anything to hand over; a state that came back before a collect is none."""
        self.dirty = False
        return bool(self.pending) or self.reported != (self.state, self.reason)

    def take(self) -> ChartDelta:
        """Hand over what changed; the points move into the window."""
        points = no_points()
        if self.pending:
            points = _rows(self.pending)
            self.pending.clear()
            self.window.extend(points)
        self.reported = (self.state, self.reason)
        o = self.opportunity
        return ChartDelta(o.id, o.symbol, o.exchange1, o.exchange2, self.state, self.reason, points)


def _rows(points: list[Point]) -> Points:
    """Points as rows; `np.array` of tuples takes three times as long."""
    values = np.fromiter(chain.from_iterable(points), np.float64, len(points) * len(POINT_COLUMNS))
    return values.reshape(-1, len(POINT_COLUMNS))


class SpreadEngine:
    """Pairs quotes into points for every opportunity of a configuration.

    Memory is bounded by the configuration: one quote per instrument, and per opportunity 200 band
    values, a window of `window_points` and at most `pending_points` not yet collected.
    """

    def __init__(self, window_points: int = WINDOW_POINTS, pending_points: int = PENDING_POINTS) -> None:
        self.counters = Counters()
        self._window_points = window_points
        self._pending_points = pending_points
        self._legs: dict[tuple[str, str], _Leg] = {}
        self._converted: list[_Leg] = []
        self._charts: dict[str, _Chart] = {}
        self._dirty: list[_Chart] = []
        self._now_mono_ns = 0
        self._now_ts_us = 0

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, config: MarketConfig) -> None:
        """Follow a configuration; an opportunity that stays keeps its points and bands.

        Raises ValueError, and changes nothing, when an opportunity or instrument names an exchange
        that the configuration does not have.
        """
        self._check(config)
        names = self._set_legs(config)
        wanted = {o.id: o for o in config.opportunities}
        self._charts = {id: chart for id, chart in self._charts.items() if id in wanted}
        fees = {e.key: e.taker_fee_bps / 10_000 for e in config.exchanges}
        for id, opportunity in wanted.items():
            sides = opportunity.exchange1, opportunity.exchange2
            legs = [self._legs[names[exchange, opportunity.symbol]] for exchange in sides]
            self._set_chart(id, opportunity, legs, fees)
        self._route()
        self._dirty = [chart for chart in self._charts.values() if chart.dirty]

    @staticmethod
    def _check(config: MarketConfig) -> None:
        known = {e.key for e in config.exchanges}
        named = {i.exchange for i in config.instruments}
        named.update(e for o in config.opportunities for e in (o.exchange1, o.exchange2))
        if missing := sorted(named - known):
            raise ValueError(
                f"configuration revision {config.revision} uses exchanges it does not describe: "
                f"{', '.join(missing)}; add them to `exchanges`"
            )

    def _set_legs(self, config: MarketConfig) -> dict[LegKey, LegKey]:
        """Returns under which instrument the leg of a chart, by exchange and symbol, is quoted."""
        enabled = {e.key: e.enabled for e in config.exchanges}
        market = listed(config)
        quoted = {
            (exchange, o.symbol): market.get(o.symbol, {}).get(exchange)
            for o in config.opportunities
            for exchange in (o.exchange1, o.exchange2)
        }
        names = {key: (key[0], listing.symbol) if listing else key for key, listing in quoted.items()}
        wanted = {(i.exchange, i.symbol) for i in config.instruments} | set(names.values())
        self._legs = {key: self._legs.get(key) or _Leg(key[0]) for key in wanted}
        for leg in self._legs.values():
            leg.enable(enabled[leg.exchange])
        for key, listing in quoted.items():
            if listing:
                self._legs[names[key]].follow(listing)
        self._converted = [leg for leg in self._legs.values() if leg.needs]
        return names

    def _set_chart(self, id: str, opportunity: Opportunity, legs: list[_Leg], fees: dict[str, float]) -> None:
        chart = self._charts.get(id)
        if chart is None:
            chart = self._charts[id] = _Chart(PointRing(self._window_points))
        chart.leg1, chart.leg2 = legs
        chart.set_terms(opportunity, fees[opportunity.exchange1], fees[opportunity.exchange2])
        self._reassess(chart, self._now_mono_ns, self._now_ts_us)

    def _route(self) -> None:
        """Rebuild the index from an instrument to the charts its quotes touch."""
        for leg in self._legs.values():
            leg.charts = []
        for chart in self._charts.values():
            chart.leg1.charts.append(chart)
            chart.leg2.charts.append(chart)

    # --- events ----------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """Pair one quote with the other side's last one, on every chart it touches."""
        leg = self._legs.get((quote.exchange, quote.symbol))
        counters = self.counters
        if leg is None:
            counters.unknown += 1
            return
        if not 0.0 < quote.bid <= quote.ask < inf:
            counters.malformed += 1
            return
        mono_ns = quote.received_mono_ns
        if mono_ns < leg.last_mono_ns:
            counters.ignored_old += 1
            return
        leg.last_mono_ns = mono_ns
        if leg.scale != 1.0:
            if isnan(leg.scale):
                counters.unpriced += 1
                return
            quote = leg.in_terms(quote)
        leg.quote = quote
        if leg.up:
            leg.usable = quote
        counters.quotes += 1
        for chart in leg.charts:
            self._pair(chart, quote)

    def _pair(self, chart: _Chart, quote: Quote) -> None:
        """Add the point that `quote` makes, if it makes one; flat, as it runs per quote and chart."""
        quote1, quote2 = chart.leg1.usable, chart.leg2.usable
        if quote1 is None or quote2 is None:
            self._refuse(chart, quote)
            return
        lead_ns = quote1.received_mono_ns - quote2.received_mono_ns
        if lead_ns > chart.tolerance_ns or -lead_ns > chart.tolerance_ns:
            self._refuse(chart, quote)
            return
        older = chart.older
        if older is not None and quote.received_mono_ns - older.received_mono_ns > chart.tolerance_ns:
            chart.become("stale", "", quote.received_ts_us)
        # The point is made when the later of its two quotes was received, so it never knows the future.
        if lead_ns >= 0:
            ts_us, chart.older = quote1.received_ts_us, quote2
        else:
            ts_us, chart.older = quote2.received_ts_us, quote1
        if ts_us <= chart.last_ts_us:
            ts_us = chart.last_ts_us + 1
        chart.last_ts_us = ts_us
        bid1, ask1, bid_size1, ask_size1 = quote1.bid, quote1.ask, quote1.bid_size, quote1.ask_size
        bid2, ask2, bid_size2, ask_size2 = quote2.bid, quote2.ask, quote2.bid_size, quote2.ask_size
        spread = (bid1 / bid2 - 1) * 100
        upper, lower = chart.bands.push(spread)
        edge12 = bid1 / ask2 * chart.factor12 - 10_000
        edge21 = bid2 / ask1 * chart.factor21 - 10_000
        size12 = (bid_size1 if bid_size1 < ask_size2 else ask_size2) * ask2
        size21 = (bid_size2 if bid_size2 < ask_size1 else ask_size1) * ask1
        age1 = 0.0 if lead_ns >= 0 else -lead_ns / _NS_PER_MS
        age2 = 0.0 if lead_ns <= 0 else lead_ns / _NS_PER_MS
        pending = chart.pending
        if len(pending) >= self._pending_points:
            self._thin(chart)
        pending.append((ts_us, spread, upper, lower, edge12, edge21, size12, size21, age1, age2))
        self.counters.points += 1
        if chart.state != "live":
            chart.state, chart.reason = "live", ""
        if not chart.dirty:
            self._touch(chart)

    def _refuse(self, chart: _Chart, quote: Quote) -> None:
        self.counters.invalid += 1
        self._reassess(chart, quote.received_mono_ns, quote.received_ts_us)

    def set_rates(self, rates: Mapping[Conversion, float]) -> None:
        """Take over what stablecoins are worth (NaN: unknown); it counts from the next quote on."""
        for leg in self._converted:
            if leg.needs and leg.convert(rates.get(leg.needs, nan)):
                for chart in leg.charts:
                    self._reassess(chart, self._now_mono_ns, self._now_ts_us)

    def on_state(self, state: StreamState) -> None:
        """Follow a connection; symbols the configuration does not have are passed over."""
        for symbol in state.symbols:
            leg = self._legs.get((state.exchange, symbol))
            if leg is None:
                continue
            leg.turn(state)
            for chart in leg.charts:
                self._reassess(chart, state.received_mono_ns, state.received_ts_us)

    def expire(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Let live charts go stale because time passed; call it a few times a second.

        Everything received until then must have been fed: what still waits would come too late.
        """
        self._now_mono_ns, self._now_ts_us = now_mono_ns, now_ts_us
        for chart in self._charts.values():
            if chart.is_over(now_mono_ns):
                self._reassess(chart, now_mono_ns, now_ts_us)

    def _reassess(self, chart: _Chart, mono_ns: int, ts_us: int) -> None:
        """Take over what the state is now."""
        state, reason = chart.assess(mono_ns)
        if (state, reason) != (chart.state, chart.reason):
            chart.become(state, reason, ts_us)
            self._touch(chart)

    # --- output ----------------------------------------------------------------------------------

    def _touch(self, chart: _Chart) -> None:
        if not chart.dirty:
            chart.dirty = True
            self._dirty.append(chart)

    def _thin(self, chart: _Chart) -> None:
        kept = thin(_rows(chart.pending), self._pending_points // 2).tolist()
        self.counters.thinned += len(chart.pending) - len(kept)
        chart.pending[:] = map(tuple, kept)

    def collect(self) -> list[ChartDelta]:
        """Charts with new points or another state since the last call, and only those."""
        touched, self._dirty = self._dirty, []
        return [chart.take() for chart in touched if chart.has_news()]

    def points(self, id: str) -> Points:
        """A chart's window with what is not collected yet, oldest first; KeyError for an unknown id."""
        chart = self._charts[id]
        recent = _rows(chart.pending) if chart.pending else no_points()
        return np.concatenate((chart.window.array(), recent))

"""The spread engine: quotes of one shard in, chart points and states out. The rules are in docs/engine.md.

Pure: no sockets, no clock, no Django. It is fed in order of receipt, by one thread.
"""

from collections.abc import Mapping
from math import inf, isnan, nan
from typing import Final

import numpy as np
from msgspec import Struct

from markets.config import ListingConfig, MarketConfig, Opportunity
from markets.events import Quote, StreamState
from markets.fee_book import Fees
from markets.selection import listed
from realtime.bands import RollingBands
from realtime.conversions import Conversion
from realtime.pairing import NEVER, Charts, Legs, Routes, pair
from realtime.points import ChartDelta, ChartState, Points, no_points
from realtime.rates import conversion
from realtime.rings import PointRing
from realtime.thinning import thin

Trouble = tuple[ChartState, str]
LegKey = tuple[str, str]  # exchange, symbol

WINDOW_POINTS: Final = 256
"""Default capacity of a chart's window: 11 kB. Pages read the recent points from Redis (realtime.recent)."""

PENDING_POINTS: Final = 256
"""Points a chart may gather between two collects before they are thinned."""

RUN_QUOTES: Final = 2_000
"""Quotes kept to be paired together: what comes between two collects, within 3 ms of work."""

_NS_PER_MS: Final = 1_000_000


class Counters(Struct):
    """What the engine did since it was made. `points`, `invalid` and `thinned` count per chart.

    What quotes made is counted once they are paired, at the next collect.
    """

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
        "charts", "enabled", "exchange", "index", "last_mono_ns", "lost", "multiplier", "needs", "quote",
        "scale", "terms", "up", "usable",
    )  # fmt: skip

    def __init__(self, exchange: str) -> None:
        self.exchange = exchange
        self.charts: list[_Chart] = []
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
        "bands", "compared", "dirty", "factors", "index", "leg1", "leg2", "opportunity", "pending", "reason",
        "reported", "state", "tolerance_ns", "waiting", "window",
    )  # fmt: skip

    leg1: _Leg
    leg2: _Leg
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
        self.factors = (1 - fee1) / (1 + fee2) * 10_000, (1 - fee2) / (1 + fee1) * 10_000

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
        if now_mono_ns - quote.as_of_ns <= self.tolerance_ns:
            return None
        return "stale", f"{leg.exchange} quote is older than the tolerance of {self.tolerance_ns / 1e9:g} s"

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
            points = np.concatenate(self.pending)  # a copy: whoever keeps it does not keep the whole run
            self.pending, self.waiting = [], 0
            self.window.extend(points)
        self.reported = (self.state, self.reason)
        o = self.opportunity
        return ChartDelta(
            o.id, o.symbol, o.exchange1, o.exchange2, self.state, self.reason, points, *quoted_us
        )


class SpreadEngine:
    """Pairs quotes into points for every opportunity of a configuration.

    Quotes wait in a run, which is paired at once when somebody wants to know, or something other than
    a quote happens.

    Memory is bounded by the configuration: one run, one quote per instrument, and per opportunity 200 band
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
        self._run: list[Quote] = []  # usable quotes of legs that charts have, not yet paired
        self._quoted: list[int] = []  # the indices of their legs
        self._rows = Charts(0)
        self._by_row: list[_Chart] = []
        self._held = Legs(0)
        self._routes = Routes(self._rows, 0)
        self._now_mono_ns = 0
        self._now_ts_us = 0
        self._ended: list[ChartDelta] = []  # of charts that were switched off

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, config: MarketConfig) -> None:
        """Follow a configuration; what stays keeps its points, and its bands while it is of the same markets.

        Raises ValueError, and changes nothing, when an opportunity or instrument names an exchange
        that the configuration does not have.
        """
        self._check(config)
        self._pair()
        names = self._set_legs(config)
        wanted = {o.id: o for o in config.opportunities}
        for id in self._charts.keys() - wanted.keys():
            self._end(self._charts.pop(id))
        fees = Fees(config)
        for id, opportunity in wanted.items():
            sides = opportunity.exchange1, opportunity.exchange2
            legs = [self._legs[names[exchange, opportunity.symbol]] for exchange in sides]
            self._set_chart(id, opportunity, legs, fees)
        self._route()
        for chart in self._by_row:
            self._reassess(chart, self._now_mono_ns, self._now_ts_us)
        self._dirty = [chart for chart in self._charts.values() if chart.dirty]

    def _end(self, chart: _Chart) -> None:
        """Break the line of a chart that is no longer wanted: what comes later was not seen from here on."""
        if self._rows.is_live(chart.index):
            chart.add(self._rows.break_line(chart.index, self._now_ts_us), self._pending_points)
        if chart.pending:
            self._ended.append(chart.take(self._quoted_us(chart)))

    def take_ended(self) -> list[ChartDelta]:
        """The last points of charts that were switched off since the last call, to be kept and not shown."""
        ended, self._ended = self._ended, []
        return ended

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

    def _set_chart(self, id: str, opportunity: Opportunity, legs: list[_Leg], fees: Fees) -> None:
        chart = self._charts.get(id) or self._charts.setdefault(id, _Chart(PointRing(self._window_points)))
        chart.leg1, chart.leg2 = legs
        if chart.compared != (compared := [leg.terms for leg in legs]):
            chart.compared, chart.bands = compared, RollingBands()
        sides = opportunity.exchange1, opportunity.exchange2
        chart.set_terms(opportunity, *(fees.taker(key, opportunity.symbol) for key in sides))

    def _route(self) -> None:
        """Rebuild the index from an instrument to the charts its quotes touch."""
        for leg in self._legs.values():
            leg.charts, leg.index = [], -1
        known, self._rows = self._rows, Charts(len(self._charts))
        self._by_row = list(self._charts.values())
        legs: list[_Leg] = []
        for row, chart in enumerate(self._by_row):
            if chart.index >= 0:
                self._rows.adopt(row, known, chart.index)
            chart.index = row
            self._rows.tolerance_ns[row], self._rows.factors[:, row] = chart.tolerance_ns, chart.factors
            for side, leg in enumerate((chart.leg1, chart.leg2)):
                if leg.index < 0:
                    leg.index = len(legs)
                    legs.append(leg)
                leg.charts.append(chart)
                self._rows.legs[side, row] = leg.index
        self._routes = Routes(self._rows, len(legs))
        self._held = Legs(len(legs))
        for leg in legs:
            self._held.hold(leg.index, leg.usable)

    # --- events ----------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:
        """Take over one quote; it is paired with the other side's last one, on every chart it touches."""
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
        if not leg.up:
            self._pair()
        leg.last_mono_ns = mono_ns
        if leg.scale != 1.0:
            if isnan(leg.scale):
                counters.unpriced += 1
                return
            quote = leg.in_terms(quote)
        leg.quote = quote
        counters.quotes += 1
        if not leg.up:
            for chart in leg.charts:
                self._refuse(chart, quote)
            return
        leg.usable = quote
        if leg.charts:
            self._run.append(quote)
            self._quoted.append(leg.index)
            if len(self._run) >= RUN_QUOTES:
                self._pair()

    def _pair(self) -> None:
        """Make the points of the run."""
        if not self._run:
            return
        run, self._run, quoted, self._quoted = self._run, [], self._quoted, []
        paired = pair(self._rows, self._routes, self._held, run, quoted)
        self.counters.points += len(paired.spreads)
        self.counters.invalid += paired.invalid
        charts = [self._by_row[row] for row in paired.charts]
        upper: list[float] = []
        lower: list[float] = []
        for chart, start, stop in zip(charts, paired.point_bounds, paired.point_bounds[1:], strict=False):
            chart.bands.push(paired.spreads[start:stop], upper, lower)
        rows = paired.rows
        rows[paired.point_rows, 2], rows[paired.point_rows, 3] = upper, lower
        for chart, start, stop in zip(charts, paired.bounds, paired.bounds[1:], strict=False):
            if start < stop:
                self.counters.thinned += chart.add(rows[start:stop], self._pending_points)
                self._touch(chart)
        for chart, is_live, last in zip(charts, paired.is_live, paired.last, strict=True):
            if is_live:
                chart.state, chart.reason = "live", ""
            else:
                self._reassess(chart, run[last].received_mono_ns, run[last].received_ts_us)

    def _refuse(self, chart: _Chart, quote: Quote) -> None:
        self.counters.invalid += 1
        self._reassess(chart, quote.received_mono_ns, quote.received_ts_us)

    def set_rates(
        self, rates: Mapping[Conversion, float], now_mono_ns: int | None = None, now_ts_us: int | None = None
    ) -> None:
        """Take over what stablecoins are worth (NaN: unknown); it counts from the next quote on.

        The line of a chart whose rate is lost breaks now, or at the engine's newest time where none is given.
        """
        self._pair()
        mono_ns = self._now_mono_ns if now_mono_ns is None else now_mono_ns
        ts_us = self._now_ts_us if now_ts_us is None else now_ts_us
        for leg in self._converted:
            if leg.needs and leg.convert(rates.get(leg.needs, nan)):
                self._hold(leg)
                for chart in leg.charts:
                    self._reassess(chart, mono_ns, ts_us)

    def on_state(self, state: StreamState) -> None:
        """Follow a connection; symbols the configuration does not have are passed over."""
        self._pair()
        for symbol in state.symbols:
            leg = self._legs.get((state.exchange, symbol))
            if leg is None:
                continue
            leg.turn(state)
            self._hold(leg)
            for chart in leg.charts:
                self._reassess(chart, state.received_mono_ns, state.received_ts_us)

    def _hold(self, leg: _Leg) -> None:
        """Its usable quote is another one, or none, without a quote that said so."""
        if leg.charts:
            self._held.hold(leg.index, leg.usable)

    def expire(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Let live charts go stale because time passed; call it a few times a second.

        Everything received until then must have been fed: what still waits would come too late.
        """
        self._now_mono_ns, self._now_ts_us = now_mono_ns, now_ts_us
        self._pair()
        for row in self._rows.over(now_mono_ns):
            self._reassess(self._by_row[row], now_mono_ns, now_ts_us)

    def _reassess(self, chart: _Chart, mono_ns: int, ts_us: int) -> None:
        """Take over what the state is now."""
        state, reason = chart.assess(mono_ns)
        if (state, reason) != (chart.state, chart.reason):
            self._become(chart, state, reason, ts_us)
            self._touch(chart)

    def _become(self, chart: _Chart, state: ChartState, reason: str, ts_us: int) -> None:
        """Take over a state; leaving "live" breaks the line."""
        rows, row = self._rows, chart.index
        if rows.is_live(row):
            gap = rows.break_line(row, ts_us)
            self.counters.thinned += chart.add(gap, self._pending_points)
        chart.state, chart.reason = state, reason
        if state == "live":
            rows.join(row, self._held)

    # --- output ----------------------------------------------------------------------------------

    def _touch(self, chart: _Chart) -> None:
        if not chart.dirty:
            chart.dirty = True
            self._dirty.append(chart)

    def collect(self) -> list[ChartDelta]:
        """Charts with new points or another state since the last call, and only those."""
        self._pair()
        touched, self._dirty = self._dirty, []
        return [chart.take(self._quoted_us(chart)) for chart in touched if chart.has_news()]

    def leg_news(self) -> list[ChartDelta]:
        """Charts that make no points while a leg quotes: only this says which of the two is silent."""
        self._pair()
        found = [self._by_row[row] for row in self._rows.unheard(self._held)]
        return [chart.take(self._quoted_us(chart)) for chart in found]

    def _quoted_us(self, chart: _Chart) -> tuple[int, int]:
        """As of when its legs last quoted, of all quotes that were paired; 0: not known.

        A late quote is as of before it came: the age a page counts from it is that of the scanner.
        """
        legs = self._rows.legs[:, chart.index]
        first, second = self._held.quoted_us(legs, self._now_ts_us, self._now_mono_ns)
        return first, second

    def points(self, id: str) -> Points:
        """A chart's window with what is not collected yet, oldest first; KeyError for an unknown id."""
        chart = self._charts[id]
        self._pair()
        return np.concatenate((chart.window.array(), *chart.pending))

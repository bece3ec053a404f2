"""The spread engine: quotes of one shard in, chart points and states out. The rules are in docs/engine.md.

Pure: no sockets, no clock, no Django. It is fed in order of receipt, by one thread.
"""

from collections.abc import Mapping
from math import inf, isnan, nan
from typing import Final

import numpy as np
from msgspec import Struct

from engine.charts.legs import Chart, Leg
from engine.charts.pairing import pair
from engine.charts.points import ChartDelta, ChartState, Points
from engine.charts.wiring import Wiring, check
from engine.conversions import Conversion
from markets.config import MarketConfig
from markets.events import Quote, StreamState

WINDOW_POINTS: Final = 256
"""Default capacity of a chart's window: 11 kB. Pages read the recent points from Redis."""

PENDING_POINTS: Final = 256
"""Points a chart may gather between two collects before they are thinned."""

RUN_QUOTES: Final = 2_000
"""Quotes kept to be paired together: what comes between two collects, within 3 ms of work."""


class Counters(Struct):
    """Counters since the engine was made. `points`, `invalid` and `thinned` count per chart.

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


class SpreadEngine:
    """Pairs quotes into points for every opportunity of a configuration.

    Quotes wait in a run, which is paired at once when somebody wants to know, or something other than
    a quote happens.

    Memory is bounded by the configuration: one run, one quote per instrument, and per opportunity 200 band
    values, a window of `window_points` and at most `pending_points` not yet collected.
    """

    def __init__(self, window_points: int = WINDOW_POINTS, pending_points: int = PENDING_POINTS) -> None:
        self.counters = Counters()
        self._pending_points = pending_points
        self._wired = Wiring(window_points)
        self._legs = self._wired.legs  # named once per configuration: every quote asks it
        self._dirty: list[Chart] = []
        self._run: list[Quote] = []  # usable quotes of legs that charts have, not yet paired
        self._quoted: list[int] = []  # the indices of their legs
        self._now_mono_ns = 0
        self._now_ts_us = 0
        self._ended: list[ChartDelta] = []  # of charts that were switched off

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, config: MarketConfig) -> None:
        """Follow a configuration; what stays keeps its points, and its bands while it is of the same markets.

        Raises ValueError, and changes nothing, when an opportunity or instrument names an exchange
        that the configuration does not have.
        """
        check(config)
        self._pair()
        for chart in self._wired.take_unwanted(config):
            self._end(chart)
        self._wired.configure(config)
        self._legs = self._wired.legs
        for chart in self._wired.by_row:
            self._reassess(chart, self._now_mono_ns, self._now_ts_us)
        self._dirty = [chart for chart in self._wired.by_row if chart.dirty]

    def _end(self, chart: Chart) -> None:
        """Break the line of a chart that is no longer wanted: what comes later was not seen from here on."""
        if self._wired.rows.is_live(chart.index):
            chart.add(self._wired.rows.break_line(chart.index, self._now_ts_us), self._pending_points)
        if chart.pending:
            self._ended.append(chart.take(self._quoted_us(chart)))

    def take_ended(self) -> list[ChartDelta]:
        """The last points of charts that were switched off since the last call, to be kept and not shown."""
        ended, self._ended = self._ended, []
        return ended

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
        paired = pair(self._wired.rows, self._wired.routes, self._wired.held, run, quoted)
        self.counters.points += len(paired.spreads)
        self.counters.invalid += paired.invalid
        charts = [self._wired.by_row[row] for row in paired.charts]
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

    def _refuse(self, chart: Chart, quote: Quote) -> None:
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
        for leg in self._wired.converted:
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

    def _hold(self, leg: Leg) -> None:
        """Hold another usable quote, or none, without a quote that said so."""
        if leg.charts:
            self._wired.held.hold(leg.index, leg.usable)

    def expire(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Let live charts go stale because time passed; call it a few times a second.

        Everything received until then must have been fed: what still waits would come too late.
        """
        self._now_mono_ns, self._now_ts_us = now_mono_ns, now_ts_us
        self._pair()
        for row in self._wired.rows.over(now_mono_ns):
            self._reassess(self._wired.by_row[row], now_mono_ns, now_ts_us)

    def _reassess(self, chart: Chart, mono_ns: int, ts_us: int) -> None:
        """Take over what the state is now."""
        state, reason = chart.assess(mono_ns)
        if (state, reason) != (chart.state, chart.reason):
            self._become(chart, state, reason, ts_us)
            self._touch(chart)

    def _become(self, chart: Chart, state: ChartState, reason: str, ts_us: int) -> None:
        """Take over a state; leaving "live" breaks the line."""
        rows, row = self._wired.rows, chart.index
        if rows.is_live(row):
            gap = rows.break_line(row, ts_us)
            self.counters.thinned += chart.add(gap, self._pending_points)
        chart.state, chart.reason = state, reason
        if state == "live":
            rows.join(row, self._wired.held)

    # --- output ----------------------------------------------------------------------------------

    def _touch(self, chart: Chart) -> None:
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
        found = [self._wired.by_row[row] for row in self._wired.rows.unpublished(self._wired.held)]
        return [chart.take(self._quoted_us(chart)) for chart in found]

    def _quoted_us(self, chart: Chart) -> tuple[int, int]:
        """Times when its legs last quoted, of all quotes that were paired; 0: not known.

        A late quote is as of before it came: the age a page counts from it is that of the scanner.
        """
        legs = self._wired.rows.legs[:, chart.index]
        first, second = self._wired.held.quoted_us(legs, self._now_ts_us, self._now_mono_ns)
        return first, second

    def points(self, id: str) -> Points:
        """A chart's window with what is not collected yet, oldest first; KeyError for an unknown id."""
        chart = self._wired.charts[id]
        self._pair()
        return np.concatenate((chart.window.array(), *chart.pending))

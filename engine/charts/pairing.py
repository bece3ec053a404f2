"""A run of quotes paired on all the charts it touches: the engine's arithmetic, column by column.

Pure, and the same for one quote as for a thousand: what numpy is asked costs once per run, not once per
point. The rules are in docs/engine.md.
"""

from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from engine.charts.points import POINT_COLUMNS, SET_BACK_US, Points
from engine.pricing import edge_bps, spread_pct
from markets.events import Quote

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEVER: Final = 2**63 - 1
"""As a tolerance: none. As a time of receipt: of no quote."""

_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000


class Legs:
    """The last usable quote of every leg of a chart: a column each, NaN while there is none."""

    def __init__(self, count: int) -> None:
        self.prices: Floats = np.full((4, count), np.nan)  # bid, ask, bid size, ask size
        self.received: Ints = np.zeros((3, count), np.int64)  # wall clock in µs, monotonic in ns, late by µs

    def hold(self, leg: int, quote: Quote | None) -> None:
        """Apply a quote without pairing it; None: there is none to be used."""
        if quote is None:
            self.prices[:, leg] = np.nan
            return
        self.prices[:, leg] = quote.bid, quote.ask, quote.bid_size, quote.ask_size
        self.received[:, leg] = quote.received_ts_us, quote.received_mono_ns, quote.late_us

    def quoted_us(self, legs: Ints, now_us: int, now_ns: int) -> list[int]:
        """Times when these last quoted; before the clock was set back, as it would have stamped that now."""
        us, ns, late_us = self.received[:, legs].tolist()
        if 0 < now_us < max(us) - SET_BACK_US:
            by_this_clock = [now_us - (now_ns - each_ns) // _NS_PER_US for each_ns in ns]
            us = [min(pair) for pair in zip(us, by_this_clock, strict=True)]
        return [each_us - late for each_us, late in zip(us, late_us, strict=True)]


class Charts:
    """State of every chart for pairing, a row each."""

    def __init__(self, count: int) -> None:
        self.legs: Ints = np.zeros((2, count), np.int64)
        self.tolerance_ns: Ints = np.full(count, NEVER)
        self.factors: Floats = np.ones((2, count))  # of edge12 and edge21
        self.published_us: Ints = np.zeros(
            (2, count), np.int64
        )  # of each leg's last quote, as last published
        self.last_us: Ints = np.zeros(count, np.int64)  # the newest row's time
        # While live: of the two quotes paired last, the one to expire first.
        self.older_us: Ints = np.zeros(count, np.int64)
        self.older_ns: Ints = np.full(count, NEVER)

    def adopt(self, chart: int, known: "Charts", row: int) -> None:
        """Go on where a chart was before."""
        for mine, theirs in (
            (self.last_us, known.last_us), (self.older_us, known.older_us), (self.older_ns, known.older_ns),
        ):  # fmt: skip
            mine[chart] = theirs[row]

    def is_live(self, chart: int) -> bool:
        """Whether its last quotes were paired and nothing has ended that since."""
        return bool(self.older_ns[chart] != NEVER)

    def join(self, chart: int, held: Legs) -> None:
        """Join a chart whose legs are both valid without a quote that said so."""
        us, ns = _as_of(*held.received[:, self.legs[:, chart]])
        older = int(ns[1] < ns[0])
        self.older_us[chart], self.older_ns[chart] = us[older], ns[older]

    def unpublished(self, held: Legs) -> list[int]:
        """Charts without a line whose legs quoted since that was published; it counts as published now."""
        quoted_us = held.received[0][self.legs]
        news = (self.older_ns == NEVER) & (quoted_us != self.published_us).any(axis=0)
        self.published_us[:, news] = quoted_us[:, news]
        return np.flatnonzero(news).tolist()

    def begin_after(self, touched: Ints, bounds: Ints, stamps: Ints) -> Ints:
        """After which time the new rows come: a broken line may go on with a clock that was set back."""
        last_us = self.last_us[touched]
        if not len(stamps):
            return last_us
        first_us = stamps[np.minimum(bounds[:-1], len(stamps) - 1)]
        is_broken = self.older_ns[touched] == NEVER
        return np.where(is_broken & (first_us < last_us - SET_BACK_US), 0, last_us)

    def over(self, now_ns: int) -> list[int]:
        """Live charts whose older quote has passed the tolerance."""
        is_over = (self.older_ns != NEVER) & (now_ns - self.older_ns > self.tolerance_ns)
        return np.flatnonzero(is_over).tolist()

    def break_line(self, chart: int, ts_us: int) -> Points:
        """End the pairing of a live chart; returns its gap."""
        gap = np.full((1, len(POINT_COLUMNS)), np.nan)
        expiry_us = int(self.older_us[chart]) + int(self.tolerance_ns[chart]) // _NS_PER_US
        gap[0, 0] = self.last_us[chart] = max(min(ts_us, expiry_us), int(self.last_us[chart]) + 1)
        self.older_ns[chart] = NEVER
        return gap


class Routes:
    """Charts that a leg's quotes touch."""

    def __init__(self, charts: Charts, legs: int) -> None:
        by_leg = np.argsort(charts.legs.ravel(), kind="stable")
        count = max(1, charts.legs.shape[1])
        self._charts = (by_leg % count).astype(np.min_scalar_type(count))  # short ones are sorted by radix
        self._degree = np.bincount(charts.legs.ravel(), minlength=legs)
        self._first = np.cumsum(self._degree) - self._degree

    def touched(self, legs: Ints) -> tuple[Ints, Ints]:
        """Charts and quotes of these legs: one chart after the other, each as often as quotes touch it."""
        degree = self._degree[legs]
        quotes = np.repeat(np.arange(len(legs)), degree)
        within = np.arange(len(quotes)) - np.repeat(np.cumsum(degree) - degree, degree)
        charts = self._charts[self._first[legs][quotes] + within]
        by_chart = np.argsort(charts, kind="stable")
        return charts[by_chart], quotes[by_chart]


class Paired(Struct, eq=False):
    """Result of a run for the charts it touched, in the order of `charts`.

    `rows` are points and gaps, a chart's between two of its `bounds`; `spreads` are those of the points
    alone, between two `point_bounds`, and `point_rows` says where they stand. `upper` and `lower` are
    left to the bands. `last` is each chart's last quote, `is_live` whether that made a point.
    """

    charts: list[int]
    rows: Points
    bounds: list[int]
    point_rows: Ints
    spreads: list[float]
    point_bounds: list[int]
    last: list[int]
    is_live: list[bool]
    invalid: int


class _Run(Struct, eq=False):
    """The quotes of a run once per chart they touch, one chart after the other: what pairs are made of."""

    chart: Ints  # of each
    quote: Ints
    touched: Ints  # each chart once
    starts: Ints  # where each chart's begin
    last: Ints  # and the last of them
    tolerance_ns: Ints


class _Pairs(Struct, eq=False):
    """Pairs of a run's quotes with the last one of the other side."""

    prices: tuple[Floats, Floats]
    ages_ns: tuple[Ints, Ints]
    ts_us: Ints
    older_us: Ints  # the quote that is to expire first
    older_ns: Ints
    is_valid: Bools


def pair(charts: Charts, routes: Routes, held: Legs, quotes: list[Quote], quoted: list[int]) -> Paired:
    """Pair usable quotes of the legs `quoted`, in order of receipt, with the last one of the other side."""
    legs = np.array(quoted)
    prices, received = _with(held, quotes)
    run = _by_chart(charts, *routes.touched(legs))
    column = run.quote + held.prices.shape[1]  # of the quote; those of the held ones come first
    pairs = _pairs(run, prices, received, _last_of_each(charts, run, legs, column))
    valid = pairs.is_valid
    is_broken, gap_us = _breaks(charts, run, pairs, received.take(column, axis=1))

    ends = np.cumsum(valid.astype(np.int64) + is_broken)
    bounds = np.concatenate(([0], ends[run.last]))
    point_rows = (ends - 1)[valid]
    stamps = np.empty(int(ends[-1]), np.int64)
    stamps[point_rows], stamps[(ends - valid - 1)[is_broken]] = pairs.ts_us[valid], gap_us[is_broken]
    stamps = _rising(stamps, bounds, charts.begin_after(run.touched, bounds, stamps))
    rows = np.full((len(stamps), len(POINT_COLUMNS)), np.nan)
    rows[:, 0] = stamps
    spreads = _fill(rows, point_rows, pairs, charts.factors.take(run.chart[valid], axis=1))

    _remember(charts, run, pairs, bounds, stamps)
    held.prices[:, legs], held.received[:, legs] = prices[:, -len(legs) :], received[:, -len(legs) :]
    point_bounds = np.concatenate(([0], np.cumsum(valid)[run.last]))
    return Paired(
        run.touched.tolist(), rows, bounds.tolist(), point_rows, spreads.tolist(), point_bounds.tolist(),
        run.quote[run.last].tolist(), valid[run.last].tolist(), len(valid) - len(spreads),
    )  # fmt: skip


def _by_chart(charts: Charts, chart: Ints, quote: Ints) -> _Run:
    starts = np.flatnonzero(np.concatenate(([True], chart[1:] != chart[:-1])))
    last = np.concatenate((starts[1:], [len(chart)])) - 1
    return _Run(chart, quote, chart[starts], starts, last, charts.tolerance_ns[chart])


def _pairs(run: _Run, prices: Floats, received: Ints, columns: list[Ints]) -> _Pairs:
    """Both sides of each pair, and whether it makes a point: both are known, and neither is too old."""
    prices1, prices2 = (prices.take(each, axis=1) for each in columns)
    (us1, ns1, late1), (us2, ns2, late2) = (received.take(each, axis=1) for each in columns)
    # The point is made when the later of its two quotes was received, so it never knows the future.
    ts_us, now_ns = np.where(ns1 >= ns2, us1, us2), np.maximum(ns1, ns2)
    (us1, ns1), (us2, ns2) = _as_of(us1, ns1, late1), _as_of(us2, ns2, late2)
    ages_ns = now_ns - ns1, now_ns - ns2
    valid: Bools = ~np.isnan(prices1[0] + prices2[0]) & (np.maximum(*ages_ns) <= run.tolerance_ns)
    older_us = np.where(ns1 >= ns2, us2, us1)
    older_ns = np.where(valid, np.minimum(ns1, ns2), NEVER)
    return _Pairs((prices1, prices2), ages_ns, ts_us, older_us, older_ns, valid)


def _breaks(charts: Charts, run: _Run, pairs: _Pairs, received: Ints) -> tuple[Bools, Ints]:
    """Before which quotes a line ended, and when: it had become too old, or now makes no pair."""
    quote_us, quote_ns, _ = received
    before_us = _before(pairs.older_us, run.starts, charts.older_us[run.touched])
    before_ns = _before(pairs.older_ns, run.starts, charts.older_ns[run.touched])
    is_over = quote_ns - before_ns > run.tolerance_ns
    is_broken = (before_ns != NEVER) & (~pairs.is_valid | is_over)
    return is_broken, np.minimum(quote_us, before_us + run.tolerance_ns // _NS_PER_US)


def _remember(charts: Charts, run: _Run, pairs: _Pairs, bounds: Ints, stamps: Ints) -> None:
    """Keep for the next run what each chart's last pair and row were."""
    has_rows = bounds[1:] > bounds[:-1]
    charts.last_us[run.touched[has_rows]] = stamps[bounds[1:][has_rows] - 1]
    charts.older_us[run.touched] = pairs.older_us[run.last]
    charts.older_ns[run.touched] = pairs.older_ns[run.last]


def _as_of(us: Ints, ns: Ints, late_us: Ints) -> tuple[Ints, Ints]:
    """Times that ages count from: when quotes would have been received, had they come as usual."""
    return us - late_us, ns - late_us * _NS_PER_US


def _fill(rows: Points, at: Ints, pairs: _Pairs, factors: Floats) -> Floats:
    """Write what the points say into their rows, the bands apart; returns their spreads."""
    valid = pairs.is_valid
    (bid1, ask1, bid_size1, ask_size1), (bid2, ask2, bid_size2, ask_size2) = (
        each[:, valid] for each in pairs.prices
    )
    spreads: Floats = spread_pct(bid1, bid2)
    rows[at, 1] = spreads
    rows[at, 4] = edge_bps(bid1, ask2, factors[0])
    rows[at, 5] = edge_bps(bid2, ask1, factors[1])
    rows[at, 6] = np.minimum(bid_size1, ask_size2) * ask2
    rows[at, 7] = np.minimum(bid_size2, ask_size1) * ask1
    rows[at, 8], rows[at, 9] = (ages_ns[valid] / _NS_PER_MS for ages_ns in pairs.ages_ns)
    return spreads


def _with(held: Legs, quotes: list[Quote]) -> tuple[Floats, Ints]:
    """The columns of the quotes behind those of the held ones."""
    known, count = held.prices.shape[1], len(quotes)
    prices, received = np.empty((4, known + count)), np.empty((3, known + count), np.int64)
    prices[:, :known], received[:, :known] = held.prices, held.received
    new: tuple[tuple[Any, list[Any]], ...] = (
        (prices[0], [quote.bid for quote in quotes]),
        (prices[1], [quote.ask for quote in quotes]),
        (prices[2], [quote.bid_size for quote in quotes]),
        (prices[3], [quote.ask_size for quote in quotes]),
        (received[0], [quote.received_ts_us for quote in quotes]),
        (received[1], [quote.received_mono_ns for quote in quotes]),
        (received[2], [quote.late_us for quote in quotes]),
    )
    for column, values in new:
        column[known:] = np.fromiter(values, column.dtype, count)
    return prices, received


def _last_of_each(charts: Charts, run: _Run, legs: Ints, column: Ints) -> list[Ints]:
    """For every quote of a chart, the column of the last one of either leg, itself included."""
    at = np.arange(len(run.chart))
    began = np.repeat(run.starts, run.last + 1 - run.starts)
    leg = legs[run.quote]
    columns = []
    for side in charts.legs:
        own = side[run.chart]
        newest = np.maximum.accumulate(np.where(leg == own, at, -1))
        columns.append(np.where(newest >= began, column[newest], own))
    return columns


def _before(values: Ints, starts: Ints, firsts: Ints) -> Ints:
    """The value before each; of the first of a chart, what was before the run."""
    before = np.empty_like(values)
    before[1:] = values[:-1]
    before[starts] = firsts
    return before


def _rising(stamps: Ints, bounds: Ints, last_us: Ints) -> Ints:
    """The times of each chart's rows, every one after the one before."""
    has_rows = bounds[1:] > bounds[:-1]
    late = np.flatnonzero(stamps <= _before(stamps, bounds[:-1][has_rows], last_us[has_rows]))
    if not len(late):
        return stamps
    for chart in np.unique(np.searchsorted(bounds, late, side="right") - 1).tolist():
        own = slice(bounds[chart], bounds[chart + 1])
        steps = np.arange(1, bounds[chart + 1] - bounds[chart] + 1)
        stamps[own] = np.maximum(np.maximum.accumulate(stamps[own] - steps), last_us[chart]) + steps
    return stamps

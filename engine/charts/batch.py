"""The engine's points out of recorded quotes: the rules of docs/engine.md, over whole columns of polars.

Batch twin of `pairing`, which pairs live quotes; tests/engine/charts/test_batch.py holds both to the same
points.
Quotes and stream states of both legs go into one frame in order of receipt; filling each leg's last
quote forward is the pairing. A `Pairing` remembers from slice to slice what the engine would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from msgspec import Struct, structs

from core.names.market_keys import SWAP, market_of
from core.names.symbols import quote_of
from engine.charts.bands import LOWER, UPPER, WINDOW
from engine.charts.points import POINT_COLUMNS
from engine.conversions import Conversion
from engine.pricing import edge_bps, fee_factors, spread_pct
from engine.rates import conversion
from markets.config import MarketConfig
from markets.fees.book import Fees
from markets.selection import listed

DEFAULT_TOLERANCE_MS: Final = 1000
"""Of two exchanges that are no enabled pair; the models' default for one."""

MAX_CLOCK_STEP_NS: Final = 60_000_000_000
"""Monotonic stamps whose distance to the wall clock varies by more are of several machines or boots."""

POINT_SCHEMA: Final = {name: pl.Float64 for name in POINT_COLUMNS} | {"ts_us": pl.Int64}

_EVENT: Final = {
    "leg": pl.Int8,  # 1, 2, or 0: both
    "state": pl.String,  # null: a quote
    "us": pl.Int64,
    "mono": pl.Int64,
    "late": pl.Int64,  # µs
    "bid": pl.Float64,
    "bid_size": pl.Float64,
    "ask": pl.Float64,
    "ask_size": pl.Float64,
    "carried": pl.Boolean,
}
_KEPT: Final = {
    "spread": pl.Float64,
    "ts_us": pl.Int64,
    "now_us": pl.Int64,
    "now_mono": pl.Int64,
    "older_us": pl.Int64,  # set back by its lateness, as the next
    "older_mono": pl.Int64,
    "broken_us": pl.Int64,  # when a leg was interrupted first after the point, if it was
    "epoch": pl.Int64,  # how many interruptions there were before the point
}


class Leg(Struct, frozen=True):
    """An instrument whose quotes are one side; `needs` is the rate that makes it comparable."""

    exchange: str
    symbol: str
    multiplier: float = 1.0
    needs: Conversion | None = None

    @property
    def is_scaled(self) -> bool:
        """Whether its prices are not those of the symbol as they are."""
        return self.multiplier != 1.0 or self.needs is not None

    @property
    def recorded(self) -> pl.Expr:
        """Predicate of the leg's own rows of `quotes`."""
        return (pl.col("exchange") == self.exchange) & (pl.col("symbol") == self.symbol)


def leg_of(config: MarketConfig, symbol: str, exchange: str) -> Leg:
    """Leg of an exchange for a symbol: under that very name, as an alias, or in another stablecoin.

    A swap that is no longer listed has the name of its coin's, settled in what it is quoted in.
    """
    # Only these: ordering all that is listed for one leg would take as long as reading an hour of it.
    own = tuple(each for each in config.listings if each.counts_as == symbol and each.exchange == exchange)
    listing = listed(structs.replace(config, listings=own)).get(symbol, {}).get(exchange)
    if listing is None:
        gone = f"{symbol}:{quote_of(symbol)}" if market_of(exchange) == SWAP else symbol
        return Leg(exchange, gone)
    return Leg(exchange, listing.symbol, listing.multiplier, conversion(listing))


@dataclass(frozen=True, slots=True)
class Terms:
    """A chart and what its points are computed with: fees as fractions, tolerance None for any age."""

    symbol: str
    exchange1: str
    exchange2: str
    tolerance_ms: int | None = DEFAULT_TOLERANCE_MS
    fee1: float = 0.0
    fee2: float = 0.0
    listed1: Leg | None = None  # None: under the symbol itself
    listed2: Leg | None = None
    past_fees: tuple[tuple[int, int, float, float], ...] = ()  # [start, end) in µs with other fees than now

    @classmethod
    def of(
        cls, config: MarketConfig, symbol: str, exchange1: str, exchange2: str, *, any_age: bool = False
    ) -> "Terms":
        """Tolerance and listings of now, taker fees of each day; KeyError for an exchange it lacks.

        The tolerance is that of the exchange pair, whichever way round, charted or not; with `any_age` a
        quote counts for as long as its line lives, as it does for the scanner.
        """
        fees = _takers(config, symbol, exchange1, exchange2)
        past = (
            (each.start_us, each.end_us, *_takers(
                structs.replace(config, exchanges=each.exchanges, fee_rules=each.fee_rules),
                symbol, exchange1, exchange2,
            ))
            for each in config.past_fees
        )  # fmt: skip
        tolerances = {frozenset((pair.exchange1, pair.exchange2)): pair.tolerance_ms for pair in config.pairs}
        tolerance = tolerances.get(frozenset((exchange1, exchange2)), DEFAULT_TOLERANCE_MS)
        return cls(
            symbol, exchange1, exchange2,
            None if any_age else tolerance,
            *fees,
            leg_of(config, symbol, exchange1), leg_of(config, symbol, exchange2),
            tuple(row for row in past if row[2:] != fees),
        )  # fmt: skip

    def turned(self) -> "Terms":
        """The same pair the other way round."""
        return Terms(
            self.symbol, self.exchange2, self.exchange1, self.tolerance_ms, self.fee2, self.fee1,
            self.listed2, self.listed1,
            tuple((start, end, fee2, fee1) for start, end, fee1, fee2 in self.past_fees),
        )  # fmt: skip

    @property
    def legs(self) -> tuple[Leg, Leg]:
        """Legs under which both sides' quotes were recorded."""
        one, two = self.listed1, self.listed2
        return one or Leg(self.exchange1, self.symbol), two or Leg(self.exchange2, self.symbol)


def _takers(config: MarketConfig, symbol: str, exchange1: str, exchange2: str) -> tuple[float, float]:
    """Both taker fees by a configuration, as fractions."""
    listings = tuple(each for each in config.listings if each.counts_as == symbol)
    fees = Fees(structs.replace(config, listings=listings))
    return fees.taker(exchange1, symbol), fees.taker(exchange2, symbol)


class Pairing:
    """One chart's points from the start of a collector on."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._tolerance_us = None if terms.tolerance_ms is None else terms.tolerance_ms * 1000
        self._legs = pl.DataFrame(schema=_EVENT)  # each leg's state and last quote
        self._points = pl.DataFrame(schema=_KEPT)  # the newest: bands and the next gap depend on them
        self._epoch = 0

    @property
    def warm(self) -> bool:
        """Whether the next point's bands have all the points they look back on."""
        return len(self._points) >= WINDOW - 1

    def feed(self, quotes: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
        """Points and gaps (columns POINT_COLUMNS; null in gaps) that the next slice makes, oldest first.

        `quotes` and `states` have the lake's columns and are in any order.
        """
        taken = _quote_events(quotes, self._terms)
        # Where the order is unknown: states before quotes, exchange1 before exchange2.
        new = [_state_events(states, self._terms), taken.filter(leg=1), taken.filter(leg=2)]
        events = pl.concat([self._legs, *new])
        if len(events) == len(self._legs):
            return pl.DataFrame(schema=POINT_SCHEMA)
        clock = _clock(events)
        events = events.sort(pl.when(~pl.col("carried")).then(clock), maintain_order=True)
        events = _filled(events, self._epoch)
        points = self._paired(events, clock)
        too_old = points.filter("too_old")["now_us"]
        broken_us: Any = pl.concat([events.filter("interruption")["us"].head(1), too_old.head(1)]).min()
        self._legs, self._epoch = _legs(events), events["epoch"][-1] + len(too_old)
        return self._line(points.filter(~pl.col("too_old")).drop("too_old"), broken_us)

    def end(self, until_us: int, interrupted: bool = False) -> pl.DataFrame:
        """The gap after the last point when it lies before `until_us`, or there if interrupted then."""
        last = self._points.tail(1)
        if interrupted:
            last = last.with_columns(pl.col("broken_us").fill_null(until_us))
        at = self._gap(pl.col("broken_us").is_not_null(), expired=pl.lit(True))
        gap = last.select(us=at, after=pl.col("ts_us") + 1).drop_nulls()
        gap = gap.select(ts_us=pl.max_horizontal("us", "after"))
        if not interrupted:
            gap = gap.filter(pl.col("ts_us") < until_us)
        return pl.concat([pl.DataFrame(schema=POINT_SCHEMA), gap], how="diagonal")

    def _paired(self, events: pl.DataFrame, clock: pl.Expr) -> pl.DataFrame:
        """One row per pair of quotes: the point's columns, and when the line broke after it.

        One that is `too_old` makes no point and breaks the line.
        """
        rows = events.filter("usable", pl.col("state").is_null(), ~pl.col("carried"))
        quotes = events.select("us", "mono", "late", "bid", "bid_size", "ask", "ask_size", at_ns=clock)
        both = [quotes[rows[f"row{leg}"]].select(pl.all().name.suffix(f"{leg}")) for leg in (1, 2)]
        points = pl.concat([*both, rows.select("broken_us", "epoch")], how="horizontal")
        now = pl.max_horizontal("at_ns1", "at_ns2")
        ages = [now - pl.col(f"at_ns{leg}") + pl.col(f"late{leg}") * 1000 for leg in (1, 2)]
        too_old = pl.lit(False)
        if self._tolerance_us is not None:
            too_old = pl.max_horizontal(*ages) > self._tolerance_us * 1000
        points = points.select(
            "broken_us", "epoch", *_values(self._terms, ages), *_moments(ages), too_old=too_old
        )
        next_too_old = pl.when("too_old").then("now_us").backward_fill()
        return points.with_columns(
            broken_us=pl.min_horizontal("broken_us", next_too_old),
            epoch=pl.col("epoch") + pl.col("too_old").cum_sum().cast(pl.Int64),
        )

    def _line(self, points: pl.DataFrame, interrupted: int | None) -> pl.DataFrame:
        """The points with their bands, and the gaps between them."""
        old = len(self._points)
        kept = self._points.with_columns(pl.col("broken_us").fill_null(pl.lit(interrupted, pl.Int64)))
        line = pl.concat([kept, points], how="diagonal")
        line = line.with_columns(
            upper=_band(UPPER), lower=_band(LOWER), gap_us=self._gap_before_next(_clock_of_points(line))
        )
        line, gaps = _in_order(line, old)
        self._points = line.select(_KEPT.keys()).tail(WINDOW - 1)
        shown = pl.concat([line[old:].select(POINT_COLUMNS), gaps], how="diagonal")
        return shown.sort("ts_us") if len(gaps) else shown

    def _gap_before_next(self, clock: "tuple[pl.Expr, pl.Expr]") -> pl.Expr:
        now, older = clock
        if self._tolerance_us is None:
            expired = pl.lit(False)
        else:
            expired = now.shift(-1) - older > self._tolerance_us * 1000
        return self._gap(pl.col("epoch").shift(-1) > pl.col("epoch"), expired)

    def _gap(self, broken: pl.Expr, expired: pl.Expr) -> pl.Expr:
        """Moment when the line broke after a point: an interruption, or the older quote got too old."""
        if self._tolerance_us is None:
            return pl.when(broken).then("broken_us")
        expiry = pl.col("older_us") + self._tolerance_us
        return pl.when(broken).then(pl.min_horizontal("broken_us", expiry)).when(expired).then(expiry)


def _quote_events(quotes: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Quotes the engine would take, as events."""
    sane = quotes.filter(pl.col("bid") > 0, pl.col("ask") >= pl.col("bid"), pl.col("ask").is_finite())
    return _events(sane, terms, state=pl.lit(None, pl.String))


def _state_events(states: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    empty = pl.lit(None, pl.Float64)
    frame = states.with_columns(bid=empty, bid_size=empty, ask=empty, ask_size=empty)
    return _events(frame, terms, state=pl.col("state"))


def _events(frame: pl.DataFrame, terms: Terms, state: pl.Expr) -> pl.DataFrame:
    exchange = pl.col("exchange")
    leg = pl.when(exchange == terms.exchange1).then(1).when(exchange == terms.exchange2).then(2).otherwise(0)
    return frame.select(
        leg.cast(pl.Int8).alias("leg"),
        state.alias("state"),
        pl.col("received_ts_us").alias("us"),
        pl.col("received_mono_ns").cast(pl.Int64).alias("mono"),
        (pl.col("late_us").fill_null(0) if "late_us" in frame.columns else pl.lit(0))
        .cast(pl.Int64)
        .alias("late"),
        "bid",
        "bid_size",
        "ask",
        "ask_size",
        pl.lit(False).alias("carried"),
    )


def _clock(events: pl.DataFrame) -> pl.Expr:
    """The ns that order and ages go by: the monotonic stamp where all have one of the same machine."""
    new = events.filter(pl.col("state").is_null() | ~pl.col("carried"))
    return pl.col("mono") if _same_boot(new, ["us"], ["mono"]) else pl.col("us") * 1000


def _clock_of_points(line: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """The same for points: ns of the newer and of the older quote."""
    if _same_boot(line, ["now_us", "older_us"], ["now_mono", "older_mono"]):
        return pl.col("now_mono"), pl.col("older_mono")
    return pl.col("now_us") * 1000, pl.col("older_us") * 1000


def _same_boot(frame: pl.DataFrame, us: list[str], mono: list[str]) -> bool:
    distances = pl.concat(
        [
            frame.select((pl.col(u) * 1000 - pl.col(m)).alias("distance"))
            for u, m in zip(us, mono, strict=True)
        ]
    )["distance"]
    spread: Any = distances.drop_nulls().to_numpy()
    return not distances.null_count() and (not len(spread) or int(np.ptp(spread)) < MAX_CLOCK_STEP_NS)


def _filled(events: pl.DataFrame, epoch: int) -> pl.DataFrame:
    """Each event with the rows of both legs' last quotes and whether these may be used."""
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    interruption = pl.col("state").is_in(["down", "gap"])
    for leg in (1, 2):
        quote = (pl.col("leg") == leg) & pl.col("state").is_null()
        concerns = pl.col("leg").is_in([0, leg])
        up = pl.when(concerns & pl.col("state").is_in(["up", "down"])).then(pl.col("state") == "up")
        events = events.with_columns(
            pl.when(quote).then(row).forward_fill().alias(f"row{leg}"),
            (interruption & concerns).fill_null(False).cum_sum().alias(f"epoch{leg}"),
            up.forward_fill().fill_null(True).alias(f"up{leg}"),
        )
        # Of the interruptions only those before its last quote are over for a leg.
        current = pl.when(quote).then(f"epoch{leg}").forward_fill() == pl.col(f"epoch{leg}")
        events = events.with_columns(current.fill_null(False).alias(f"current{leg}"))
    interruption = interruption.fill_null(False) & ~pl.col("carried")
    return events.with_columns(
        interruption=interruption,
        usable=pl.all_horizontal("current1", "current2", "up1", "up2"),
        broken_us=pl.when(interruption).then("us").backward_fill(),
        epoch=interruption.cum_sum().cast(pl.Int64) + epoch,
    )


def _legs(events: pl.DataFrame) -> pl.DataFrame:
    """Lasting part of the events: each leg's state, and its last quote if nothing interrupted it since."""
    last = events.tail(1)
    kept = []
    for leg in (1, 2):
        state = pl.when(f"up{leg}").then(pl.lit("up")).otherwise(pl.lit("down"))
        row = last.with_columns(leg=pl.lit(leg, pl.Int8), state=state)
        kept.append(row.with_columns(pl.lit(None, pl.Float64).alias(n) for n in ("bid", "ask")))
        kept.append(events[last.filter(f"current{leg}")[f"row{leg}"]])
    return pl.concat(kept).select(_EVENT.keys()).with_columns(carried=pl.lit(True))


def _values(terms: Terms, ages_ns: list[pl.Expr]) -> list[pl.Expr]:
    """The formulas of docs/engine.md, in the engine's own order of operations."""
    bid1, ask1, bid2, ask2 = map(pl.col, ("bid1", "ask1", "bid2", "ask2"))
    factor12 = _of_then(terms, lambda fee1, fee2: fee_factors(fee1, fee2)[0])
    factor21 = _of_then(terms, lambda fee1, fee2: fee_factors(fee1, fee2)[1])
    size12 = pl.min_horizontal("bid_size1", "ask_size2")
    size21 = pl.min_horizontal("bid_size2", "ask_size1")
    known12 = pl.col("bid_size1").is_not_null() & pl.col("ask_size2").is_not_null()
    known21 = pl.col("bid_size2").is_not_null() & pl.col("ask_size1").is_not_null()
    return [
        spread_pct(bid1, bid2).alias("spread"),
        edge_bps(bid1, ask2, factor12).alias("edge12"),
        edge_bps(bid2, ask1, factor21).alias("edge21"),
        pl.when(known12).then(size12 * ask2).alias("size12"),
        pl.when(known21).then(size21 * ask1).alias("size21"),
        *((age / 1_000_000).alias(f"age{leg}_ms") for leg, age in zip((1, 2), ages_ns, strict=True)),
    ]


def _of_then(terms: Terms, factor: Callable[[float, float], float]) -> pl.Expr:
    """Edge that the fees leave of a ratio of prices, by the fees of the point's day."""
    found, now = pl.lit(factor(terms.fee1, terms.fee2)), pl.max_horizontal("us1", "us2")
    for start_us, end_us, fee1, fee2 in terms.past_fees:
        then = now.is_between(start_us, end_us, closed="left")
        found = pl.when(then).then(factor(fee1, fee2)).otherwise(found)
    return found


def _moments(ages_ns: list[pl.Expr]) -> list[pl.Expr]:
    """Times of the point and of its older quote, on both clocks."""
    first_is_later, first_is_older = pl.col("at_ns1") >= pl.col("at_ns2"), ages_ns[0] > ages_ns[1]
    now = [
        pl.when(first_is_later).then(f"{unit}1").otherwise(f"{unit}2").alias(f"now_{unit}")
        for unit in ("us", "mono")
    ]
    older = [
        pl.when(first_is_older).then(as_of(1)).otherwise(as_of(2)).alias(f"older_{unit}")
        for unit, as_of in (("us", _as_of_us), ("mono", _as_of_ns))
    ]
    return [*now, *older]


def _as_of_us(leg: int) -> pl.Expr:
    return pl.col(f"us{leg}") - pl.col(f"late{leg}")


def _as_of_ns(leg: int) -> pl.Expr:
    return pl.col(f"mono{leg}") - pl.col(f"late{leg}") * 1000


def _band(quantile: float) -> pl.Expr:
    return pl.col("spread").rolling_quantile(quantile, "linear", window_size=WINDOW, min_samples=1)


def _in_order(line: pl.DataFrame, old: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`ts_us` for points and gaps: strictly rising, each at least 1 µs after the one before.

    The points before `old` keep theirs. A gap is found with the point after it, so gaps after
    points before the last old one are out already.
    """
    gaps_before = pl.col("gap_us").shift(1).is_not_null()
    place = (1 + gaps_before.cast(pl.Int64)).cum_sum()
    gap_place = place + 1
    line = line.with_columns(place=place, gap_place=gap_place)
    points = line.select(us=pl.coalesce("ts_us", "now_us"), place="place", kind=pl.lit(0))
    gaps = line[max(old - 1, 0) :].filter(pl.col("gap_us").is_not_null())
    gaps = gaps.select(us="gap_us", place="gap_place", kind=pl.lit(1))
    stamps = pl.concat([points, gaps]).sort("place")
    stamps = stamps.with_columns(ts_us=(pl.col("us") - pl.col("place")).cum_max() + pl.col("place"))
    made = stamps.filter(kind=0)["ts_us"]
    return line.with_columns(made), stamps.filter(kind=1).select("ts_us")

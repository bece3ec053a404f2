"""The two sides of a chart as they were recorded, and what makes their prices comparable.

The engine's own rules (engine.charts.legs.Leg, engine.rates), over whole columns: a price is that of one
coin of the symbol, in its quote currency. An alias divides it by its multiplier; a leg in another
stablecoin is converted at the rate that had been received by then.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from engine.charts.batch import Leg
from engine.conversions import Conversion, ways
from history.read.reader import LakeReader

RATE_COUNTS_US: Final = 60_000_000
"""How long a rate holds after the quote it was read from."""

_RATE_COLUMNS: Final = ("exchange", "symbol", "bid", "ask", "received_ts_us")
_RATE_SCHEMA: Final = {"received_ts_us": pl.Int64, "rate": pl.Float64}
_MID: Final = (pl.col("bid") + pl.col("ask")) / 2


class RecordedRates:
    """Rates of stablecoins over a range: the median mid of the exchanges that quoted them."""

    def __init__(self, reader: LakeReader, legs: Sequence[Leg], start_us: int, end_us: int) -> None:
        self._legs = legs
        self._assumed: dict[Conversion | None, float] = {}
        self._rates: dict[Conversion | None, pl.DataFrame] = {
            leg.needs: _rate(reader, leg.needs, start_us - RATE_COUNTS_US, end_us)
            for leg in legs
            if leg.needs is not None
        }

    def in_terms(self, quotes: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
        """Both legs' own quotes as those of one coin of the symbol; those without a rate are left out."""
        if len({leg.symbol for leg in self._legs}) == 1 and not any(leg.is_scaled for leg in self._legs):
            return quotes.select(columns).collect()  # the usual case: not copied
        found = quotes.select(*columns, "symbol").collect()
        own = [self._scaled(found.filter(leg.recorded), leg) for leg in self._legs]
        return pl.concat(own).select(columns)

    def assume(self, leg: Leg, rate: float) -> None:
        """Use this rate for a leg whose own was not recorded."""
        if leg.needs is not None and not len(self._rates[leg.needs]):
            self._assumed[leg.needs] = rate

    def _scaled(self, own: pl.DataFrame, leg: Leg) -> pl.DataFrame:
        columns, scale = own.columns, pl.lit(1 / leg.multiplier)
        if leg.needs in self._assumed:
            scale = scale * self._assumed[leg.needs]
        elif leg.needs is not None:
            own = own.sort("received_ts_us", maintain_order=True).join_asof(
                self._rates[leg.needs], on="received_ts_us", tolerance=RATE_COUNTS_US
            )
            own, scale = own.drop_nulls("rate"), pl.col("rate") / leg.multiplier
        prices, sizes = pl.col("bid", "ask") * scale, pl.col("bid_size", "ask_size") * leg.multiplier
        return own.with_columns(prices, sizes).select(columns)

    def interruptions(self, leg: Leg) -> pl.DataFrame:
        """Moments when its rate ceased to be known: `exchange`, `state` (gap), `received_ts_us`."""
        at = pl.Series("received_ts_us", [], pl.Int64)
        if leg.needs is not None and leg.needs not in self._assumed:
            rates = self._rates[leg.needs]
            until = pl.col("received_ts_us") + RATE_COUNTS_US
            last = pl.col("received_ts_us").shift(-1).is_null()
            gone = rates.filter((pl.col("received_ts_us").shift(-1) > until) | last)
            at = pl.concat(
                [
                    gone.drop_nulls("rate").select(until)["received_ts_us"],
                    rates.filter(pl.col("rate").is_null())["received_ts_us"],
                ]
            )
        return pl.DataFrame({"received_ts_us": at}).select(
            pl.lit(leg.exchange).alias("exchange"), pl.lit("gap").alias("state"), "received_ts_us"
        )


def _rate(reader: LakeReader, needed: Conversion, start_us: int, end_us: int) -> pl.DataFrame:
    """`received_ts_us` and `rate` at each quote, null where it is not known: by the first way there is."""
    found, kept = [], pl.DataFrame(schema=_RATE_SCHEMA)
    for way in ways(needed):
        steps = [_step(reader, step, start_us, end_us) for step in way]
        if all(len(step) for step in steps):
            found.append(steps[0] if len(steps) == 1 else _chained(*steps))
            if _is_whole(found[-1], start_us, end_us):
                break
    for later in reversed(found):
        kept = later if not len(kept) else _either(later, kept)
    return kept


def _is_whole(rates: pl.DataFrame, start_us: int, end_us: int) -> bool:
    """Whether it is known all the time, so that no other way is ever taken."""
    at = [start_us, *rates["received_ts_us"].to_list(), end_us]
    return not rates["rate"].has_nulls() and all(b - a <= RATE_COUNTS_US for a, b in pairwise(at))


def _chained(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Chain two rates, from either's quotes on, while both hold."""
    return _together(first, second).select("received_ts_us", rate=pl.col("rate") * pl.col("other"))


def _either(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """The first rate, and the second where the first is not known."""
    return _together(first, second).select("received_ts_us", rate=pl.coalesce("rate", "other"))


def _together(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Both rates, `rate` and `other`, whenever one is quoted, ceases to be known, or grows too old."""
    times = pl.col("received_ts_us")
    old = [rates.select(times + RATE_COUNTS_US + 1) for rates in (first, second)]
    at = pl.concat([first.select(times), second.select(times), *old]).unique().sort("received_ts_us")
    for rates, name in ((first, "rate"), (second, "other")):
        at = at.join_asof(rates.rename({"rate": name}), on="received_ts_us", tolerance=RATE_COUNTS_US)
    return at


def _step(reader: LakeReader, needed: Conversion, start_us: int, end_us: int) -> pl.DataFrame:
    """One rate at every quote of it, null where no exchange's stream is left."""
    one, other = needed
    for symbol, mid in ((f"{one}/{other}", _MID), (f"{other}/{one}", 1 / _MID)):
        quotes = reader.scan(
            "quotes", columns=_RATE_COLUMNS, symbol=symbol, start_us=start_us, end_us=end_us
        ).filter(pl.col("bid") > 0, pl.col("ask") >= pl.col("bid"))
        states = reader.scan(
            "stream_states",
            columns=("exchange", "state", "received_ts_us"),
            symbol=[symbol, ""],
            start_us=start_us,
            end_us=end_us,
        ).filter(pl.col("state") != "up")
        found = pl.concat(
            [
                quotes.select("exchange", "received_ts_us", mid=mid).collect(),
                # NaN: not known from here on, where null would mean "as before".
                states.select("exchange", "received_ts_us", mid=pl.lit(float("nan"))).collect(),
            ]
        )
        if found["mid"].is_not_nan().any():
            return _median(found.sort("received_ts_us", maintain_order=True))
    return pl.DataFrame(schema=_RATE_SCHEMA)


def _median(mids: pl.DataFrame) -> pl.DataFrame:
    """The median over the exchanges' last mids, of those not older than a rate may be."""
    columns = []
    for exchange in mids.filter(pl.col("exchange") != "")["exchange"].unique().sort():
        own = pl.when(pl.col("exchange").is_in([exchange, ""])).then("mid")
        at = pl.when(own.is_not_null()).then("received_ts_us").forward_fill()
        current = pl.col("received_ts_us") - at <= RATE_COUNTS_US
        columns.append(pl.when(current).then(own.forward_fill().fill_nan(None)).alias(f"of {exchange}"))
    known = mids.select("received_ts_us", *columns)
    rate = pl.concat_list(pl.exclude("received_ts_us")).list.median()
    return known.select("received_ts_us", rate=rate).unique(
        "received_ts_us", keep="last", maintain_order=True
    )

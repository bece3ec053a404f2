"""Oracle of the engine's output, computed in another way: polars over whole columns of quotes."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from engine.charts.points import Points, no_points
from engine.charts.spread import SpreadEngine
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Opportunity
from markets.events import Quote

NOON_US = 1_760_000_000_000_000
SYMBOL = "BTC/USDT"
FIRST, SECOND = "binance", "bybit"
CHART = f"{SYMBOL}|{FIRST}|{SECOND}"


def config(
    tolerance_ms: int | None = 1000,
    *,
    fees_bps: tuple[float, float] = (10.0, 10.0),
    disabled: Sequence[str] = (),
    symbols: Sequence[str] = (SYMBOL,),
) -> MarketConfig:
    """Two exchanges and one opportunity per symbol."""
    fees = {FIRST: fees_bps[0], SECOND: fees_bps[1]}
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(k, k, k not in disabled, fee, fee) for k, fee in fees.items()),
        instruments=frozenset(
            InstrumentConfig(k, s, s.replace("/", "")) for k in fees if k not in disabled for s in symbols
        ),
        opportunities=tuple(Opportunity(s, FIRST, SECOND, tolerance_ms) for s in symbols),
    )


def engine(tolerance_ms: int | None = 1000) -> SpreadEngine:
    """An engine that watches one opportunity."""
    made = SpreadEngine()
    made.configure(config(tolerance_ms))
    return made


def quote(exchange: str, bid: float, at_ns: int, *, symbol: str = SYMBOL, ask: float = 0.0) -> Quote:
    """A quote received `at_ns` after noon; the ask is a little above the bid unless given."""
    return Quote(exchange, symbol, bid, 1.0, ask or bid * 1.0001, 2.0, None, NOON_US + at_ns // 1000, at_ns)


def feed(to: SpreadEngine, quotes: Iterable[Quote]) -> Points:
    """Everything the engine makes of the quotes on its one chart, collected after each of them."""
    parts = [no_points()]
    for one in quotes:
        to.on_quote(one)
        parts += [delta.points for delta in to.collect()]
    return np.concatenate(parts)


def without_gaps(points: Points) -> Points:
    """The points that carry values."""
    return points[~np.isnan(points[:, 1])]


def expected(quotes: Sequence[Quote], tolerance_ms: int | None) -> pl.DataFrame:
    """Join both sides as of each time, with rolling quantiles; one row per valid point, in order.

    The quotes are ordered by (time, exchange1 before exchange2), which is what makes a tie in time
    expressible: exchange1's quote does not see exchange2's of the same instant, the reverse does.
    """
    first, second = _side(quotes, FIRST, "1"), _side(quotes, SECOND, "2")
    tolerance = None if tolerance_ms is None else tolerance_ms * 1_000_000
    on_first = first.join_asof(
        second.drop("order"),
        on="now_ns",
        strategy="backward",
        tolerance=tolerance,
        allow_exact_matches=False,
    )
    on_second = second.join_asof(first.drop("order"), on="now_ns", strategy="backward", tolerance=tolerance)
    joined = pl.concat([on_first, on_second.select(on_first.columns)]).drop_nulls().sort("order")
    return joined.with_columns(
        spread=(pl.col("bid1") / pl.col("bid2") - 1) * 100,
        age1_ms=(pl.col("now_ns") - pl.col("at1_ns")) / 1e6,
        age2_ms=(pl.col("now_ns") - pl.col("at2_ns")) / 1e6,
    ).with_columns(
        upper=pl.col("spread").rolling_quantile(0.97, "linear", window_size=200, min_samples=1),
        lower=pl.col("spread").rolling_quantile(0.03, "linear", window_size=200, min_samples=1),
    )


def _side(quotes: Sequence[Quote], exchange: str, n: str) -> pl.DataFrame:
    rows = [
        (order, q.received_mono_ns, q.received_mono_ns, q.bid)
        for order, q in enumerate(quotes)
        if q.exchange == exchange
    ]
    schema = {"order": pl.Int64, "now_ns": pl.Int64, f"at{n}_ns": pl.Int64, f"bid{n}": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").set_sorted("now_ns")

"""One way to pair: whatever a pair's terms are, the live engine, its stored lines, computed history, a replay
and what is exported agree."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from django.core.management import call_command
from django.test import override_settings
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs

from core.clock.times import shown_time
from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS, Points
from history.lake.tables import Lake
from history.management.commands import export as export_module
from history.read.reader import LakeReader
from history.read.recorded import Recorded
from history.read.spreads import chart_points
from history.replay.engine import LEAD_IN_US, Replay, between
from markets.config import ListingConfig, MarketConfig
from markets.events import Quote
from tests.history.test_api import START_US
from tests.history.test_terms import BTC_USDT, SECOND_US, charted, computed, live, walk
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.scan.market import listing

RATE = 0.97
"""Of USDC, the same all the time: when a rate of a moment begins to count is tested with the rates."""

SWAPPED = [
    POINT_COLUMNS.index(name)
    for name in ("ts_us", "edge21", "edge12", "size21", "size12", "age2_ms", "age1_ms")
]
STRAIGHT = [
    POINT_COLUMNS.index(name)
    for name in ("ts_us", "edge12", "edge21", "size12", "size21", "age1_ms", "age2_ms")
]
SPREAD, UPPER, LOWER = (POINT_COLUMNS.index(name) for name in ("spread", "upper", "lower"))

listings = st.tuples(
    st.sampled_from(["BTC/USDT", "1000BTC/USDT", "BTC/USDC", "1000BTC/USDC"]),
    st.sampled_from([1e-6, 0.01, 1.0, 1000.0, 1e6]),
)
tolerances = st.sampled_from([None, 50, 250, 1000, 60_000])
fees = st.tuples(*[st.sampled_from([-25.0, 0.0, 5.0, 10.0, 300.0])] * 2)


def listed(exchange: str, said: tuple[str, float]) -> ListingConfig:
    return listing(exchange, said[0], counts_as=BTC_USDT, multiplier=said[1])


def terms(
    one: tuple[str, float], two: tuple[str, float], tolerance_ms: int | None, fees_bps: tuple[float, float]
) -> MarketConfig:
    """A chart of binance beside okx on these terms."""
    market = charted(BTC_USDT, listed("binance", one), listed("okx", two), tolerance_ms=tolerance_ms)
    by = {"binance": fees_bps[0], "okx": fees_bps[1]}
    exchanges = tuple(
        structs.replace(each, taker_fee_bps=by.get(each.key, each.taker_fee_bps)) for each in market.exchanges
    )
    rate = listing("okx", "USDC/USDT")
    return structs.replace(market, exchanges=exchanges, listings=(*market.listings, rate))


def replayed(lake: Lake, market: MarketConfig, end_us: int) -> Points:
    """Points that a replay of the lake makes of the chart."""
    replay = Replay(market, [BTC_USDT])
    recorded = Recorded(LakeReader(lake), replay.reads)
    parts = [
        each.points
        for results in replay.run(recorded.events(START_US - LEAD_IN_US, end_us), end_us)
        for each in between(results, START_US, end_us).points
    ]
    points: Points = np.concatenate(parts) if parts else np.zeros((0, len(POINT_COLUMNS)))
    return points[~np.isnan(points[:, SPREAD])]


def exported(lake: Lake, market: MarketConfig, format: str, *exchanges: str, end_us: int) -> Points:
    """Points that `manage.py export` makes of the chart, read back."""
    path = Path(lake.url) / f"out.{format}"
    asked = ["--symbol", BTC_USDT, "--exchange", exchanges[0], "--exchange2", exchanges[1]]
    within = ["--from", shown_time(START_US), "--to", shown_time(end_us + 1_000_000)]
    with (
        override_settings(LAKE_URL=lake.url),
        patch.object(export_module, "load_config", lambda *_: market),
    ):
        call_command("export", "spreads", *asked, *within, "--format", format, "-o", str(path))
    read: Any = {"csv": pl.read_csv, "ndjson": pl.read_ndjson, "parquet": pl.read_parquet}[format]
    rows: pl.DataFrame = read(path).filter(pl.col("spread").is_not_null())
    assert set(rows.select("symbol", "exchange1", "exchange2").unique().rows()) == {(BTC_USDT, *exchanges)}
    return rows.select(pl.col(name).cast(pl.Float64) for name in POINT_COLUMNS).to_numpy()


def stored(lake: Lake, market: MarketConfig, one: str, two: str, until_us: int) -> Points:
    """Stored points of the chart, whichever way round it is asked for."""
    sources, frames = chart_points(LakeReader(lake), Terms.of(market, BTC_USDT, one, two), START_US, until_us)
    assert sources == ["stored"]
    return np.concatenate([frame.select(POINT_COLUMNS).to_numpy() for frame in frames])


def same(found: Points, expected: Points, what: str) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-6, err_msg=what)


def turned(back: Points, there: Points, what: str) -> None:
    """The same points seen from the other exchange."""
    np.testing.assert_allclose(back[:, SWAPPED], there[:, STRAIGHT], rtol=1e-9, atol=1e-6, err_msg=what)
    for mine, others in ((SPREAD, SPREAD), (UPPER, LOWER), (LOWER, UPPER)):
        product = (1 + there[:, mine] / 100) * (1 + back[:, others] / 100)
        np.testing.assert_allclose(product, 1, rtol=1e-6, err_msg=what)


FORMATS = ("parquet", "ndjson", "csv")


@settings(max_examples=12, deadline=None, phases=[Phase.generate], derandomize=True)
@given(
    one=listings,
    two=listings,
    tolerance_ms=tolerances,
    fees_bps=fees,
    seed=st.integers(0, 10_000),
    format=st.sampled_from(FORMATS),
)
def test_stored_lines_and_exports_agree_with_the_live_ones_either_way_round(
    one: tuple[str, float],
    two: tuple[str, float],
    tolerance_ms: int | None,
    fees_bps: tuple[float, float],
    seed: int,
    format: str,
) -> None:
    market = terms(one, two, tolerance_ms, fees_bps)
    events, said = walk(seed, market, 120), []
    until_us = events[-1].received_ts_us + 1
    said = rate_quotes(until_us)
    with TemporaryDirectory() as folder:
        lake = Lake(folder)
        write_quotes(lake, sorted([*said, *events], key=lambda each: each.received_ts_us))
        expected = live(market, events, [(START_US, RATE)])
        if not len(expected):
            return  # nothing is compared within so short a tolerance
        check_exported(lake, market, format, expected, until_us)
        columns = dict(zip(POINT_COLUMNS, expected.T.tolist(), strict=True))
        names = {"symbol": BTC_USDT, "exchange1": "binance", "exchange2": "okx"}
        columns["ts_us"] = [int(ts_us) for ts_us in columns["ts_us"]]
        write(lake, "spreads", {name: [value] * len(expected) for name, value in names.items()} | columns)
        kept = stored(lake, market, "binance", "okx", int(expected[-1, 0]) + 1)
        same(kept, expected, "stored")
        turned(stored(lake, market, "okx", "binance", int(expected[-1, 0]) + 1), kept, "stored")
        check_exported(lake, market, format, expected, until_us)


def check_exported(lake: Lake, market: MarketConfig, format: str, expected: Points, until_us: int) -> None:
    """Export of a pair either way round, be it computed or stored by now."""
    there = exported(lake, market, format, "binance", "okx", end_us=until_us)
    same(there, expected, f"exported as {format}")
    turned(exported(lake, market, format, "okx", "binance", end_us=until_us), there, format)


def rate_quotes(until_us: int) -> list[Quote]:
    return [
        Quote("okx", "USDC/USDT", RATE - 1e-5, 1.0, RATE + 1e-5, 1.0, None, us, us * 1000)
        for us in range(START_US - 2 * SECOND_US, until_us, SECOND_US)
    ]


@settings(max_examples=10, deadline=None, phases=[Phase.generate], derandomize=True)
@given(one=listings, two=listings, tolerance_ms=tolerances, fees_bps=fees, seed=st.integers(0, 10_000))
def test_live_computed_and_replayed_points_agree_either_way_round(
    one: tuple[str, float],
    two: tuple[str, float],
    tolerance_ms: int | None,
    fees_bps: tuple[float, float],
    seed: int,
) -> None:
    market = terms(one, two, tolerance_ms, fees_bps)
    events = walk(seed, market, 120)
    until_us = events[-1].received_ts_us + 1
    said = rate_quotes(until_us)
    with TemporaryDirectory() as folder:
        lake = Lake(folder)
        write_quotes(lake, sorted([*said, *events], key=lambda each: each.received_ts_us))
        expected = live(market, events, [(START_US, RATE)])
        there = computed(lake, market, BTC_USDT, "binance", "okx", until_us)
        back = computed(lake, market, BTC_USDT, "okx", "binance", until_us)
        again = replayed(lake, market, until_us)
    same(there, expected, "computed")
    same(again, expected, "replayed")
    turned(back, there, "computed")
    if tolerance_ms is None or tolerance_ms >= 1000:
        assert len(expected), "something is compared"
    assert all(math.isfinite(value) for value in expected[:, SPREAD])

"""One way to pair: computed history has the scale, rate, tolerance and order of the live engine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from django.core.management import call_command
from django.test import Client
from msgspec import structs
from pytest_django import Settings
from redis import Redis

from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS, Points, no_points
from engine.charts.spread import SpreadEngine
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.spreads import chart_points, turned
from markets.config import (
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
    PairConfig,
    PastFees,
)
from markets.events import Quote, StreamState
from markets.models import ExchangePair
from tests.history.test_api import BTC, DATA, START_US, body, quotes, within
from tests.support.lakes.lake_data import write, write_quotes, write_states
from tests.support.scan.market import config, listing

BTC_USDT, PEPE = "BTC/USDT", "PEPE/USDT"
USDC = ("USDC", "USDT")
SECOND_US = 1_000_000


def charted(symbol: str, *listed: ListingConfig, tolerance_ms: int | None = 1000) -> MarketConfig:
    """One chart: binance beside okx."""
    return structs.replace(
        config(listed, fees_bps=(5.0, 10.0, 10.0, 7.0)),
        instruments=frozenset(
            InstrumentConfig(each.exchange, each.symbol, each.native_id, each.counts_as) for each in listed
        ),
        opportunities=(Opportunity(symbol, "binance", "okx", tolerance_ms),),
        pairs=(PairConfig("binance", "okx", tolerance_ms),),
    )


ALIASED = charted(
    PEPE, listing("binance", "1000PEPE/USDT", counts_as=PEPE, multiplier=1000.0), listing("okx", PEPE)
)
UNDER_ITS_OWN_TICKER = charted(PEPE, listing("binance", PEPE), listing("okx", PEPE, multiplier=1000.0))
IN_USDC = charted(BTC_USDT, listing("binance", "BTC/USDC", counts_as=BTC_USDT), listing("okx", BTC_USDT))


def at(exchange: str, symbol: str, us: int, bid: float) -> Quote:
    received_us = START_US + us
    return Quote(exchange, symbol, bid, 3.0, bid * 1.0002, 5.0, None, received_us, received_us * 1000)


def walk(seed: int, market: MarketConfig, count: int = 300) -> list[Quote]:
    """Quotes of both legs as their exchanges say them, by turns at random."""
    random = np.random.default_rng(seed)
    price = 100.0 * np.exp(np.cumsum(random.normal(0, 1e-4, count)))
    legs = sorted(market.instruments, key=lambda each: each.exchange)
    multipliers = {each.exchange: each.multiplier for each in market.listings}
    us = np.cumsum(random.integers(10_000, 900_000, count))
    return [
        at(leg.exchange, leg.symbol, int(us[i]), price[i] * multipliers[leg.exchange])
        for i in range(count)
        for leg in [legs[random.integers(2)]]
    ]


def live(market: MarketConfig, events: list[Quote], rates: Sequence[tuple[int, float]] = ()) -> Points:
    """Points that the engine makes; `rates` are those of USDC, each from its time on."""
    engine = SpreadEngine()
    engine.configure(market)
    waiting = list(rates)
    parts = [no_points()]
    for event in events:
        while waiting and waiting[0][0] <= event.received_ts_us:
            engine.set_rates({USDC: waiting.pop(0)[1]})
        engine.on_quote(event)
        parts += [delta.points for delta in engine.collect()]
    points: Points = np.concatenate(parts)
    made: Points = points[~np.isnan(points[:, 1])]
    return made


def computed(lake: Lake, market: MarketConfig, symbol: str, one: str, two: str, until_us: int) -> Points:
    """Points that history makes of what was recorded."""
    terms = Terms.of(market, symbol, one, two)
    sources, frames = chart_points(LakeReader(lake), terms, START_US, until_us)
    assert sources == ["computed"]
    points = np.concatenate([no_points(), *(f.select(POINT_COLUMNS).to_numpy() for f in frames)])
    made: Points = points[~np.isnan(points[:, 1])]
    return made


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.mark.parametrize("market", [ALIASED, UNDER_ITS_OWN_TICKER], ids=["alias", "own ticker"])
def test_a_listing_by_the_thousand_is_computed_coin_by_coin(lake: Lake, market: MarketConfig) -> None:
    events = walk(1, market)
    write_quotes(lake, events)
    expected = live(market, events)
    found = computed(lake, market, PEPE, "binance", "okx", events[-1].received_ts_us + 1)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
    assert np.abs(found[:, 1]).max() < 1, "not 99,832 %"
    assert np.abs(found[:, 4:6]).max() < 100, "nor 9,968,897 bps"


def test_a_leg_in_another_stablecoin_is_converted_at_the_rate_of_then(lake: Lake) -> None:
    events = walk(2, IN_USDC)
    rates = [(START_US + s * 20 * SECOND_US, 1 + 0.001 * s) for s in range(10)]
    said = [
        Quote("okx", "USDC/USDT", rate - 1e-5, 1.0, rate + 1e-5, 1.0, None, us, us * 1000)
        for us, rate in rates
    ]
    write_quotes(lake, sorted([*events, *said], key=lambda each: each.received_ts_us))
    expected = live(IN_USDC, events, rates)
    found = computed(lake, IN_USDC, BTC_USDT, "binance", "okx", events[-1].received_ts_us + 1)
    np.testing.assert_allclose(found[:, :6], expected[:, :6], rtol=1e-9, atol=1e-6)


def test_without_a_rate_there_is_no_point_and_a_rate_that_ends_breaks_the_line(lake: Lake) -> None:
    any_age = charted(BTC_USDT, *IN_USDC.listings, tolerance_ms=None)
    events = walk(3, any_age)
    write_quotes(lake, events)
    until_us = events[-1].received_ts_us + 1
    assert len(computed(lake, any_age, BTC_USDT, "binance", "okx", until_us)) == 0
    rate = Quote("okx", "USDC/USDT", 0.9, 1.0, 0.9, 1.0, None, START_US, START_US * 1000)
    write_quotes(lake, [rate])
    gone_us = START_US + 30 * SECOND_US
    write_states(lake, [StreamState("okx", ("USDC/USDT",), "down", "no frame", gone_us, gone_us * 1000)])
    found = computed(lake, any_age, BTC_USDT, "binance", "okx", until_us)
    assert len(found) > 10
    assert found[-1, 0] < gone_us, "a rate nobody quotes any more makes no point"


def test_the_edges_have_the_fees_of_their_day(lake: Lake) -> None:
    market = charted(BTC_USDT, listing("binance", BTC_USDT), listing("okx", BTC_USDT))
    events = walk(7, market)
    ended_us, free = START_US + 60 * SECOND_US, tuple(
        structs.replace(each, taker_fee_bps=0.0) for each in market.exchanges
    )  # fmt: skip
    promoted = structs.replace(market, past_fees=(PastFees(0, ended_us, free, ()),))
    write_quotes(lake, events)
    until_us = events[-1].received_ts_us + SECOND_US

    now = computed(lake, market, BTC_USDT, "binance", "okx", until_us)
    then = computed(lake, structs.replace(market, exchanges=free), BTC_USDT, "binance", "okx", until_us)
    dated = computed(lake, promoted, BTC_USDT, "binance", "okx", until_us)
    turned_round = computed(lake, promoted, BTC_USDT, "okx", "binance", until_us)

    early = dated[:, 0] < ended_us
    assert 0 < early.sum() < len(dated)
    np.testing.assert_allclose(dated[early], then[early])
    np.testing.assert_allclose(dated[~early], now[~early])
    edge12, edge21 = POINT_COLUMNS.index("edge12"), POINT_COLUMNS.index("edge21")
    np.testing.assert_allclose(turned_round[:, edge12], dated[:, edge21])


def test_the_pair_may_be_asked_for_either_way_round(lake: Lake) -> None:
    events = walk(4, ALIASED)
    write_quotes(lake, events)
    until_us = events[-1].received_ts_us + 1
    there = computed(lake, ALIASED, PEPE, "binance", "okx", until_us)
    back = computed(lake, ALIASED, PEPE, "okx", "binance", until_us)
    np.testing.assert_array_equal(there[:, [0, 4, 5, 6, 7, 8, 9]], back[:, [0, 5, 4, 7, 6, 9, 8]])
    np.testing.assert_allclose((1 + there[:, 1] / 100) * (1 + back[:, 1] / 100), 1)


def test_turning_a_pair_twice_changes_nothing() -> None:
    rows = pl.DataFrame(np.random.default_rng(0).normal(size=(50, 10)), schema=list(POINT_COLUMNS))
    again = turned(turned(rows))
    np.testing.assert_allclose(again.to_numpy(), rows.to_numpy())


@pytest.mark.parametrize("order", [("binance", "okx"), ("okx", "binance")])
@pytest.mark.parametrize("tolerance_ms", [250, None])
def test_a_pair_without_a_chart_has_its_own_tolerance(
    order: tuple[str, str], tolerance_ms: int | None
) -> None:
    market = structs.replace(charted(PEPE, *ALIASED.listings, tolerance_ms=tolerance_ms), opportunities=())
    assert Terms.of(market, PEPE, *order).tolerance_ms == tolerance_ms


# --- over HTTP -----------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    settings.LAKE_URL = str(tmp_path / "served")
    call_command("seed", verbosity=0)
    return Lake(settings.LAKE_URL)


TURNED = "symbol=BTCUSDT&exchange1=Bybit&exchange2=Binance"


def test_stored_points_are_found_either_way_round(served: Lake, operator_client: Client) -> None:
    columns: dict[str, Any] = {"ts_us": [START_US, START_US + SECOND_US], "spread": [0.5, None]}
    columns |= {"upper": [1.0, None], "lower": [-1.0, None], "edge12": [30.0, None], "edge21": [-70.0, None]}
    columns |= {
        "size12": [12.0, None],
        "size21": [21.0, None],
        "age1_ms": [1.0, None],
        "age2_ms": [2.0, None],
    }
    names = {"symbol": ["BTC/USDT"] * 2, "exchange1": ["binance"] * 2, "exchange2": ["bybit"] * 2}
    write(served, "spreads", names | columns)
    response = operator_client.get(f"{DATA}?{TURNED}&{within(0, 2)}")
    point, gap = body(response)
    assert response["X-History-Source"] == "stored"
    assert (point["edge12"], point["edge21"]) == (-70.0, 30.0)
    assert point["spread"] == pytest.approx((1 / 1.005 - 1) * 100)
    assert (point["upperBand"], point["lowerBand"]) == pytest.approx(
        (1 / 0.99 * 100 - 100, 1 / 1.01 * 100 - 100)
    )
    assert gap["spread"] is gap["edge12"] is None


def test_events_are_found_either_way_round(served: Lake, operator_client: Client) -> None:
    event = {
        "symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit", "filter_id": 1, "event": "open",
        "ts_us": START_US, "spread": 0.5, "edge12": 5.0, "edge21": -9.0,
    }  # fmt: skip
    write(served, "opportunities", pl.DataFrame([event]))
    (there,) = body(operator_client.get(f"/api/history/opportunities?{BTC}&{within(0, 60)}"))
    (back,) = body(operator_client.get(f"/api/history/opportunities?{TURNED}&{within(0, 60)}"))
    assert (there["edge12"], there["edge21"], there["spread"]) == (5.0, -9.0, 0.5)
    assert (back["edge12"], back["edge21"]) == (-9.0, 5.0)
    assert back["spread"] == pytest.approx((1 / 1.005 - 1) * 100)


def test_the_api_knows_the_tolerance_of_a_pair_nobody_charts(served: Lake, operator_client: Client) -> None:
    ExchangePair.objects.update(tolerance_ms=150)
    soon, late = quotes(2)  # a tenth of a second apart
    later_us = late.received_ts_us + 100_000
    too_late = structs.replace(late, received_ts_us=later_us, received_mono_ns=later_us * 1000)
    for symbol, second in (("SOON/USDT", late), ("LATE/USDT", too_late)):
        write_quotes(served, [structs.replace(each, symbol=symbol) for each in (soon, second)])
    found = body(operator_client.get(f"{DATA}?{BTC.replace('BTCUSDT', 'SOON/USDT')}&{within(0, 0.5)}"))
    assert len([line for line in found if line["spread"] is not None]) == 1
    response = operator_client.get(f"{DATA}?{BTC.replace('BTCUSDT', 'LATE/USDT')}&{within(0, 0.5)}")
    assert response.status_code == 404, "a leg 200 ms old makes no point where 150 ms are tolerated"


def test_a_chain_of_two_rates_is_computed_as_live_has_it(lake: Lake) -> None:
    """TUSD is quoted in USDC only; half a chain, or an old half, is no rate."""
    in_tusd = charted(
        BTC_USDT, listing("binance", "BTC/TUSD", counts_as=BTC_USDT), listing("okx", BTC_USDT),
        tolerance_ms=None,
    )  # fmt: skip
    events = walk(5, in_tusd, 400)
    until_us = events[-1].received_ts_us + 1

    def rate(exchange: str, symbol: str, mid: float, second: float) -> Quote:
        us = START_US + int(second * SECOND_US)
        return Quote(exchange, symbol, mid - 1e-6, 1.0, mid + 1e-6, 1.0, None, us, us * 1000)

    one = [rate("gate", "TUSD/USDC", 0.98 + 0.001 * n, 2 + 20 * n) for n in range(3)]
    write_quotes(lake, sorted([*events, *one], key=lambda each: each.received_ts_us))
    assert len(computed(lake, in_tusd, BTC_USDT, "binance", "okx", until_us)) == 0
    write_quotes(lake, [rate("okx", "USDC/USDT", 1.01, 10.0)])
    found = computed(lake, in_tusd, BTC_USDT, "binance", "okx", until_us)
    ends_us = START_US + 70 * SECOND_US  # a minute after the older half was quoted
    assert found[0, 0] >= START_US + 10 * SECOND_US
    assert found[-1, 0] <= ends_us
    rates = {0.98 * 1.01: (10, 22), 0.981 * 1.01: (22, 42), 0.982 * 1.01: (42, 70)}
    expected = live_in(in_tusd, events, rates)
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=1e-6, atol=1e-6)


def live_in(market: MarketConfig, events: list[Quote], rates: dict[float, tuple[int, int]]) -> Points:
    """Points that the engine makes with rates of TUSD from one second to another."""
    engine = SpreadEngine()
    engine.configure(market)
    parts = [no_points()]
    for event in events:
        at_s = (event.received_ts_us - START_US) / SECOND_US
        current = next((rate for rate, (first, last) in rates.items() if first <= at_s < last), float("nan"))
        engine.set_rates({("TUSD", "USDT"): current})
        engine.on_quote(event)
        parts += [delta.points for delta in engine.collect()]
    points: Points = np.concatenate(parts)
    made: Points = points[~np.isnan(points[:, 1])]
    return made

"""Charts whose legs are listed under another name, or in another stablecoin, than the symbol they are of."""

import numpy as np
import pytest
from msgspec import structs

from engine.charts.points import Points
from engine.charts.spread import SpreadEngine
from markets.config import InstrumentConfig, ListingConfig, MarketConfig, Opportunity
from markets.events import StreamState
from tests.support.scan.market import config, listing
from tests.support.spread_oracle import quote

BTC, PEPE = "BTC/USDT", "PEPE/USDT"
MS = 1_000_000
USDC = ("USDC", "USDT")


def charted(symbol: str, *listed: ListingConfig) -> MarketConfig:
    """One chart: binance beside okx, no fees."""
    return structs.replace(
        config(listed, fees_bps=(0.0,) * 4),
        instruments=frozenset(
            InstrumentConfig(each.exchange, each.symbol, each.native_id, each.counts_as) for each in listed
        ),
        opportunities=(Opportunity(symbol, "binance", "okx", None),),
    )


def engine(market: MarketConfig) -> SpreadEngine:
    made = SpreadEngine()
    made.configure(market)
    return made


def news(of: SpreadEngine) -> Points:
    (delta,) = of.collect()
    return delta.points


ALIASED = charted(
    PEPE, listing("binance", "1000PEPE/USDT", counts_as=PEPE, multiplier=1000.0), listing("okx", PEPE)
)
PLAIN = charted(PEPE, listing("binance", PEPE), listing("okx", PEPE))
THOUSANDS = charted(PEPE, listing("binance", PEPE, multiplier=1000.0), listing("okx", PEPE))
OTHER_COIN = charted(BTC, listing("binance", "BTC/USDC", counts_as=BTC), listing("okx", BTC))


def test_an_alias_is_charted_coin_by_coin() -> None:
    made = engine(ALIASED)
    made.on_quote(quote("okx", 0.0000100, 0, symbol=PEPE, ask=0.0000101))
    made.on_quote(quote("binance", 0.0102, MS, symbol="1000PEPE/USDT", ask=0.0103))

    ((_, spread, _, _, edge12, edge21, size12, size21, age1, age2),) = news(made)
    assert spread == pytest.approx((0.0000102 / 0.0000100 - 1) * 100)
    assert (edge12, edge21) == pytest.approx((0.0102 / 0.0101 * 1e4 - 1e4, 0.0100 / 0.0103 * 1e4 - 1e4))
    assert (size12, size21) == pytest.approx((2.0 * 0.0000101, 1.0 * 0.0000103)), "bids of 1, asks of 2"
    assert (age1, age2) == (0.0, 1.0)


def test_an_alias_that_begins_or_ends_starts_from_its_next_quote() -> None:
    made = engine(PLAIN)
    for exchange in ("okx", "binance"):
        made.on_quote(quote(exchange, 0.00001, 0, symbol=PEPE))
    made.collect()

    made.configure(ALIASED)
    (delta,) = made.collect()
    assert (delta.state, delta.reason) == ("stale", "waiting for the first quote of binance")
    assert np.isnan(delta.points[-1, 1]), "the line is broken"
    made.on_quote(quote("binance", 0.01, MS, symbol="1000PEPE/USDT"))
    assert news(made)[-1, 1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (THOUSANDS, PLAIN),
        (PLAIN, THOUSANDS),
        (
            PLAIN,
            charted(PEPE, structs.replace(listing("binance", PEPE), native_id="P2"), listing("okx", PEPE)),
        ),
    ],
)
def test_bands_know_only_points_of_what_is_compared_now(before: MarketConfig, after: MarketConfig) -> None:
    made = engine(before)

    def quoted(at_ms: int, bid: float) -> Points:
        made.on_quote(quote("okx", 1.0, at_ms * MS, symbol=PEPE))
        made.on_quote(quote("binance", bid, (at_ms + 1) * MS, symbol=PEPE))
        return np.asarray(news(made)[-1])

    quoted(0, 1.01)
    made.configure(after)
    _, spread, upper, lower, *_ = quoted(10, 1.5)
    assert upper == lower == spread

    made.configure(after)
    made.on_quote(quote("binance", 2.5, 20 * MS, symbol=PEPE))
    _, spread, _, lower, *_ = news(made)[-1]
    assert lower < spread, "what stays keeps its bands"


def test_another_market_under_the_same_name_starts_from_its_next_quote() -> None:
    made = engine(PLAIN)
    made.on_quote(quote("okx", 1.0, 0, symbol=PEPE))
    made.on_quote(quote("binance", 1.01, MS, symbol=PEPE))
    news(made)

    made.configure(charted(PEPE, structs.replace(listing("binance", PEPE), native_id="PEPE2USDT"),
                           listing("okx", PEPE)))  # fmt: skip
    made.on_quote(quote("okx", 1.0, 2 * MS, symbol=PEPE))
    assert np.isnan([spread for _, spread, *_ in news(made)]).all()


def test_another_stablecoin_waits_for_its_rate() -> None:
    made = engine(OTHER_COIN)
    made.on_quote(quote("okx", 100.0, 0))
    made.on_quote(quote("binance", 100.0, 0, symbol="BTC/USDC"))
    (delta,) = made.collect()
    assert (delta.state, delta.reason) == ("stale", "waiting for the rate of USDC in USDT")
    assert made.counters.unpriced == 1

    made.set_rates({USDC: 0.99})
    made.on_quote(quote("binance", 100.0, MS, symbol="BTC/USDC"))
    assert news(made)[-1, 1] == pytest.approx(-1.0)

    made.set_rates({USDC: float("nan")})
    (delta,) = made.collect()
    assert (delta.state, delta.reason) == ("stale", "waiting for the rate of USDC in USDT")


def test_a_stream_that_is_down_is_named_before_a_rate_that_is_missing() -> None:
    made = engine(OTHER_COIN)
    made.on_state(StreamState("binance", ("BTC/USDC",), "down", "no frame for 20 s", 0, MS))
    (delta,) = made.collect()
    assert delta.state == "down"
    assert delta.reason.startswith("no stream from binance: no frame for 20 s")

"""Least sizes and volumes mean the same money whatever a symbol is priced in; amounts show their digits."""

from math import nan

import numpy as np
import pytest
from msgspec import structs

from core.names import formats as wording
from engine.gates import checks as gates
from engine.gates.checks import Evidence, Facts, LegSeen, Seen
from engine.scan.identity import PASS
from markets.config import FilterConfig, GateTerms, MarketConfig
from realtime.scanner.view import Query, View, as_amount
from tests.realtime.test_old_quotes import Slow
from tests.support.scan.market import NOON_US, Desk, config, everywhere, listing

ONE, TWO = "binance", "bybit"
FOLLOWS = FilterConfig(1, "all", min_edge_bps=5.0, close_edge_bps=2.0)
WORTH = {"BTC/USDT": 91_000.0, "USDT/IDR": 16_300.0, "EUR/USDT": 1.08}


def configured(
    symbol: str, *, least: float = 10.0, says: tuple[str, ...] = tuple(WORTH), **more: object
) -> MarketConfig:
    follows = structs.replace(FOLLOWS, **more)
    terms = GateTerms(min_size=least)
    return config(everywhere(symbol, *says), follows, pairs=[(ONE, TWO)], gates=terms)


class Market(Desk):
    """Market whose rates are quoted on a third exchange; then the symbol is, 0.5 % apart."""

    def open(self, symbol: str, price: float, coins: float, *, at_s: float = 0) -> list[str]:
        """Quote so many coins on both sides; which symbols opened."""
        for saying, mid in WORTH.items():
            self.quote("gate", saying, mid * 0.99999, mid * 1.00001, at_ms=at_s * 1000)
        self.tick(at_s * 1000 + 1_100)
        for exchange, mid in ((ONE, price * 1.005), (TWO, price)):
            self.quote(
                exchange, symbol, mid * 0.9999, mid * 1.0001, at_ms=at_s * 1000 + 1_200, sizes=(coins, coins)
            )
        return [each.symbol for each in self.scanner.lifecycle.take() if each.phase == "open"]


@pytest.mark.parametrize(
    ("symbol", "price", "coins", "opens"),
    [
        ("ETH/BTC", 0.0307, 10.0, True),  # 0.307 BTC, 28,000 dollars
        ("ETH/BTC", 0.0307, 0.001, False),  # 2.8 dollars
        ("DOGE/IDR", 13.8, 1.0, False),  # 13.8 IDR, less than a cent
        ("DOGE/IDR", 13.8, 20_000.0, True),  # 276,000 IDR, 17 dollars
        ("SOL/EUR", 9.5, 1.0, True),  # 10.3 dollars
        ("SOL/EUR", 9.0, 1.0, False),
        ("BTC/USDC", 11.0, 1.0, True),
        ("BTC/USDC", 9.0, 1.0, False),
        ("BTC/USD", 11.0, 1.0, True),
        ("ETH/JPY", 500_000.0, 10.0, False),  # nobody says what a yen is worth
    ],
)
def test_the_least_size_is_in_dollars_whatever_the_quote_currency(
    symbol: str, price: float, coins: float, opens: bool
) -> None:
    assert bool(Market(configured(symbol)).open(symbol, price, coins)) is opens


@pytest.mark.parametrize(("asked", "opens"), [(0.0, True), (100.0, True), (50_000.0, False)])
def test_a_filters_own_least_size_is_in_dollars_too(asked: float, opens: bool) -> None:
    market = Market(configured("ETH/BTC", min_size=asked))
    assert bool(market.open("ETH/BTC", 0.0307, 10.0)) is opens


def test_without_a_least_size_nothing_need_be_converted() -> None:
    market = Market(configured("ETH/JPY", least=0.0))
    assert market.open("ETH/JPY", 500_000.0, 10.0) == ["ETH/JPY"]


def test_what_is_open_ends_in_words_when_nobody_says_any_more_what_its_currency_is_worth() -> None:
    market = Market(configured("ETH/BTC"))
    assert market.open("ETH/BTC", 0.0307, 10.0) == ["ETH/BTC"]
    for second in range(2, 70):
        for exchange, mid in ((ONE, 0.0307 * 1.005), (TWO, 0.0307)):
            market.quote(exchange, "ETH/BTC", mid * 0.9999, mid * 1.0001, at_ms=second * 1000, sizes=(10, 10))
        market.tick(second * 1000 + 500)
    (closed,) = [each for each in market.scanner.lifecycle.take() if each.phase == "close"]
    assert closed.reason == "executable size: what a BTC is worth is unknown"


def test_it_ends_without_a_quote_of_its_own_when_the_line_that_says_it_breaks() -> None:
    market = Market(configured("ETH/BTC"))
    assert market.open("ETH/BTC", 0.0307, 10.0) == ["ETH/BTC"]
    market.state("gate", "down", "BTC/USDT", at_ms=1_500)
    market.tick(2_800)
    (closed,) = [each for each in market.scanner.lifecycle.take() if each.phase == "close"]
    assert closed.reason == "executable size: what a BTC is worth is unknown"
    assert closed.closed_us == NOON_US + 2_700_000, "a second later, at the next time its gates are asked"


def test_what_a_currency_is_worth_from_now_on_is_judged_without_a_quote() -> None:
    """0.002 BTC are 182 dollars, then 9: too little, for longer than a second."""
    market = Market(configured("ETH/BTC"))
    assert market.open("ETH/BTC", 0.002, 1.0) == ["ETH/BTC"]
    market.quote("gate", "BTC/USDT", 4_499.0, 4_501.0, at_ms=1_300)  # a jump
    market.quote("gate", "BTC/USDT", 4_499.0, 4_501.0, at_ms=1_400)
    market.tick(3_300)
    (closed,) = [each for each in market.scanner.lifecycle.take() if each.phase == "close"]
    assert closed.reason == "executable size below 10.00 USDT"


def test_an_instrument_that_counts_as_another_symbol_now_is_worth_what_that_is() -> None:
    """Before, it was compared with what is priced in BTC: a dollar was taken for 91,000."""
    listed = [listing(key, "X/USDT", counts_as="X/BTC") for key in (ONE, TWO)]
    desk = Desk(config([*listed, *everywhere("BTC/USDT")], FOLLOWS, gates=GateTerms()))
    for saying in ("okx", "gate"):
        desk.quote(saying, "BTC/USDT", 90_999.0, 91_001.0)
    desk.tick(1_000)
    market = config([*everywhere("X/USDT"), *everywhere("BTC/USDT")], FOLLOWS, gates=GateTerms())
    desk.configure(market, at_ms=1_100)
    assert {leg.worth for leg in desk.scanner.legs if leg.listing.symbol == "X/USDT"} == {1.0}


def test_a_shard_without_the_currency_receives_what_it_is_worth() -> None:
    market = Market(configured("ETH/BTC", says=()))
    now_us = market.scanner.legs[0].received_ts_us
    market.scanner.rates.receive({"BTC/USDT": (91_000.0, now_us)})
    market.scanner.tick(now_us, 10**12)
    assert market.scanner.rates.worths == {"BTC": 91_000.0}
    assert {leg.worth for leg in market.scanner.legs} == {91_000.0}


# --- in words ------------------------------------------------------------------------------------


def judged(worth: float, size: float, ages: dict[str, float], **terms: float) -> dict[str, gates.Gate]:
    market = structs.replace(configured("ETH/BTC"), gates=GateTerms(**terms))
    desk = Desk(market)
    way = next(each for each in desk.scanner.directions if each.pair.symbol == "ETH/BTC")
    way.buy.worth = way.sell.worth = worth
    legs = LegSeen(way.buy, 0, 0.0), LegSeen(way.sell, 0, 0.0)
    seen = Seen(way.pair, *legs, size, Evidence(PASS, 1.0, 1.0), 10.0, ages)
    return {gate.name: gate for gate in gates.judge(Facts(market), seen)}


def test_the_size_gate_says_both_currencies_and_how_old_the_rate_is() -> None:
    gate = judged(91_000.0, 0.307, {"BTC/USDT": 900.0})["size"]
    assert gate.verdict == "pass"
    assert gate.words == (
        "executable at both best prices: 0.307 BTC (27,937 USDT), by a rate quoted 900 ms ago"
    )
    small = judged(91_000.0, 0.0001, {})["size"]
    assert (small.verdict, small.value) == ("fail", "0.0001 BTC (9.10 USDT)")


def test_an_unknown_worth_is_unknown_and_says_what_to_do() -> None:
    found = judged(nan, 0.307, {}, min_volume=100.0)
    assert (found["size"].verdict, found["volume"].verdict) == ("unknown", "unknown")
    assert "0.307 BTC (worth unknown)" in found["size"].words
    assert "enable a market that says what a BTC is worth, like BTC/USDT" in found["size"].words


@pytest.mark.parametrize(("least", "verdict"), [(1e6, "pass"), (1e12, "fail"), (0.0, "pass")])
def test_the_least_volume_is_in_dollars_too(least: float, verdict: str) -> None:
    gate = judged(91_000.0, 1.0, {}, min_volume=least)["volume"]  # a million BTC a day
    assert gate.verdict == verdict
    assert "binance 1,000,000 BTC (91,000,000,000 USDT)" in gate.value


# --- the scanner's table -------------------------------------------------------------------------


def test_the_table_judges_filters_and_sorts_by_what_sizes_and_volumes_are_worth() -> None:
    market = config(everywhere("ETH/BTC", "DOGE/IDR", "SOL/USDT", *WORTH), FOLLOWS, pairs=[(ONE, TWO)])
    market = structs.replace(market, gates=GateTerms(min_volume=1e5))
    desk = Market(market)
    for symbol, price, coins in (("ETH/BTC", 0.0307, 10.0), ("DOGE/IDR", 13.8, 1.0), ("SOL/USDT", 90.0, 1.0)):
        desk.open(symbol, price, coins)
    table = Slow.table(_TableData(desk, market))  # type: ignore[arg-type]
    row = {symbol: table.row[f"{symbol}|{ONE}|{TWO}"] for symbol in ("ETH/BTC", "DOGE/IDR", "SOL/USDT")}
    assert table.value[row["ETH/BTC"]] == pytest.approx(27_937, rel=1e-3)
    assert table.value[row["DOGE/IDR"]] < 0.001
    view = View(table, Query(min_size=10.0, sort="size"))
    assert [table.pairs[each].symbol for each in view.order] == ["ETH/BTC", "SOL/USDT"]
    view = View(table, Query(min_volume=1e5))
    assert row["DOGE/IDR"] not in view.order
    assert {row["ETH/BTC"], row["SOL/USDT"]} <= set(view.order)
    assert [bool(table.blocked[each]) for each in row.values()] == [False, True, False]


class _TableData:
    """Data that `Slow.table` asks of a desk."""

    def __init__(self, desk: Desk, market: MarketConfig) -> None:
        self.scanner, self.market, self.now_s = desk.scanner, market, 2


# --- digits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.003, "0.003"), (0.307, "0.307"), (0.5, "0.5"), (0.00012345, "0.000123"), (1e-9, "0.000000001"),
        (0.0, "0.00"), (1.0, "1.00"), (13.8, "13.80"), (-0.0042, "-0.0042"), (99.994, "99.99"),
        (1_520.4, "1,520"), (nan, "unknown"),
    ],
)  # fmt: skip
def test_an_amount_has_the_digits_that_distinguish_it_from_nothing(value: float, text: str) -> None:
    assert wording.amount(value) == text
    (shown,) = as_amount(np.array([value])).tolist()
    assert wording.amount(shown) == text

"""Net edge of a pair that is held, over HTTP: terms in bps and money, what is unknown or refused."""

import time
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from msgspec import structs
from redis import Redis

from markets.config import ExchangeConfig, ListingConfig, MarketConfig
from markets.follow.fundings import Snapshot
from realtime.funding.net import Net, NetQuery, net
from realtime.scanner.table import ScanTable
from tests.realtime.funding.test_funding import swap
from tests.support.scan.data import market, scan_of

KEYS = ("binance", "binance:swap", "bybit:swap")


@pytest.fixture
def config() -> MarketConfig:
    """BTC as Binance's spot and on two markets of swaps, 10 bps to take anywhere."""
    listings = tuple(
        ListingConfig(
            key, "BTC/USDT:USDT" if key.endswith(":swap") else "BTC/USDT", key, "BTC", "USDT", "BTC/USDT"
        )
        for key in KEYS
    )
    made = market(("BTC/USDT",), KEYS, listings)
    names = ("Binance", "Binance swap", "Bybit swap")
    rows = zip(KEYS, names, strict=True)
    return structs.replace(made, exchanges=tuple(ExchangeConfig(k, n, True, 10.0, 10.0) for k, n in rows))


@pytest.fixture
def table(config: MarketConfig) -> ScanTable:
    """The scanner's table: Binance's bids are 100, Bybit's 101, asks a bp higher."""
    made = ScanTable(config)
    prices = {(each.exchange, each.symbol): 100.0 for each in config.listings}
    scan = scan_of(config, prices | {("bybit:swap", "BTC/USDT:USDT"): 101.0})
    made.take(scan, made.match(scan), scan.received_s, silent=False)
    made.refresh()
    return made


def ask(table: ScanTable, buy: str, sell: str, **more: Any) -> Net:
    now_us = time.time_ns() // 1000
    said = Snapshot(
        "1/1", now_us, [swap("binance", "BTC/USDT", 0.0001, 8), swap("bybit", "BTC/USDT", 0.0002, 4)]
    )
    unknown = Snapshot("1/1", now_us, [swap("binance", "BTC/USDT", 0.0001, 8)])
    snapshot = unknown if more.pop("silent", False) else said
    return net(table, NetQuery(symbol="BTC/USDT", buy=buy, sell=sell, **more), [snapshot], now_us)


def test_two_swaps_term_by_term(table: ScanTable) -> None:
    found = ask(table, "binance:swap", "bybit:swap", median_spread=0.2)
    unit = 10_000 / 1.001
    assert found.bps["entry"] == pytest.approx(101 * 0.999 / (100.01 * 1.001) * 10_000 - 10_000)
    # Within 8 h Binance settles once, in half an hour, and Bybit twice.
    assert found.bps["funding_long"] == pytest.approx(-0.0001 * unit)
    assert found.bps["funding_short"] == pytest.approx(2 * 0.0002 * unit)
    assert found.bps["exit_fees"] == pytest.approx(-0.002 * unit)
    assert found.bps["exit_now"] == pytest.approx(-(101.0101 / 100 - 1) * 1.001 * unit)
    assert found.bps["exit_median"] == pytest.approx(-(1.002 * 1.0001 - 1) * 1.001 * unit)
    terms = ("entry", "funding_long", "funding_short", "exit_fees", "borrow")
    for said in (found.bps, found.money):
        held = sum(said[name] or 0 for name in terms)
        assert said["net_zero"] == pytest.approx(held, abs=1e-6)
        assert said["net_now"] == pytest.approx(held + (said["exit_now"] or 0), abs=1e-6)
        assert said["net_median"] == pytest.approx(held + (said["exit_median"] or 0), abs=1e-6)
    assert found.money["funding_short"] == pytest.approx(0.4)
    assert (found.trade, found.currency) == ("long Binance swap, short Bybit swap", "USDT")
    assert str(found.bps["borrow"]) == "0.0", "nothing is not a loss: -0.0 would be shown as one"
    assert [len(leg.settlements) for leg in (found.buy, found.sell)] == [1, 2]
    assert [each.forming for each in found.sell.settlements] == [True, False]


def test_a_spot_leg_has_no_funding_and_a_spot_sale_needs_the_coin(table: ScanTable) -> None:
    basis = ask(table, "binance", "binance:swap")
    assert (basis.bps["funding_long"], basis.buy.needs, basis.sell.needs) == (0, "", "")
    assert basis.trade == "long Binance spot, short Binance swap"
    other = ask(table, "binance:swap", "binance", borrow=0.03)
    assert (other.bps["funding_short"], other.sell.needs) == (0, "coin or borrowing")
    assert other.trade == "long Binance swap, short Binance spot: not possible without borrowing"
    assert other.money["borrow"] == pytest.approx(-1000 * 0.0003 * 8 / 24)


def test_unknown_funding_is_unknown_with_the_reason_and_so_is_the_net(table: ScanTable) -> None:
    found = ask(table, "binance:swap", "bybit:swap", silent=True)
    assert found.sell.problem == "nothing was said of its funding"
    assert (found.bps["funding_short"], found.bps["net_zero"], found.money["net_now"]) == (None, None, None)
    assert found.bps["entry"] is not None


def test_without_a_median_only_that_net_is_unknown(table: ScanTable) -> None:
    found = ask(table, "binance:swap", "bybit:swap")
    assert (found.bps["exit_median"], found.bps["net_median"]) == (None, None)
    assert found.bps["net_now"] is not None


def test_prices_of_a_coin_worth_millionths_have_all_their_digits(config: MarketConfig) -> None:
    """An eighth decimal is the third digit there, 20 bps: they are not rounded like bps and money."""
    made = ScanTable(config)
    scan = scan_of(config, {(each.exchange, each.symbol): 5.1908e-6 for each in config.listings})
    made.take(scan, made.match(scan), scan.received_s, silent=False)
    made.refresh()
    found = ask(made, "binance:swap", "bybit:swap")
    assert found.buy.bid == pytest.approx(5.1908e-6, rel=1e-9)
    entry = (found.sell.bid * 0.999 / found.buy.ask / 1.001 - 1) * 10_000  # type: ignore[operator]
    assert found.bps["entry"] == pytest.approx(entry, abs=1e-6)


def test_a_leg_without_a_quote_leaves_nothing_known_of_the_prices(table: ScanTable) -> None:
    table.forget()
    table.refresh()
    found = ask(table, "binance:swap", "bybit:swap")
    assert (found.buy.ask, found.bps["entry"], found.bps["net_zero"]) == (None, None, None)
    assert found.bps["funding_short"] is not None


def test_of_what_is_not_compared_the_prices_are_unknown_and_the_funding_is_not(table: ScanTable) -> None:
    found = ask(table, "okx", "bybit:swap")
    assert found.obstacle == "BTC/USDT is not compared between okx spot and Bybit swap: enable their pair"
    assert (found.bps["entry"], found.bps["net_zero"], found.buy.taker_fee_bps) == (None, None, None)
    assert found.sell.problem == ""
    assert len(found.sell.settlements) == 2


class TestApi:
    PATH = "/api/funding/net"

    @pytest.fixture(autouse=True)
    def desk(self, transactional_db: None, empty_redis: Redis) -> None:
        call_command("seed")

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ("buy=binance&sell=bybit", 400, "symbol: missing; this takes "),
            ("symbol=BTC/USDT&sell=bybit", 400, "buy: missing"),
            ("symbol=BTC/USDT&buy=binance&sell=Binance", 400, "sell: it is the same as buy"),
            ("symbol=BTC/USDT&buy=nasdaq&sell=bybit", 404, "buy: there is no exchange 'nasdaq'"),
            ("symbol=NOPE/USDT&buy=binance&sell=bybit", 404, "symbol: 'NOPE/USDT' is neither compared"),
            ("symbol=BTC/USDT&buy=binance&sell=bybit&size=-1", 400, "size: '-1' must be "),
            ("symbol=BTC/USDT&buy=binance&sell=bybit&borrow=-1", 400, "borrow: '-1' must be "),
            (
                "symbol=BTC/USDT&buy=binance&sell=bybit&leverage=5",
                400,
                "leverage: there is no such parameter",
            ),
        ],
    )
    def test_an_error_names_the_parameter(
        self, operator_client: Client, query: str, status: int, words: str
    ) -> None:
        response = operator_client.get(f"{self.PATH}?{query}")
        assert (response.status_code, response.json()["error"][: len(words)]) == (status, words)

    @pytest.mark.django_db(transaction=True)
    def test_a_pair_of_which_nothing_came_is_unknown_and_not_zero(self, operator_client: Client) -> None:
        answer = operator_client.get(f"{self.PATH}?symbol=btcusdt&buy=Binance&sell=bybit&hours=4").json()
        assert (answer["symbol"], answer["hours"], answer["bps"]["net_zero"]) == ("BTC/USDT", 4, None)
        assert answer["trade"] == "buy Binance spot, sell Bybit spot: the coins must be there, or be borrowed"


def test_the_median_of_the_last_minutes_is_used_where_it_is_asked_for_and_no_other_is_given(
    table: ScanTable,
) -> None:
    assert ask(table, "binance:swap", "bybit:swap", recent=True).bps["exit_median"] is None, "not sampled yet"
    table.ratio[:] = 100 / 101  # of Binance over Bybit: as now
    now = ask(table, "binance:swap", "bybit:swap", recent=True).bps
    assert now["exit_median"] == pytest.approx(now["exit_now"])
    back = ask(table, "bybit:swap", "binance:swap", recent=True).bps
    assert back["exit_median"] == pytest.approx(back["exit_now"])
    given = ask(table, "binance:swap", "bybit:swap", recent=True, median_spread=0.2).bps
    assert given["exit_median"] == pytest.approx(-(1.002 * 1.0001 - 1) * 1.001 * 10_000 / 1.001)
    assert ask(table, "binance:swap", "bybit:swap").bps["exit_median"] is None

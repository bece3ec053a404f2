"""The same damage in the answers of all eight exchanges, between real ccxt clients and the simulator."""

from collections.abc import Iterator
from typing import Any

import pytest

from markets import wallets
from markets.catalogue import fetch
from tests.exchange_rest import HTML, tampering, with_rows
from tests.test_markets_catalogue import Running

EIGHT = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
ODD: tuple[Any, ...] = (
    None,
    {},
    "text",
    7,
    [],
    {"symbol": None},
    {"symbol": {"a": 1}, "instId": [1], "id": {}},
)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    running = Running(symbols=25)
    yield running
    running.stop()


@pytest.mark.parametrize("key", EIGHT)
@pytest.mark.parametrize("row", ODD)
def test_an_odd_row_in_any_answer_costs_only_itself(simulated: Running, key: str, row: Any) -> None:
    with tampering(simulated.simulator.rest_url(key), lambda path, answer: with_rows(answer, row)) as url:
        catalogue = fetch(key, url)

    assert len(catalogue) == 25
    assert all((market.quote_volume_24h or 0) > 0 for market in catalogue)


@pytest.mark.parametrize("key", EIGHT)
def test_tickers_that_are_a_page_cost_only_the_volumes(simulated: Running, key: str) -> None:
    def page(path: str, answer: Any) -> Any:
        return HTML if "icker" in path else answer

    with tampering(simulated.simulator.rest_url(key), page) as url:
        catalogue = fetch(key, url)

    assert len(catalogue) == 25
    assert {market.quote_volume_24h for market in catalogue} == {None}
    [problem] = catalogue.problems
    assert problem.startswith("tickers: HTML instead of JSON: “Just a moment...”")


@pytest.mark.parametrize("key", ["gate", "kucoin", "bitget"])
@pytest.mark.parametrize("row", ODD)
def test_an_odd_row_among_the_coins_costs_only_itself(simulated: Running, key: str, row: Any) -> None:
    whole = {each.coin for each in wallets.fetch(key, simulated.simulator.rest_url(key))}
    with tampering(simulated.simulator.rest_url(key), lambda path, answer: with_rows(answer, row)) as url:
        told = wallets.fetch(key, url)

    assert whole <= {each.coin for each in told}

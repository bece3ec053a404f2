"""The same damage in the answers of all eight exchanges, between real ccxt clients and the simulator."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from markets.sync import wallet_answers as wallets
from markets.sync.catalogue import fetch
from tests.markets.test_catalogue import Running
from tests.support.exchanges.exchange_rest import HTML, Reply, lists, tampering, with_rows

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


@pytest.fixture(autouse=True)
def _simulated(settings: Settings) -> None:
    """Show a server's words: those of exchanges, and of such as are simulated on this machine."""
    settings.FEED = "sim"


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
def test_a_market_without_its_own_name_is_not_passed_over_in_silence(simulated: Running, key: str) -> None:
    def nameless(path: str, answer: Any) -> Any:
        if "icker" not in path:
            row = max(lists(answer), key=len)[3]
            for name in ("symbol", "instId", "id"):
                row.pop(name, None)
        return answer

    with tampering(simulated.simulator.rest_url(key), nameless) as url:
        catalogue = fetch(key, url)

    assert [row.name for row in catalogue.skipped] in ([""], ["XRP-USDT"])  # KuCoin names it twice
    assert "markets: 1 not readable" in catalogue.problems[0]


@pytest.mark.parametrize("key", EIGHT)
@pytest.mark.parametrize("reply", [HTML, Reply(""), Reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})])
def test_a_catalogue_needs_no_answer_but_its_markets(simulated: Running, key: str, reply: Reply) -> None:
    asked = []

    def only_markets(path: str, answer: Any) -> Any:
        asked.append(path)
        return answer if len(max(lists(answer), key=len, default=())) == 25 and "icker" not in path else reply

    with tampering(simulated.simulator.rest_url(key), only_markets) as url:
        catalogue = fetch(key, url)

    assert len(catalogue) == 25
    assert len(asked) == 2
    assert len(catalogue.problems) == 1


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
        answer = wallets.fetch(key, url)

    assert whole <= {each.coin for each in answer}

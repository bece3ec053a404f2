"""Words of a pair's page beside its line: the trade, and the next settlement of each swap leg."""

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from redis import Redis

from realtime.funding import api
from tests.realtime.funding.test_funding import publish, swap

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/charts/pair"
SETTLING = "just settled: the rate may be that of the interval before"


@pytest.fixture
def client(transactional_db: None, empty_redis: Redis, operator_client: Client) -> Client:
    api._kept.clear()
    call_command("seed")
    publish(
        empty_redis,
        swap("gate", "BTC/USDT", 0.0001, 4),
        swap("bybit", "BTC/USDT", None, 8, next_ts_us=None, problem=SETTLING),
        swap("gate", "ETH/USDT", 0.0009, 8),
    )
    return operator_client


def ask(client: Client, query: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{PATH}?{query}").json()
    return found


@pytest.mark.parametrize(
    ("one", "two", "trade12", "trade21"),
    [
        (
            "bybit", "gate:swap",
            "long Gate swap, short Bybit spot: not possible without borrowing",
            "long Bybit spot, short Gate swap",
        ),
        ("gate:swap", "bybit:swap", "long Bybit swap, short Gate swap", "long Gate swap, short Bybit swap"),
        (
            "Binance", "Bybit",
            "buy Bybit spot, sell Binance spot: the coins must be there, or be borrowed",
            "buy Binance spot, sell Bybit spot: the coins must be there, or be borrowed",
        ),
        (
            "binance", "binance:swap",
            "long Binance swap, short Binance spot: not possible without borrowing",
            "long Binance spot, short Binance swap",
        ),
    ],
)  # fmt: skip
def test_both_directions_are_said_in_words(
    client: Client, one: str, two: str, trade12: str, trade21: str
) -> None:
    found = ask(client, f"symbol=BTC/USDT&exchange1={one}&exchange2={two}")
    assert (found["trade12"], found["trade21"]) == (trade12, trade21)


def test_the_next_settlement_of_each_swap_leg_and_why_it_is_unknown(client: Client) -> None:
    found = ask(client, "symbol=btcusdt&exchange1=gate:swap&exchange2=bybit:swap")
    gate, bybit = found["coming"]
    assert (gate["exchange"], gate["symbol"], gate["rate"]) == ("gate:swap", "BTC/USDT:USDT", 0.01)
    assert 0 < gate["next"] - found["time"] < 4 * 3600
    assert (gate["interval_s"], gate["problem"]) == (4 * 3600, "")
    assert (bybit["rate"], bybit["next"], bybit["problem"]) == (None, None, SETTLING)
    assert [each["exchange"] for each in ask(client, "symbol=BTC/USDT&exchange1=gate:swap&exchange2=gate")[
        "coming"
    ]] == ["gate:swap"]  # fmt: skip
    assert ask(client, "symbol=BTC/USDT&exchange1=okx:swap&exchange2=gate")["coming"] == []
    assert ask(client, "symbol=BTC/USDT&exchange1=okx&exchange2=gate")["coming"] == []


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("symbol=BTC/USDT&exchange1=kraken:swap&exchange2=gate", 404, "exchange1: there is no exchange"),
        ("symbol=BTC/USDT&exchange1=gate:swap&exchange2=gate:swap", 400, "exchange2: it is the same"),
        ("symbol=BTC/USDT&exchange1=gate:swap", 400, "exchange2"),
        ("exchange1=gate:swap&exchange2=gate", 400, "symbol"),
        ("symbol=BTC/USDT&exchange1=gate&exchange2=okx&hours=3", 400, "hours"),
        (f"symbol={'B' * 200}&exchange1=gate&exchange2=okx", 400, "symbol"),
    ],
)
def test_what_is_wrong_is_named(client: Client, query: str, status: int, words: str) -> None:
    answer = client.get(f"{PATH}?{query}")
    assert answer.status_code == status
    assert words in answer.json()["error"]

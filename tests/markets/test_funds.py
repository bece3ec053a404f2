"""Fund tokens are known by their names, and coins whose names only end alike are not taken for them."""

import pytest

from markets.funds import fund_of, funds
from tests.support.gate_market import EXCHANGES, config, listing

LISTED = {"BTC", "ETH", "PEPE", "J", "S", "JUP", "SUP", "SYRUP", "SET", "C98", "AB", "ABUP", "ABDOWN"}


@pytest.mark.parametrize(
    ("base", "coin"),
    [
        ("BTC3L", "BTC"), ("BTC3S", "BTC"), ("ETH5L", "ETH"), ("SOL2S", "SOL"), ("DOGE10L", "DOGE"),
        ("BTCUP", "BTC"), ("ETHDOWN", "ETH"), ("DOGEBULL", "DOGE"), ("XRPBEAR", "XRP"), ("PEPEUP", "PEPE"),
        ("ETHHEDGE", "ETH"), ("1INCH3S", "1INCH"), ("C983L", "C98"), ("S3L", "S"), ("ABUP", "AB"),
        ("ABDOWN", "AB"), ("btc3l", "BTC"),
    ],
)  # fmt: skip
def test_a_number_with_l_or_s_or_a_word_after_a_coin_is_a_fund(base: str, coin: str) -> None:
    assert fund_of(base, LISTED) == coin


@pytest.mark.parametrize(
    "base",
    [
        "JUP", "SUP", "SYRUP", "UP", "DOWN", "BULL", "BEAR", "BULLISH", "STARTUP", "TEDDYBEAR", "C98",
        "1000SATS", "3L", "3S", "X2L", "USDT", "SOL", "SETUPS", "PUP", "BTC", "BTCL", "LTCS", "BTC2", "W3",
        "",
    ],
)  # fmt: skip
def test_a_coin_that_only_ends_alike_is_none(base: str) -> None:
    assert fund_of(base, LISTED) == ""


def test_the_symbols_of_a_configuration_are_known_with_the_coin_they_follow() -> None:
    symbols = "BTC/USDT", "BTC3L/USDT", "JUP/USDT", "ETHBULL/USDC"
    listed = config(*(listing(key, symbol) for key in EXCHANGES for symbol in symbols))
    assert funds(listed) == {"BTC3L/USDT": "BTC", "ETHBULL/USDC": "ETH"}

"""Keys of markets: an exchange's spot market keeps the exchange's own key, its swaps have one beside it."""

import pytest

from core.names.market_keys import coin_symbol, exchange_of, key_of, market_key, market_of, market_of_symbol


@pytest.mark.parametrize(("exchange", "market", "key"), [("okx", "spot", "okx"), ("okx", "swap", "okx:swap")])
def test_a_key_says_exchange_and_market(exchange: str, market: str, key: str) -> None:
    assert market_key(exchange, market) == key
    assert (exchange_of(key), market_of(key)) == (exchange, market)


@pytest.mark.parametrize(
    ("symbol", "key", "coin"),
    [
        ("BTC/USDT", "gate", "BTC/USDT"),
        ("BTC/USDT:USDT", "gate:swap", "BTC/USDT"),
        ("A/USDC:USDC", "gate:swap", "A/USDC"),
    ],
)
def test_a_symbol_says_its_market(symbol: str, key: str, coin: str) -> None:
    assert key_of("gate", symbol) == key
    assert market_of_symbol(symbol) == market_of(key)
    assert coin_symbol(symbol) == coin

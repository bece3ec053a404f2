"""Trades that are known again when an exchange, or a connection's successor, says them twice."""

from collectors.recent_trades import KEPT, RecentTrades


def test_a_trade_is_new_once_and_again_only_on_another_symbol() -> None:
    trades = RecentTrades()
    assert trades.is_new("BTC/USDT", "7") is True
    assert trades.is_new("BTC/USDT", "7") is False
    assert trades.is_new("ETH/USDT", "7") is True


def test_a_trade_without_an_id_is_always_new() -> None:
    trades = RecentTrades()
    assert [trades.is_new("BTC/USDT", None) for _ in range(2)] == [True, True]


def test_the_last_8192_trades_are_always_known_again() -> None:
    trades = RecentTrades()
    for number in range(2 * KEPT + KEPT // 2):
        assert trades.is_new("BTC/USDT", str(number)) is True
        back = number - KEPT + 1
        assert back < 0 or trades.is_new("BTC/USDT", str(back)) is False


def test_memory_ends_after_two_generations() -> None:
    trades = RecentTrades()
    for number in range(2 * KEPT - 1):
        trades.is_new("BTC/USDT", str(number))
    assert trades.is_new("BTC/USDT", "0") is False
    trades.is_new("BTC/USDT", "the last of the second generation")
    assert trades.is_new("BTC/USDT", "0") is True

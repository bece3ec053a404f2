"""Best routes of the scanner: whose books are worth following."""

from engine.scan.best import best_legs
from engine.scan.scanner import Scanner
from markets.events import Quote
from tests.support.scan_market import BOOT_NS, MS, NOON_US, config, listing

KEYS = ("binance", "bybit", "okx")


def scanner(**bids: float) -> Scanner:
    """A scanner of BTC/USDT on three exchanges; each quotes this bid, and an ask a thousandth above."""
    scan = Scanner()
    scan.configure(config([listing(key, "BTC/USDT") for key in KEYS]), lambda _: True, NOON_US, BOOT_NS)
    for number, (key, bid) in enumerate(bids.items()):
        stamps = (NOON_US + number, BOOT_NS + number * MS)
        scan.on_quote(Quote(key, "BTC/USDT", bid, 1.0, bid * 1.001, 1.0, None, *stamps))
    return scan


def test_the_legs_of_the_highest_edge_come_first() -> None:
    found = best_legs(scanner(binance=100.0, bybit=101.0, okx=102.0).directions, 2, 300.0)
    assert found[:2] == [("binance", "BTC/USDT"), ("okx", "BTC/USDT")]
    assert len(found) == 4


def test_one_that_nobody_believes_is_left_out() -> None:
    found = best_legs(scanner(binance=100.0, bybit=101.0, okx=150.0).directions, 1, 300.0)
    assert found == [("binance", "BTC/USDT"), ("bybit", "BTC/USDT")]


def test_a_leg_without_a_quote_makes_no_route() -> None:
    found = best_legs(scanner(binance=100.0, bybit=101.0).directions, 9, 300.0)
    assert {market for market, _symbol in found} == {"binance", "bybit"}

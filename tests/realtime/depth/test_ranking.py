"""Ranking of the scanner's routes: the legs of those with the highest edges, the best first."""

from realtime.depth.ranking import QUOTED_WITHIN_NS, Ranking
from tests.support.scan.market import BOOT_NS, Desk, config, everywhere

BTC, ETH = "BTC/USDT", "ETH/USDT"


def desk() -> tuple[Desk, Ranking]:
    """BTC is dearest on OKX, and less so on Gate; ETH costs the same everywhere."""
    found = Desk(config(everywhere(BTC, ETH)))
    ranking = Ranking(found.scanner)
    ranking.configure()
    for exchange, bid in (("binance", 100.0), ("bybit", 100.0), ("okx", 103.0), ("gate", 102.0)):
        found.quote(exchange, BTC, bid, bid + 0.01)
        found.quote(exchange, ETH, 50.0, 50.01)
    found.quote("bybit", BTC, 100.2, 100.21)
    return found, ranking


def test_the_legs_of_the_best_routes_come_first() -> None:
    _desk, ranking = desk()
    assert ranking.best(1, BOOT_NS) == [("binance", BTC), ("okx", BTC)]
    best = ranking.best(3, BOOT_NS)
    assert best[:2] == [("binance", BTC), ("okx", BTC)]
    assert set(best[2:4]) == {("bybit", BTC), ("okx", BTC)}
    assert set(best[4:]) == {("binance", BTC), ("gate", BTC)}


def test_of_more_routes_than_there_are_all_are_named_and_of_none_none() -> None:
    _desk, ranking = desk()
    assert len(ranking.best(1_000, BOOT_NS)) == 2 * 12  # two coins on six pairs
    assert ranking.best(0, BOOT_NS) == []


def test_a_leg_that_says_nothing_any_more_is_not_among_them() -> None:
    found, ranking = desk()
    later_ms = QUOTED_WITHIN_NS / 1e6 + 1_000
    for exchange in ("binance", "bybit", "gate"):
        found.quote(exchange, BTC, 100.0, 100.01, at_ms=later_ms)
    named = ranking.best(1_000, BOOT_NS + QUOTED_WITHIN_NS + 10**9)
    assert ("okx", BTC) not in named
    assert ("gate", BTC) in named


def test_without_a_quote_there_is_no_route() -> None:
    found = Desk(config(everywhere(BTC)))
    ranking = Ranking(found.scanner)
    ranking.configure()
    assert ranking.best(10, BOOT_NS) == []

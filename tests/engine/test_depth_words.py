"""The gate check depth in words: what was measured at a filter's size, and what limits it."""

from typing import Any

import pytest
from msgspec import structs

from engine.books.book import Book
from engine.books.sequences import COUNTED
from engine.gates import checks as gates
from engine.gates.checks import Evidence, Facts, Gate, LegSeen, Seen
from engine.scan.identity import PASS
from tests.engine.books.books import live
from tests.engine.scan.test_depth_at_size import ByHand
from tests.engine.test_gates import without_unit
from tests.support.gate_market import FOLLOWS, NOTHING, Floor, config, listing

MINE = structs.replace(FOLLOWS, my_size=1_000.0, min_edge_at_size_bps=5.0)


class Way:
    """Buying on Binance and selling on OKX at 20 bps of fees, with books as a test has them."""

    def __init__(self, **listed: Any) -> None:
        self.floor = Floor(config(*(listing(key, **listed) for key in ("binance", "okx"))))
        self.floor.quote_all()
        for key in ("binance", "okx"):
            self.floor.leg(key).taker_fee_bps = 10.0
        self.books = ByHand()

    def judged(self, follows: Any = MINE) -> Gate:
        """The gate for a filter, whose verdict is that of the bits."""
        way, now_ns = self.floor.way("binance", "okx"), self.floor.now_ns
        buy, sell = (LegSeen(leg, 0, 0.0, name=leg.exchange.title()) for leg in (way.buy, way.sell))
        evidence, facts = Evidence(PASS, 1.0, NOTHING), Facts(self.floor.config)
        seen = Seen(way.pair, buy, sell, way.size(), evidence, now=(0, now_ns), books=self.books)
        gate = gates.judge(facts, seen, follows)[-1]
        assert gate.name == "depth"
        assert gates.verdict_of(gates.bits_of(facts, seen, follows), "depth") == gate.verdict
        assert without_unit(gate.sentence.replace("level 2", "")) == []
        return gate

    def put(self, exchange: str, bids: Any = (), asks: Any = ()) -> None:
        self.books.held[exchange, "BTC/USDT"] = live(bids, asks, at_ns=self.floor.now_ns)


def test_a_filter_without_a_size_has_no_such_gate() -> None:
    way = Way()
    with pytest.raises(AssertionError):
        way.judged(FOLLOWS)


def test_what_was_measured_and_the_level_that_limits_it() -> None:
    way = Way()
    way.put("binance", asks=[(100.0, 4.0), (101.0, 20.0)])
    way.put("okx", bids=[(101.5, 50.0)])
    gate = way.judged()
    assert (gate.verdict, gate.value) == ("pass", "+69.5 bps, 6.96 USDT")
    assert gate.words == (
        "at 1,000 USDT the edge is +69.5 bps and the profit 6.96 USDT: bought at 100.59761 USDT on Binance, "
        "sold at 101.5 USDT on Okx; an edge of 5 bps reaches to 2,420 USDT, all that is known of the asks of "
        "Binance"
    )
    assert gate.threshold == "an edge of at least 5 bps at 1,000 USDT"


def test_an_edge_that_is_too_low() -> None:
    way = Way()
    way.put("binance", asks=[(100.0, 4.0), (101.0, 20.0)])
    way.put("okx", bids=[(100.8, 50.0)])
    gate = way.judged(structs.replace(MINE, min_profit=2.0))
    assert gate.verdict == "fail"
    limit = "an edge of 5 bps reaches to 890 USDT, limited by the ask 101 USDT of Binance, level 2"
    assert gate.words.endswith(limit)
    assert gate.threshold == "an edge of at least 5 bps at 1,000 USDT, and a profit of at least 2.00 USDT"
    way.put("okx", bids=[(100.1, 50.0)])
    assert way.judged().words.endswith("not even the best levels have an edge of 5 bps")


def test_a_profit_that_is_too_low() -> None:
    way = Way()
    way.put("binance", asks=[(100.0, 50.0)])
    way.put("okx", bids=[(101.0, 50.0)])
    assert way.judged(structs.replace(MINE, min_profit=7.9)).verdict == "pass"
    assert way.judged(structs.replace(MINE, min_profit=8.1)).verdict == "fail"


def test_books_that_are_not_known() -> None:
    way = Way()
    way.put("binance", asks=[(100.0, 50.0)])
    way.books.held["okx", "BTC/USDT"] = Book(COUNTED)
    gate = way.judged()
    assert (gate.verdict, gate.value) == ("unknown", "unknown")
    assert gate.words == "the book of Okx is not known: there was no snapshot yet"
    way.put("okx", bids=[(101.0, 50.0)])
    way.floor.now_ns += 60 * 10**9
    assert way.judged().words == "the book of Binance is not known: it is silent"


def test_books_that_hold_less_than_the_size() -> None:
    way = Way()
    way.put("binance", asks=[(100.0, 50.0)])
    way.put("okx", bids=[(101.0, 2.0)])
    gate = way.judged()
    assert gate.verdict == "unknown"
    assert gate.words == "the bids of Okx that are known hold 202 USDT of 1,000 USDT"


def test_a_leg_that_is_not_followed_has_its_best_levels() -> None:
    way = Way()
    way.put("binance", asks=[(99.0, 50.0)])
    gate = way.judged()
    assert gate.verdict == "unknown"
    assert gate.words == "the top of book of Okx holds 500 USDT of 1,000 USDT, and its depth is not followed"
    gate = way.judged(structs.replace(MINE, my_size=400.0))
    assert gate.verdict == "pass"
    assert gate.words.endswith("reaches to 495 USDT, the top of book of Okx: its depth is not followed")


def test_less_than_a_lot_is_no_size() -> None:
    way = Way(lot_size=20.0)
    way.put("binance", asks=[(100.0, 50.0)])
    way.put("okx", bids=[(101.0, 50.0)])
    gate = way.judged()
    assert (gate.verdict, gate.words) == ("fail", "1,000 USDT is less than a lot of 20 BTC")


def test_a_quote_currency_whose_worth_nobody_knows() -> None:
    way = Way()
    for key in ("binance", "okx"):
        way.floor.leg(key).worth = NOTHING
    gate = way.judged()
    assert (gate.verdict, gate.words) == ("unknown", "what a USDT is worth is unknown")

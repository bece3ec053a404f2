"""A pair's picture: what the page and its API say is what the engine's walk says of both books."""

from typing import Any

import pytest

from engine.books.walk import Route
from realtime.depth.book import DepthBook
from realtime.depth.pair import PairDepth, pair_depth, row_of
from realtime.depth.wire import Key, Ladder, State
from realtime.scanner.table import ScanTable
from tests.realtime.depth.ladders import ladder
from tests.realtime.depth.test_sized import ASKS, BIDS, BTC, FEE, PRICES, book
from tests.support.scan.data import market, scan_of

BINANCE: Key = ("binance", BTC)
BYBIT: Key = ("bybit", BTC)
PAIR = "BTC/USDT|binance|bybit"
FOLLOWED = (ladder(BINANCE, [(99.0, 1.0)], ASKS), ladder(BYBIT, BIDS, [(104.0, 1.0)]))


def picture(*ladders: Ladder, size: float = 300.0, id: str = PAIR, **columns: Any) -> PairDepth:
    depth = DepthBook()
    depth.learn({"1/1": State("1/1", 1, 0, list(ladders))})
    table = ScanTable(market((BTC,)))
    scan = scan_of(table.config, PRICES, **columns)
    table.take(scan, table.match(scan), 1.0, False)
    table.learn_depth(depth.all())
    table.refresh()
    row = row_of(table, id)
    assert row is not None
    return pair_depth(table, depth, row, size, 5_000_000)


def test_every_size_is_what_the_engine_walks() -> None:
    route = Route(book([], ASKS), book(BIDS, []), FEE, FEE)
    at_size, zero, best = route.at_quote(300.0, 1), route.largest(0.0, 1), route.best(1)
    assert at_size is not None
    assert zero is not None
    assert best is not None
    pair = picture(*FOLLOWED)
    way = pair.ways[0]
    assert (way.buy, way.sell, way.of, pair.money) == (0, 1, "book", 300.0)
    for said, walked in ((way.at_size, at_size), (way.to_zero, zero.deal), (way.best, best.deal)):
        assert said is not None
        assert said.coins == pytest.approx(walked.buy.coins, rel=1e-9)
        assert said.quote == pytest.approx(walked.buy.quote, rel=1e-9)
        assert said.buy_average == pytest.approx(walked.buy.average, rel=1e-9)
        assert said.sell_average == pytest.approx(walked.sell.average, rel=1e-9)
        assert said.edge_bps == pytest.approx(walked.edge_bps, abs=1e-6)
        assert said.profit == pytest.approx(walked.profit, abs=1e-6)
    back = pair.ways[1]
    assert (back.buy, back.best, back.to_zero) == (1, None, None)
    assert back.at_size is not None
    assert back.at_size.profit < 0


def test_both_books_are_there_with_when_they_were_updated_and_a_pair_may_be_named_either_way_round() -> None:
    pair = picture(*FOLLOWED, id="BTC/USDT|bybit|binance")
    assert pair.id == PAIR
    assert [leg.state for leg in pair.legs] == ["known", "known"]
    assert pair.legs[0].asks == ASKS
    assert pair.legs[1].bids == BIDS
    assert all(leg.at is not None and leg.exchange_at is not None for leg in pair.legs)


def test_a_book_that_is_not_followed_has_its_best_levels_and_caps_the_size() -> None:
    pair = picture(FOLLOWED[0])
    way = pair.ways[0]
    assert [leg.state for leg in pair.legs] == ["known", "not followed"]
    assert pair.legs[1].bids == [(102.0, 2.0)]
    assert way.of == "top"
    assert way.at_size is not None
    assert (way.at_size.coins, way.at_size.is_all) == (1.0, True)  # one coin is asked at the best price


def test_an_unknown_book_says_why_and_has_no_levels_and_no_size_has_a_figure() -> None:
    pair = picture(FOLLOWED[0], ladder(BYBIT, [], [], "7 does not follow 5"))
    leg, way = pair.legs[1], pair.ways[0]
    assert (leg.state, leg.problem, leg.bids, leg.asks) == ("unknown", "7 does not follow 5", [], [])
    assert (way.of, way.at_size, way.to_zero, way.best) == ("unknown", None, None, None)
    assert way.now is not None


def test_a_leg_without_a_quote_makes_it_unknown() -> None:
    pair = picture(bid=float("nan"), ask=float("nan"))
    assert [leg.bids for leg in pair.legs] == [[], []]
    assert [way.of for way in pair.ways] == ["unknown", "unknown"]
    assert [way.now for way in pair.ways] == [None, None]

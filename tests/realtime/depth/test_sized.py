"""The scanner's columns at a size: what both books say, the best levels where a book is not followed."""

import math
from typing import Any

import pytest

from core.names.chart_ids import chart_id_of
from engine.books.book import Book
from engine.books.sequences import COUNTED
from engine.books.walk import Route
from markets.config import ListingConfig, MarketConfig
from markets.events import BookUpdate, Level
from realtime.depth.book import Depth
from realtime.depth.wire import Key
from realtime.scanner.messages import make_page
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query, View
from tests.realtime.depth.ladders import ladder
from tests.support.scan.data import FEE_BPS, market, scan_of

FEE = FEE_BPS / 10_000
BTC = "BTC/USDT"
PRICES = {("binance", BTC): 100.0, ("bybit", BTC): 102.0, ("okx", BTC): 101.0}
ASKS = [(100.01, 1.0), (100.5, 5.0), (103.0, 100.0)]
BIDS = [(102.0, 2.0), (101.0, 3.0), (99.0, 100.0)]


def depth(key: Key, bids: list[Level], asks: list[Level], problem: str = "") -> tuple[Key, Depth]:
    made = ladder(key, bids, asks, problem)
    return key, Depth(made, problem, 20.0)


def table_of(config: MarketConfig, *depths: tuple[Key, Depth], **columns: Any) -> ScanTable:
    table = ScanTable(config)
    scan = scan_of(config, PRICES, **columns)
    match = table.match(scan)
    table.take(scan, match, 1.0, False)
    table.take_evidence(scan, match)
    table.learn_depth(depths)
    table.refresh()
    return table


def cells(table: ScanTable, one: str, two: str, **query: Any) -> dict[str, Any]:
    view = View(table, Query(**query))
    page = make_page(view, slice(0, 200), 1, 0)
    return dict(zip(page.head.cells, page.rows[chart_id_of(BTC, one, two)], strict=True))


def followed(problem: str = "") -> tuple[tuple[Key, Depth], tuple[Key, Depth]]:
    return (
        depth(("binance", BTC), [(99.0, 1.0)], ASKS),
        depth(("bybit", BTC), BIDS, [(104.0, 1.0)], problem),
    )


def book(bids: list[Level], asks: list[Level]) -> Book:
    made = Book(COUNTED)
    made.apply(BookUpdate("x", BTC, "snapshot", bids, asks, last_seq=1, received_mono_ns=1))
    return made


def test_both_books_are_walked_as_the_engine_walks_them() -> None:
    row = cells(table_of(market((BTC,)), *followed()), "binance", "bybit", size=300.0)
    route = Route(book([], ASKS), book(BIDS, []), FEE, FEE)
    deal, reach = route.at_quote(300.0, 1), route.largest(0.0, 1)
    assert deal is not None
    assert reach is not None
    assert row["at_of"] == "book"
    assert row["at_edge"] == pytest.approx(deal.edge_bps, abs=0.05)
    assert row["at_profit"] == pytest.approx(deal.profit, abs=0.01)
    assert row["at_zero"] == pytest.approx(reach.deal.buy.quote, rel=0.01)
    assert (row["at_reach"], row["at_more"], row["at_why1"], row["at_why2"]) == (300.0, False, "", "")


def test_a_size_beyond_what_is_known_of_the_books_is_what_is_known() -> None:
    row = cells(table_of(market((BTC,)), *followed()), "binance", "bybit", size=1e6)
    assert row["at_of"] == "book"
    assert row["at_reach"] == pytest.approx(100.01 + 5 * 100.5 + 99 * 103.0, rel=0.01)  # 105 bids, 106 asks
    assert row["at_edge"] < 0


def test_without_depth_the_best_levels_cap_it_and_it_says_so() -> None:
    table = table_of(market((BTC,)))  # 1 coin at the ask of 100.01
    small, large = (cells(table, "binance", "bybit", size=size) for size in (50.0, 1000.0))
    assert small["at_of"] == large["at_of"] == "top"
    assert small["at_edge"] == large["at_edge"] == small["edge"]
    assert (small["at_reach"], large["at_reach"]) == (50.0, 100.0)
    assert (large["at_zero"], large["at_more"]) == (100.0, True)
    assert large["at_profit"] == pytest.approx(100.01 * 1.001 * large["edge"] / 10_000, abs=0.005)


@pytest.mark.parametrize("problem", ["7 does not follow 5", "nothing came for 12 s"])
def test_a_book_that_is_not_known_makes_the_row_unknown_and_never_the_best_levels(problem: str) -> None:
    row = cells(table_of(market((BTC,)), *followed(problem)), "binance", "bybit", size=100.0)
    assert row["at_of"] == "unknown"
    assert [row[name] for name in ("at_edge", "at_profit", "at_zero", "at_reach")] == [None] * 4
    assert (row["at_why1"], row["at_why2"]) == ("", problem)


def test_a_leg_of_another_unit_is_walked_in_the_terms_of_the_pair() -> None:
    thousand = ListingConfig("bybit", "1000BTC/USDT", "1000BTCUSDT", "1000BTC", "USDT", BTC, 1000.0, 1e6)
    plain = ListingConfig("binance", BTC, "BTCUSDT", "BTC", "USDT", BTC, volume=1e6)
    config = market((BTC,), ("binance", "bybit"), (plain, thousand))
    scaled = [(price * 1000, size / 1000) for price, size in BIDS]
    books = (
        depth(("binance", BTC), [(99.0, 1.0)], ASKS),
        depth(("bybit", "1000BTC/USDT"), scaled, [(104_000.0, 1.0)]),
    )
    prices = {("binance", BTC): 100.0, ("bybit", "1000BTC/USDT"): 102.0}
    table = ScanTable(config)
    scan = scan_of(config, prices, scale=[1.0, 0.001])
    table.take(scan, table.match(scan), 1.0, False)
    table.learn_depth(books)
    table.refresh()
    row = cells(table, "binance", "bybit", size=300.0)
    deal = Route(book([], ASKS), book(BIDS, []), FEE, FEE).at_quote(300.0, 1)
    assert deal is not None
    assert row["at_edge"] == pytest.approx(deal.edge_bps, abs=0.05)


def test_the_size_is_worth_so_many_dollars_in_every_currency() -> None:
    symbol = "ETH/BTC"
    config = market((symbol,), ("binance", "bybit"))
    table = ScanTable(config)
    scan = scan_of(config, {("binance", symbol): 0.05, ("bybit", symbol): 0.051}, worth=100_000.0)
    table.take(scan, table.match(scan), 1.0, False)
    table.refresh()
    page = make_page(View(table, Query(size=1000.0)), slice(0, 5), 1, 0)
    (row,) = page.rows.values()
    assert dict(zip(page.head.cells, row, strict=True))["at_reach"] == 0.01


class TestOrderAndLimits:
    @pytest.fixture
    def table(self) -> ScanTable:
        """Binance to Bybit has books, of the others the best levels are known."""
        return table_of(market((BTC,)), *followed())

    def test_what_is_of_less_than_the_size_is_behind_what_is_of_all_of_it(self, table: ScanTable) -> None:
        view = View(table, Query(sort="at_edge", size=500.0))
        page = make_page(view, slice(0, 10), 1, 0)
        rows = [dict(zip(page.head.cells, row, strict=True)) for row in page.rows.values()]
        assert [row["at_of"] for row in rows] == ["book", "top", "top"]
        assert rows[1]["at_edge"] >= rows[2]["at_edge"]

    def test_a_minimum_of_the_edge_is_met_at_the_whole_size_only(self, table: ScanTable) -> None:
        def ids(size: float) -> list[str]:
            view = View(table, Query(size=size, min_at_edge=0.0))
            return [table.ids[row] for row in view.order]

        assert chart_id_of(BTC, "binance", "okx") in ids(50.0)
        assert ids(150.0) == [chart_id_of(BTC, "binance", "bybit")]

    def test_minima_of_profit_and_of_the_size_to_zero(self, table: ScanTable) -> None:
        for name in ("at_profit", "at_zero"):
            found = View(table, Query(sort=name, size=500.0))
            values = [getattr(found.sized(slice(0, 10)), name[3:])[n] for n in range(len(found))]
            assert values == sorted(values, reverse=True)
            middle = values[1]
            kept = View(table, Query(size=500.0, **{f"min_{name}": middle - 1e-9}))
            assert len(kept) == sum(value >= middle for value in values)

    def test_what_is_unknown_is_last_and_meets_no_minimum(self) -> None:
        table = table_of(market((BTC,)), *followed("it is resyncing"))
        for descending in (True, False):
            view = View(table, Query(sort="at_profit", descending=descending, size=100.0))
            assert math.isnan(view.sized(slice(0, 10)).profit[-1])
        assert (
            len(View(table, Query(size=100.0, min_at_profit=-1e9))) == 1
        )  # neither of both pairs with Bybit

    def test_there_are_no_such_columns_where_nobody_asks(self, table: ScanTable) -> None:
        page = make_page(View(table, Query()), slice(0, 5), 1, 0)
        assert page.head.size is None
        assert "at_edge" not in page.head.cells
        assert View(table, Query(sort="at_zero")).size == 1000.0

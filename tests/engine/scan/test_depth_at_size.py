"""Filters with a size of their own: what opens, stays open and is kept is what both order books leave."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs

from engine.books.book import Book
from engine.books.sequences import COUNTED
from markets.config import FilterConfig, GateTerms, IdentityConfig, ListingConfig
from markets.events import AtDepth, Episode, Level
from tests.engine.books.books import live
from tests.support.scan.market import BOOT_NS, MS, Desk, config, listing

FOLLOWS = FilterConfig(1, "mine", min_edge_bps=5.0, my_size=1_000.0)
DEALS = ((100.0, 4.0), (101.0, 20.0), (120.0, 500.0))
"""Asks on binance; what is bought is sold at 103 on okx."""


@dataclass
class ByHand:
    """Books as a collector would have them."""

    held: dict[tuple[str, str], Book] = field(default_factory=dict)

    def get(self, market: str, symbol: str) -> Book | None:
        return self.held.get((market, symbol))


class Walk:
    """BTC/USDT on two exchanges without fees: dearer on okx, and the books of both as the test sets them."""

    def __init__(
        self, follows: FilterConfig = FOLLOWS, *listings: ListingConfig, is_replay: bool = False, **terms: Any
    ) -> None:
        self.symbols = {each.exchange: each.symbol for each in listings}
        listed = listings or (listing("binance", "BTC/USDT"), listing("okx", "BTC/USDT"))
        gates = GateTerms(min_size=0.0, jump_pct=1e6, max_unproven_edge_bps=1e6, **terms)
        pairs = [("binance", "okx")]
        same = [IdentityConfig(listed[0].counts_as, *pairs[0], "confirmed")]
        no_fees = (0.0,) * 4
        self.desk = Desk(config(listed, follows, fees_bps=no_fees, pairs=pairs, gates=gates, identities=same))
        self.books = ByHand()
        if not is_replay:
            self.desk.scanner.use_books(self.books)

    def ask(self, *levels: Level, at_ms: float = 0) -> None:
        """Asks of binance."""
        self._put("binance", [], levels, at_ms)

    def bid(self, *levels: Level, at_ms: float = 0) -> None:
        """Bids of okx."""
        self._put("okx", levels, [], at_ms)

    def _put(self, exchange: str, bids: Any, asks: Any, at_ms: float) -> None:
        symbol = self.symbols.get(exchange, "BTC/USDT")
        self.books.held[exchange, symbol] = live(bids, asks, at_ns=BOOT_NS + round(at_ms * MS))

    def open(self, at_ms: float = 0, *, size: float = 1.0) -> list[Episode]:
        """Quote both exchanges, so that there is an edge of 300 bps."""
        self.desk.quote("binance", "BTC/USDT", 99.0, 100.0, at_ms=at_ms, sizes=(1.0, size))
        self.desk.quote("okx", "BTC/USDT", 103.0, 104.0, at_ms=at_ms, sizes=(size, 1.0))
        return self.desk.scanner.lifecycle.take()

    def later(self, at_ms: float) -> list[Episode]:
        """Let time pass."""
        self.desk.tick(at_ms)
        return self.desk.scanner.lifecycle.take()


def phases(episodes: list[Episode]) -> list[tuple[str, str]]:
    return [(each.phase, each.reason) for each in episodes]


class TestOpening:
    def test_it_opens_when_both_books_leave_the_edge_at_the_size(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        assert phases(walk.open()) == [("open", "")]

    def test_an_edge_of_the_best_prices_alone_opens_nothing(self) -> None:
        walk = Walk()
        walk.ask((100.0, 0.1), (104.0, 50.0))
        walk.bid((103.0, 50.0))
        assert walk.open() == []
        walk.ask((100.0, 50.0))
        assert phases(walk.open(10)) == [("open", "")]

    @pytest.mark.parametrize(("least_bps", "opens"), [(250.0, False), (230.0, True)])
    def test_the_edge_at_the_size_has_a_least_of_its_own(self, least_bps: float, opens: bool) -> None:
        """400 at 100 and 600 at 101 are 9.9406 coins, which bring 1,023.88: 238.8 bps."""
        walk = Walk(structs.replace(FOLLOWS, min_edge_at_size_bps=least_bps))
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        assert bool(walk.open()) is opens

    def test_else_that_of_the_gates_counts(self) -> None:
        walk = Walk(FOLLOWS, min_edge_at_size_bps=250.0)
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        assert walk.open() == []

    @pytest.mark.parametrize(("least", "opens"), [(24.0, False), (23.0, True)])
    def test_the_profit_may_have_a_least(self, least: float, opens: bool) -> None:
        walk = Walk(structs.replace(FOLLOWS, min_profit=least))
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        assert bool(walk.open()) is opens

    def test_a_book_that_is_not_known_opens_nothing(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.books.held["okx", "BTC/USDT"] = Book(COUNTED)
        assert walk.open() == []

    def test_a_book_that_is_silent_opens_nothing(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0), at_ms=30_000)
        assert walk.open(30_000) == []

    def test_a_filter_without_a_size_asks_no_book(self) -> None:
        walk = Walk(FilterConfig(1, "any", min_edge_bps=5.0))
        walk.books.held["okx", "BTC/USDT"] = Book(COUNTED)
        assert phases(walk.open()) == [("open", "")]


class TestWithoutBooks:
    """Legs whose depth is not followed, and a replay, which has none."""

    @pytest.mark.parametrize(("size", "opens"), [(9.0, False), (11.0, True)])
    def test_the_best_levels_are_all_that_is_known(self, size: float, opens: bool) -> None:
        walk = Walk()
        assert bool(walk.open(size=size)) is opens

    @pytest.mark.parametrize(("size", "opens"), [(9.0, False), (11.0, True)])
    def test_so_they_are_in_a_replay(self, size: float, opens: bool) -> None:
        walk = Walk(is_replay=True)
        assert bool(walk.open(size=size)) is opens

    def test_one_leg_may_have_a_book_and_the_other_its_best_levels(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        assert walk.open(size=5.0) == []
        assert phases(walk.open(10, size=11.0)) == [("open", "")]


class TestStayingOpen:
    def test_it_closes_when_the_books_have_left_too_little_for_a_second(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        walk.open()
        walk.bid((103.0, 1.0), (100.3, 50.0))
        assert walk.later(1_200) == []
        ((phase, reason),) = phases(walk.later(1_300))
        assert phase == "close"
        assert reason == (
            "depth: at 1,000 USDT the edge is -2.6 bps and the profit -0.258 USDT: bought at 100.59761 USDT "
            "on binance, sold at 100.57161 USDT on okx; an edge of 0 bps reaches to 963 USDT, limited by the "
            "ask 101 USDT of binance, level 2"
        )

    def test_what_is_gone_for_less_than_a_second_closes_nothing(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        walk.open()
        walk.bid((103.0, 1.0), (90.0, 50.0))
        walk.later(900)
        walk.bid((103.0, 50.0), at_ms=900)
        assert walk.later(5_000) == []

    def test_a_book_that_begins_again_closes_it_after_a_second_too(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 50.0))
        walk.open()
        walk.books.held["okx", "BTC/USDT"].restart(1)
        ((phase, reason),) = phases(walk.later(1_500))
        assert (phase, reason) == ("close", "depth: the book of okx is not known: its connection is new")


class TestWhatIsKept:
    def test_profits_and_the_best_size_at_open_peak_and_close(self) -> None:
        walk = Walk()
        walk.ask(*DEALS)
        walk.bid((103.0, 500.0))
        (episode,) = walk.open()
        depth = episode.opened.depth
        assert depth is not None
        assert depth == episode.peak.depth
        # 100 at 100; 400 at 100 and 600 at 101; then 120 against 103 loses, for more than there was
        assert list(depth.profits) == [
            pytest.approx(3.0),
            pytest.approx(12 + 600 / 101 * 2),
            pytest.approx(-1021.8, abs=0.1),
        ]
        assert depth.best_size == pytest.approx(400 + 2_020)
        assert depth.best_profit == pytest.approx(12 + 40)
        assert [depth.my_edge_bps, depth.my_profit] == [pytest.approx(238.8, abs=0.1), depth.profits[1]]
        walk.bid((102.5, 30.0))
        walk.desk.quote("okx", "BTC/USDT", 99.0, 99.5, at_ms=50)
        (closed,) = walk.desk.scanner.lifecycle.take()
        assert closed.closed is not None
        assert closed.closed.depth is not None
        assert closed.closed.depth.best_profit == pytest.approx(4 * 2.5 + 20 * 1.5)

    def test_what_the_books_do_not_hold_is_unknown(self) -> None:
        walk = Walk(FilterConfig(1, "any", min_edge_bps=5.0))
        walk.ask((100.0, 4.0))
        walk.bid((103.0, 3.0))
        (episode,) = walk.open()
        assert episode.opened.depth == AtDepth((3.0, None, None), 300.0, 9.0)

    def test_nothing_is_kept_where_a_book_is_not_followed_or_not_known(self) -> None:
        any_edge = FilterConfig(1, "any", min_edge_bps=5.0)
        walk = Walk(any_edge)
        walk.ask(*DEALS)
        assert walk.open()[0].opened.depth is None
        walk = Walk(any_edge)
        walk.ask(*DEALS)
        walk.books.held["okx", "BTC/USDT"] = Book(COUNTED)
        assert walk.open()[0].opened.depth is None

    def test_best_levels_without_an_edge_by_their_books_have_no_size(self) -> None:
        walk = Walk(FilterConfig(1, "any", min_edge_bps=5.0))
        walk.ask((103.5, 4.0))
        walk.bid((103.0, 3.0))
        depth = walk.open()[0].opened.depth
        assert depth is not None
        assert (depth.best_size, depth.best_profit) == (0.0, 0.0)


class TestTerms:
    """Books are each in their exchange's terms, the size is in USDT."""

    def test_another_unit_and_another_quote_currency(self) -> None:
        """A thousand to one on binance, in USDC at 1.01 USDT."""
        walk = Walk(
            FOLLOWS,
            listing("binance", "1000PEPE/USDC", counts_as="PEPE/USDT", multiplier=1000.0),
            listing("okx", "PEPE/USDT"),
            listing("gate", "USDC/USDT"),
        )
        walk.desk.quote("gate", "USDC/USDT", 1.0099, 1.0101)
        walk.desk.tick(1_000)
        walk.ask((100.0, 5.0), (101.0, 50.0))  # 0.101 USDT a PEPE, and 0.10201
        walk.bid((0.104, 1e6))
        walk.desk.quote("binance", "1000PEPE/USDC", 99.0, 100.0, at_ms=1_010)
        walk.desk.quote("okx", "PEPE/USDT", 0.104, 0.105, at_ms=1_010)
        (episode,) = walk.desk.scanner.lifecycle.take()
        depth = episode.opened.depth
        assert depth is not None
        bought = 5_000 + (1_000 - 505) / 0.10201
        assert depth.my_profit == pytest.approx(bought * 0.104 - 1_000)
        assert depth.best_size == pytest.approx(505 + 5_100.5)

    def test_a_size_in_usdt_is_worth_less_of_a_dearer_currency(self) -> None:
        walk = Walk(
            FOLLOWS,
            listing("binance", "ETH/BTC"),
            listing("okx", "ETH/BTC"),
            listing("gate", "BTC/USDT"),
        )
        walk.desk.quote("gate", "BTC/USDT", 49_990.0, 50_010.0)
        walk.desk.tick(1_000)
        walk.ask((0.05, 0.3), (0.06, 50.0))  # 0.3 ETH are worth 750 USDT
        walk.bid((0.052, 50.0))
        walk.desk.quote("binance", "ETH/BTC", 0.049, 0.05, at_ms=1_010)
        walk.desk.quote("okx", "ETH/BTC", 0.052, 0.053, at_ms=1_010)
        assert walk.desk.scanner.lifecycle.take() == []
        walk.ask((0.05, 0.5))
        walk.desk.quote("okx", "ETH/BTC", 0.052, 0.053, at_ms=1_020)
        (episode,) = walk.desk.scanner.lifecycle.take()
        depth = episode.opened.depth
        assert depth is not None
        assert depth.my_profit == pytest.approx(0.4 * 0.002 * 50_000)

    def test_orders_are_whole_lots(self) -> None:
        """A lot of 3 coins: 1,000 USDT buy 9 of the 10 coins."""
        coarse = structs.replace(listing("okx", "BTC/USDT"), lot_size=3.0)
        walk = Walk(FOLLOWS, listing("binance", "BTC/USDT"), coarse)
        walk.ask((100.0, 50.0))
        walk.bid((103.0, 50.0))
        depth = walk.open()[0].opened.depth
        assert depth is not None
        assert list(depth.profits) == [None, pytest.approx(27.0), None]

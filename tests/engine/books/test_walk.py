"""Walking two books, against the bill of somebody who buys level by level and sells what was bought."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.books.book import Book
from engine.books.sequences import COUNTED
from engine.books.walk import Route, for_coins, for_quote
from markets.events import Level
from tests.engine.books.books import live

NOW = 0

sizes = st.floats(0.01, 50.0)
fees = st.floats(-0.001, 0.005)


@st.composite
def sides(draw: st.DrawFn, around: float) -> list[Level]:
    prices = draw(st.lists(st.integers(1, 400), min_size=1, max_size=12, unique=True))
    return [(around + price / 100, draw(sizes)) for price in prices]


asks, bids = sides(99.0), sides(98.5)


def buyer(levels: list[Level]) -> Book:
    return live([], levels)


def seller(levels: list[Level]) -> Book:
    return live(levels, [])


def bill(levels: list[Level], coins: float, *, dearest_first: bool) -> float:
    """Money for so many coins, taken one level after the other."""
    money = 0.0
    for price, size in sorted(levels, reverse=dearest_first):
        taken = min(size, coins)
        money += taken * price
        coins -= taken
    return money


class TestOneSide:
    SIDE = live([], [(100.0, 1.0), (101.0, 2.0), (103.0, 4.0)]).asks

    def test_a_size_in_coins(self) -> None:
        fill = for_coins(self.SIDE, 2.0)
        assert fill is not None
        assert (fill.coins, fill.quote, fill.average, fill.worst, fill.level) == (2.0, 201.0, 100.5, 101.0, 1)

    def test_a_size_in_quote_currency(self) -> None:
        fill = for_quote(self.SIDE, 302.0 + 51.5)
        assert fill is not None
        assert (fill.coins, fill.quote, fill.worst, fill.level) == (3.5, 353.5, 103.0, 2)

    def test_more_than_there_is_is_unknown(self) -> None:
        assert for_coins(self.SIDE, 7.01) is None
        assert for_quote(self.SIDE, 714.01) is None

    def test_all_there_is(self) -> None:
        by_coins, by_quote = for_coins(self.SIDE, 7.0), for_quote(self.SIDE, 714.0)
        assert by_coins == by_quote
        assert by_coins is not None
        assert (by_coins.coins, by_coins.quote) == (7.0, 714.0)

    def test_nothing_is_no_size(self) -> None:
        assert for_coins(self.SIDE, 0.0) is None
        assert for_quote(self.SIDE, 0.0) is None


class TestRoute:
    BUY = buyer([(100.0, 1.0), (101.0, 2.0), (103.0, 4.0)])
    SELL = seller([(102.0, 2.0), (101.5, 4.0)])

    def test_the_edge_at_a_size(self) -> None:
        deal = Route(self.BUY, self.SELL, 0.0, 0.0).at_coins(2.0, NOW)
        assert deal is not None
        assert (deal.buy.average, deal.sell.average) == (100.5, 102.0)
        assert deal.edge_bps == pytest.approx(149.2537, abs=1e-4)
        assert deal.profit == pytest.approx(3.0)

    def test_a_size_in_quote_currency_is_what_is_spent_on_coins(self) -> None:
        deal = Route(self.BUY, self.SELL, 0.001, 0.001).at_quote(201.0, NOW)
        assert deal is not None
        assert deal.buy.coins == pytest.approx(2.0)
        assert deal.profit == pytest.approx(204.0 * 0.999 - 201.0 * 1.001)

    def test_the_size_to_zero_edge_and_the_level_that_limits_it(self) -> None:
        reach = Route(self.BUY, self.SELL, 0.0, 0.0).largest(0.0, NOW)
        assert reach is not None
        # 2 + 1 at 1 and 0.5 more each; 103 against 101.5 loses 1.5 a coin: 3.5 / 1.5 of them
        assert reach.deal.buy.coins == pytest.approx(3.0 + 3.5 / 1.5)
        assert (reach.limited_by, reach.side, reach.price, reach.level) == ("edge", "buy", 103.0, 2)
        assert reach.deal.edge_bps == pytest.approx(0.0, abs=1e-9)

    def test_the_level_that_limits_it_may_be_one_of_the_bids(self) -> None:
        route = Route(buyer([(100.0, 9.0)]), seller([(101.0, 1.0), (99.0, 9.0)]), 0.0, 0.0)
        reach = route.largest(0.0, NOW)
        assert reach is not None
        assert (reach.deal.buy.coins, reach.limited_by, reach.side, reach.price, reach.level) == (
            2.0, "edge", "sell", 99.0, 1,
        )  # fmt: skip

    def test_a_book_that_ends_limits_it(self) -> None:
        reach = Route(buyer([(100.0, 3.0)]), seller([(102.0, 2.0)]), 0.0, 0.0).largest(0.0, NOW)
        assert reach is not None
        assert (reach.deal.buy.coins, reach.limited_by, reach.side, reach.price) == (
            2.0, "book", "sell", 102.0,
        )  # fmt: skip

    def test_where_the_best_levels_have_no_such_edge_there_is_no_size(self) -> None:
        assert Route(self.BUY, self.SELL, 0.0, 0.0).largest(201.0, NOW) is None
        assert Route(self.BUY, self.SELL, 0.0, 0.0).largest(199.0, NOW) is not None

    def test_a_book_that_is_resyncing_or_silent_is_unknown(self) -> None:
        for buy, sell in ((Book(COUNTED), self.SELL), (self.BUY, Book(COUNTED))):
            route = Route(buy, sell, 0.0, 0.0)
            assert (route.at_coins(1.0, NOW), route.at_quote(1.0, NOW), route.largest(0.0, NOW)) == (
                None,
            ) * 3
        late = 11 * 10**9
        route = Route(self.BUY, self.SELL, 0.0, 0.0)
        assert (route.at_coins(1.0, late), route.at_quote(1.0, late), route.largest(0.0, late)) == (None,) * 3


@given(asks, bids, st.floats(0.01, 300.0), fees, fees)
def test_a_deal_is_the_bill_of_both_books(
    buy: list[Level], sell: list[Level], coins: float, buy_fee: float, sell_fee: float
) -> None:
    deal = Route(buyer(buy), seller(sell), buy_fee, sell_fee).at_coins(coins, NOW)
    if deal is None:
        assert coins > min(sum(size for _, size in levels) for levels in (buy, sell)) * (1 - 1e-9)
        return
    spent = bill(buy, coins, dearest_first=False)
    got = bill(sell, coins, dearest_first=True)
    assert deal.buy.quote == pytest.approx(spent)
    assert deal.sell.quote == pytest.approx(got)
    profit = got * (1 - sell_fee) - spent * (1 + buy_fee)
    assert deal.profit == pytest.approx(profit, abs=1e-6)
    assert deal.edge_bps == pytest.approx(profit / (spent * (1 + buy_fee)) * 10_000, abs=1e-6)


@given(asks, st.floats(0.01, 1.0))
def test_what_money_buys_costs_that_money(levels: list[Level], part: float) -> None:
    side = buyer(levels).asks
    money = part * sum(price * size for price, size in levels)
    fill = for_quote(side, money)
    assert fill is not None
    assert bill(levels, fill.coins, dearest_first=False) == pytest.approx(money)


@given(asks, bids, st.floats(-50.0, 200.0), fees, fees)
def test_no_larger_size_has_the_edge(
    buy: list[Level], sell: list[Level], least: float, buy_fee: float, sell_fee: float
) -> None:
    route = Route(buyer(buy), seller(sell), buy_fee, sell_fee)
    reach = route.largest(least, NOW)
    if reach is None:
        smallest = route.at_coins(0.001, NOW)
        assert smallest is not None
        assert smallest.edge_bps < least + 1e-6
        return
    coins = reach.deal.buy.coins
    assume(coins > 1e-6)
    assert reach.deal.edge_bps >= least - 1e-6
    larger = route.at_coins(coins * 1.001, NOW)
    if reach.limited_by == "edge":
        assert larger is None or larger.edge_bps < least + 1e-6
    else:
        assert larger is None
        book = buy if reach.side == "buy" else sell
        assert coins == pytest.approx(sum(size for _, size in book))

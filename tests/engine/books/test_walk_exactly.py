"""Walks against an exact reckoning in fractions: conversions, lots, the largest size and the most profit."""

from collections.abc import Iterator
from fractions import Fraction as F
from itertools import pairwise
from math import nan

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Struct

from engine.books.walk import Route, TopOfBook, Unit
from markets.events import Level
from tests.engine.books.books import live

NOW = 0
BPS = 10_000

sizes = st.integers(1, 50_000).map(lambda n: F(n, 1000))
fees = st.integers(-10, 50).map(lambda n: F(n, 10_000))
rates = st.sampled_from((F(1), F(998, 1000), F(60_000), F(1, 15_000)))
multipliers = st.sampled_from((F(1), F(1000), F(1, 10)))
lots = st.sampled_from((F(0), F(1, 1000), F(1, 10), F(1)))

ExactLevels = list[tuple[F, F]]
"""Prices and sizes in the pair's terms, the best first."""


class Case(Struct):
    """Two books as their exchanges have them, and what turns them into the pair's terms."""

    asks: ExactLevels
    bids: ExactLevels
    buy_fee: F
    sell_fee: F
    rates: tuple[F, F]
    multipliers: tuple[F, F]
    lots: tuple[F, F] = (F(0), F(0))

    def route(self) -> Route:
        """The same in floats, each book in its own exchange's terms."""
        units = [
            Unit(float(rate / times), float(times), float(lot))
            for rate, times, lot in zip(self.rates, self.multipliers, self.lots, strict=True)
        ]
        own = [
            [(float(price * times / rate), float(size / times)) for price, size in levels]
            for levels, rate, times in zip((self.asks, self.bids), self.rates, self.multipliers, strict=True)
        ]
        books = live([], own[0]), live(own[1], [])
        return Route(*books, float(self.buy_fee), float(self.sell_fee), (units[0], units[1]))

    def profit(self, coins: F) -> F | None:
        """Money left after both fees; None where a side has not so many coins."""
        spent, got = cost(self.asks, coins), cost(self.bids, coins)
        if spent is None or got is None:
            return None
        return got * (1 - self.sell_fee) - spent * (1 + self.buy_fee)

    def edge_bps(self, coins: F) -> F | None:
        """Profit per money spent; None where that is not known."""
        spent, profit = cost(self.asks, coins), self.profit(coins)
        return None if spent is None or profit is None else profit / (spent * (1 + self.buy_fee)) * BPS

    def corners(self) -> Iterator[F]:
        """Sizes at which a level ends, up to where a side does."""
        most = min(sum((size for _, size in levels), F(0)) for levels in (self.asks, self.bids))
        ends: set[F] = {F(0), most}
        for levels in (self.asks, self.bids):
            taken = F(0)
            for _, size in levels:
                taken += size
                ends.add(min(taken, most))
        yield from sorted(ends)


def cost(levels: ExactLevels, coins: F) -> F | None:
    """Money for so many coins, level by level."""
    money = F(0)
    for price, size in levels:
        taken = min(size, coins)
        money, coins = money + taken * price, coins - taken
    return None if coins else money


@st.composite
def sides(draw: st.DrawFn, around: int, *, dearest_first: bool) -> ExactLevels:
    prices = draw(st.lists(st.integers(around, around + 400), min_size=1, max_size=9, unique=True))
    return [(F(price, 100), draw(sizes)) for price in sorted(prices, reverse=dearest_first)]


@st.composite
def cases(draw: st.DrawFn, *, in_lots: bool = False) -> Case:
    return Case(
        draw(sides(9900, dearest_first=False)),
        draw(sides(9850, dearest_first=True)),
        draw(fees),
        draw(fees),
        (draw(rates), draw(rates)),
        (draw(multipliers), draw(multipliers)),
        (draw(lots), draw(lots)) if in_lots else (F(0), F(0)),
    )


def near(exact: F) -> object:
    return pytest.approx(float(exact), rel=1e-9, abs=1e-6)


@given(cases(), st.integers(1, 150_000).map(lambda n: F(n, 1000)))
def test_a_size_in_coins_costs_what_the_levels_say(case: Case, coins: F) -> None:
    deal, profit = case.route().at_coins(float(coins), NOW), case.profit(coins)
    if profit is None:
        assert deal is None
        return
    edge = case.edge_bps(coins)
    assert deal is not None
    assert edge is not None
    assert (deal.profit, deal.edge_bps) == (near(profit), near(edge))
    assert deal.buy.coins == deal.sell.coins == float(coins)


@given(cases(), st.integers(1, 99).map(lambda n: F(n, 100)))
def test_a_size_in_money_buys_coins_for_that_money(case: Case, part: F) -> None:
    money = part * sum(price * size for price, size in case.asks)
    deal = case.route().at_quote(float(money), NOW)
    if deal is None:  # the other book is shorter
        assert cost(case.bids, bought_for(case.asks, money)) is None
        return
    assert deal.buy.quote == near(money)
    assert deal.buy.coins == near(bought_for(case.asks, money))


def bought_for(levels: ExactLevels, money: F) -> F:
    """Coins for so much money."""
    coins = F(0)
    for price, size in levels:
        taken = min(size * price, money)
        coins, money = coins + taken / price, money - taken
    return coins


@given(cases(), st.integers(-30, 150))
def test_the_largest_size_with_an_edge(case: Case, least_bps: int) -> None:
    reach = case.route().largest(float(least_bps), NOW)
    exact = largest(case, F(least_bps))
    assume(exact == 0 or exact > F(1, 10**6))
    if not exact:
        assert reach is None or reach.deal.buy.coins < 1e-6
        return
    assert reach is not None
    assert reach.deal.buy.coins == near(exact)
    assert reach.deal.profit == near(case.profit(exact) or F(0))


def largest(case: Case, least_bps: F) -> F:
    """Largest size whose edge is at least this, found between the corners; 0: there is none."""
    factor = 1 + least_bps / BPS

    def spare(coins: F) -> F:
        profit, spent = case.profit(coins), cost(case.asks, coins)
        assert profit is not None
        assert spent is not None
        return profit - (factor - 1) * spent * (1 + case.buy_fee)

    corners = list(case.corners())
    for low, high in pairwise(corners):
        if spare(high) < 0:  # it falls from here on: a line between two corners
            start, end = spare(low), spare(high)
            return low + (high - low) * start / (start - end)
    return corners[-1]


@given(cases())
def test_the_best_size_has_the_most_profit_and_is_the_largest_that_has_it(case: Case) -> None:
    profits = {coins: case.profit(coins) or F(0) for coins in case.corners()}
    most = max(profits.values())
    best, reach = max(coins for coins in profits if profits[coins] == most), case.route().best(NOW)
    if not best:
        assert reach is None
        return
    # Where a level neither earns nor loses, floats may leave it out.
    close = {coins for coins in profits if most - profits[coins] <= F(1, 10**6)}
    assert reach is not None
    assert reach.deal.profit == near(most)
    assert any(reach.deal.buy.coins == near(coins) for coins in close)


@given(cases(in_lots=True), st.integers(1, 150_000).map(lambda n: F(n, 1000)))
def test_orders_are_whole_lots_of_both_exchanges(case: Case, coins: F) -> None:
    step = max(case.lots)
    whole = coins // step * step if step else coins
    deal = case.route().at_coins(float(coins), NOW)
    if not whole or case.profit(whole) is None:
        assert deal is None
    else:
        assert deal is not None
        assert deal.buy.coins == near(whole)
        assert deal.profit == near(case.profit(whole) or F(0))


@given(cases(in_lots=True))
def test_a_size_in_lots_keeps_the_edge_that_was_asked(case: Case) -> None:
    route = case.route()
    for reach in (route.largest(0.0, NOW), route.best(NOW)):
        if reach is not None:
            assert reach.deal.edge_bps >= -1e-6
            assert not (step := max(case.lots)) or reach.deal.buy.coins == near(
                round(F(reach.deal.buy.coins) / step) * step
            )


class TestTopOfBook:
    SELL = live([(102.0, 2.0), (101.5, 4.0)], [])

    def test_what_is_behind_the_best_levels_nobody_knows(self) -> None:
        route = Route(TopOfBook(99.0, 1.0, 100.0, 1.5), self.SELL, 0.0, 0.0)
        assert route.capped_by == "top of book"
        deal, more = route.at_coins(1.5, NOW), route.at_coins(1.6, NOW)
        assert deal is not None
        assert deal.profit == pytest.approx(3.0)
        assert more is None
        for reach in (route.largest(0.0, NOW), route.best(NOW)):
            assert reach is not None
            assert (reach.deal.buy.coins, reach.limited_by, reach.side) == (1.5, "top of book", "buy")

    def test_two_books_are_capped_by_nothing(self) -> None:
        levels: list[Level] = [(100.0, 1.0)]
        assert Route(live([], levels), self.SELL, 0.0, 0.0).capped_by == ""

    @pytest.mark.parametrize(
        "top",
        [TopOfBook(nan, nan, nan, nan), TopOfBook(101.0, 1.0, 100.0, 1.0), TopOfBook(0.0, 1.0, 1.0, 1.0)],
    )
    def test_no_usable_quote_is_unknown(self, top: TopOfBook) -> None:
        route = Route(top, self.SELL, 0.0, 0.0)
        assert not route.is_known(NOW)
        assert (route.at_coins(1.0, NOW), route.at_quote(1.0, NOW), route.largest(0.0, NOW)) == (None,) * 3

    def test_a_quote_without_sizes_holds_nothing(self) -> None:
        route = Route(TopOfBook(99.0, nan, 100.0, 0.0), self.SELL, 0.0, 0.0)
        assert (route.at_coins(1e-9, NOW), route.largest(0.0, NOW), route.best(NOW)) == (None,) * 3

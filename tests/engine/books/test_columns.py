"""Walking many routes at once gives what walking each by itself does."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.books.book import Book
from engine.books.columns import Sides, Walk, padded
from engine.books.sequences import COUNTED
from engine.books.walk import Route
from engine.pricing import fee_factor
from markets.events import BookUpdate, Level

FEE = 0.001
WIDTH = 8

levels = st.lists(
    st.tuples(st.floats(0.5, 1.5), st.floats(0.001, 1000.0)),
    min_size=1,
    max_size=WIDTH,
    unique_by=lambda level: level[0],
)


def book(bids: Sequence[Level], asks: Sequence[Level]) -> Book:
    made = Book(COUNTED)
    made.apply(BookUpdate("x", "A/B", "snapshot", list(bids), list(asks), last_seq=1, received_mono_ns=1))
    return made


def side_of(found: Sequence[Level], sign: float) -> np.ndarray:
    return np.array(sorted(found, key=lambda level: sign * level[0]))


@given(st.lists(st.tuples(levels, levels), min_size=1, max_size=4), st.floats(0.001, 5000.0))
def test_many_routes_are_walked_as_each_by_itself(
    routes: list[tuple[list[Level], list[Level]]], quote: float
) -> None:
    asks = Sides(*padded([side_of(buy, 1.0) for buy, _ in routes], WIDTH))
    bids = Sides(*padded([side_of(sell, -1.0) for _, sell in routes], WIDTH))
    each = np.arange(len(routes))
    factor = np.full(len(routes), fee_factor(FEE, FEE))
    walk = Walk(asks, each, bids, each, factor)
    coins = walk.coins_for(np.full(len(routes), quote))
    cost, brought = walk.money(coins)
    until = walk.until_zero()
    for number, (buy, sell) in enumerate(routes):
        route = Route(book([], buy), book(sell, []), FEE, FEE)
        deal = route.at_quote(quote, 1)
        if deal is None:  # more than both books are known to hold
            assert coins[number] <= walk.known_coins[number]
            assert walk.known_coins[number] == pytest.approx(
                min(sum(s for _, s in buy), sum(s for _, s in sell))
            )
        else:
            assert coins[number] == pytest.approx(deal.buy.coins, rel=1e-9)
            assert cost[number] == pytest.approx(deal.buy.quote, rel=1e-9)
            assert brought[number] == pytest.approx(deal.sell.quote, rel=1e-9)
        reach = route.largest(0.0, 1)
        most = 0.0 if reach is None else reach.deal.buy.coins
        assert until[number] == pytest.approx(most, rel=1e-6, abs=1e-6 * walk.known_coins[number])

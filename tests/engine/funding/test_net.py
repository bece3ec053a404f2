"""Net edge of a pair over a holding time: against money that changes hands, and cases by hand."""

from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.funding.net import leg_funding, net_edge
from engine.funding.settlements import FundingTerms
from engine.funding.trade import leg_access, trade_line

H = 3_600_000_000
NOW = 1_767_225_600_000_000


def test_a_swap_pair_by_hand() -> None:
    # Buy at 100, sell at 101 (edge 100 bps without fees); no fees; longs pay 3 bps here and 12 bps there.
    found = net_edge((99.9, 100), (101, 101.2), 0, 0, 0.0003, 0.0012)
    assert found.entry == pytest.approx(100)
    assert (found.funding_long, found.funding_short) == pytest.approx((-3, 12))
    assert (found.exit_fees, found.borrow) == (0, 0)
    assert found.net_zero == pytest.approx(109)
    assert found.exit_now == pytest.approx(-10_000 * (101.2 / 99.9 - 1))  # undone at once: the way back
    assert isnan(found.exit_median)
    assert isnan(found.net_median)


def test_with_fees_by_hand() -> None:
    # 10 bps to buy, 5 to sell, both ways. 100 bought cost 100.1; sold 101 bring 100.9495.
    found = net_edge((99.9, 100), (101, 101.2), 0.001, 0.0005, 0.0002, -0.0001, 0.002, 0.0004)
    unit = 10_000 / 1.001
    assert found.entry == pytest.approx((100.9495 / 100.1 - 1) * 10_000)
    assert (found.funding_long, found.funding_short) == pytest.approx((-0.0002 * unit, -0.0001 * unit))
    assert found.exit_fees == pytest.approx(-0.0015 * unit)
    assert found.borrow == pytest.approx(-0.0004 * unit)
    assert found.exit_median == pytest.approx(-0.002 * 1.0005 * unit)
    assert found.net_median == pytest.approx(found.net_zero + found.exit_median)


def test_each_term_in_money() -> None:
    found = net_edge((99.9, 100), (101, 101.2), 0.001, 0.0005, 0.0002, -0.0001, 0.002)
    money = found.money(1000, 0.001)  # ten coins
    assert money.entry == pytest.approx(10 * (100.9495 - 100.1))
    assert money.funding_long == pytest.approx(-0.2)
    assert money.funding_short == pytest.approx(-0.1)
    assert money.exit_fees == pytest.approx(-1.5)
    assert money.exit_median == pytest.approx(-2.001)
    assert money.net_median == pytest.approx(8.495 - 0.2 - 0.1 - 1.5 - 2.001)


prices = st.floats(1e-6, 1e5)
small = st.floats(-0.01, 0.01)
fees = st.floats(-0.001, 0.01)


@given(prices, st.floats(0.95, 1.05), fees, fees, small, small, small, st.floats(0, 0.01))
def test_the_formula_is_the_money_that_changes_hands(
    ask: float, ratio: float, f: float, g: float, paid: float, got: float, x: float, borrow: float
) -> None:
    bid, coins = ask * ratio, 3.0
    entry = coins * bid * (1 - g) - coins * ask * (1 + f)
    funding = coins * ask * (got - paid)
    undone = coins * ask * (1 - f) - coins * ask * (1 + x) * (1 + g)
    all_of_it = entry + funding + undone - coins * ask * borrow
    found = net_edge((ask, ask), (bid, bid), f, g, paid, got, x, borrow)
    assert found.net_median == pytest.approx(all_of_it / (coins * ask * (1 + f)) * 10_000, abs=1e-6)
    assert found.money(coins * ask, f).net_median == pytest.approx(all_of_it, abs=1e-9 * coins * ask)


@given(prices, small, small)
def test_the_other_direction_earns_what_this_one_pays(price: float, here: float, there: float) -> None:
    one = net_edge((price, price), (price, price), 0, 0, here, there)
    other = net_edge((price, price), (price, price), 0, 0, there, here)
    assert one.net_zero == pytest.approx(-other.net_zero, abs=1e-9)


def test_unknown_funding_makes_the_net_unknown_and_leaves_the_entry() -> None:
    found = net_edge((99.9, 100), (101, 101.2), 0.001, 0.001, nan, 0.0001)
    assert found.entry == pytest.approx(79.8, abs=0.1)
    assert all(map(isnan, (found.funding_long, found.net_zero, found.net_now)))


def test_many_pairs_at_once() -> None:
    ask, bid = np.array([100.0, 100.0]), np.array([101.0, 102.0])
    found = net_edge((ask, ask), (bid, bid), 0.0, 0.0, np.array([0.0001, nan]), 0.0)
    assert found.net_zero.tolist() == pytest.approx([99, nan], nan_ok=True)


class TestLegs:
    TERMS = FundingTerms(0.0001, NOW + H, 14_400)

    def test_a_swap_is_charged_at_the_settlements_within_the_time_held(self) -> None:
        assert leg_funding("okx:swap", self.TERMS, NOW, 8 * 3600) == pytest.approx(0.0002)

    def test_spot_has_no_funding(self) -> None:
        assert leg_funding("okx", None, NOW, 8 * 3600) == 0

    def test_of_a_swap_of_which_nothing_is_known_it_is_unknown(self) -> None:
        assert isnan(leg_funding("okx:swap", None, NOW, 8 * 3600))


NAMES = {"gate": "Gate", "bybit": "Bybit"}


@pytest.mark.parametrize(
    ("buy", "sell", "line"),
    [
        ("gate:swap", "bybit:swap", "long Gate swap, short Bybit swap"),
        ("gate", "bybit:swap", "long Gate spot, short Bybit swap"),
        ("gate", "gate:swap", "long Gate spot, short Gate swap"),
        ("gate:swap", "bybit", "long Gate swap, short Bybit spot: not possible without borrowing"),
        ("gate", "bybit", "buy Gate spot, sell Bybit spot: the coins must be there, or be borrowed"),
        ("okx", "gate:swap", "long okx spot, short Gate swap"),
    ],
)
def test_the_trade_in_one_line(buy: str, sell: str, line: str) -> None:
    assert trade_line(buy, sell, NAMES) == line


def test_only_a_spot_sale_needs_more_than_money() -> None:
    assert (
        leg_access("gate:swap", "short")
        == leg_access("gate:swap", "long")
        == leg_access("gate", "long")
        == ""
    )
    assert leg_access("gate", "short") == "coin or borrowing"

"""Prices of a pair of quotes, against the bill of somebody who buys one coin here and sells it there."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pricing import edge_bps, fee_factor, fee_factors, spread_pct

prices = st.floats(1e-6, 1e6)
fees = st.floats(-0.005, 0.02)


def earned_bps(bid: float, ask: float, buy_fee: float, sell_fee: float) -> float:
    """Rest of the money spent on one coin."""
    spent = ask + ask * buy_fee
    return (bid - bid * sell_fee - spent) / spent * 10_000


@given(prices, prices, fees, fees)
def test_an_edge_is_what_is_left_after_both_fees(
    bid: float, ask: float, buy_fee: float, sell_fee: float
) -> None:
    expected = earned_bps(bid, ask, buy_fee, sell_fee)
    assert edge_bps(bid, ask, fee_factor(buy_fee, sell_fee)) == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_the_first_factor_sells_on_the_first_exchange() -> None:
    factor12, factor21 = fee_factors(0.001, 0.002)
    assert edge_bps(101.0, 100.0, factor12) == pytest.approx(earned_bps(101.0, 100.0, 0.002, 0.001))
    assert edge_bps(101.0, 100.0, factor21) == pytest.approx(earned_bps(101.0, 100.0, 0.001, 0.002))


def test_a_spread_is_how_far_the_first_bid_is_above_the_second() -> None:
    assert spread_pct(101.0, 100.0) == pytest.approx(1.0)
    assert spread_pct(99.5, 100.0) == pytest.approx(-0.5)


def test_arrays_and_expressions_give_what_numbers_give() -> None:
    bids, asks, factor = [101.0, 99.0], [100.0, 100.5], fee_factor(0.001, 0.0005)
    edges = [edge_bps(bid, ask, factor) for bid, ask in zip(bids, asks, strict=True)]
    spreads = [spread_pct(bid, ask) for bid, ask in zip(bids, asks, strict=True)]
    assert edge_bps(np.array(bids), np.array(asks), factor).tolist() == edges
    assert spread_pct(np.array(bids), np.array(asks)).tolist() == spreads
    frame = pl.DataFrame({"bid": bids, "ask": asks}).select(
        edge=edge_bps(pl.col("bid"), pl.col("ask"), factor), spread=spread_pct(pl.col("bid"), pl.col("ask"))
    )
    assert (frame["edge"].to_list(), frame["spread"].to_list()) == (edges, spreads)

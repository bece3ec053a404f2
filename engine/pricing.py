"""Prices of a pair of quotes: spread, edge, and what both taker fees leave (docs/engine.md).

One formula each, for live quotes, replays, stored history, the scanner's table and reports alike: the
arguments are numbers, numpy arrays or polars expressions. Fees are fractions (0.001 is 10 bps), never in bps.
"""

from typing import Any, Final

BPS: Final = 10_000


def fee_factor(buy_fee: Any, sell_fee: Any) -> Any:
    """Rest of 10,000 after both taker fees: turns sell bid / buy ask into an edge, see `edge_bps`."""
    return (1 - sell_fee) / (1 + buy_fee) * BPS


def fee_factors(fee1: Any, fee2: Any) -> tuple[Any, Any]:
    """The factors of both directions of a pair: sell on the first, sell on the second."""
    return fee_factor(fee2, fee1), fee_factor(fee1, fee2)


def edge_bps(sell_bid: Any, buy_ask: Any, factor: Any) -> Any:
    """Edge of buying at the ask here and selling at the bid there, after both taker fees; bps."""
    return sell_bid / buy_ask * factor - BPS


def profit(cost: Any, buy_fee: Any, edge: Any) -> Any:
    """Money that an edge, bps, comes to on what buying costs, its fee on top."""
    return cost * (1 + buy_fee) * edge / BPS


def spread_pct(bid1: Any, bid2: Any) -> Any:
    """How far the first bid is above the second: the line of a chart; per cent."""
    return (bid1 / bid2 - 1) * 100

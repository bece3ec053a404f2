"""Net edge that a filter asks of a direction: the engine's one formula on its legs as they are now.

Plain Python, no Django, no clock.
"""

from math import nan

from core.names import formats as wording
from engine.funding.net import leg_funding, median_exit, net_edge
from engine.gates import swaps
from engine.gates.swaps import Now
from engine.scan.directions import Direction
from engine.scan.legs import Leg
from markets.config import FilterConfig, GateTerms


def shortfall(direction: Direction, follows: FilterConfig, ratio: float, now: Now, terms: GateTerms) -> str:
    """Words that the net edge is not what a filter asks; empty when it is, or when the filter does not ask.

    `ratio` is the median of exchange1's price over exchange2's, NaN: not known.
    """
    least = follows.min_net_edge_bps
    if least is None:
        return ""
    found = net_bps(direction, follows, ratio, now, terms)
    if found >= least:
        return ""
    held = f"over {wording.share(follows.holding_hours)} h, wanted: at least {least:,.1f} bps"
    if found < least:
        return f"the net edge is {found:+,.1f} bps {held}"
    return f"the net edge is unknown {held}"  # of unknown funding its own gate has the words


def net_bps(direction: Direction, follows: FilterConfig, ratio: float, now: Now, terms: GateTerms) -> float:
    """Net edge of a position held as a filter says, with the exit spread it assumes; NaN: unknown."""
    buy, sell = direction.buy, direction.sell
    buy_fee, sell_fee = _fee(buy), _fee(sell)
    long, short = (_charged(leg, follows, now, terms) for leg in (buy, sell))
    is_first_sold = sell.exchange == direction.pair.pair.exchange1
    bought, sold = (buy.bid, buy.ask), (sell.bid, sell.ask)
    exit_spread = median_exit(bought, sold, ratio if is_first_sold else 1 / ratio if ratio else nan)
    found = net_edge(bought, sold, buy_fee, sell_fee, long, short, exit_spread)
    return float(
        {"zero": found.net_zero, "now": found.net_now, "median": found.net_median}[follows.exit_assumption]
    )


def _fee(leg: Leg) -> float:
    return nan if leg.taker_fee_bps is None else leg.taker_fee_bps / 10_000


def _charged(leg: Leg, follows: FilterConfig, now: Now, terms: GateTerms) -> float:
    known = leg.swap is not None and not swaps.funding_problem(leg, now, terms)
    return leg_funding(
        leg.exchange, leg.swap.terms() if leg.swap and known else None, now[0], follows.holding_hours * 3600
    )

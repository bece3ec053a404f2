"""Net edge of a pair that is held for a time: the one formula (docs/engine.md).

Buy q coins at the ask A of one leg, sell q at the bid B of the other, hold for H, and undo both. With the
taker fees f (bought leg) and g (sold leg) as fractions, the money is

    entry     q B (1 - g) - q A (1 + f)
    funding   q A (Fs - Fl)        Fl, Fs: rates charged within H to the long and the short leg, summed;
                                   a positive rate is paid by longs to shorts
    exit      q P (1 - f) - q P (1 + x) (1 + g)   sells the bought leg at P, buys the sold one back at
                                                  P (1 + x); x is the exit spread
    borrow    - q A b              b: what borrowing the sold coin costs over H, if the user says

and is measured against what buying cost, q A (1 + f), as every edge is (engine.pricing). A hedged position
does not care at which level it is undone, so P is A; and both legs' funding is charged on q A, which
differs from each leg's own mark by edge x rate: 50 bps times 10 bps are 0.05 bps. Hence, in
units of 10,000 / (1 + f):

    entry  B (1 - g) / A - (1 + f)      funding  Fs - Fl      exit fees  - f - g
    exit spread  - x (1 + g)            borrow   - b

The exit spread x = ask of the sold leg / bid of the bought leg - 1 is not known before; there are three
assumptions: zero (both meet), as now, and the pair's own median. Unknown is NaN and makes the net NaN,
never zero; a spot leg's funding is none: zero.
"""

from math import nan
from typing import Any, Final

from msgspec import Struct, structs

from core.names.market_keys import SWAP, market_of
from engine.funding.settlements import S_US, FundingTerms, expected
from engine.pricing import BPS, edge_bps, fee_factor, profit
from markets.config import HOLDING_HOURS

DEFAULT_HOLDING_S: Final = HOLDING_HOURS * 3_600


class NetEdge(Struct, frozen=True):
    """Terms of what a position leaves; bps of what buying cost, or money. Costs are negative.

    They add up to the net with an exit spread of zero, as now, and of the pair's median; NaN: unknown.
    """

    entry: Any
    funding_long: Any
    funding_short: Any
    exit_fees: Any
    borrow: Any
    exit_now: Any
    exit_median: Any
    net_zero: Any
    net_now: Any
    net_median: Any

    def money(self, size: Any, buy_fee: Any) -> "NetEdge":
        """Every term in quote currency, for `size` bought, in quote currency before its fee."""
        return NetEdge(*(profit(size, buy_fee, each) for each in structs.astuple(self)))


def net_edge(  # noqa: PLR0917
    buy: tuple[Any, Any],
    sell: tuple[Any, Any],
    buy_fee: Any,
    sell_fee: Any,
    funding_long: Any,
    funding_short: Any,
    median_exit: Any = nan,
    borrow: Any = 0.0,
) -> NetEdge:
    """Net edge in bps by the formula above; numbers or numpy arrays.

    `buy` and `sell` are bid and ask of the two legs, fees fractions, `funding_long` and `funding_short` the
    rates charged within the time held (`leg_funding`), `median_exit` the pair's own exit spread and
    `borrow` the cost of borrowing over the time held, all fractions.
    """
    (buy_bid, buy_ask), (sell_bid, sell_ask) = buy, sell
    unit = BPS / (1 + buy_fee)
    entry = edge_bps(sell_bid, buy_ask, fee_factor(buy_fee, sell_fee))
    now = exit_bps(sell_ask / buy_bid - 1, buy_fee, sell_fee)
    median = exit_bps(median_exit, buy_fee, sell_fee)
    held = net_zero(entry, funding_short - funding_long, buy_fee, sell_fee, borrow)
    return NetEdge(
        entry, -funding_long * unit, funding_short * unit, -(buy_fee + sell_fee) * unit, -borrow * unit,
        now, median, held, held + now, held + median,
    )  # fmt: skip


def net_zero(entry: Any, paid: Any, buy_fee: Any, sell_fee: Any, borrow: Any = 0.0) -> Any:
    """Net edge in bps with an exit spread of zero: of an entry edge in bps, where `paid` is the short leg's
    rates less the long one's."""
    return entry + (paid - buy_fee - sell_fee - borrow) * BPS / (1 + buy_fee)


def exit_bps(exit_spread: Any, buy_fee: Any, sell_fee: Any) -> Any:
    """Cost of an exit spread, a fraction, as bps that are added to the net."""
    return -exit_spread * (1 + sell_fee) * BPS / (1 + buy_fee)


def median_exit(buy: tuple[Any, Any], sell: tuple[Any, Any], sold_over_bought: Any) -> Any:
    """Exit spread where the middle prices stand to each other as the median of that says, and each book is
    as wide as it is now; a fraction, NaN where it is unknown."""
    (buy_bid, buy_ask), (sell_bid, sell_ask) = buy, sell
    return sell_ask / buy_bid * (buy_bid + buy_ask) / (sell_bid + sell_ask) * sold_over_bought - 1


def leg_funding(market_key: str, terms: FundingTerms | None, now_us: int, holding_s: float) -> float:
    """Rates charged to a leg within (now, now + holding], summed: 0 of a spot leg, NaN where unknown."""
    if market_of(market_key) != SWAP:
        return 0.0
    return nan if terms is None else expected(terms, now_us, now_us + round(holding_s * S_US))

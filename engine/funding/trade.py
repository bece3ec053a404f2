"""Position of two legs in one line, and whether each leg can be entered."""

from collections.abc import Iterable
from typing import Literal

from core.names.market_keys import SWAP, exchange_of, market_of
from markets.config import ExchangeConfig

Direction = Literal["long", "short"]
Access = Literal["", "coin or borrowing"]


def leg_access(market_key: str, direction: Direction) -> Access:
    """Need of a leg beside money: nothing, or for a spot sale the coin itself or a loan of it.

    Only swaps can be sold without owning the coin.
    """
    return "coin or borrowing" if direction == "short" and market_of(market_key) != SWAP else ""


def plain_names(exchanges: Iterable[ExchangeConfig]) -> dict[str, str]:
    """Names of exchanges by their keys, of the markets that a configuration has: `Gate` of `Gate swap`."""
    return {exchange_of(row.key): row.name.removesuffix(" swap") for row in exchanges}


def trade_line(buy_key: str, sell_key: str, names: dict[str, str]) -> str:
    """The trade in words: `long Gate swap, short Bybit spot: not possible without borrowing`.

    `names` has the exchanges' names by their keys. The coin itself serves as well as a loan: two spot legs
    are no position but coins that change places.
    """
    long, short = (_named(key, names) for key in (buy_key, sell_key))
    if not leg_access(sell_key, "short"):
        return f"long {long}, short {short}"
    if market_of(buy_key) != SWAP:
        return f"buy {long}, sell {short}: the coins must be there, or be borrowed"
    return f"long {long}, short {short}: not possible without borrowing"


def _named(key: str, names: dict[str, str]) -> str:
    exchange = exchange_of(key)
    return f"{names.get(exchange, exchange)} {market_of(key)}"

"""Whether a coin can be moved from the exchange where it is bought to the one where it is sold.

It takes a network that both know by the same name, on which the first pays out and the second takes
in. What an exchange does not say is unknown: neither open nor closed. With a swap in it no coin is moved:
its leg is opened and closed where it is, and nothing is asked of wallets.

Plain Python, no Django.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from core.names.market_keys import SWAP, market_of
from core.names.symbols import base_of
from markets.config import ListingConfig, NetworkConfig

Wallets = Mapping[tuple[str, str], tuple[NetworkConfig, ...]]


class Route(Struct, frozen=True):
    """A network that both exchanges know."""

    network: str
    withdraw: bool | None  # where it is bought
    deposit: bool | None  # where it is sold

    @property
    def open(self) -> bool | None:
        """Whether it is open at both ends; None: not known."""
        if self.withdraw is False or self.deposit is False:
            return False
        return True if self.withdraw and self.deposit else None


class Routes(Struct, frozen=True):
    """Known state of both ends: all their networks, and those in common."""

    coin: str
    buy: tuple[NetworkConfig, ...]
    sell: tuple[NetworkConfig, ...]
    common: tuple[Route, ...] = ()
    is_needed: bool = True


def routes(known: Wallets, symbol: str, buy: ListingConfig, sell: ListingConfig) -> Routes:
    """The ways from where it is bought to where it is sold."""
    coin = base_of(symbol)
    if SWAP in (market_of(buy.exchange), market_of(sell.exchange)):
        return Routes(coin, (), (), is_needed=False)
    out, into = _networks(known, coin, buy), _networks(known, coin, sell)
    if not (out and into):
        return Routes(coin, out, into)
    deposits = {each.network: each.deposit for each in into}
    common = tuple(
        Route(each.network, each.withdraw, deposits[each.network]) for each in out if each.network in deposits
    )
    return Routes(coin, out, into, common)


def _networks(known: Wallets, coin: str, listing: ListingConfig) -> tuple[NetworkConfig, ...]:
    """Under the listing's own name for the coin, or for an alias under the coin's."""
    return known.get((listing.exchange, listing.base)) or known.get((listing.exchange, coin)) or ()


def verdict(found: Routes) -> Literal["pass", "fail", "unknown"]:
    """Open when one common network is; closed when either end is shut, or every common network is.

    Two exchanges that share no name for a network say nothing: names differ more than networks do.
    """
    if not found.is_needed or any(route.open for route in found.common):
        return "pass"
    if _shut(network.withdraw for network in found.buy) or _shut(network.deposit for network in found.sell):
        return "fail"
    return "fail" if _shut(route.open for route in found.common) else "unknown"


def _shut(ways: Iterable[bool | None]) -> bool:
    """Whether there are ways, and all of them are known to be closed."""
    states = set(ways)
    return states == {False}


def words(found: Routes, buy: str, sell: str) -> str:
    """The networks and which end is shut, in a sentence."""
    if not found.is_needed:
        return f"no {found.coin} is moved between {buy} and {sell}: a swap is closed where it was opened"
    if _shut(network.withdraw for network in found.buy):
        return f"{buy} pays out no {found.coin}: withdrawals are closed on every network"
    if _shut(network.deposit for network in found.sell):
        return f"{sell} accepts no {found.coin}: deposits are closed on every network"
    for exchange, networks in ((buy, found.buy), (sell, found.sell)):
        if not networks:
            return f"{exchange} does not report whether {found.coin} can be moved"
    if not found.common:
        names = "; ".join(
            f"{exchange} {', '.join(sorted(each.network for each in networks))}"
            for exchange, networks in ((buy, found.buy), (sell, found.sell))
        )
        return f"no network has the same name on both: {names}"
    return "; ".join(_route_words(route, buy, sell) for route in found.common)


def _route_words(route: Route, buy: str, sell: str) -> str:
    if route.open:
        return f"{route.network} is open from {buy} to {sell}"
    ends = ((buy, "withdrawals", route.withdraw), (sell, "deposits", route.deposit))
    closed = [f"{exchange} {what} closed" for exchange, what, is_open in ends if is_open is False]
    unsaid = [f"{exchange} {what} not reported" for exchange, what, is_open in ends if is_open is None]
    return f"{route.network}: {', '.join(closed or unsaid)}"

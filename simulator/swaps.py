"""The perpetual swaps that the simulated exchanges list: contract sizes, multiplied contracts, funding terms.

Sizes are in contracts on `CONTRACT_SIZED` exchanges and in coins on the others, as on the real ones
(PROTOCOLS: perp sizes), and contract sizes differ between exchanges.
"""

from collections.abc import Sequence
from math import log10
from typing import Final
from zlib import crc32

from msgspec import Struct, structs

from simulator.catalogue import Listing

CONTRACT_SIZED: Final = frozenset(("okx", "gate", "kucoin", "mexc"))
_SIZES: Final = {
    "okx": {"BTC": "0.01", "ETH": "0.1", "SOL": "1", "XRP": "100", "DOGE": "1000", "PEPE": "10000000"},
    "gate": {"BTC": "0.0001", "ETH": "0.01", "SOL": "1", "XRP": "10", "DOGE": "10", "PEPE": "10000000"},
    "kucoin": {"BTC": "0.001", "ETH": "0.01", "SOL": "0.1", "XRP": "10", "DOGE": "100", "PEPE": "100000"},
    "mexc": {"BTC": "0.0001", "ETH": "0.01", "SOL": "0.1", "XRP": "1", "DOGE": "100", "PEPE": "10000000"},
}
_WORTH: Final = {
    "okx": 30.0,
    "gate": 3.0,
    "kucoin": 10.0,
    "mexc": 1.0,
}  # of any other contract, about, in USDT
_SIZE_DECIMALS: Final = {"okx": 2, "gate": 0, "kucoin": 0, "mexc": 0}
_THOUSANDS: Final = frozenset(("binance", "bybit", "bingx"))  # sell cheap coins by the thousand
_THOUSAND: Final = 1_000
_TWICE: Final = "bybit"
_SATS: Final = 0.0044  # the price of a SATS in CAT, whose path it follows: no spot market here lists it


class Terms(Struct, frozen=True):
    """How a swap is funded: hours between settlements and from midnight UTC, bounds of the rate."""

    interval_h: int
    offset_h: int
    cap: float
    floor: float


def swap_listings(exchange: str, spot: Sequence[Listing]) -> tuple[Listing, ...]:
    """The swaps of an exchange on the coins of its spot listings; with CAT among them, 10000SATS too.

    Bybit then lists CAT by the thousand and by itself, which must not be mixed up.
    """
    coins = [*spot, *(_sats(exchange, listing) for listing in spot if listing.base.endswith("CAT"))]
    twice = [listing for listing in spot if (exchange, listing.base) == (_TWICE, "CAT")]
    swaps = [_swap(exchange, listing) for listing in coins]
    return (*swaps, *(_swap(exchange, listing, by_itself=True) for listing in twice))


def terms_of(exchange: str, base: str) -> Terms:
    """The funding terms of a coin on an exchange: mostly 8 h, of some less, on some otherwise.

    KuCoin settles ATOM at 7, 15 and 23 h, as it does TRUST.
    """
    coin = base.lstrip("01")
    if coin in ("BTC", "ETH"):
        return Terms(8, 0, 0.00375, -0.00375)
    hours = {0: 4, 1: 4, 2: 1, 3: 2}.get(crc32(coin.encode()) % 12, 8)
    if crc32(f"{exchange}/{coin}".encode()) % 6 == 0:
        hours = 4 if hours == 8 else 8
    if (exchange, coin) == ("kucoin", "ATOM"):
        return Terms(8, 7, 0.02, -0.02)
    return Terms(hours, 0, 0.02, -0.02)


def _swap(exchange: str, spot: Listing, *, by_itself: bool = False) -> Listing:
    """A cheap coin is listed by the thousand, or with a large contract; prices have two more decimals."""
    cheap = spot.price_decimals >= 8
    listing = structs.replace(spot, settle=spot.quote, of=spot.of or spot)
    if cheap and exchange in _THOUSANDS and spot.unit == 1 and not by_itself:
        return structs.replace(
            listing,
            base=f"{_THOUSAND}{spot.base}",
            price=spot.price * _THOUSAND,
            price_decimals=spot.price_decimals - 1,
            size_decimals=0,
            unit=_THOUSAND,
        )
    if cheap:
        listing = structs.replace(listing, price_decimals=spot.price_decimals + 2)
    if exchange not in CONTRACT_SIZED:
        return structs.replace(listing, size_decimals=min(spot.size_decimals, 3))
    return structs.replace(
        listing, contract=_contract(exchange, listing), size_decimals=_SIZE_DECIMALS[exchange]
    )


def _contract(exchange: str, listing: Listing) -> str:
    """Coins per contract: as known, else the power of ten that is worth about the exchange's usual."""
    exponent = round(log10(_WORTH[exchange] / listing.price))
    return _SIZES[exchange].get(listing.base) or f"{10.0**exponent:.{max(0, -exponent)}f}"


def _sats(exchange: str, cat: Listing) -> Listing:
    """SATS: by the ten thousand where coins are multiplied, by itself elsewhere."""
    count = 10_000 if exchange in _THOUSANDS else 1
    path = cat.of or cat
    return structs.replace(
        cat,
        base=f"{count}SATS" if count > 1 else "SATS",
        price=path.price * _SATS * count,
        price_decimals=7 if count > 1 else 9,
        size_decimals=0,
        of=path,
        unit=_SATS * count,
    )

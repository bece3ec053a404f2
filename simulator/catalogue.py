"""Symbols that the simulated exchanges list, with realistic prices, steps and volumes."""

import random
from collections.abc import Iterator, Mapping

from msgspec import Struct

from core.names.market_keys import SWAP, market_key

EXCHANGES = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
SWAPS = tuple(market_key(key, SWAP) for key in EXCHANGES)
MARKETS = (*EXCHANGES, *SWAPS)

# An exchange's share of a symbol's 24 h volume, so that volume filters have something to separate.
VOLUME_SHARE = {
    "binance": 1.0,
    "bybit": 0.45,
    "mexc": 0.3,
    "gate": 0.2,
    "kucoin": 0.12,
    "okx": 0.4,
    "bitget": 0.25,
    "bingx": 0.08,
}


class Listing(Struct, frozen=True):
    """A symbol as the exchanges list it: reference price, decimals of price and size, limits.

    `volume` is the 24 h volume in quote currency on the largest exchange. `unit` of another
    listing, `of`, are one of this: its price follows that one's. A perpetual swap has a coin it settles
    in, `settle`; sizes are in the market's own unit, of which one is `contract` coins.
    """

    base: str
    quote: str
    price: float
    price_decimals: int
    size_decimals: int
    volume: float
    min_notional: str = "5"
    of: "Listing | None" = None
    unit: float = 1
    settle: str = ""
    contract: str = "1"

    @property
    def symbol(self) -> str:
        """The unified name, `BTC/USDT`, of a swap `BTC/USDT:USDT`."""
        return f"{self.base}/{self.quote}:{self.settle}" if self.settle else f"{self.base}/{self.quote}"

    @property
    def tick(self) -> float:
        """The price step."""
        return 10.0**-self.price_decimals

    @property
    def tick_text(self) -> str:
        """The price step as decimal text."""
        return f"{self.tick:.{self.price_decimals}f}"

    @property
    def lot_text(self) -> str:
        """The size step as decimal text."""
        return f"{10.0**-self.size_decimals:.{self.size_decimals}f}"


_KNOWN = (
    Listing("BTC", "USDT", 103_250.0, 2, 5, 1_900e6),
    Listing("ETH", "USDT", 3_420.0, 2, 4, 1_100e6),
    Listing("SOL", "USDT", 158.0, 2, 3, 420e6),
    Listing("XRP", "USDT", 2.24, 4, 1, 310e6),
    Listing("DOGE", "USDT", 0.1725, 5, 0, 150e6),
    Listing("ADA", "USDT", 0.556, 4, 1, 80e6),
    Listing("AVAX", "USDT", 17.42, 3, 2, 62e6),
    Listing("LINK", "USDT", 15.31, 3, 2, 58e6),
    Listing("LTC", "USDT", 96.4, 2, 3, 55e6),
    Listing("DOT", "USDT", 2.871, 3, 2, 30e6),
    Listing("TRX", "USDT", 0.2934, 4, 1, 66e6),
    Listing("TON", "USDT", 2.012, 3, 2, 18e6),
    Listing("NEAR", "USDT", 2.553, 3, 1, 35e6),
    Listing("ATOM", "USDT", 2.931, 3, 2, 12e6),
    Listing("UNI", "USDT", 7.214, 3, 2, 26e6),
    Listing("ARB", "USDT", 0.2613, 4, 1, 24e6),
    Listing("OP", "USDT", 0.3914, 4, 1, 19e6),
    Listing("APT", "USDT", 3.052, 3, 2, 20e6),
    Listing("SUI", "USDT", 1.9125, 4, 1, 90e6),
    Listing("PEPE", "USDT", 0.00000521, 8, 0, 70e6),
)


def listings(count: int) -> tuple[Listing, ...]:
    """The first `count` symbols: well-known ones, then invented ones (always the same)."""
    invented = _invented()
    known = _KNOWN[:count]
    return known + tuple(next(invented) for _ in range(count - len(known)))


# What a desk must not fall for. CAT is sold by the thousand on one exchange; and of two coins that are
# called BEAM, KuCoin lists the other one.
_CAT = Listing("CAT", "USDT", 0.00000715, 8, 0, 9e6)
_BEAM = Listing("BEAM", "USDT", 0.006842, 6, 0, 6e6)
TRAPS: Mapping[str, tuple[Listing, ...]] = {
    **dict.fromkeys(EXCHANGES, (_CAT, _BEAM)),
    "binance": (Listing("1000CAT", "USDT", 0.00715, 5, 0, 9e6, of=_CAT, unit=1000), _BEAM),
    "kucoin": (_CAT, Listing("BEAM", "USDT", 0.0412, 5, 0, 2e6)),
}


def _invented() -> Iterator[Listing]:
    """Pronounceable bases nobody has listed, with prices from a tenth of a cent to hundreds."""
    rng = random.Random("invented symbols")  # noqa: S311 - market data, no secret  # nosec B311 # no secret
    taken = {listing.base for listing in _KNOWN}
    while True:
        base = "".join(rng.choice("BDFGKLMNPRSTVZ") + rng.choice("AEIOU") for _ in range(3))
        price = 10 ** rng.uniform(-3, 2.5)
        if base not in taken:
            taken.add(base)
            yield _plausible(base, price, 10 ** rng.uniform(5.5, 7.3))


def _plausible(base: str, price: float, volume: float) -> Listing:
    """Steps as exchanges choose them: a tick of about one basis point, a lot of about a dollar."""
    price_decimals = max(0, min(8, 4 - _magnitude(price)))
    size_decimals = max(0, min(6, _magnitude(price)))
    return Listing(base, "USDT", round(price, price_decimals), price_decimals, size_decimals, volume)


def _magnitude(price: float) -> int:
    """The exponent of the price in scientific notation: 158 -> 2."""
    return int(f"{price:e}".partition("e")[2])

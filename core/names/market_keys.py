"""Keys of an exchange's markets: `binance` is its spot market, `binance:swap` its perpetual swaps.

Whatever is watched per exchange (sockets, fees, gates, a leg of a pair) is watched per market of an exchange,
and goes by this key. Where rows name the full symbol (`BTC/USDT:USDT`) beside the exchange, the market is in
the symbol, and the exchange stands there alone: `key_of` and `exchange_of` lead from one to the other.
A swap is compared under the name of its coin (`BTC/USDT`), as ccxt's unified symbol begins.
"""

from typing import Final, Literal

MarketName = Literal["spot", "swap"]

SPOT: Final = "spot"
SWAP: Final = "swap"
SWAP_SUFFIX: Final = ":swap"


def market_key(exchange: str, market: str) -> str:
    """The key of one market of an exchange."""
    return exchange + SWAP_SUFFIX if market == SWAP else exchange


def exchange_of(key: str) -> str:
    """The exchange of a market's key."""
    return key.removesuffix(SWAP_SUFFIX)


def market_of(key: str) -> MarketName:
    """The market of a key."""
    return SWAP if key.endswith(SWAP_SUFFIX) else SPOT


def market_of_symbol(symbol: str) -> MarketName:
    """The market in which a symbol is traded: ccxt writes a swap's with its settle coin, `BTC/USDT:USDT`."""
    return SWAP if ":" in symbol else SPOT


def key_of(exchange: str, symbol: str) -> str:
    """The key of the market in which an exchange trades a symbol."""
    return market_key(exchange, market_of_symbol(symbol))


def coin_symbol(symbol: str) -> str:
    """The symbol that is compared: of a swap that without its settle coin."""
    return symbol.partition(":")[0]

"""Symbols guessed from native ids, for people looking at frames. Collectors never guess."""

from collections.abc import Callable, Iterator, Mapping

from collectors.exchanges.wire import ContractSize

SEPARATORS = "-_/"
# As listed anywhere with ids that have no separator; longest first, or BTCTUSD would be BTCT/USD.
QUOTE_CURRENCIES = (
    *("FDUSD", "PYUSD", "RLUSD"),
    *("USDT", "USDC", "TUSD", "BUSD", "USDP", "USDE", "USDS", "USD1", "USDQ", "USDD", "XUSD"),
    *("EURI", "EURQ", "EURC", "AEUR", "IDRT", "BIDR", "BKRW", "BVND", "DOGE"),
    *("USD", "EUR", "GBP", "TRY", "BRL", "BRZ", "JPY", "AUD", "RUB", "UAH", "NGN", "ZAR", "PLN", "RON"),
    *("ARS", "MXN", "COP", "CZK", "IDR", "BTC", "ETH", "BNB", "DAI", "PAX", "UST", "VAI", "XRP", "TRX"),
    *("DOT", "SOL", "MNT", "BGB", "MX"),
)


SWAP_ENDINGS = ("-SWAP", "_PERP")
SETTLED_IN_COIN = "USD"  # there is no such coin: what is quoted in it is settled in its base


def guessed_symbol(native_id: str) -> str | None:
    """`BTC-USDT`, `BTC_USDT` and `BTCUSDT` as `BTC/USDT`; None where it cannot be guessed."""
    for separator in SEPARATORS:
        if separator in native_id:
            parts = native_id.split(separator)
            return "/".join(parts) if len(parts) == 2 and all(parts) else None
    for quote in QUOTE_CURRENCIES:
        base = native_id.removesuffix(quote)
        if base and base != native_id:
            return f"{base}/{quote}"
    return None


def is_in_coin(symbol: str) -> bool:
    """Whether a symbol is of a swap that is margined in its own coin, as `BTC/USD:BTC`."""
    pair, _, settle = symbol.partition(":")
    return settle != "" and settle == pair.partition("/")[0]


def guessed_swap(native_id: str) -> str | None:
    """The same of a swap: `BTCUSDT`, `BTC-USDT-SWAP` and `XBTUSDTM` are `BTC/USDT:USDT`, `BTCPERP` USDC's."""
    name = native_id
    for ending in SWAP_ENDINGS:
        name = name.removesuffix(ending)
    if name.endswith(("USDTM", "USDCM", "USDM")):  # KuCoin's, which says XBT
        name = name[:-1]
        name = "BTC" + name[3:] if name.startswith("XBTUSD") else name
    elif name.endswith("PERP"):
        name = name.removesuffix("PERP") + "USDC"
    base, _, quote = (guessed_symbol(name) or "").partition("/")
    if quote not in QUOTE_CURRENCIES:
        return None
    return f"{base}/{quote}:{base if quote == SETTLED_IN_COIN else quote}"


class GuessedSymbols(Mapping[str, str]):
    """Known symbols, and guesses for the rest."""

    def __init__(self, known: Mapping[str, str], guess: Callable[[str], str | None] = guessed_symbol) -> None:
        self._known = known
        self._guess = guess

    def __contains__(self, native_id: object) -> bool:
        """Like a dict's: of a frame that names no instrument None is asked for."""
        return isinstance(native_id, str) and super().__contains__(native_id)

    def __getitem__(self, native_id: str) -> str:
        symbol = self._known.get(native_id) or self._guess(native_id)
        if symbol is None:
            raise KeyError(native_id)
        return symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class OneSize(Mapping[str, ContractSize]):
    """The same contract size for every instrument."""

    def __init__(self, size: ContractSize) -> None:
        self._size = size

    def __getitem__(self, native_id: str) -> ContractSize:
        return self._size

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

"""Symbols guessed from native ids, for people looking at frames. Collectors never guess."""

from collections.abc import Iterator, Mapping

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


class GuessedSymbols(Mapping[str, str]):
    """Known symbols, and guesses for the rest."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known

    def __getitem__(self, native_id: str) -> str:
        symbol = self._known.get(native_id) or guessed_symbol(native_id)
        if symbol is None:
            raise KeyError(native_id)
        return symbol

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

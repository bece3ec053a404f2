"""The currency in which least sizes and volumes are meant, whatever a symbol is priced in.

A thousand of one currency is a fortune and a thousand of another a coffee: so thresholds are in dollars,
as USDT, and what is priced otherwise is converted by what collectors know of it (`engine.rates`). Coins
that are made to be worth a dollar count as one: for a threshold that is near enough.

Plain Python, no Django.
"""

from typing import Final

REFERENCE: Final = "USDT"
DOLLARS: Final = frozenset(
    {"USDT", "USDC", "USD", "FDUSD", "TUSD", "DAI", "USD1", "USDE", "PYUSD", "USDP", "BUSD", "USDS", "USDD"}
)


def is_dollar(currency: str) -> bool:
    """Whether amounts in this currency are amounts in the reference."""
    return currency in DOLLARS

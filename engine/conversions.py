"""Conversions of one currency into another: by its own rate, or a chain of exactly two over a bridge.

Plain Python, no Django.
"""

from collections.abc import Iterator
from typing import Final

Conversion = tuple[str, str]  # from a currency, to a currency

BRIDGES: Final = ("USDT", "USDC", "FDUSD", "USD")
"""What nearly every currency is traded for somewhere, and each of them for the others; the first that will do
is taken. A coin whose own price is compared is none: its gaps would be in the rate."""


def symbols_of(needed: Conversion) -> tuple[str, str]:
    """The symbols that say a rate: the straight one, and the one the other way round."""
    one, other = needed
    return f"{one}/{other}", f"{other}/{one}"


def ways(needed: Conversion) -> Iterator[tuple[Conversion, ...]]:
    """Ways to convert: its own rate, then every chain of two."""
    one, other = needed
    yield (needed,)
    for bridge in BRIDGES:
        if bridge not in needed:
            yield (one, bridge), (bridge, other)


def saying(needed: Conversion) -> set[str]:
    """Every symbol that may be part of a way."""
    return {symbol for way in ways(needed) for step in way for symbol in symbols_of(step)}

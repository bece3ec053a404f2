"""Errors of the loader; each message names the field and the fix."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

_NEAR: Final = 5


class UnknownSymbolError(ValueError):
    """A symbol that the store has never had; the message names those that are spelled alike."""

    def __init__(self, symbol: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        near = get_close_matches(symbol.upper(), names, _NEAR, cutoff=0.5)
        if near:
            hint = f"near: {', '.join(near)}"
        elif names:
            hint = f"it has {len(names)} symbols, none like it"
        else:
            hint = "it has none at all: check dsn, and that collectors write there (docs/orderbook.md)"
        super().__init__(f"symbols: {symbol!r} is not in the store; {hint}")


class NoDataError(LookupError):
    """A time of which the store has nothing for the symbols; the message says what to do."""

    def __init__(self, symbols: Sequence[str], asked: str, newest: str | None) -> None:
        there = f"their newest is of {newest}" if newest else "and none of another time"
        super().__init__(
            f"symbols: no second bars of {', '.join(symbols)} for {asked}, {there}. Check that collectors "
            "write to the store and that its second bars are renewed (docs/orderbook.md), or load "
            "another time"
        )


class BarsBehindError(RuntimeError):
    """So many minutes of second bars wait to be renewed that reading their rows would take too long."""

    def __init__(self, table: str, minutes: int) -> None:
        super().__init__(
            f"{table}: the second bars of {minutes} minutes wait to be renewed. Let the worker and beat run "
            "until they are (docs/orderbook.md), then load again"
        )


class StoreUnreadableError(RuntimeError):
    """A store that refuses to be read; the message says what to do."""

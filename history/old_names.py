"""The predecessor's names of exchanges and symbols, and ours. What is not known is not guessed."""

import re
from collections import defaultdict
from typing import Final

from history.old_files import letters
from markets.models import Exchange, Instrument, Kind, Symbol

_ALIASES: Final = {"GATEIO": "gate", "OKEX": "okx", "MEXCGLOBAL": "mexc"}
"""Names the exchanges have or had besides those in the database."""

_TWO_PARTS: Final = re.compile(r"([A-Z0-9]+)[-_/]([A-Z0-9]+)")


class Names:
    """Reads the catalogue once."""

    def __init__(self) -> None:
        self._exchanges = dict(_ALIASES)
        for key, name in Exchange.objects.values_list("key", "name"):
            self._exchanges |= {letters(key): key, letters(name): key}
        self._keys = frozenset(Exchange.objects.values_list("key", flat=True))
        self._native: dict[tuple[str, str], str] = {}
        self._spelled: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        rows = Instrument.objects.filter(kind=Kind.SPOT).order_by("active")  # of two, the active one is last
        for key, native_id, symbol in rows.values_list("exchange__key", "native_id", "symbol__name"):
            self._native[key, native_id.upper()] = symbol
            self._spelled[key, letters(native_id)].add(symbol)
        for symbol in Symbol.objects.filter(kind=Kind.SPOT).values_list("name", flat=True):
            self._spelled["", letters(symbol)].add(symbol)

    def exchange(self, name: str) -> str | None:
        """Our key of an exchange: by key or name in any spelling; None when there is no such exchange."""
        key = self._exchanges.get(letters(name))
        return key if key in self._keys else None

    def symbol(self, exchange: str, name: str) -> str | None:
        """The unified symbol: the exchange's own id for it, else its two coins, else its letters.

        Letters are looked up among what the exchange lists, then among all symbols; None when they
        are nobody's, or of more than one symbol.
        """
        name = name.strip().upper()
        if symbol := self._native.get((exchange, name)):
            return symbol
        if parts := _TWO_PARTS.fullmatch(name):
            return "/".join(parts.groups())
        found = self._spelled.get((exchange, letters(name))) or self._spelled.get(("", letters(name)), set())
        return next(iter(found)) if len(found) == 1 else None

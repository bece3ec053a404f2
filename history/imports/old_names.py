"""The predecessor's names of exchanges and symbols, and ours. What is not known is not guessed."""

import re
from collections import defaultdict
from typing import Final

from core.names.symbols import AmbiguousName, Spellings, folded, same_letters
from history.imports.old_files import letters
from markets.models import Exchange, Instrument, Kind, Symbol

_ALIASES: Final = {"GATEIO": "gate", "OKEX": "okx", "MEXCGLOBAL": "mexc"}
"""Names the exchanges have or had besides those in the database."""

_TWO_PARTS: Final = re.compile(r"([^-_/]+)[-_/]([^-_/]+)")


class Names:
    """Reads the catalogue once."""

    def __init__(self) -> None:
        self._exchanges = dict(_ALIASES)
        for key, name in Exchange.objects.values_list("key", "name"):
            self._exchanges |= {letters(key): key, letters(name): key}
        self._keys = frozenset(Exchange.objects.values_list("key", flat=True))
        self._native: dict[tuple[str, str], str] = {}
        self._in_any_case: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self._spelled: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        rows = Instrument.objects.filter(kind=Kind.SPOT).order_by("active")  # of two, the active one is last
        for key, native_id, symbol in rows.values_list("exchange__key", "native_id", "symbol__name"):
            self._native[key, same_letters(native_id)] = symbol
            self._in_any_case[key, folded(native_id)].add(symbol)
            self._spelled[key, letters(native_id)].add(symbol)
        symbols = list(Symbol.objects.filter(kind=Kind.SPOT).values_list("name", flat=True))
        self._called = Spellings(symbols)
        for symbol in symbols:
            self._spelled["", letters(symbol)].add(symbol)

    def exchange(self, name: str) -> str | None:
        """Our key of an exchange: by key or name in any spelling; None when there is no such exchange."""
        key = self._exchanges.get(letters(name))
        return key if key in self._keys else None

    def symbol(self, exchange: str, name: str) -> str | None:
        """The unified symbol: the exchange's own id for it, else its two coins, else its letters.

        What is written exactly so goes first. Letters are looked up among what the exchange lists, then
        among all symbols; None when they are nobody's. Raises AmbiguousName when they are of several.
        """
        name = name.strip()
        if symbol := self._native.get((exchange, same_letters(name))):
            return symbol
        if found := self._in_any_case.get((exchange, folded(name))):
            return _only(name, found)
        if parts := _TWO_PARTS.fullmatch(name):
            pair = "/".join(parts.groups())
            return self._called.resolve(pair) or pair.upper()
        found = self._spelled.get((exchange, letters(name))) or self._spelled.get(("", letters(name)))
        return _only(name, found or set())


def _only(name: str, found: set[str]) -> str | None:
    if len(found) > 1:
        raise AmbiguousName(name, sorted(found))
    return next(iter(found), None)

"""Reading of the store's settings by the processes that write: what is to be stored, and how."""

from typing import Final

from django.db import connections
from msgspec import Struct

from core.names.market_keys import coin_symbol
from core.names.symbols import matcher
from markets.events import BookUpdate, Quote, Trade
from orderbook.ingest.events import Top5
from orderbook.models import StoreSettings


class Wanted(Struct, frozen=True):
    """One reading of the settings."""

    enabled: bool
    symbols: str
    kinds: frozenset[type]
    batch_rows: int
    batch_s: float
    spill_bytes: int

    def names(self, symbol: str) -> bool:
        """Whether a symbol is to be stored; swaps are meant by their coins' names or their own."""
        names = matcher(self.symbols)
        return names.match(coin_symbol(symbol)) or names.match(symbol)


def read() -> Wanted:
    """Read the settings, in a thread; raises DatabaseError."""
    try:
        return _of(StoreSettings.objects.first() or StoreSettings())
    finally:
        connections.close_all()  # the thread ends, and its connection with it


def _of(row: StoreSettings) -> Wanted:
    kinds = {Quote: row.quotes, Trade: row.trades, BookUpdate: row.depth, Top5: row.top5}
    return Wanted(
        enabled=row.enabled,
        symbols=row.symbols,
        kinds=frozenset(kind for kind, wanted in kinds.items() if wanted),
        batch_rows=row.batch_rows,
        batch_s=row.batch_s,
        spill_bytes=row.spill_mb * 1_000_000,
    )


DEFAULT: Final = _of(StoreSettings())

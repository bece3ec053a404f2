"""The interface of a store that the loader reads, and the columns of its answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import polars as pl

Key = tuple[str, str]
"""Symbol and exchange: sorted keys have the exchanges of one symbol beside each other."""

Schema = dict[str, pl.DataType]

SECOND: Final = pl.Datetime("us", "UTC")
PLACE: Final[Schema] = {"key": pl.Int32(), "second": SECOND}
"""What every row begins with; `key` is an index into the keys that were asked for."""

QUOTE_BARS: Final[Schema] = {
    **dict.fromkeys(
        ("bid", "bid_size", "ask", "ask_size", "mid_open", "mid_high", "mid_low", "mid_close"), pl.Float64()
    ),
    "quotes": pl.Int32(),
}
TRADE_BARS: Final[Schema] = {
    **dict.fromkeys(
        ("open", "high", "low", "close", "volume", "quote_volume", "buy_volume", "sell_volume"), pl.Float64()
    ),
    "trades": pl.Int32(),
}
BARS: Final[Schema] = {**QUOTE_BARS, **TRADE_BARS}
DEPTH: Final[Schema] = {"bid_depth": pl.Float64(), "ask_depth": pl.Float64()}


class MLAdapter(Protocol):
    """A store of second bars; blocking, and used by one thread at a time.

    Ranges are [start, end) of whole seconds, UTC. Rows come sorted by key and second; a second without
    quotes and trades has none. Raises StoreUnreadableError, BarsBehindError.
    """

    def keys(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[Key]:
        """Return the keys of these symbols on every exchange, sorted. Raises UnknownSymbolError."""

    def bars(
        self, keys: Sequence[Key], start: datetime, end: datetime, columns: Sequence[str] = tuple(BARS)
    ) -> pl.DataFrame:
        """Return second bars: PLACE and the columns of BARS asked for; null where a kind had nothing."""

    def depth(self, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        """Return PLACE and DEPTH: sizes of the five best levels, of the last row of each second."""

    def newest(self, keys: Sequence[Key]) -> datetime | None:
        """Return the newest second that has a bar; None: there is none."""

    def cancel(self) -> None:
        """Abort the call that runs, from another thread."""

    def close(self) -> None:
        """Let go of the connection."""


def joined(quotes: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Quote bars and trade bars of the same seconds beside each other, sorted."""
    return quotes.join(trades, on=list(PLACE), how="full", coalesce=True).sort(*PLACE)

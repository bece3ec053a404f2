"""Second bars computed from the quotes and trades of the lake: what PostgreSQL would hold of them.

Quotes without sizes (imported ones) make no bars, and there are no books, so depth is unknown.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from history.lake.tables import Lake
from history.read.reader import LakeReader, Where
from orderbook.ml.adapters.base import BARS, DEPTH, PLACE, QUOTE_BARS, SECOND, TRADE_BARS, Key, joined
from orderbook.ml.bars import QUOTED, TRADED, quote_bars, trade_bars, with_digests
from orderbook.ml.errors import UnknownSymbolError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_COLUMNS: Final = {
    "quotes": [*QUOTED, "exchange_ts_us"],
    "trades": [*TRADED, "trade_id", "exchange_ts_us"],
}


class LakeMLAdapter:
    """An `orderbook.ml.adapters.base.MLAdapter`."""

    def __init__(self, lake: Lake) -> None:
        self._reader = LakeReader(lake)

    def keys(self, symbols: Sequence[str], start: datetime, end: datetime) -> list[Key]:
        """See MLAdapter."""
        where: Where = {"symbol": list(symbols), "start_us": _us(start), "end_us": _us(end)}
        found = self._reader.scan("quotes", columns=["symbol", "exchange"], **where).unique().collect()
        keys = sorted(found.iter_rows())
        if missing := sorted(set(symbols) - {symbol for symbol, _exchange in keys}):
            known = self._reader.symbols("quotes")
            for symbol in missing:
                if symbol not in known:
                    raise UnknownSymbolError(symbol, known)
        return keys

    def bars(
        self, keys: Sequence[Key], start: datetime, end: datetime, columns: Sequence[str] = tuple(BARS)
    ) -> pl.DataFrame:
        """See MLAdapter."""
        schema = PLACE | BARS
        hours = [self._hour(keys, *hour) for hour in _hours(start, end)] if keys else []
        return pl.concat([pl.DataFrame(schema=schema), *hours]).sort(*PLACE).select(*PLACE, *columns)

    def depth(self, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        """See MLAdapter."""
        return pl.DataFrame(schema=PLACE | DEPTH)

    def newest(self, keys: Sequence[Key]) -> datetime | None:
        """See MLAdapter."""
        symbols = sorted({symbol for symbol, _exchange in keys})
        found = self._reader.range("quotes", symbol=symbols)
        return None if found is None else (_EPOCH + timedelta(microseconds=found[1])).replace(microsecond=0)

    def cancel(self) -> None:
        """See MLAdapter: a read of the lake ends by itself, an hour at a time."""

    def close(self) -> None:
        """See MLAdapter: nothing stays open."""

    def _hour(self, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        """Bars of at most an hour: no more rows are in memory at once."""
        quotes = quote_bars(self._rows("quotes", keys, start, end))
        trades = trade_bars(self._rows("trades", keys, start, end))
        return joined(quotes, trades).select(*PLACE, *QUOTE_BARS, *TRADE_BARS)

    def _rows(self, table: str, keys: Sequence[Key], start: datetime, end: datetime) -> pl.DataFrame:
        wanted = ["exchange", "symbol", "received_ts_us", *_COLUMNS[table]]
        symbols = sorted({symbol for symbol, _exchange in keys})
        where: Where = {"symbol": symbols, "start_us": _us(start), "end_us": _us(end)}
        scan = self._reader.scan(table, columns=wanted, **where)
        sizes = [name for name in ("size", "bid_size", "ask_size") if name in wanted]
        places = pl.LazyFrame(
            [(symbol, exchange, at) for at, (symbol, exchange) in enumerate(keys)],
            schema={"symbol": pl.String, "exchange": pl.String, "key": pl.Int32},
            orient="row",
        )
        received = pl.col("received_ts_us").cast(SECOND).alias("received_at")
        rows = scan.drop_nulls(sizes).join(places, on=["symbol", "exchange"]).with_columns(received)
        return with_digests(rows.select("key", "received_at", *_COLUMNS[table]).collect(), table)


def _hours(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    at = start
    while at < end:
        until = min(at.replace(minute=0, second=0, microsecond=0) + _HOUR, end)
        yield at, until
        at = until


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)

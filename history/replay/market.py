"""The lake as a recording that the simulated exchanges can play."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from history.read.reader import LakeReader, Where
from history.read.recorded import frames
from simulator.catalogue import EXCHANGES, Listing
from simulator.replay import Row, TradeRow, listing_of, plain

_SAMPLE_ROWS: Final = 500
_QUOTE: Final = (
    "received_ts_us",
    "exchange",
    "symbol",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "exchange_ts_us",
)
_TRADE: Final = ("received_ts_us", "exchange", "symbol", "price", "size", "side", "exchange_ts_us")
_SIZED: Final = pl.col("bid_size").is_not_null() & pl.col("ask_size").is_not_null()


class LakeMarket:
    """A `simulator.replay.Played` over quotes and trades of the range [start, end), read as it plays.

    What no wire can show is left out and counted in `left_out`: exchanges the simulator does not have,
    quotes without sizes, trades without a side. Rows are spaced as they were received, and carry the
    exchange's own time where it sent one.
    """

    def __init__(
        self, reader: LakeReader, start_us: int, end_us: int, symbols: Sequence[str] | None = None
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._where: Where = {"start_us": start_us, "end_us": end_us, "symbol": symbols}
        self._reader = reader
        samples = self._samples()
        self._first = {key: rows[0] for key, rows in samples.items()}
        self._listings: dict[str, tuple[Listing, ...]] = {key: () for key in EXCHANGES}
        for (exchange, _), rows in sorted(samples.items()):
            self._listings[exchange] += (listing_of(rows),)

    @property
    def listings(self) -> Mapping[str, Sequence[Listing]]:
        """Listings of each exchange: the symbols it has quotes of."""
        return self._listings

    def first(self) -> Mapping[tuple[str, str], Row]:
        """Each instrument's first quote."""
        return self._first

    def rows(self) -> Iterator[Row | TradeRow]:
        """Quotes and trades in the order they were received."""
        return heapq.merge(self._quote_rows(), self._trade_rows(), key=_received)

    def _samples(self) -> dict[tuple[str, str], list[Row]]:
        """Some early quotes of each instrument, hour by hour until the end: new ones may come any time."""
        samples: dict[tuple[str, str], list[Row]] = {}
        quotes = self._reader.snapshot("quotes")
        for start_us, end_us in quotes.slices(**self._where):
            where = self._where | {"start_us": start_us, "end_us": end_us}
            found = quotes.scan(_QUOTE, **where).filter(_SIZED).sort("received_ts_us")
            for group in (
                found.group_by("exchange", "symbol")
                .head(_SAMPLE_ROWS)
                .collect()
                .partition_by("exchange", "symbol")
            ):
                rows = [_row(values) for values in group.select(_QUOTE).iter_rows()]
                if rows[0].exchange in EXCHANGES:
                    samples.setdefault((rows[0].exchange, rows[0].symbol), rows)
        return samples

    def _quote_rows(self) -> Iterator[Row]:
        for frame in self._known("quotes", _SIZED):
            yield from map(_row, frame.select(_QUOTE).iter_rows())

    def _trade_rows(self) -> Iterator[TradeRow]:
        for frame in self._known("trades", pl.col("side").is_not_null()):
            for ts_us, exchange, symbol, price, size, side, exchange_ts_us in frame.select(
                _TRADE
            ).iter_rows():
                if (exchange, symbol) in self._first:
                    yield TradeRow(ts_us, exchange, symbol, _text(price), _text(size), side, exchange_ts_us)

    def _known(self, table: str, complete: pl.Expr) -> Iterator[pl.DataFrame]:
        for frame in frames(self._reader, table, **self._where):
            shown = frame.filter(complete & pl.col("exchange").is_in(EXCHANGES))
            self.left_out[table] += len(frame) - len(shown)
            yield shown


def _row(values: tuple[Any, ...]) -> Row:
    ts_us, exchange, symbol, bid, bid_size, ask, ask_size, exchange_ts_us = values
    return Row(
        ts_us, exchange, symbol, _text(bid), _text(bid_size), _text(ask), _text(ask_size), exchange_ts_us
    )


def _text(number: float) -> str:
    """The shortest text that is this number, as an exchange prints it: no exponent, no `.0`."""
    return plain(repr(number)).removesuffix(".0")


def _received(row: Row | TradeRow) -> int:
    return row.ts_us

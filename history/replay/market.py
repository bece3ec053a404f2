"""The lake as a recording that the simulated exchanges can play."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl
from msgspec import structs

from history.read.reader import LakeReader, Where
from history.read.recorded import frames
from simulator.catalogue import MARKETS, Listing
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
    exchange's own time where it sent one. The lake has sizes in coins: `contract_sizes` (coins, by market and
    symbol) make contracts of them again, on a swap that is not in it a contract is one coin. Funding and mark
    prices are the simulator's own.
    """

    def __init__(
        self,
        reader: LakeReader,
        start_us: int,
        end_us: int,
        symbols: Sequence[str] | None = None,
        contract_sizes: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        self._contract_sizes = contract_sizes or {}
        self.left_out: Counter[str] = Counter()
        self._where: Where = {"start_us": start_us, "end_us": end_us, "symbol": symbols}
        self._reader = reader
        samples = self._samples()
        self._first = {key: rows[0] for key, rows in samples.items()}
        self._listings: dict[str, tuple[Listing, ...]] = {key: () for key in MARKETS}
        for (key, symbol), rows in sorted(samples.items()):
            contract = _text(self._contract_sizes.get((key, symbol), 1.0))
            self._listings[key] += (structs.replace(listing_of(rows), contract=contract),)

    @property
    def listings(self) -> Mapping[str, Sequence[Listing]]:
        """Listings of each market: the symbols it has quotes of."""
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
                rows = [self._row(values) for values in group.select(_QUOTE).iter_rows()]
                if rows[0].exchange in MARKETS:
                    samples.setdefault((rows[0].exchange, rows[0].symbol), rows)
        return samples

    def _quote_rows(self) -> Iterator[Row]:
        for frame in self._known("quotes", _SIZED):
            yield from map(self._row, frame.select(_QUOTE).iter_rows())

    def _trade_rows(self) -> Iterator[TradeRow]:
        for frame in self._known("trades", pl.col("side").is_not_null()):
            for ts_us, exchange, symbol, price, size, side, exchange_ts_us in frame.select(
                _TRADE
            ).iter_rows():
                if (exchange, symbol) in self._first:
                    own = self._own_size(exchange, symbol, size)
                    yield TradeRow(ts_us, exchange, symbol, _text(price), own, side, exchange_ts_us)

    def _known(self, table: str, complete: pl.Expr) -> Iterator[pl.DataFrame]:
        for frame in frames(self._reader, table, **self._where):
            shown = frame.filter(complete & pl.col("exchange").is_in(MARKETS))
            self.left_out[table] += len(frame) - len(shown)
            yield shown

    def _row(self, values: tuple[Any, ...]) -> Row:
        ts_us, key, symbol, bid, bid_size, ask, ask_size, exchange_ts_us = values
        sizes = [self._own_size(key, symbol, size) for size in (bid_size, ask_size)]
        return Row(ts_us, key, symbol, _text(bid), sizes[0], _text(ask), sizes[1], exchange_ts_us)

    def _own_size(self, key: str, symbol: str, coins: float) -> str:
        """A size as the market writes it: in contracts where it counts in those."""
        contract = self._contract_sizes.get((key, symbol), 1.0)
        return _text(coins) if contract == 1.0 else _text(float(f"{coins / contract:.12g}"))


def _text(number: float) -> str:
    """The shortest text that is this number, as an exchange prints it: no exponent, no `.0`."""
    return plain(repr(number)).removesuffix(".0")


def _received(row: Row | TradeRow) -> int:
    return row.ts_us

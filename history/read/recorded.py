"""Recorded events, in the order in which they were received."""

import heapq
from collections import Counter
from collections.abc import Iterator, Set
from typing import Final, Unpack

import polars as pl

from history.read.reader import LakeReader, Where
from markets.events import Funding, MarkPrice, Quote, StreamState, Terms

Received = Quote | StreamState

HOUR_US: Final = 3_600_000_000
"""For how long a row of funding or of a mark price stands at most (history.write.swaps)."""

_QUOTE: Final = Quote.__struct_fields__
_MONO: Final = pl.col("received_mono_ns").fill_null(pl.col("received_ts_us") * 1_000)
_LATE: Final = pl.col("late_us").fill_null(0)
_FUNDING: Final = Funding.__struct_fields__
_MARK: Final = MarkPrice.__struct_fields__
_STATE: Final = ("exchange", "symbol", "state", "reason", "received_ts_us", "received_mono_ns")


class Recorded:
    """The quotes and stream states of some symbols between two times.

    States come one symbol at a time; a state of a collector or of a whole exchange has "" for a name.
    Quotes without a monotonic stamp (imported ones) get one made of the wall clock; states without one
    get 0, which the engine takes for the time of the last quote. Sizes that are not known are NaN, or
    worth `assume_size` in quote currency.
    """

    def __init__(self, reader: LakeReader, symbols: Set[str], assume_size: float | None = None) -> None:
        self.unsized = 0
        """Quotes of the symbols that lack a size."""
        assumed = float("nan") if assume_size is None else assume_size
        self._sizes = [pl.col(f"{side}_size").fill_null(assumed / pl.col(side)) for side in ("bid", "ask")]
        self.skipped: Counter[str] = Counter()
        """Quotes of other symbols, by symbol."""
        self._symbols = symbols
        self._reader = reader

    def range(self) -> tuple[int, int] | None:
        """Times of the first quote and of the last quote or state, µs; None where there is no quote."""
        quotes, states = self._reader.range("quotes"), self._reader.range("stream_states")
        return quotes and (quotes[0], max(quotes[1], states[1] if states else 0))

    def events(self, start_us: int, end_us: int) -> Iterator[Received | Terms]:
        """Yield events in order of receipt, in constant memory; at one instant states before quotes.

        What exchanges say of swaps comes first from before the start, as far back as it may still hold.
        """
        since_us = start_us - start_us % HOUR_US
        return heapq.merge(
            self._states_between(start_us, end_us),
            self._terms_between("funding", Funding, _FUNDING, since_us, end_us),
            self._terms_between("marks", MarkPrice, _MARK, since_us, end_us),
            self._quotes_between(start_us, end_us),
            key=_stamp,
        )

    def _terms_between(
        self, table: str, kind: type[Terms], fields: tuple[str, ...], start_us: int, end_us: int
    ) -> Iterator[Terms]:
        swaps = [symbol for symbol in self._symbols if ":" in symbol]
        if not swaps:
            return
        for frame in frames(self._reader, table, start_us=start_us, end_us=end_us, symbol=swaps):
            for row in frame.with_columns(_MONO).select(fields).iter_rows():
                yield kind(*row)

    def _quotes_between(self, start_us: int, end_us: int) -> Iterator[Quote]:
        wanted = pl.col("symbol").is_in(list(self._symbols))
        for frame in frames(self._reader, "quotes", start_us=start_us, end_us=end_us):
            self.skipped.update(dict(frame.filter(~wanted)["symbol"].value_counts().iter_rows()))
            ours = frame.filter(wanted)
            self.unsized += len(ours.filter(pl.any_horizontal(pl.col("bid_size", "ask_size").is_null())))
            for row in ours.with_columns(*self._sizes, _MONO, _LATE).select(_QUOTE).iter_rows():
                yield Quote(*row)

    def _states_between(self, start_us: int, end_us: int) -> Iterator[StreamState]:
        mono = pl.col("received_mono_ns").fill_null(0)
        for frame in frames(self._reader, "stream_states", start_us=start_us, end_us=end_us):
            for exchange, symbol, *rest in frame.with_columns(mono).select(_STATE).iter_rows():
                if not symbol or symbol in self._symbols:
                    yield StreamState(exchange, (symbol,), *rest)


def frames(reader: LakeReader, table: str, **where: Unpack[Where]) -> Iterator[pl.DataFrame]:
    """A table's rows in order of time, each hour at the version the table has when it is its turn.

    At the speed of the clock an hour takes an hour, and files that a compaction replaced are deleted
    two hours later.
    """
    for start_us, end_us in reader.snapshot(table).slices(**where):
        yield from reader.snapshot(table).frames(**(where | {"start_us": start_us, "end_us": end_us}))


def _stamp(event: Received | Terms) -> tuple[int, int]:
    return event.received_ts_us, event.received_mono_ns

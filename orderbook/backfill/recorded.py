"""Hours of the lake's quotes and trades as the events they were made of."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from msgspec import Struct

from history.read.reader import LakeReader
from history.read.recorded import frames
from markets.events import Quote, Trade
from orderbook.store.tables import BOOK_TICKER, TRADES

HOUR_US: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Source(Struct, frozen=True):
    """A table of the lake that becomes a raw table of the store."""

    lake: str
    event: type[Quote] | type[Trade]
    columns: tuple[str, ...]
    sized: tuple[str, ...] = ()  # null where the predecessor did not record it: no row of the store


SOURCES: Final = {
    BOOK_TICKER.name: Source(
        "quotes", Quote,
        ("exchange", "symbol", "bid", "bid_size", "ask", "ask_size", "exchange_ts_us", "received_ts_us"),
        ("bid_size", "ask_size"),
    ),
    TRADES.name: Source(
        "trades", Trade,
        ("exchange", "symbol", "price", "size", "side", "trade_id", "exchange_ts_us", "received_ts_us"),
    ),
}  # fmt: skip
"""By raw table. Columns are those of the lake and at the same time the first fields of the event."""


class Hour(Struct, frozen=True):
    """Part of an hour of a table: where it begins and ends in µs, and the rows of the lake's whole hour."""

    table: str
    start_us: int
    end_us: int
    lake_rows: int

    @property
    def begins(self) -> datetime:
        """Begin of the whole hour."""
        return time_of(self.start_us - self.start_us % HOUR_US)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the hour is left out."""
        return self.end_us - self.start_us == HOUR_US


def time_of(ts_us: int) -> datetime:
    """A time in µs as PostgreSQL has it."""
    return _EPOCH + timedelta(microseconds=ts_us)


def hours(reader: LakeReader, start_us: int, end_us: int) -> list[Hour]:
    """Hours of both tables that the lake has rows of, oldest first."""
    found = []
    for table, source in SOURCES.items():
        files = reader.snapshot(source.lake).files
        by_hour = files.group_by("date", "hour").agg(pl.col("rows").sum())
        for date, hour, rows in by_hour.iter_rows():
            at = datetime.fromisoformat(date).replace(hour=hour, tzinfo=UTC)
            first_us = int(at.timestamp()) * 1_000_000
            begin_us, finish_us = max(first_us, start_us), min(first_us + HOUR_US, end_us)
            if begin_us < finish_us:
                found.append(Hour(table, begin_us, finish_us, rows))
    return sorted(found, key=lambda each: (each.start_us, each.table))


def rows_of(
    reader: LakeReader, table: str, start_us: int, end_us: int, symbols: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Rows of the lake that have all the store keeps, in order of time; no symbol named means every one."""
    source = SOURCES[table]
    wanted = list(symbols) or None
    for frame in frames(reader, source.lake, start_us=start_us, end_us=end_us, symbol=wanted):
        yield frame.select(source.columns).drop_nulls(source.sized)


def events(table: str, frame: pl.DataFrame) -> list[Any]:
    """The events that these rows were made of."""
    make = SOURCES[table].event
    return [make(*row) for row in frame.iter_rows()]

"""Rows of the store against those of the lake, value by value."""

from collections.abc import Sequence
from typing import Any, Final

import polars as pl
from msgspec import Struct
from psycopg import Connection, sql

from history.read.reader import LakeReader, polars_schema
from orderbook.backfill.recorded import SOURCES, Hour, rows_of, time_of
from orderbook.store.tables import named

SLICE_US: Final = 300_000_000
"""Rows of so long are in memory at once, of both."""


class Compared(Struct, frozen=True):
    """Result of an hour: its rows, each counted once, and those that only one of both has."""

    hour: Hour
    rows: int
    only_lake: int
    only_store: int


def compare(connection: Connection[Any], reader: LakeReader, hour: Hour, symbols: Sequence[str]) -> Compared:
    """Compare the rows of an hour. Raises psycopg.Error, and what the lake raises."""
    rows = only_lake = only_store = 0
    for start_us in range(hour.start_us, hour.end_us, SLICE_US):
        end_us = min(start_us + SLICE_US, hour.end_us)
        store = _stored(connection, hour.table, start_us, end_us, symbols)
        found = list(rows_of(reader, hour.table, start_us, end_us, symbols))
        lake = pl.concat(found).unique() if found else store.clear()
        rows += len(lake)
        only_lake += _missing(lake, store)
        only_store += _missing(store, lake)
    return Compared(hour, rows, only_lake, only_store)


def _missing(here: pl.DataFrame, there: pl.DataFrame) -> int:
    return len(here.join(there, on=here.columns, how="anti", nulls_equal=True))


def _stored(
    connection: Connection[Any], table: str, start_us: int, end_us: int, symbols: Sequence[str]
) -> pl.DataFrame:
    source = SOURCES[table]
    types = polars_schema(source.lake)
    values = [column for column in source.columns if column not in _OTHERWISE]
    query = _STORED.format(sql.SQL(", ").join(map(sql.Identifier, values)), named(table))
    where = {"start": time_of(start_us), "end": time_of(end_us), "symbols": list(symbols)}
    schema = {name: types[name] for name in ("exchange", "symbol", *values, "received_ts_us")}
    frame = pl.DataFrame(connection.execute(query, where).fetchall(), schema=schema, orient="row")
    return frame.select(source.columns)


_OTHERWISE: Final = ("exchange", "symbol", "received_ts_us")
# Trades of before the subscription never come into the lake.
_STORED: Final = sql.SQL(
    "SELECT s.exchange, s.symbol, {}, (extract(epoch FROM received_at) * 1000000)::bigint FROM {} "
    "JOIN marketdata.symbols s ON s.id = symbol_id WHERE received_at >= %(start)s AND received_at < %(end)s "
    "AND (%(symbols)s::text[] = '{{}}' OR s.symbol = ANY(%(symbols)s::text[]))"
)

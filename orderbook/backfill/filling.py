"""The store filled from the lake, an hour at a time; what was done is not done again."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct
from psycopg import Connection

from history.read.reader import LakeReader
from orderbook import services
from orderbook.backfill.recorded import Hour, events, rows_of
from orderbook.ingest.writer import Writer
from orderbook.store.choice import engine_of

BATCH_ROWS: Final = 5_000
"""Rows of one transaction: what is written live waits for none of them."""


class Filled(Struct, frozen=True):
    """Result of an hour: rows of the lake that were read, and how many of them were new."""

    hour: Hour
    read: int
    new: int
    skipped: bool = False  # it was filled before, and the lake's hour is as it was then


def fill(
    connection: Connection[Any], reader: LakeReader, hours: Sequence[Hour], symbols: Sequence[str]
) -> Iterator[Filled]:
    """Write the hours' rows that are not there yet and renew their second bars; may be stopped at any hour.

    Raises psycopg.Error, and what the lake raises.
    """
    writer = Writer(engine_of(connection))
    whose = ",".join(sorted(symbols))
    for hour in hours:
        if _is_filled(connection, hour, whose):
            yield Filled(hour, 0, 0, skipped=True)
            continue
        read = new = 0
        for frame in rows_of(reader, hour.table, hour.start_us, hour.end_us, symbols):
            for batch in frame.iter_slices(BATCH_ROWS):
                new += writer.write(connection, events(hour.table, batch))
            read += len(frame)
        while services.roll_up(hour.table):
            pass
        if hour.is_whole:
            connection.execute(_FILLED, [hour.table, hour.begins, whose, hour.lake_rows])
        yield Filled(hour, read, new)


def _is_filled(connection: Connection[Any], hour: Hour, whose: str) -> bool:
    return connection.execute(
        _IS_FILLED, [hour.table, hour.begins, [whose, ""], hour.lake_rows]
    ).fetchone() == (True,)


_FILLED: Final = (
    "INSERT INTO marketdata.backfilled (raw_table, hour, symbols, lake_rows) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (raw_table, hour, symbols) DO UPDATE SET lake_rows = excluded.lake_rows"
)
# An hour of the lake that got more rows since then is filled again.
_IS_FILLED: Final = (
    "SELECT EXISTS (SELECT FROM marketdata.backfilled WHERE raw_table = %s AND hour = %s "
    "AND symbols = ANY(%s) AND lake_rows = %s)"
)

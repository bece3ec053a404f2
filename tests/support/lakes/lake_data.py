"""Lakes for tests: rows written through `Lake.append`, as plain columns."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from history.lake.schema import CLOCK, SCHEMAS
from history.lake.tables import Lake
from markets.events import Quote, StreamState

_versions = itertools.count(1)


def write(lake: Lake, table: str, rows: Mapping[str, Sequence[Any]] | pl.DataFrame) -> None:
    """Append rows in one commit; columns that may be null can be left out."""
    frame = pl.DataFrame(rows)
    clock = pl.from_epoch(CLOCK[table], time_unit="us")
    frame = frame.with_columns(date=clock.dt.strftime("%Y-%m-%d"), hour=clock.dt.hour().cast(pl.Int32))
    arrow = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    for name in SCHEMAS[table].names:
        if name not in arrow.column_names:
            arrow = arrow.append_column(name, pa.nulls(len(arrow)))
    lake.append(
        lake.ensure(table),
        table,
        arrow.select(SCHEMAS[table].names).cast(SCHEMAS[table]),
        "test",
        next(_versions),
    )


def write_quotes(lake: Lake, quotes: Iterable[Quote]) -> None:
    """Append quotes as the lake keeps them."""
    names = [name for name in SCHEMAS["quotes"].names if name not in ("date", "hour")]
    rows = list(quotes)
    write(lake, "quotes", {name: [getattr(q, name) for q in rows] for name in names})


def write_states(lake: Lake, states: Iterable[StreamState], dropped: int = 0) -> None:
    """Append stream states, one row per symbol."""
    rows = [
        (s.exchange, symbol, s.state, s.reason, dropped, s.received_ts_us, s.received_mono_ns)
        for s in states
        for symbol in s.symbols
    ]
    names = ["exchange", "symbol", "state", "reason", "dropped", "received_ts_us", "received_mono_ns"]
    if rows:
        write(lake, "stream_states", pl.DataFrame(rows, schema=names, orient="row"))

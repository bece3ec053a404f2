"""Events on their way into the lake, column by column: a waiting row costs bytes, not an object."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Struct

from engine.charts.points import POINT_COLUMNS
from history.lake.parquet import file_schema
from history.write.swaps import Changes, FundingRow
from markets.events import (
    Funding,
    MarkPrice,
    OpportunityEvent,
    Quote,
    SinkEvent,
    SpreadPoints,
    StreamState,
    Trade,
)

PACK_EVENTS: Final = 4096
"""Events of one kind that wait as objects, until they are worth being packed into columns: about 1 ms."""


class StateRow(Struct, gc=False):
    """A row of `stream_states`: what one symbol of a StreamState, or the collector itself, has to say."""

    exchange: str
    symbol: str
    state: str
    reason: str
    received_ts_us: int
    received_mono_ns: int | None = None
    dropped: int = 0
    since_us: int | None = None


class Buffer:
    """Rows that wait for one flush. Its owner bounds it by `rows`.

    Of funding and marks only what changed becomes a row: `changes` knows.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.changes = Changes()
        self._loose: defaultdict[type, list[Any]] = defaultdict(list)
        self._packed: defaultdict[str, list[pa.RecordBatch]] = defaultdict(list)

    def add(self, events: Iterable[SinkEvent | StateRow]) -> None:
        """Take over events, in order."""
        for kind, run in groupby(events, type):
            alike = self._worth_rows(kind, list(run))
            if not alike:
                continue
            row = type(alike[0])
            self._loose[row].extend(alike)
            self.rows += _rows_of(row, alike)
        for kind in [kind for kind, waiting in self._loose.items() if len(waiting) >= PACK_EVENTS]:
            self._pack(kind)

    def _worth_rows(self, kind: type, events: list[Any]) -> Sequence[Any]:
        if kind is Funding:
            return self.changes.funding_rows(events)
        return self.changes.mark_rows(events) if kind is MarkPrice else events

    def tables(self, besides: Collection[str] = ()) -> dict[str, pa.Table]:
        """Take all rows, by table, besides those of the tables named."""
        for kind in list(self._loose):
            self._pack(kind)
        wanted = [table for table in self._packed if table not in besides]
        taken = {table: self._packed.pop(table) for table in wanted}
        self.rows -= sum(len(batch) for batches in taken.values() for batch in batches)
        return {table: pa.Table.from_batches(batches).combine_chunks() for table, batches in taken.items()}

    def _pack(self, kind: type) -> None:
        table, pack = _KINDS[kind]
        self._packed[table].append(pack(table, self._loose.pop(kind)))


def _rows_of(kind: type, events: Sequence[Any]) -> int:
    if kind is SpreadPoints:
        return sum(len(event.points) for event in events)
    return sum(len(event.symbols) for event in events) if kind is StreamState else len(events)


def _rows(table: str, events: Sequence[Any]) -> pa.RecordBatch:
    """Events whose fields are named as the table's columns. NaN is not a value: it becomes null."""
    schema = file_schema(table)
    arrays = [
        pa.array(list(map(attrgetter(field.name), events)), field.type, from_pandas=field.nullable)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _state_rows(table: str, states: Sequence[StreamState]) -> pa.RecordBatch:
    """A row per symbol of each state."""
    return _rows(
        table,
        [
            StateRow(s.exchange, symbol, s.state, s.reason, s.received_ts_us, s.received_mono_ns)
            for s in states
            for symbol in s.symbols
        ],
    )


def _point_rows(table: str, deltas: Sequence[SpreadPoints]) -> pa.RecordBatch:
    """A row per point; the values of a gap become null."""
    schema = file_schema(table)
    points = np.concatenate([delta.points for delta in deltas])
    owner = pa.array(np.repeat(np.arange(len(deltas)), [len(delta.points) for delta in deltas]))
    columns = {name: points[:, index] for index, name in enumerate(POINT_COLUMNS)}

    def column(field: pa.Field) -> pa.Array:
        if field.name in columns:
            return pa.array(columns[field.name], from_pandas=True).cast(field.type)
        return pa.array([getattr(delta, field.name) for delta in deltas], field.type).take(owner)

    return pa.RecordBatch.from_arrays([column(field) for field in schema], schema=schema)


Pack = Callable[[str, Sequence[Any]], pa.RecordBatch]
_KINDS: Final[dict[type, tuple[str, Pack]]] = {
    Quote: ("quotes", _rows),
    Trade: ("trades", _rows),
    FundingRow: ("funding", _rows),
    MarkPrice: ("marks", _rows),
    StreamState: ("stream_states", _state_rows),
    StateRow: ("stream_states", _rows),
    SpreadPoints: ("spreads", _point_rows),
    OpportunityEvent: ("opportunities", _rows),
}

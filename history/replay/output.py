"""Destinations of a replay's results: lines of JSON, or the tables of another lake."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, BinaryIO, Final, Protocol

import msgspec
from msgspec import structs

from engine.charts.points import POINT_COLUMNS
from history.lake.tables import Lake
from history.replay.engine import Results
from history.write.appending import Appender
from history.write.buffer import Buffer
from markets.events import OpportunityEvent, SpreadPoints

STORE_ROWS: Final = 50_000
TABLES: Final = ("spreads", "opportunities")


class Output(Protocol):
    """Takes results in order; what is not closed may have lost its end."""

    def add(self, results: Results) -> None:
        """Write results."""

    def close(self) -> None:
        """Write what is left."""


class Lines:
    """One JSON object per point and event, named as the lake's columns; a gap has nulls."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def add(self, results: Results) -> None:
        """Write results."""
        lines = [*_point_lines(results.points), *map(_event_line, results.events)]
        if lines:
            self._file.write(self._encoder.encode_lines(lines))
            self._file.flush()  # at the speed of the clock somebody is waiting for them

    def close(self) -> None:
        """Write what is left."""


class Store:
    """Appends to `spreads` and `opportunities` of a lake, once: `name` says what is being replayed.

    The same replay cuts its results at the same rows, so one that was interrupted goes on when it is
    run again, and one that was complete adds nothing.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        app_id = f"replay-{blake2b(name.encode(), digest_size=12).hexdigest()}"
        self._appenders = {table: Appender(lake, table, app_id) for table in TABLES}
        self._buffer = Buffer()
        self._sequence = 0

    def add(self, results: Results) -> None:
        """Keep results; every STORE_ROWS rows they are committed."""
        self._buffer.add((*results.points, *results.events))
        if self._buffer.rows >= STORE_ROWS:
            self._commit()

    def close(self) -> None:
        """Commit what is left."""
        self._commit()

    def _commit(self) -> None:
        for table, rows in self._buffer.tables().items():
            self._appenders[table].append(rows, self._sequence)
            self._appenders[table].checkpoint_if_due()
        self._sequence += 1


def _point_lines(points: Iterable[SpreadPoints]) -> Iterator[dict[str, Any]]:
    for each in points:
        chart = {"symbol": each.symbol, "exchange1": each.exchange1, "exchange2": each.exchange2}
        for row in each.points.tolist():
            values = dict(zip(POINT_COLUMNS, row, strict=True))
            yield {"type": "spread"} | chart | values | {"ts_us": int(row[0])}


def _event_line(event: OpportunityEvent) -> dict[str, Any]:
    return {"type": "opportunity"} | structs.asdict(event)

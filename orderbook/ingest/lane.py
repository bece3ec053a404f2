"""One connection to the database, with a writer of its own: lanes of one process write beside each other."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from orderbook.ingest.events import StoreEvent
from orderbook.ingest.writer import Writer
from orderbook.store.choice import engine_of

Connect = Callable[[], psycopg.Connection[Any]]

_OF_A_ROW: Final = (psycopg.DataError, psycopg.IntegrityError)


class Lane:
    """Writes batches; a connection that failed is made again for the next one. One thread at a time."""

    def __init__(self, connect: Connect) -> None:
        self.set_aside: Counter[str] = Counter()
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._writer: Writer | None = None

    def write(self, events: Sequence[StoreEvent]) -> int:
        """Write a batch; returns how many rows were new. Raises psycopg.Error and StoreError."""
        try:
            if self._connection is None or self._writer is None:
                self._connection = self._connect()
                self._writer = Writer(engine_of(self._connection), self.set_aside)
            return self._written(self._writer, self._connection, events)
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._writer = None

    def _written(
        self, writer: Writer, connection: psycopg.Connection[Any], events: Sequence[StoreEvent]
    ) -> int:
        """Write a batch; rows that PostgreSQL refuses are found by halves, and set aside."""
        try:
            return writer.write(connection, events)
        except _OF_A_ROW:
            pass  # a partition was dropped under it, perhaps
        try:
            return writer.write(connection, events)
        except _OF_A_ROW as refusal:
            if len(events) > 1:
                half = len(events) // 2
                return sum(self._written(writer, connection, part) for part in (events[:half], events[half:]))
            self.set_aside[f"refused ({refusal.sqlstate})"] += 1
            return 0

"""One connection to the database, with a writer of its own: lanes of one process write beside each other."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from orderbook.ingest.events import StoreEvent
from orderbook.ingest.writer import Writer
from orderbook.store.engine import Engine

Connect = Callable[[], psycopg.Connection[Any]]

_OF_A_ROW: Final = (psycopg.DataError, psycopg.IntegrityError)


class Lane:
    """Writes batches; a connection that failed is made again for the next one. One thread at a time."""

    def __init__(self, engine: Engine, connect: Connect) -> None:
        self.writer = Writer(engine)
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None

    def write(self, events: Sequence[StoreEvent]) -> int:
        """Write a batch; returns how many rows were new. Raises psycopg.Error."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            return self._written(self._connection, events)
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _written(self, connection: psycopg.Connection[Any], events: Sequence[StoreEvent]) -> int:
        """Write a batch; rows that PostgreSQL refuses are found by halves, and set aside."""
        try:
            return self.writer.write(connection, events)
        except _OF_A_ROW:
            pass  # a partition was dropped under it, perhaps
        try:
            return self.writer.write(connection, events)
        except _OF_A_ROW as refusal:
            if len(events) > 1:
                half = len(events) // 2
                return sum(self._written(connection, part) for part in (events[:half], events[half:]))
            self.writer.set_aside[f"refused ({refusal.sqlstate})"] += 1
            return 0

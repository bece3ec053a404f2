"""The interface of what keeps the tables of `marketdata`."""

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct
from psycopg import Connection


class Size(Struct, frozen=True):
    """One table: its parts, its bytes with indexes, and where its oldest part begins (None: it has none)."""

    table: str
    partitions: int
    bytes: int
    oldest: datetime | None


class Engine(Protocol):
    """Creates, extends, rolls up, shortens and measures the tables; each call may be repeated.

    Every method runs in the caller's transaction; times are aware. Raises psycopg.Error.
    """

    def create(self, connection: Connection[Any]) -> None:
        """Create schema, tables and indexes."""

    def make_partitions(self, connection: Connection[Any], table: str, start: datetime, end: datetime) -> int:
        """Make room for rows from `start` to `end`; returns how many parts were new."""

    def roll_up(self, connection: Connection[Any], table: str, minutes: int) -> int:
        """Renew the second bars of up to `minutes` minutes that got rows; returns how many minutes."""

    def drop_before(self, connection: Connection[Any], table: str, before: datetime) -> int:
        """Drop the parts that end before then; returns how many."""

    def sizes(self, connection: Connection[Any]) -> list[Size]:
        """Sizes of all tables."""

    def lag(self, connection: Connection[Any], table: str) -> datetime | None:
        """Oldest minute of a raw table whose second bars wait; None: none waits."""

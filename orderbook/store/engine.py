"""The interface of what keeps the tables of `marketdata`."""

from datetime import datetime
from typing import Any, Final, Protocol

from msgspec import Struct
from psycopg import Connection, sql

HOW_TO_SWITCH: Final = "docs/orderbook.md, Engines, says how a store is switched"


class Size(Struct, frozen=True):
    """One table: its parts, its bytes with indexes, and where its oldest and newest parts begin.

    Parts are partitions or chunks. `rows` is what PostgreSQL's statistics say (None: they say nothing yet),
    `compressed` counts the parts that are, and `late` the rows that wait to be folded into one of them.
    """

    table: str
    partitions: int
    bytes: int
    oldest: datetime | None
    rows: int | None = None
    compressed: int = 0
    late: int = 0
    newest: datetime | None = None


class StoreError(Exception):
    """The tables and the database do not fit; the message says what to do."""


class Engine(Protocol):
    """Creates, extends, fills, rolls up, shortens and measures the tables; each call may be repeated.

    Every method but `roll_up` runs in the caller's transaction; times are aware. Raises psycopg.Error.
    """

    name: str

    def create(self, connection: Connection[Any]) -> None:
        """Create schema, tables and indexes. Raises StoreError where another engine keeps the tables."""

    def drop(self, connection: Connection[Any]) -> None:
        """Drop the tables with all that is in them; the schema stays."""

    def make_partitions(self, connection: Connection[Any], table: str, start: datetime, end: datetime) -> int:
        """Make room for rows from `start` to `end`; returns how many parts were new."""

    def insert(self, connection: Connection[Any], table: str, staged: sql.Identifier) -> int:
        """Insert the staged rows of a raw table that are not there yet; returns how many."""

    def roll_up(self, connection: Connection[Any], table: str, minutes: int) -> int:
        """Renew the second bars of up to `minutes` minutes that got rows; returns how many minutes.

        Outside of a transaction, and one caller at a time for a table: it makes its own.
        """

    def fold_late(self, connection: Connection[Any], table: str) -> int:
        """Move the late rows of the oldest hour that has some to the others; returns how many."""

    def drop_before(self, connection: Connection[Any], table: str, before: datetime) -> int:
        """Drop the parts that end before then; returns how many."""

    def keep(self, connection: Connection[Any], table: str, days: int, now: datetime) -> int:
        """Keep a table's rows for so many days from now on; returns how many parts were dropped for it."""

    def sizes(self, connection: Connection[Any]) -> list[Size]:
        """Sizes of all tables."""

"""The store with nothing in it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection as django_connection

from orderbook.store.tables import RAW, ROLLUPS

EMPTY = "TRUNCATE marketdata.symbols, marketdata.touched, " + ", ".join(
    f"marketdata.{name}" for name in (*RAW, *ROLLUPS)
)


def connect() -> psycopg.Connection[Any]:
    """A connection of psycopg's own to the suite's database."""
    own = {"cursor_factory": psycopg.Cursor, "autocommit": True}
    return psycopg.connect(**django_connection.get_connection_params() | own)


@pytest.fixture
def store(db: None) -> Iterator[psycopg.Connection[Any]]:
    """The store with nothing in it."""
    with connect() as connection:
        connection.execute(EMPTY)
        yield connection
        connection.execute(EMPTY)

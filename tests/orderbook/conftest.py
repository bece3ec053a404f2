"""The store with nothing in it, on each engine.

With TIMESCALE_URL set (`postgres://postgres@127.0.0.1:5432/postgres`, a role that may create databases) every
test of the store runs on TimescaleDB too, in a database of its own; without it those are skipped.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import environ
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection as django_connection
from psycopg import sql
from pytest_django import DjangoDbBlocker

from orderbook.models import StoreSettings
from orderbook.store.choice import engine_of
from orderbook.store.engine import Engine
from orderbook.store.tables import RAW, ROLLUPS

plain_only = pytest.mark.parametrize("store", ["plain"], indirect=True)
timescale_only = pytest.mark.parametrize("store", ["timescale"], indirect=True)

Database = Mapping[str, Any]
"""Place of a database, as Django's settings have it."""

EMPTY = "TRUNCATE marketdata.symbols, marketdata.touched, marketdata.backfilled, " + ", ".join(
    f"marketdata.{name}" for name in (*RAW, *ROLLUPS)
)


def connect() -> psycopg.Connection[Any]:
    """A connection of psycopg's own to the test's database."""
    own = {"cursor_factory": psycopg.Cursor, "autocommit": True}
    return psycopg.connect(**django_connection.get_connection_params() | own)


def oldest_waiting(store: psycopg.Connection[Any], table: str) -> datetime | None:
    """Oldest minute of a raw table whose second bars wait to be renewed; None: none waits."""
    waiting = store.execute("SELECT minute FROM marketdata.touched WHERE raw_table = %s", [table])
    return min((minute for (minute,) in waiting), default=None)


@contextmanager
def default_database(place: Database) -> Iterator[None]:
    """Let Django's default connection lead to another database for a while."""
    usual = dict(django_connection.settings_dict)
    django_connection.close()
    django_connection.settings_dict.update(place)
    try:
        yield
    finally:
        django_connection.close()
        django_connection.settings_dict.update(usual)


@pytest.fixture(scope="session")
def timescale(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Database]:
    """A migrated database on the TimescaleDB of TIMESCALE_URL."""
    url = os.environ.get("TIMESCALE_URL")
    if not url:
        pytest.skip("TIMESCALE_URL is not set: no TimescaleDB to run on")
    name = sql.Identifier(f"test_store_{os.getpid()}")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            found = environ.Env.db_url_config(url)
            place = {key: found.get(key) or "" for key in ("HOST", "PORT", "USER", "PASSWORD")}
            place["NAME"] = f"test_store_{os.getpid()}"
            with django_db_blocker.unblock(), default_database(place):
                call_command("migrate", verbosity=0)
            yield place
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture(params=["plain", "timescale"])
def store(request: pytest.FixtureRequest, db: None) -> Iterator[psycopg.Connection[Any]]:
    """The store with nothing in it."""
    usual = {} if request.param == "plain" else request.getfixturevalue("timescale")
    with default_database(usual), connect() as connection:
        _empty(connection)
        yield connection
        _empty(connection)


@pytest.fixture
def engine(store: psycopg.Connection[Any]) -> Engine:
    """The engine that keeps the store."""
    return engine_of(store)


def _empty(connection: psycopg.Connection[Any]) -> None:
    connection.execute(EMPTY)
    for table in (*RAW, *ROLLUPS):  # what is kept for too long is found by its parts
        engine_of(connection).drop_before(connection, table, datetime(2100, 1, 1, tzinfo=UTC))
    StoreSettings.objects.all().delete()
    if engine_of(connection).name == "timescale":
        connection.execute("TRUNCATE " + ", ".join(f"marketdata.late_{name}" for name in RAW))

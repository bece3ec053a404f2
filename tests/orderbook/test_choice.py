"""The choice of an engine, and that it is never changed under rows."""

from importlib import import_module
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from orderbook.ingest.writer import Writer
from orderbook.store.choice import choose, engine_of, switch, timescale_is_possible
from orderbook.store.engine import Engine, StoreError
from orderbook.store.plain import PlainEngine
from orderbook.store.timescale import TimescaleEngine
from tests.orderbook.conftest import plain_only, timescale_only
from tests.orderbook.test_store import quote, rows

pytestmark = pytest.mark.django_db(transaction=True)

Store = psycopg.Connection[Any]
BEFORE = import_module("orderbook.migrations.0003_engine").Migration.dependencies[0][1]
TABLES = "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'marketdata'::regnamespace ORDER BY 1"


@plain_only
def test_without_the_extension_the_store_is_plain(store: Store) -> None:
    assert not timescale_is_possible(store)
    assert choose(store).name == "plain"


@timescale_only
def test_with_the_extension_a_new_store_is_timescaledbs(store: Store, engine: Engine) -> None:
    assert engine.name == "timescale"
    assert timescale_is_possible(store)


@timescale_only
def test_an_empty_store_changes_to_the_better_engine_and_back(store: Store) -> None:
    before = store.execute(TABLES).fetchall()
    call_command("migrate", "orderbook", BEFORE, verbosity=0)
    assert engine_of(store).name == "plain"
    call_command("migrate", verbosity=0)
    assert engine_of(store).name == "timescale"
    assert store.execute(TABLES).fetchall() == before


@timescale_only
def test_a_store_with_rows_keeps_its_engine(store: Store) -> None:
    Writer(engine_of(store)).write(store, [quote(1)])
    with pytest.raises(CommandError, match="switching is refused"):
        call_command("migrate", "orderbook", BEFORE, verbosity=0)
    with pytest.raises(StoreError, match="switching is refused"):
        switch(store, PlainEngine())
    assert len(rows(store, "book_ticker")) == 1
    store.execute("TRUNCATE marketdata.symbols")
    switch(store, PlainEngine())
    Writer(PlainEngine()).write(store, [quote(1)])
    assert choose(store).name == "plain"  # although TimescaleDB is there
    with pytest.raises(StoreError, match="kept by the engine plain"):
        TimescaleEngine().create(store)
    assert len(rows(store, "book_ticker")) == 1
    store.execute("TRUNCATE marketdata.symbols")
    assert choose(store).name == "timescale"


@timescale_only
def test_a_role_that_may_not_install_the_extension_gets_the_plain_store(store: Store) -> None:
    name = f"{store.info.dbname}_other"
    store.execute(f"CREATE DATABASE {name}")
    store.execute("DROP ROLE IF EXISTS nobody_special")
    store.execute("CREATE ROLE nobody_special")
    try:
        with psycopg.connect(f"{store.info.dsn} dbname={name}", autocommit=True) as other:
            other.execute("SET ROLE nobody_special")
            assert not timescale_is_possible(other)
            other.execute("RESET ROLE")
            assert timescale_is_possible(other)  # a superuser's connection installs it
            other.execute("SET ROLE nobody_special")
            assert timescale_is_possible(other)
    finally:
        store.execute(f"DROP DATABASE {name} WITH (FORCE)")
        store.execute("DROP ROLE nobody_special")


@plain_only
def test_tables_of_timescaledb_without_timescaledb_are_refused(store: Store) -> None:
    with store.transaction(force_rollback=True):
        PlainEngine().drop(store)
        store.execute("CREATE TABLE marketdata.book_ticker (symbol_id integer)")
        with pytest.raises(StoreError, match="shared_preload_libraries"):
            engine_of(store)
        store.execute("DROP TABLE marketdata.book_ticker")
        with pytest.raises(StoreError, match=r"manage\.py migrate"):
            engine_of(store)

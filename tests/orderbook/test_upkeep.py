"""Upkeep of the store, as Celery runs it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from markets.events import Trade
from orderbook import services, tasks
from orderbook.ingest.writer import Writer
from orderbook.models import StoreSettings
from orderbook.store.choice import engine_of
from tests.orderbook.conftest import connect, plain_only
from tests.orderbook.test_store import quote, rows, trade

pytestmark = pytest.mark.django_db(transaction=True)

Store = psycopg.Connection[Any]
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def partitions(store: Store, table: str) -> int:
    return {each.table: each.partitions for each in engine_of(store).sizes(store)}[table]


def trade_at(at: datetime) -> Trade:
    return Trade("okx", "BTC/USDT", 1.0, 1.0, "buy", None, None, int(at.timestamp() * 1e6))


def test_a_store_that_nobody_writes_to_gets_no_partitions(store: Store) -> None:
    assert services.make_ahead(timezone.now()) == 0


def test_upkeep_makes_bars_of_all_that_waits(store: Store) -> None:
    minutes = services.MINUTES_AT_ONCE + 3
    batch = [quote(minute * 60_000_000) for minute in range(minutes)]
    Writer(engine_of(store)).write(store, [*batch, trade(1, 1, 1)])
    tasks.roll_up()
    assert len(rows(store, "bt_1s")) == minutes
    assert len(rows(store, "trade_1s")) == 1


@plain_only
def test_upkeep_makes_partitions_ahead(store: Store) -> None:
    engine_of(store).drop_before(store, "depth_events", FUTURE)
    Writer(engine_of(store)).write(store, [trade(1, 1, 1)])
    tasks.roll_up()
    assert partitions(store, "depth_events") == 3


def test_what_another_worker_rolls_up_is_left_to_it(store: Store) -> None:
    Writer(engine_of(store)).write(store, [trade(1, 1, 1)])
    with connect() as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(hashtext('roll up trades'))")
        assert services.roll_up("trades") == 0
    assert services.roll_up("trades") == 1


def test_rows_go_after_their_days_and_bars_after_theirs(store: Store) -> None:
    engine, now = engine_of(store), timezone.now()
    for table in ("trades", "trade_1s"):
        engine.drop_before(store, table, FUTURE)
    Writer(engine).write(store, [trade_at(now - timedelta(days=days)) for days in (1, 3, 5, 9)])
    tasks.roll_up()
    assert (len(rows(store, "trades")), partitions(store, "trade_1s")) == (4, 4)
    StoreSettings.objects.create(raw_days=2, rollup_days=6)
    tasks.retain()
    assert len(rows(store, "trades", "received_at, price")) == 1
    assert len(rows(store, "trade_1s")) == 3

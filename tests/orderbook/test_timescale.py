"""TimescaleDB alone: compressed chunks, late rows, policies."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from orderbook import services, tasks
from orderbook.ingest.writer import Writer
from orderbook.models import StoreSettings
from orderbook.store.engine import Engine, Size
from orderbook.store.tables import RAW, ROLLUPS
from tests.orderbook.conftest import oldest_waiting, timescale_only
from tests.orderbook.test_store import NOON, quote, rows, trade

pytestmark = [pytest.mark.django_db(transaction=True), timescale_only]

Store = psycopg.Connection[Any]

SECONDS_US = 1_000_000
HOUR_US = 3600 * SECONDS_US


def compress(store: Store, table: str) -> None:
    store.execute("SELECT compress_chunk(c) FROM show_chunks(%s::regclass) c", [f"marketdata.{table}"])


def size(store: Store, engine: Engine, table: str) -> Size:
    return {each.table: each for each in engine.sizes(store)}[table]


def test_a_late_row_waits_beside_its_compressed_chunk_and_is_folded_in(store: Store, engine: Engine) -> None:
    writer = Writer(engine)
    writer.write(store, [quote(1), quote(HOUR_US)])
    tasks.roll_up()
    compress(store, "book_ticker")
    assert writer.write(store, [quote(1), quote(2, bid=90), quote(HOUR_US + 1), quote(2 * HOUR_US)]) == 3
    assert writer.write(store, [quote(2, bid=90), quote(1)]) == 0  # delivered twice
    measured = size(store, engine, "book_ticker")
    assert (measured.partitions, measured.compressed, measured.late) == (3, 2, 2)
    tasks.roll_up()
    assert len(rows(store, "book_ticker")) == 3
    tasks.fold_late()
    assert len(rows(store, "book_ticker")) == 5
    measured = size(store, engine, "book_ticker")
    assert (measured.partitions, measured.compressed, measured.late) == (3, 2, 0)
    assert oldest_waiting(store, "book_ticker") == NOON
    tasks.roll_up()
    bars = rows(store, "bt_1s", "second, bid, quotes")
    assert bars == [
        (NOON, 90, 2), (NOON + timedelta(hours=1), 100, 2), (NOON + timedelta(hours=2), 100, 1),
    ]  # fmt: skip


def test_no_batch_changes_a_compressed_chunk(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [trade(at, 1, 1) for at in range(50)])
    compress(store, "trades")
    before = store.execute("SELECT * FROM hypertable_columnstore_stats('marketdata.trades')").fetchall()
    Writer(engine).write(store, [trade(at, 1, 1) for at in range(100)])
    assert (
        store.execute("SELECT * FROM hypertable_columnstore_stats('marketdata.trades')").fetchall() == before
    )
    assert len(rows(store, "trades", "received_at, digest")) == 50
    assert len(rows(store, "late_trades", "received_at, digest")) == 50


def test_late_rows_of_every_table_can_be_folded(store: Store) -> None:
    for table, raw in RAW.items():
        columns = ", ".join(raw.types)
        store.execute(
            f"INSERT INTO marketdata.late_{table} ({columns}) "
            f"SELECT {columns} FROM jsonb_populate_record(NULL::marketdata.late_{table}, %s)",
            ['{"symbol_id": 1, "received_at": "2026-03-04T12:00:00Z", "digest": 1, "bid": 1, "bid_size": 1, '
             '"ask": 1, "ask_size": 1, "price": 1, "size": 1, "is_history": false, "kind": "delta", '
             '"event": {}, "bids": [1], "bid_sizes": [1], "asks": [1], "ask_sizes": [1]}'],
        )  # fmt: skip
        assert services.fold_late(table) == 1
        assert services.fold_late(table) == 0
        assert (1, 1) in rows(store, table, "symbol_id, digest")


def test_bars_of_a_compressed_day_are_renewed(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [trade(1, 10, 1)])
    tasks.roll_up()
    compress(store, "trade_1s")
    Writer(engine).write(store, [trade(2, 20, 1)])
    tasks.roll_up()
    assert rows(store, "trade_1s", "second, open, close, trades") == [(NOON, 10, 20, 2)]
    assert size(store, engine, "trade_1s").compressed == 1


def test_late_rows_past_their_days_are_dropped(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [trade(1, 1, 1)])
    compress(store, "trades")
    Writer(engine).write(store, [trade(2, 1, 1)])
    services.retain(datetime(2100, 1, 1, tzinfo=UTC))
    assert size(store, engine, "trades") == Size(
        "trades", 0, size(store, engine, "trades").bytes, None, 0, 0, 0
    )


def test_every_table_has_its_policies_and_they_follow_the_settings(store: Store) -> None:
    def policies(kind: str, setting: str) -> dict[str, timedelta]:
        return dict(
            store.execute(
                "SELECT hypertable_name, (config->>%s)::interval FROM timescaledb_information.jobs "
                "WHERE proc_name = %s AND hypertable_schema = 'marketdata'",
                [setting, kind],
            ).fetchall()
        )

    week = timedelta(days=7)
    assert policies("policy_compression", "compress_after") == dict.fromkeys((*RAW, *ROLLUPS), week)
    StoreSettings.objects.create(raw_days=11, rollup_days=44)
    services.retain(timezone.now())
    kept = {**dict.fromkeys(RAW, timedelta(days=11)), **dict.fromkeys(ROLLUPS, timedelta(days=44))}
    assert policies("policy_retention", "drop_after") == kept
    StoreSettings.objects.all().delete()
    services.retain(timezone.now())
    kept = {**dict.fromkeys(RAW, timedelta(days=30)), **dict.fromkeys(ROLLUPS, timedelta(days=90))}
    assert policies("policy_retention", "drop_after") == kept


def test_a_minute_whose_refresh_fails_is_refreshed_by_the_next(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [trade(1, 1, 1)])
    with store.transaction(), pytest.raises(psycopg.errors.ActiveSqlTransaction), store.transaction():
        engine.roll_up(store, "trades", 1)
    assert oldest_waiting(store, "trades") == NOON
    assert engine.roll_up(store, "trades", 1) == 1

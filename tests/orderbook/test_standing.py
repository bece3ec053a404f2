"""How the store stands: in the admin, as findings and as metrics."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.test import Client
from django.utils import timezone
from msgspec import Struct, structs

from core.health.findings import Finding
from history.lake.standing import Disk
from markets.events import Trade
from monitoring.health.observed import Limits
from orderbook import health, metrics, tasks
from orderbook.ingest.writer import Writer
from orderbook.standing import Standing, measure
from orderbook.store.engine import Engine
from orderbook.store.tables import RAW, ROLLUPS
from tests.orderbook.conftest import plain_only, timescale_only
from tests.orderbook.test_store import quote, trade

pytestmark = pytest.mark.django_db(transaction=True)

Store = psycopg.Connection[Any]

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
CHECKS = (health.late_bars, health.missing_partitions, health.late_retention, health.full_disk)


class Look(Struct):
    """The part of an observation that the checks read."""

    at_us: int
    store: Standing | None
    disk: Disk | None = None


class Samples:
    """Exported values, by name and labels."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, ...], float] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        self.found[name, *labels] = value


def now_us() -> int:
    return int(timezone.now().timestamp() * 1e6)


def recent(age: timedelta) -> Trade:
    at_us = int((timezone.now() - age).timestamp() * 1e6)
    return Trade("okx", "BTC/USDT", 1.0, 1.0, "buy", None, None, at_us)


def findings(store: Standing | None, after_us: int = 0, **more: Any) -> dict[str, Finding]:
    look = Look(now_us() + after_us, store, **more)
    return {each.key: each for check in CHECKS for each in check(look, Limits())}


def test_a_store_that_is_kept_up_has_no_findings(store: Store, engine: Engine) -> None:
    assert not findings(None)
    for table in (*RAW, *ROLLUPS):
        engine.drop_before(store, table, datetime(2100, 1, 1, tzinfo=UTC))
    assert not findings(measure())  # nobody writes to it
    Writer(engine).write(store, [recent(timedelta(minutes=1))])
    tasks.roll_up()
    assert not findings(measure())


def test_bars_that_wait_for_long_are_a_finding(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [recent(timedelta(days=3))])
    found = measure()
    assert "store_upkeep:bars of trades" not in findings(found)  # old rows that came just now
    late = findings(found, after_us=7 * 60_000_000)["store_upkeep:bars of trades"]
    assert "have waited 7 min" in late.words
    tasks.roll_up()
    assert "store_upkeep:bars of trades" not in findings(measure(), after_us=7 * 60_000_000)


@plain_only
def test_partitions_that_end_soon_are_a_finding(store: Store, engine: Engine) -> None:
    for table in ("book_ticker", "trades", "depth_events", "orderbook_top5"):
        engine.drop_before(store, table, datetime(2100, 1, 1, tzinfo=UTC))
    Writer(engine).write(store, [recent(timedelta())])
    assert "store_upkeep:partitions" in findings(measure())
    tasks.roll_up()
    assert "store_upkeep:partitions" not in findings(measure())
    assert "store_upkeep:partitions" in findings(measure(), after_us=3 * HOUR_US)


@timescale_only
def test_chunks_need_no_room(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [recent(timedelta())])
    assert measure().room_until_us is None


def test_rows_that_no_setting_keeps_are_a_finding(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [recent(timedelta(days=33, hours=2)), recent(timedelta(days=1))])
    key = "maintenance_late:retain store trades"
    assert "rows 33 days old; its settings keep 30 days" in findings(measure())[key].words
    tasks.retain()
    assert key not in findings(measure())


def test_the_disk_of_postgresql_is_reported_once(store: Store) -> None:
    found = structs.replace(measure(), disk_bytes=1000, disk_free_bytes=20)
    assert findings(found)["disk:store"].severity == "critical"
    assert "disk:store" in findings(found, disk=Disk(2000, 20))
    assert "disk:store" not in findings(found, disk=Disk(1000, 20))
    assert "disk:store" not in findings(structs.replace(found, disk_free_bytes=500))
    assert "disk:store" not in findings(structs.replace(found, disk_bytes=None))


def test_metrics_are_those_of_the_tables(store: Store, engine: Engine) -> None:
    Writer(engine).write(store, [quote(1), quote(2), trade(3, 1, 1)])
    store.execute("ANALYZE marketdata.book_ticker")
    to = Samples()
    metrics.export_store(to, Look(now_us() + 90_000_000, measure()))  # type: ignore[arg-type]
    assert to.found["orderbook_rows", "book_ticker"] == 2
    assert to.found["orderbook_bytes", "trades"] > 0
    assert to.found["orderbook_symbols",] == 1
    assert to.found["orderbook_rollup_wait_seconds", "trades"] >= 90
    assert to.found["orderbook_rollup_wait_seconds", "depth_events"] == 0
    assert to.found["orderbook_late_rows", "trades"] == to.found["orderbook_compressed_parts", "trades"] == 0


def test_the_admin_shows_how_the_store_stands(store: Store, engine: Engine, operator_client: Client) -> None:
    Writer(engine).write(store, [quote(1), trade(3, 1, 1)])
    page = operator_client.get("/admin/orderbook/storesettings/", follow=True).content.decode()
    assert ("Plain PostgreSQL keeps" in page) == (engine.name == "plain")
    assert ("TimescaleDB keeps" in page) == (engine.name == "timescale")
    for words in ("with 1 symbols", "book_ticker", "trade_1s", "2026-03-04 12:00", "30 days", "90 days"):
        assert words in page, words

"""`manage.py ingest_orderbook` as a real process: what it stores, and what SIGTERM and SIGKILL leave."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections
from redis import Redis

from core.process.vitals import heartbeats
from markets.follow.runtime import CollectorStatus, collector_statuses
from markets.models import Exchange
from markets.seed import seed
from orderbook.models import StoreSettings
from simulator.server import Simulator
from tests.orderbook.conftest import plain_only
from tests.orderbook.test_store import rows
from tests.support.live import START_S, database_url

pytestmark = plain_only

Store = psycopg.Connection[Any]


@pytest.fixture
async def simulator(transactional_db: None, empty_redis: Redis, store: Store) -> AsyncIterator[Simulator]:
    """Two exchanges on loopback, and a database set up for them."""
    async with Simulator(exchanges=("binance", "bybit"), rate=20.0) as simulator:
        await sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "bybit")).update(enabled=False)
    StoreSettings.objects.create(batch_rows=50, batch_s=0.2)
    connections.close_all()


class Process:
    """The command, running, or that of a collector."""

    def __init__(self, spill: Path, *options: str, command: str = "ingest_orderbook") -> None:
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "LAKE_URL": str(spill / "lake"),
            "STORE_SPILL_DIR": str(spill),
            "FEED": "sim",
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", command, *options],
            cwd=settings.BASE_DIR, env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def status(self) -> CollectorStatus | None:
        """Report of it in Redis."""
        return next((each for each in collector_statuses("ingest") if each.pid == self.process.pid), None)

    def written(self) -> int:
        """Rows it says it has written."""
        status = self.status()
        return int(status.sinks["IngestSink"]["rows"]) if status else 0

    def stands_by(self) -> bool:
        return any(beat.pid == self.process.pid and beat.stands_by for beat in heartbeats())

    async def until(self, condition: Callable[[], object]) -> None:
        end_s = time.monotonic() + START_S
        while not await asyncio.to_thread(condition):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < end_s
            await asyncio.sleep(0.05)

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        _out, _said = await asyncio.to_thread(self.process.communicate)
        return self.process.returncode


def has_written(process: Process) -> bool:
    return process.written() > 100


def trades_twice(store: Store) -> int:
    """Trades that are there more than once."""
    [(twice,)] = store.execute(
        "SELECT count(*) - count(DISTINCT (symbol_id, trade_id)) FROM marketdata.trades WHERE NOT is_history"
    ).fetchall()
    return int(twice)


async def test_it_stores_what_it_is_asked_for_and_ends_when_it_is_asked_to(
    simulator: Simulator, store: Store, tmp_path: Path
) -> None:
    process = Process(tmp_path, "--symbols", "BTC/* ETH/USDT", "--exchanges", "binance")
    await process.until(partial(has_written, process))
    assert await process.end(signal.SIGTERM) == 0
    there = store.execute("SELECT exchange, symbol FROM marketdata.symbols").fetchall()
    assert {exchange.partition(":")[0] for exchange, _symbol in there} == {"binance"}
    assert {symbol.partition(":")[0] for _exchange, symbol in there} == {"BTC/USDT", "ETH/USDT"}
    assert len(rows(store, "book_ticker")) > 0
    assert trades_twice(store) == 0
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("*.spill")))
    assert not heartbeats()


async def test_a_second_one_stands_by_and_takes_over_when_the_first_is_killed(
    simulator: Simulator, store: Store, tmp_path: Path
) -> None:
    """Killed at any moment: nothing is there twice, and the next one goes on."""
    process = Process(tmp_path)
    chance = random.Random(5)
    for _ in range(2):
        await process.until(partial(has_written, process))
        second = Process(tmp_path)
        await second.until(second.stands_by)
        assert not second.status()
        await asyncio.sleep(chance.uniform(0, 0.5))  # any moment
        await process.end(signal.SIGKILL)
        await second.until(partial(has_written, second))
        process = second
    assert await process.end(signal.SIGTERM) == 0
    assert trades_twice(store) == 0


async def test_a_collector_writes_once_that_is_enabled_and_a_process_of_its_own_stands_by_then(
    simulator: Simulator, store: Store, tmp_path: Path, empty_redis: Redis
) -> None:
    collector = Process(tmp_path, command="collect")
    await collector.until(collector_statuses)
    assert not rows(store, "symbols")
    row = await StoreSettings.objects.aget()
    row.enabled = True
    await sync_to_async(row.save)()  # as the admin does
    await collector.until(lambda: rows(store, "book_ticker"))
    own = Process(tmp_path)
    await own.until(own.stands_by)
    assert await collector.end(signal.SIGTERM) == 0
    await own.until(partial(has_written, own))
    assert await own.end(signal.SIGTERM) == 0
    assert trades_twice(store) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("names", ["BTC", "!*/*"])
def test_names_that_name_nothing_are_refused(store: Store, names: str) -> None:
    with pytest.raises(CommandError, match="--symbols: "):
        call_command("ingest_orderbook", symbols=names)

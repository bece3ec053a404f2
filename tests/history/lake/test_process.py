"""`manage.py collect` and the lake: SIGTERM loses nothing that was accepted, a dead store holds nobody."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from markets.models import Exchange, OpportunityFilter
from markets.seed import seed
from simulator.server import Simulator
from tests.collectors.test_collect import Process
from tests.support.exchanges.tiny_exchange import until
from tests.support.lakes.lake import rows
from tests.support.live import database_url


@pytest.fixture
async def simulator(transactional_db: None) -> AsyncIterator[Simulator]:
    """Binance and Bybit on loopback, and a database set up for them whose filters ask for any edge."""
    async with Simulator(exchanges=("binance", "bybit"), rate=20.0) as simulator:
        await sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "bybit")).update(enabled=False)
    OpportunityFilter.objects.update(min_edge_bps=-1000, close_edge_bps=-1000, min_duration_ms=0)
    connections.close_all()


@pytest.fixture
async def black_hole() -> AsyncIterator[str]:
    """A server that takes every connection and never says a word."""
    connections = []
    server = await asyncio.start_server(lambda _reader, writer: connections.append(writer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in connections:
        writer.close()


def written(process: Process) -> dict[str, int]:
    """Rows per table, by the collector's own report."""
    status = process.status()
    return dict(status.sinks.get("LakeSink", {}).get("rows", {})) if status else {}


async def test_sigterm_loses_no_row(simulator: Simulator, tmp_path: Path) -> None:
    lake, counts = tmp_path / "lake", tmp_path / "counts.json"
    environment = {
        "DATABASE_URL": await sync_to_async(database_url)(),
        "DJANGO_SETTINGS_MODULE": "tests.support.lakes.counting_sink",
        "LAKE_URL": str(lake),
        "COUNTS_FILE": str(counts),
    }
    async with Process(**environment) as process:
        await until(lambda: len(written(process)) == 5 and written(process)["quotes"] > 100, 30.0)
        code, seconds = await process.stop(signal.SIGTERM)
    assert (code, seconds < 5) == (0, True), process.output
    accepted = json.loads(counts.read_text())
    stored = {table: rows(lake, table) for table in accepted}
    stored["stream_states"] = stored["stream_states"].filter(pl.col("exchange") != "")
    assert {table: len(frame) for table, frame in stored.items()} == accepted
    assert accepted["quotes"] > 100
    last_words = stored["stream_states"].filter(pl.col("reason") == "collector stopped")
    assert set(last_words["exchange"]) == {"binance", "bybit"}


async def test_a_store_that_never_answers_does_not_hold_a_collector_that_shall_stop(
    simulator: Simulator, black_hole: str
) -> None:
    environment = {
        "DATABASE_URL": await sync_to_async(database_url)(),
        "LAKE_URL": "s3://nowhere/desk",
        "AWS_ENDPOINT_URL": black_hole,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "nowhere",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }
    async with Process(**environment) as process:

        def pending() -> int:
            status = process.status()
            return int(status.sinks.get("LakeSink", {}).get("pending_rows", 0)) if status else 0

        await until(lambda: pending() > 100, 30.0)
        code, seconds = await process.stop(signal.SIGTERM)
    assert (code, seconds < 5) == (0, True), process.output
    assert "rows not written" in process.output
    assert "Traceback" not in process.output

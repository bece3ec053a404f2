"""Two collectors of one shard, as real processes: one works, the other stands by."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from redis import Redis

from collectors.lease import (
    lease_name,
)
from core.process.vitals import heartbeats
from markets.models import Exchange, OpportunityFilter
from markets.seed import seed
from monitoring.health.assess import assess
from monitoring.health.observe import Observer
from monitoring.health.observed import Limits
from simulator.server import Simulator
from tests.collectors.test_collect import Process
from tests.collectors.test_lease import FEW_S
from tests.support.exchanges.tiny_exchange import until
from tests.support.lakes.lake import rows
from tests.support.live import database_url, eventually

# --- real processes --------------------------------------------------------------------------------------


@pytest.fixture
async def simulator(transactional_db: None, empty_redis: Redis) -> AsyncIterator[Simulator]:
    async with Simulator(exchanges=("binance", "bybit"), rate=20.0) as simulator:
        await sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "bybit")).update(enabled=False)
    OpportunityFilter.objects.update(min_edge_bps=-1000, close_edge_bps=-1000, min_duration_ms=0)
    connections.close_all()


def collect(lake: Path, url: str, *options: str) -> Process:
    return Process(*options, DATABASE_URL=url, LAKE_URL=str(lake))


def quotes_written(process: Process) -> int:
    status = process.status()
    return int(status.sinks.get("LakeSink", {}).get("rows", {}).get("quotes", 0)) if status else 0


def tokens_of(lake: Path, table: str, shard: str = "1/1") -> list[int]:
    """The lease tokens of a table's log entries, in their order."""
    found = []
    for entry in sorted((lake / table / "_delta_log").glob("*.json")):
        for line in entry.read_text().splitlines():
            txn = json.loads(line).get("txn")
            if txn and txn["appId"] == lease_name(shard):
                found.append(txn["version"])
    return found


def nothing_twice(lake: Path) -> None:
    trades = rows(lake, "trades")
    assert len(trades) > 10
    assert trades.select("exchange", "symbol", "trade_id").is_duplicated().sum() == 0
    for table in ("quotes", "trades", "funding", "marks", "stream_states", "spreads", "opportunities"):
        tokens = tokens_of(lake, table)
        assert tokens == sorted(tokens), f"{table}: an older lease has written after a newer one"


def stands_by(process: Process) -> bool:
    pid = process._process.pid
    return any(beat.pid == pid and beat.stands_by for beat in heartbeats())


async def findings() -> set[str]:
    observer = Observer()
    try:
        return {finding.kind for finding in assess(await observer.look(), Limits())}
    finally:
        await observer.close()


@pytest.mark.timeout(180)
async def test_the_second_stands_by_and_takes_over_when_the_first_ends(
    simulator: Simulator, tmp_path: Path
) -> None:
    lake, url = tmp_path / "lake", await sync_to_async(database_url)()
    async with collect(lake, url) as first:
        await until(lambda: quotes_written(first) > 100, 40.0)
        async with collect(lake, url) as second:
            await until(lambda: stands_by(second), 40.0)
            assert "this collector stands by and writes nothing" in second.output
            assert "two_collectors" in await findings()
            before = simulator.counts("binance")["opened"]
            assert before == 1, "it does not even connect"
            code, _seconds = await first.stop(signal.SIGTERM)
            assert code == 0
            ended = time.monotonic()
            await until(lambda: second.status() is not None, FEW_S)
            assert time.monotonic() - ended < FEW_S
            await until(lambda: quotes_written(second) > 100, 40.0)
            assert not stands_by(second)
            assert "two_collectors" not in await findings()
            assert (await second.stop(signal.SIGTERM))[0] == 0
    nothing_twice(lake)


@pytest.mark.timeout(180)
async def test_one_that_is_killed_is_replaced_at_once(simulator: Simulator, tmp_path: Path) -> None:
    lake, url = tmp_path / "lake", await sync_to_async(database_url)()
    async with collect(lake, url) as first, collect(lake, url) as second:
        await until(lambda: bool(first.status() or second.status()), 40.0)
        works, waits = (first, second) if first.status() else (second, first)
        await until(lambda: stands_by(waits) and quotes_written(works) > 50, 40.0)
        works._process.kill()
        await until(lambda: waits.status() is not None, FEW_S)
        await until(lambda: quotes_written(waits) > 50, 40.0)
    nothing_twice(lake)


@pytest.mark.timeout(240)
async def test_one_that_was_stopped_and_goes_on_writes_nothing_more_and_ends_in_words(
    simulator: Simulator, tmp_path: Path
) -> None:
    lake, url = tmp_path / "lake", await sync_to_async(database_url)()
    async with collect(lake, url) as first:
        await until(lambda: quotes_written(first) > 100, 40.0)
        async with collect(lake, url) as second:
            await until(lambda: stands_by(second), 40.0)
            first._process.send_signal(signal.SIGSTOP)
            await until(lambda: second.status() is not None, FEW_S)
            await until(lambda: quotes_written(second) > 50, 40.0)
            first._process.send_signal(signal.SIGCONT)
            code = await asyncio.wait_for(first._process.wait(), FEW_S)
            assert code == 1
            await eventually(lambda: "has taken over shard 1/1" in first.output, "it says why it ended")
            assert "Traceback" not in first.output
            assert not re.search("(shard|status).*Redis does not answer", first.output), "it does answer"
            seen = quotes_written(second)
            await until(lambda: quotes_written(second) > seen + 50, 40.0)
            status = second.status()
            assert status is not None
            assert not second._process.returncode
            assert (await second.stop(signal.SIGTERM))[0] == 0
    nothing_twice(lake)
    assert len(set(tokens_of(lake, "quotes"))) == 2


@pytest.mark.timeout(180)
async def test_parts_that_do_not_overlap_run_side_by_side(simulator: Simulator, tmp_path: Path) -> None:
    lake, url = tmp_path / "lake", await sync_to_async(database_url)()
    async with collect(lake, url, "--shard", "1/2") as one, collect(lake, url, "--shard", "2/2") as two:
        await until(lambda: quotes_written(one) > 20 and quotes_written(two) > 20, 60.0)
        async with collect(lake, url, "--shard", "1/4") as other:
            await until(lambda: stands_by(other), 40.0)
            await one.stop(signal.SIGTERM)
            await until(lambda: other.status() is not None, FEW_S)


@pytest.mark.timeout(120)
async def test_one_that_waits_ends_when_asked_to(simulator: Simulator, tmp_path: Path) -> None:
    lake, url = tmp_path / "lake", await sync_to_async(database_url)()
    async with collect(lake, url) as first:
        await until(lambda: first.status() is not None, 40.0)
        async with collect(lake, url) as second:
            await until(lambda: stands_by(second), 40.0)
            assert (await second.stop(signal.SIGTERM))[0] == 0
            await until(lambda: len(heartbeats()) == 1)

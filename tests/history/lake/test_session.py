"""From the exchanges' wires into the lake and out again: a session as it is, sped up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import connections
from polars.testing import assert_frame_equal
from pytest_django import Settings
from redis import Redis

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.write.sink import LakeSink
from markets.config import MarketConfig, Shard
from markets.models import OpportunityFilter
from markets.seed import seed
from markets.selectors import load_config
from realtime.sink import RealtimeSink
from simulator.server import Simulator
from tests.support.exchanges.tiny_exchange import TIMING, until

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE")


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None) -> Lake:
    """The desk's lake, empty."""
    settings.LAKE_URL = str(tmp_path / "lake")
    return Lake.from_settings()


def _set_up(url: str) -> MarketConfig:
    """The default desk pointed at a simulator; its filters follow edges that come and go."""
    seed(url)
    OpportunityFilter.objects.update(min_edge_bps=-18, close_edge_bps=-19)
    config = load_config()
    connections.close_all()
    return config


@asynccontextmanager
async def collector(config: MarketConfig) -> AsyncIterator[Supervisor]:
    """A collector with the sinks of a real one, inside this process."""
    supervisor = Supervisor(
        CODECS, Outlet.chain([RealtimeSink, LakeSink], Shard(), 100_000), Shard(), timing=TIMING
    )
    supervisor.apply(config)
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await running


def written(supervisor: Supervisor, table: str) -> int:
    """Rows of a table that are in the lake."""
    rows: dict[str, int] = supervisor.outlets[1].sink.stats()["rows"]
    return rows.get(table, 0)


async def session(simulator: Simulator, config: MarketConfig, quotes: int) -> None:
    """Collect until so many quotes are in the lake; two exchanges misbehave meanwhile."""
    async with collector(config) as supervisor:
        await until(lambda: written(supervisor, "quotes") > quotes // 4, 20)
        simulator.inject("okx:drop")
        silence = simulator.inject("bybit:silence")
        await until(lambda: written(supervisor, "quotes") > quotes // 2, 20)
        simulator.heal(silence)
        await until(lambda: written(supervisor, "quotes") > quotes, 20)


def replay_into(url: str) -> str:
    """Replay everything into another lake; returns what the command says."""
    said = StringIO()
    call_command("replay", "--store", url, stderr=said)
    connections.close_all()
    return said.getvalue()


def in_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort(rows.columns)


async def test_a_replay_stores_the_very_rows_that_were_stored_live(
    lake: Lake, tmp_path: Path, empty_redis: Redis
) -> None:
    async with Simulator(symbols=len(BASES), rate=40) as simulator:
        config = await sync_to_async(_set_up)(simulator.url)
        await session(simulator, config, 4_000)
        await session(simulator, config, 1_000)
    said = await sync_to_async(replay_into)(str(tmp_path / "study"))
    live, study = LakeReader(lake), LakeReader(Lake(str(tmp_path / "study")))
    for table in ("spreads", "opportunities"):
        stored, replayed = live.scan(table).collect(), study.scan(table).collect()
        assert_frame_equal(in_order(replayed), in_order(stored), check_exact=True)
    spreads = live.scan("spreads").collect()
    assert len(spreads) > 2_000
    assert spreads["spread"].is_null().sum() > 10  # gaps: lost connections, silence, the end of a session
    assert set(live.scan("opportunities").collect()["event"]) == {"open", "close"}
    assert "malformed 0" in said

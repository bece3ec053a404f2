"""A collector process and PostgreSQL: whichever dies, there is one row per episode and none stays open."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
from channels.db import database_sync_to_async
from django.db import connections

from markets.models import Exchange, ExchangePair, OpportunityFilter, Symbol
from markets.seed import seed
from opportunities.models import OpportunityEpisode
from simulator.server import Simulator
from tests.collectors.test_collect import Process
from tests.support.live import database_url

Row = tuple[str, bool, str]


@pytest.fixture
async def exchanges(transactional_db: None) -> AsyncIterator[Simulator]:
    """Two of them, and a filter that every edge on BTC passes in both directions, all the time."""
    async with Simulator(exchanges=("binance", "bybit"), rate=20.0) as simulator:
        await database_sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "bybit")).update(enabled=False)
    ExchangePair.objects.exclude(exchange1__key="binance", exchange2__key="bybit").update(enabled=False)
    Symbol.objects.exclude(base="BTC").update(enabled=False)
    OpportunityFilter.objects.update(enabled=False)
    OpportunityFilter.objects.create(
        name="all", min_edge_bps=-9000, close_edge_bps=-9500, min_size=0, charted=False
    )
    connections.close_all()


async def rows() -> list[Row]:
    """Way, whether open, and why closed, oldest first."""

    def read() -> list[Row]:
        found = OpportunityEpisode.objects.order_by("started_at", "buy_on")
        return [(f"{row.buy_on} {row.sell_on}", row.is_open, row.reason) for row in found]

    found: list[Row] = await database_sync_to_async(read)()
    return found


async def both_open(already: int) -> None:
    """Wait until one more episode per direction is there, and open."""
    deadline = time.monotonic() + 30
    while [is_open for _, is_open, _ in (await rows())[already:]] != [True, True]:
        assert time.monotonic() < deadline, await rows()
        await asyncio.sleep(0.05)


async def test_a_collector_that_is_killed_and_one_that_is_stopped(exchanges: Simulator) -> None:
    async with Process(DATABASE_URL=database_url()):
        await both_open(already=0)
    # Leaving kills it; the next one knows nothing of what it had open.
    async with Process(DATABASE_URL=database_url()) as second:
        await both_open(already=2)
        await second.stop(signal.SIGTERM)
    ways = ["binance bybit", "bybit binance"]
    found = await rows()
    assert [way for way, _, _ in found] == [*ways, *ways]
    assert not any(is_open for _, is_open, _ in found)
    assert [reason for _, _, reason in found[:2]] == ["collector was killed"] * 2
    assert all("collector stopped" in reason for _, _, reason in found[2:])

"""Depth of simulated exchanges in the store: what is written there is the book that was kept."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from msgspec import structs
from pytest_django import Settings

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from markets.config import DepthConfig, MarketConfig, Shard
from markets.models import Exchange, Symbol
from markets.seed import seed
from markets.selectors import load_config
from orderbook.ingest.sink import IngestSink
from orderbook.models import StoreSettings
from simulator.server import Simulator
from tests.support.exchanges.tiny_exchange import TIMING
from tests.support.live import START_S

Store = psycopg.Connection[Any]
SYMBOL = "BTC/USDT"
FOLLOWED = (("binance", SYMBOL), ("okx", SYMBOL))


def _set_up(url: str) -> MarketConfig:
    seed(url)
    Exchange.objects.exclude(key__in=("binance", "okx")).update(enabled=False)
    Symbol.objects.exclude(name=SYMBOL).update(enabled=False)
    StoreSettings.objects.create(batch_s=0.2, quotes=False, trades=False)
    config = load_config()
    connections.close_all()
    return structs.replace(config, depth=DepthConfig(instruments=FOLLOWED))


def side(levels: dict[float, float], *, best_first: bool) -> tuple[list[float], list[float]]:
    prices = sorted(levels, reverse=best_first)[:5]
    return prices, [levels[price] for price in prices]


@pytest.mark.django_db(transaction=True)
async def test_the_best_levels_are_those_of_the_events_that_are_stored(
    store: Store, tmp_path: Path, settings: Settings
) -> None:
    settings.STORE_SPILL_DIR = str(tmp_path)
    async with Simulator(exchanges=("binance", "okx"), symbols=2, rate=20.0) as simulator:
        config = await sync_to_async(_set_up)(simulator.url)
        outlet = Outlet(IngestSink, Shard(), 100_000)
        supervisor = Supervisor(CODECS, [outlet], Shard(), timing=TIMING)
        stop = asyncio.Event()
        running = asyncio.create_task(supervisor.run(stop))
        supervisor.apply(config)
        async with asyncio.timeout(START_S):
            while min(counts(store).values(), default=0) < 20 or len(counts(store)) < 2:
                assert not running.done()
                await asyncio.sleep(0.1)
        stop.set()
        await running
    for exchange in counts(store):
        compare(store, exchange)


def counts(store: Store) -> dict[str, int]:
    """Rows of best levels by exchange."""
    found = store.execute(
        "SELECT exchange, count(*) FROM marketdata.orderbook_top5 "
        "JOIN marketdata.symbols ON id = symbol_id GROUP BY 1"
    )
    return dict(found.fetchall())


def compare(store: Store, exchange: str) -> None:
    """Best levels are those of a dictionary with all stored updates of until then."""
    of_exchange = "(SELECT id FROM marketdata.symbols WHERE exchange = %s)"
    updates = store.execute(
        "SELECT received_at, kind, event::text FROM marketdata.depth_events WHERE symbol_id = "
        f"{of_exchange} ORDER BY received_at, last_seq", [exchange],
    ).fetchall()  # fmt: skip
    tops = store.execute(
        "SELECT received_at, bids, bid_sizes, asks, ask_sizes FROM marketdata.orderbook_top5 "
        f"WHERE symbol_id = {of_exchange}", [exchange],
    ).fetchall()  # fmt: skip
    expected, bids, asks = {}, dict[float, float](), dict[float, float]()
    for at, kind, text in updates:
        event = json.loads(text)
        if kind != "delta":
            bids, asks = {}, {}
        for levels, changes in ((bids, event["bids"]), (asks, event["asks"])):
            for price, size in changes:
                levels[price] = size
                if not size:
                    del levels[price]
        expected[at] = (*side(bids, best_first=True), *side(asks, best_first=False))
    for at, *levels in tops:
        assert tuple(levels) == expected[at]

"""Collectors whose clocks differ, on one page: each chart goes by the clock of its own collector."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import expect
from redis import Redis

from core.layer import get_channel_layer
from markets.config import MarketConfig
from markets.selectors import load_config
from realtime.charts.hub import Hub
from realtime.charts.wire import GROUP, Batch, encode_batch, pack
from realtime.shard_view import DRIFT, ShardView
from tests.realtime.test_hub import Page, hub, page, seeded
from tests.realtime.test_store import delta
from tests.support.browser import Complaints, chromium, require_chromium, session_cookies
from tests.support.live import Web, daphne, eventually

__all__ = ["hub", "seeded"]
pytestmark = pytest.mark.django_db(transaction=True)

IN_TIME, OTHER, STILL = "BTC/USDT|binance|bybit", "SOL/USDT|binance|bybit", "ETH/USDT|binance|bybit"


class Collector:
    """A shard that flushes with a clock of its own; `charts` move at every flush."""

    def __init__(self, shard: str, charts: tuple[str, ...], ahead_s: float = 0.0) -> None:
        self.shard, self.charts, self.ahead_s = shard, charts, ahead_s
        self.previous_us = self.now_us() - 1

    def now_us(self) -> int:
        return time.time_ns() // 1000 + int(self.ahead_s * 1e6)

    async def flush(self, *still: str, state: str = "live") -> None:
        """Every chart moves but those that stand `still`, whose last point is 20 s old."""
        now_us = self.now_us()
        moved = [delta((now_us, math.sin(now_us)), id=id, state=state) for id in self.charts]
        said = [*moved, *(delta((now_us - 20_000_000, 0.1), id=id) for id in still)]
        batch = Batch(self.shard, now_us, self.previous_us, [pack(each) for each in said])
        self.previous_us = now_us
        await get_channel_layer().group_send(GROUP, {"type": "spreads.batch", "data": encode_batch(batch)})


def newest(shown: Page, id: str) -> dict[str, Any]:
    """Last message about a chart, with the message's `until`."""
    said = [
        each | {"until": message["until"]}
        for message in shown.messages
        for each in message["charts"]
        if each["id"] == id
    ]
    return said[-1] if said else {}


@asynccontextmanager
async def flushing(*collectors: Collector, still: tuple[str, ...] = ()) -> AsyncIterator[None]:
    async def run() -> None:
        while True:
            for each in collectors:
                await each.flush(*(still if each is collectors[0] else ()))
            await asyncio.sleep(0.2)

    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize("ahead_s", [-60.0, -6.0, 6.0, 90.0, 3600.0, -3600.0])
async def test_a_chart_says_by_how_much_its_collectors_clock_differs(hub: Hub, ahead_s: float) -> None:
    async with page(hub) as shown:
        one, two = Collector("1/2", (IN_TIME,)), Collector("2/2", (OTHER,), ahead_s)
        async with flushing(one, two):
            await eventually(lambda: newest(shown, OTHER).get("timestamps"), "both are said")
            await eventually(lambda: newest(shown, IN_TIME).get("timestamps"), "both are said")
            other, in_time = newest(shown, OTHER), newest(shown, IN_TIME)
    assert (other["ahead"], in_time["ahead"]) == (pytest.approx(ahead_s, abs=1), 0)
    assert abs(other["until"] - time.time()) < 5, "by the server's clock, whichever collector is behind"


async def test_a_clock_that_is_set_under_a_chart_that_stands_still_is_said(hub: Hub) -> None:
    collector = Collector("1/1", ())
    async with page(hub) as shown:
        await collector.flush(STILL)
        await eventually(lambda: newest(shown, STILL), "the chart is said")
        for ahead_s in (120.0, -120.0):
            collector.ahead_s = ahead_s
            await collector.flush()
            is_said = lambda: newest(shown, STILL)["ahead"] == pytest.approx(ahead_s, abs=1)  # noqa: B023, E731
            await eventually(is_said, f"{ahead_s:g} s is said though nothing moves")


async def test_ours_that_is_set_is_said_as_well(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector("1/1", ())
    async with page(hub) as shown:
        await collector.flush(STILL)
        await eventually(lambda: newest(shown, STILL), "the chart is said")
        real, ahead_ns = time.time_ns, int(600e9)
        monkeypatch.setattr(time, "time_ns", lambda: real() + ahead_ns)
        await eventually(
            lambda: newest(shown, STILL)["ahead"] == pytest.approx(-600, abs=1), "it is behind now"
        )


def test_a_batch_that_was_long_on_its_way_is_no_other_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int((now + 5e8) * 1e9))
    shard = ShardView("1/1", now, 0)
    for late_s in (0.1, 4.0, 2.5, 30.0):
        now += 1
        shard.note_batch(int((now + 5e8 - late_s) * 1e6), set_back=False)
        assert shard.ahead_s() == 0
    assert now - shard.until_s() == pytest.approx(3, abs=0.1), "as late as its newest flush"
    now += 5000
    shard.note_batch(int((now + 5e8 - 3) * 1e6), set_back=False)
    assert shard.ahead_s() == -3, "a drift is followed"
    assert DRIFT * 5000 > 3


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture
def chromium_path() -> str:
    return require_chromium()


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis, chromium_path: str) -> Iterator[Web]:
    call_command("seed")
    with daphne() as running:
        yield running


@pytest.mark.browser
@pytest.mark.parametrize("ahead_s", [-60.0, 60.0])
async def test_a_collector_behind_or_ahead_is_no_quiet_market(
    web: Web, operator: User, chromium_path: str, ahead_s: float
) -> None:
    config: MarketConfig = await database_sync_to_async(load_config)()
    assert any(each.symbol == "ETH/USDT" for each in config.opportunities)
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with chromium(chromium_path, viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        other, in_time = Collector("2/2", (OTHER,), ahead_s), Collector("1/2", (IN_TIME,))
        async with flushing(other, in_time, still=(STILL,)):
            await tab.goto(web.url)
            for id, word in ((IN_TIME, "live"), (OTHER, "live"), (STILL, "quiet")):
                card = tab.locator(f'.grid [data-id="{id}"]')
                await expect(card.locator(".state .word")).to_have_text(word, timeout=20_000)
            for id in (IN_TIME, OTHER):
                card = tab.locator(f'.grid [data-id="{id}"]')
                age = await card.locator(".leg1").inner_text()
                assert age.endswith("ms") or age.endswith(" s"), age
                assert "60" not in age
                assert "-" not in age
        assert complaints == []

"""Depth in a real Chromium: the scanner at my size, and the page of a pair, live and in every state."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Browser, Page, expect
from redis import Redis

from markets.config import MarketConfig
from markets.events import Level
from markets.selectors import load_config
from realtime.depth.wire import Key, Ladder
from tests.realtime.depth.ladders import DepthShard, ladder
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.live import Web, daphne
from tests.support.scan.shard import Shard

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

PAIR = "BTC/USDT|bybit|okx"
BYBIT: Key = ("bybit", "BTC/USDT")
OKX: Key = ("okx", "BTC/USDT")
LOST_MS = 20_000
"""A page says within 5 s that nothing comes; a machine with other work needs longer."""


def asks(best: float, size: float = 1.0) -> list[Level]:
    return [(best + n * 0.1, size * (1 + n % 3)) for n in range(50)]


def bids(best: float, size: float = 1.0) -> list[Level]:
    return [(best - n * 0.1, size * (1 + n % 4)) for n in range(50)]


def bybit(best: float = 100.0) -> Ladder:
    return ladder(BYBIT, bids(best), asks(best + 0.01))


def okx(best: float = 103.0, problem: str = "") -> Ladder:
    return ladder(OKX, bids(best, 2.0), asks(best + 0.01), problem)


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    with daphne() as running:
        yield running


@pytest.fixture
def complaints() -> Complaints:
    return Complaints()


@pytest_asyncio.fixture(loop_scope="session")
async def page(
    web: Web, operator: User, chromium_running: Browser, complaints: Complaints
) -> AsyncIterator[Page]:
    """A signed-in tab; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running, viewport={"width": 1440, "height": 900}) as context:
        await context.add_cookies(cookies)
        tab = await context.new_page()
        complaints.watch(tab)
        yield tab
        assert complaints == []


class Speaking:
    """Quotes and ladders of a collector that says something ten times a second."""

    def __init__(self, redis: Redis, config: MarketConfig, *ladders: Ladder) -> None:
        self.quotes, self.depth = Shard(redis, config), DepthShard(redis, *ladders)
        self.quotes.quote("okx", 103.0)
        self.says_depth = True

    async def run(self) -> None:
        while True:
            self.quotes.frame([])
            if self.says_depth:
                self.depth.say()
            await asyncio.sleep(0.1)


@asynccontextmanager
async def speaking(redis: Redis, config: MarketConfig, *ladders: Ladder) -> AsyncIterator[Speaking]:
    found = Speaking(redis, config, *ladders)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()


async def test_the_scanner_has_columns_at_my_size(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config, bybit(), okx()):
        await page.goto(f"{web.url}/accounts/my-size/")
        await page.fill("input[name=size]", "500")
        await page.click("main input[type=submit]")
        await expect(page.locator("main")).to_contain_text("Your size is kept.")
        await page.goto(f"{web.url}/scanner?search=BTC")
        row = page.locator(f'tr[data-id="{PAIR}"]')
        await expect(page.locator("#size-head")).to_have_text("Edge at 500")
        await expect(row.locator("td.at_edge .of")).to_have_text("book")
        await expect(row.locator("td.at_profit")).to_have_text(re.compile(r"^\+\d+\.\d\d USDT$"))
        await expect(row.locator("td.at_zero")).to_have_text(re.compile(r"^[\d,]+ USDT$"))
        top = page.locator('tr[data-id="BTC/USDT|binance|okx"]')
        await expect(top.locator("td.at_edge .of")).to_have_text("≤ 100")
        await expect(top.locator("td.at_edge")).to_have_attribute("title", re.compile("is not followed"))
        await expect(top.locator("td.at_zero")).to_have_text("≥ 100 USDT")

        await page.click("#sized summary")
        await page.fill("[name=min_at_edge]", "0")
        await expect(page.locator("#rows tr")).to_have_count(1)
        await page.fill("[name=size]", "100")
        await expect(page.locator("#size-head")).to_have_text("Edge at 100")
        await expect(page.locator("#rows tr")).not_to_have_count(1)
        await expect(page).to_have_url(re.compile(r"size=100&min_at_edge=0"))
        await page.click("#sized summary")
        await page.click('[data-sort="at_profit"]')
        await expect(page.locator('th[aria-sort="descending"] button')).to_have_text("Profit")
        await row.locator(".open").click()
        await expect(page.locator("#drawer-facts")).to_contain_text("Edge at 100 USDT")
        await page.click("#drawer-depth")
        await expect(page).to_have_url(re.compile(r"/depth\?id=BTC.*size=100"))
        await expect(page.locator("#deals")).to_contain_text("100 USDT")


async def test_a_pair_is_live_and_says_what_a_size_leaves(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config, bybit(), okx()) as said:
        await page.goto(f"{web.url}/depth?id={PAIR}&size=500")
        await expect(page.locator("#legs li")).to_have_count(2)
        await expect(page.locator("#legs li").first).to_contain_text("book known")
        profit = page.locator("#deals tbody tr").nth(5).locator("td").first
        await expect(profit).to_have_text(re.compile(r"^\+\d+\.\d\d USDT$"))
        await expect(page.locator("#way-words")).to_contain_text("on the table: +")
        await expect(page.locator('#asks tr[data-in="size"]').first).to_contain_text("in my size")
        await expect(page.locator("#asks tbody tr")).to_have_count(50)
        before = await profit.inner_text()
        said.depth.say(okx(103.5))
        await expect(profit).not_to_have_text(before)
        await page.fill("#size", "50")
        await expect(page.locator("#deals tbody tr").first.locator("td").first).to_have_text("50.00 USDT")
        await expect(page).to_have_url(re.compile("size=50"))
        await page.locator("#ways label").last.click()
        await expect(page.locator("#way-words")).to_contain_text("nothing is on the table")
        label = await page.locator("#curves").get_attribute("aria-label")
        assert label is not None
        assert "Buy on OKX, sell on Bybit" in label
        await page.locator("#curves").press("ArrowUp")
        await expect(page.locator("#pointed")).to_contain_text("on average")
        await page.set_viewport_size({"width": 390, "height": 844})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_a_book_that_is_not_known_is_unknown_and_never_the_last_one(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config, bybit(), okx()) as said:
        await page.goto(f"{web.url}/depth?id={PAIR}")
        await expect(page.locator("#way-words")).to_contain_text("on the table: +")
        said.depth.say(okx(problem="7 does not follow 5"))
        await expect(page.locator("#notice")).to_contain_text("7 does not follow 5")
        await expect(page.locator("#way-words")).to_contain_text("of a size it is unknown")
        await expect(page.locator("#bids tbody tr")).to_have_count(0)
        await expect(page.locator("#deals td").first).to_have_text("–")
        said.depth.say(okx())
        await expect(page.locator("#notice")).to_be_hidden()
        said.depth.say(gone=[OKX])
        await expect(page.locator("#notice h2")).to_have_text("Only the best levels are known")
        await expect(page.locator("#notice a").first).to_have_attribute("href", re.compile("/admin/markets/"))
        await page.get_by_role("button", name="Follow them").click()
        await expect(page.locator("#toast")).to_contain_text("are followed from now on")
        await expect(page.locator("#bids tbody tr")).to_have_count(1)
        said.depth.say(okx())
        await expect(page.locator("#notice")).to_be_hidden()
        said.says_depth = False
        await expect(page.locator("#notice")).to_contain_text("no data from collector 1/1", timeout=LOST_MS)


async def test_a_page_without_a_server_says_so(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis, complaints: Complaints
) -> None:
    async with speaking(empty_redis, config, bybit(), okx()):
        await page.goto(f"{web.url}/depth?id={PAIR}")
        await expect(page.locator("#way-words")).to_contain_text("on the table: +")
        await page.context.set_offline(True)
        await expect(page.locator("#connection")).to_contain_text("no data for", timeout=LOST_MS)
        await expect(page.locator("#way-words")).to_have_text("no data from the server")
        await page.context.set_offline(False)
        await expect(page.locator("#way-words")).to_contain_text("on the table: +", timeout=LOST_MS)
        complaints.forgive("ERR_INTERNET_DISCONNECTED")


async def test_a_pair_that_is_not_compared_or_not_named_says_what_to_do(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config):
        await page.goto(f"{web.url}/depth")
        await expect(page.locator("main")).to_contain_text("Which pair?")
        await expect(page.locator("#connection")).to_contain_text("connected")
        await page.goto(f"{web.url}/depth?symbol=BTC/USDT&exchange1=binance&exchange2=bybit:swap")
        await expect(page.locator("#notice h2")).to_have_text("This pair is not compared")
        await expect(page.locator("#notice a").first).to_have_attribute("href", re.compile("explain"))

"""The dashboard in a real Chromium, on a real Daphne, fed through the real channel layer."""

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Browser, BrowserContext, Page, expect
from redis import Redis

from arbsite.desk.ports import free_port
from markets.config import MarketConfig
from markets.events import Quote
from markets.models import OpportunityFilter
from markets.selectors import load_config
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.live import Desk, Web, daphne, desk

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

BTC = "BTC/USDT|binance|bybit"


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@dataclass
class Dashboard:
    """A signed-in tab on a seeded desk."""

    web: Web
    context: BrowserContext
    page: Page
    config: MarketConfig
    complaints: Complaints = field(default_factory=Complaints)

    def card(self, chart_id: str = BTC) -> "Card":
        return Card(self.page, chart_id)


@dataclass
class Card:
    """One chart on the page."""

    page: Page
    chart_id: str

    async def says(self, part: str, text: "str | re.Pattern[str]") -> None:
        await expect(self.page.locator(f'.grid [data-id="{self.chart_id}"] {part}')).to_have_text(text)


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    with daphne() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(
    web: Web, config: MarketConfig, operator: User, chromium_running: Browser
) -> AsyncIterator[Dashboard]:
    """The page, opened; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running, viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        shown = Dashboard(web, context, await context.new_page(), config)
        shown.complaints.watch(shown.page)
        yield shown
        assert shown.complaints == []


@asynccontextmanager
async def quoting(config: MarketConfig, spread_pct: float = 0.124) -> AsyncIterator[Desk]:
    """Both legs of BTC on Binance and Bybit quote 20 times a second."""
    async with desk(config) as running:

        async def quote() -> None:
            while True:
                running.quote("bybit", 100.0)
                running.quote("binance", 100.0 * (1 + spread_pct / 100))
                await asyncio.sleep(0.05)

        task = asyncio.create_task(quote())
        try:
            yield running
        finally:
            task.cancel()


async def test_charts_move_and_say_what_they_show(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config):
        await dashboard.page.goto(dashboard.web.url)
        await expect(dashboard.page.locator("#connection")).to_have_text("connected")
        await expect(dashboard.page.locator("#tally")).to_have_text("20 of 20 charts")

        card = dashboard.card()
        await card.says(".state .word", "live")
        await card.says(".value", "+0.124 %")
        await card.says(".edge12 dt", "buy Bybit → sell Binance")
        await card.says(".edge12 .bps", re.compile(r"^-\d+\.\d bps$"))
        await card.says(".edge12 .size", "100 USDT")
        await card.says(".leg2", re.compile(r"^Bybit \d+ ms$"))
        await expect(dashboard.page.locator("#newest")).to_have_text(
            re.compile(r"newest data \d\d:\d\d:\d\d")
        )
        await moves(dashboard.page)


async def moves(page: Page) -> None:
    """The picture of the first chart changes while nobody touches the page."""
    canvas = page.locator(f'[data-id="{BTC}"] canvas')
    before = await canvas.evaluate("node => node.toDataURL()")
    await page.wait_for_function(
        "([id, before]) => document.querySelector(`[data-id='${id}'] canvas`).toDataURL() !== before",
        arg=[BTC, before],
    )


async def test_a_chart_whose_exchange_goes_down_says_so_and_comes_back(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config) as running:
        await dashboard.page.goto(dashboard.web.url)
        card = dashboard.card()
        await card.says(".state .word", "live")

        running.state("bybit", "down", "exchange disabled")
        await card.says(".state .word", "down")
        await card.says(".reason", re.compile("exchange disabled"))

        running.state("bybit", "up", "")
        await card.says(".state .word", "live")
        await card.says(".reason", "")


async def test_a_silent_collector_makes_charts_stale_in_words_and_the_page_says_what_to_do(
    dashboard: Dashboard,
) -> None:
    async with quoting(dashboard.config) as running:
        await dashboard.page.goto(dashboard.web.url)
        await dashboard.card().says(".state .word", "live")
        running.kill()
        await dashboard.card().says(".state .word", "stale")
        await expect(dashboard.page.locator("#notice h2")).to_have_text("No chart is live")
        await expect(dashboard.page.get_by_role("link", name="Open Health")).to_be_visible()


async def test_search_and_sort_narrow_and_order_the_grid(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config):
        page = dashboard.page
        await page.goto(dashboard.web.url)
        await dashboard.card().says(".state .word", "live")
        await page.keyboard.press("/")
        await page.keyboard.type("sol okx")
        await expect(page.locator(".card:visible .symbol")).to_have_text(["SOL/USDT"])
        await expect(page.locator("#tally")).to_have_text("1 of 20 charts")

        await page.fill("#search", "nothing like this")
        await expect(page.locator("#notice h2")).to_have_text("No chart matches “nothing like this”")
        await page.get_by_role("button", name="Clear the search").click()
        await expect(page.locator(".card:visible")).to_have_count(20)

        await page.select_option("#sort", "spread")
        await expect(page.locator(".card").first).to_have_attribute("data-id", BTC)
        await page.select_option("#sort", "symbol")
        await page.reload()
        await expect(page.locator("#sort")).to_have_value("symbol")


async def test_a_chart_passes_when_it_meets_its_filter(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config, spread_pct=0.5):
        await database_sync_to_async(set_threshold)(min_spread_pct="0.4")
        await dashboard.page.goto(dashboard.web.url)
        card = dashboard.page.locator(f'[data-id="{BTC}"]')
        await expect(card.locator(".passes")).to_be_visible()
        await expect(dashboard.page.locator(".passes:visible")).to_have_count(1)


def set_threshold(**values: str) -> None:
    chosen = OpportunityFilter.objects.get(name="Majors")
    for name, value in values.items():
        setattr(chosen, name, value)
    chosen.save()


async def test_the_keyboard_alone_opens_a_chart_large_walks_on_and_closes_it(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config):
        page = dashboard.page
        await page.goto(dashboard.web.url)
        await expect(page.locator(".card")).to_have_count(20)
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.locator(".open").first.focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator(".open").nth(1)).to_be_focused()
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("Enter")

        title = page.locator("#large-title")
        await expect(title).to_have_text("BTC/USDT · Binance / Bybit")
        await expect(page.locator(".large .value")).to_have_text("+0.124 %")
        await page.keyboard.press("ArrowRight")
        await expect(title).not_to_have_text("BTC/USDT · Binance / Bybit")
        await page.keyboard.press("Escape")
        await expect(page.locator(".large")).to_be_hidden()
        await expect(page.locator(".open").nth(1)).to_be_focused()


async def test_cursors_move_together_and_show_the_time_in_utc_too(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config):
        page = dashboard.page
        await page.goto(dashboard.web.url)
        await dashboard.card().says(".state .word", "live")
        await page.locator(f'[data-id="{BTC}"] .u-over').hover()
        hover = page.locator(f'[data-id="{BTC}"] .hover')
        await expect(hover).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))
        await expect(hover).to_have_attribute("title", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$"))
        other = page.locator('[data-id="BTC/USDT|mexc|gate"] .u-cursor-x')
        await expect(other).not_to_have_css("transform", "none")


async def test_the_theme_is_switched_and_remembered_and_nothing_spills_over_the_side(
    dashboard: Dashboard,
) -> None:
    page = dashboard.page
    await page.emulate_media(color_scheme="light")
    await page.goto(dashboard.web.url)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    await page.get_by_role("button", name="Theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate(ground) != light
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")

    await expect(page.locator(".card")).to_have_count(20)
    for width in (375, 768, 1920):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_without_filters_the_page_says_what_to_do_and_follows_when_it_is_done(
    dashboard: Dashboard,
) -> None:
    await database_sync_to_async(enable_filter)(False)
    page = dashboard.page
    await page.clock.install()
    await page.goto(dashboard.web.url)
    await expect(page.locator("#notice h2")).to_have_text("No filter yet")
    await expect(page.get_by_role("link", name="Add a filter")).to_have_attribute(
        "href", "/admin/markets/opportunityfilter/add/"
    )
    await database_sync_to_async(enable_filter)(True)
    await page.clock.fast_forward(20_000)
    await expect(page.locator(".card")).to_have_count(20)


def enable_filter(enabled: bool) -> None:
    chosen = OpportunityFilter.objects.get(name="Majors")
    chosen.enabled = enabled
    chosen.save()


async def test_a_hidden_tab_lets_go_and_catches_up_when_it_is_looked_at(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config):
        page = dashboard.page
        await page.clock.install()
        await page.goto(dashboard.web.url)
        await dashboard.card().says(".state .word", "live")
        await hide(page, True)
        await page.clock.fast_forward(40_000)
        await expect(page.locator("#connection")).to_have_text("paused while hidden")
        await hide(page, False)
        await expect(page.locator("#connection")).to_have_text("connected")
        await moves(page)
        await dashboard.card().says(".state .word", "live")


async def hide(page: Page, hidden: bool) -> None:
    """Do as a browser when another tab is brought to the front, or this one again."""
    await page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def test_signed_out_elsewhere_the_page_offers_the_way_back(dashboard: Dashboard) -> None:
    page = dashboard.page
    await page.goto(dashboard.web.url)
    await expect(page.locator(".card")).to_have_count(20)
    await dashboard.context.clear_cookies()
    await page.get_by_role("combobox", name="Filter").dispatch_event("change")
    await expect(page.locator("#connection")).to_have_text("signed out")
    await expect(page.get_by_role("link", name="Sign in")).to_have_attribute(
        "href", "/accounts/login/?next=%2F"
    )
    dashboard.complaints.forgive("401")


async def test_a_web_process_that_restarts_is_found_again(
    config: MarketConfig, operator: User, chromium_running: Browser
) -> None:
    cookies = database_sync_to_async(session_cookies)
    port = free_port()
    async with profile(chromium_running) as context, quoting(config):
        page = await context.new_page()
        with daphne(port) as web:
            await context.add_cookies(await cookies(operator, web.url))
            await page.goto(web.url)
            await Card(page, BTC).says(".state .word", "live")
        await expect(page.locator("#connection")).to_have_text(re.compile("reconnecting in \\d+ s"))
        await expect(page.locator("body")).to_have_attribute("data-connection", "lost")
        with daphne(port):
            await expect(page.locator("#connection")).to_have_text("connected")
            await Card(page, BTC).says(".state .word", "live")


async def test_a_full_quarter_of_an_hour_of_every_chart_is_there_at_once(dashboard: Dashboard) -> None:
    async with desk(dashboard.config) as running:
        await past(running, dashboard.config, seconds=900)
        await dashboard.page.goto(dashboard.web.url)
        await dashboard.card().says(".value", re.compile(r"%$"))
        await expect(dashboard.page.locator(".grid .value", has_text="–")).to_have_count(0)
        ticks = await dashboard.page.locator(f'[data-id="{BTC}"] canvas').evaluate("node => node.width")
        assert ticks > 0


async def past(running: Desk, config: MarketConfig, seconds: int) -> None:
    """Every chart had both its quotes in each second until now: what is kept of the past is full."""
    now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
    for ago in range(seconds, 0, -1):
        for place, o in enumerate(config.opportunities):
            for exchange in (o.exchange1, o.exchange2):
                bid = 100.0 + math.sin(ago / 25 + place) + (exchange == o.exchange1) * math.cos(ago / 5) / 100
                stamps = (now_us - ago * 1_000_000, now_ns - ago * 1_000_000_000)
                running.channel.put(Quote(exchange, o.symbol, bid, 1.0, bid * 1.0001, 2.0, None, *stamps))
        if ago % 10 == 0:
            await asyncio.sleep(0.01)
    for o in config.opportunities:  # on a busy machine that took so long that the newest are old by now
        for exchange in (o.exchange1, o.exchange2):
            running.quote(exchange, 100.0, o.symbol)


async def test_the_admin_works_under_the_policy(dashboard: Dashboard) -> None:
    page = dashboard.page
    chosen = await OpportunityFilter.objects.aget(name="Majors")
    for path in ("", "markets/exchange/", f"markets/opportunityfilter/{chosen.pk}/change/", "auth/user/add/"):
        await page.goto(f"{dashboard.web.url}/admin/{path}")
        await expect(page.locator("#site-name")).to_have_text("Arbdesk admin")


async def test_a_silent_leg_ages_alone_and_alone_is_named(dashboard: Dashboard) -> None:
    async with desk(dashboard.config, tolerance_ms=1000) as running:

        async def quote() -> None:
            while True:
                running.quote("binance", 100.1)
                await asyncio.sleep(0.1)

        running.quote("bybit", 100.0)
        task = asyncio.create_task(quote())
        try:
            await dashboard.page.goto(dashboard.web.url)
            card = dashboard.card()
            await card.says(".state .word", "stale")
            await card.says(".reason", "Bybit quote is older than the tolerance of 1 s")
            await card.says(".leg2", re.compile(r"^Bybit ([4-9]|\d\d)\.\d s$"))
            await card.says(".leg1", re.compile(r"^Binance (\d+ ms|1\.\d s)$"))
            await dashboard.page.reload()  # out of the store
            await card.says(".leg1", re.compile(r"^Binance (\d+ ms|1\.\d s)$"))
            await card.says(".leg2", re.compile(r"^Bybit \d+\.\d s$"))
        finally:
            task.cancel()


async def test_a_past_day_is_never_live_nor_has_it_the_figures_of_today(dashboard: Dashboard) -> None:
    async with quoting(dashboard.config, spread_pct=0.5):
        page = dashboard.page
        await page.goto(dashboard.web.url)
        card = dashboard.card()
        await card.says(".value", "+0.500 %")
        await page.goto(f"{dashboard.web.url}/?range=2020-02-03")
        await card.says(".state .word", "past")
        await card.says(".value", "–")
        await card.says(".edge12 .bps", "–")
        await card.says(".leg1", "Binance –")
        await expect(page.locator(".card .word", has_text=re.compile("live|quiet"))).to_have_count(0)
        await expect(page.locator(".passes:visible")).to_have_count(0)
        await page.goto(f"{dashboard.web.url}/?range=15m")
        await card.says(".state .word", "live")

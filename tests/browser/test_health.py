"""The health page in a real Chromium: filled live, worst first, and a symbol's last hour."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Browser, Page, expect
from redis import Redis

from core.health.findings import Finding
from monitoring.pages.series import NAMES
from monitoring.quality.wire import DOWN, LIVE, STALE
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.health_data import Reports
from tests.support.live import Web, daphne
from tests.support.observed import symbols

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

SILENT = Finding(
    "symbol_silent", "C1/USDT on okx", "warning", 0, "C1/USDT on okx is silent.", "Is it halted?"
)


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed")
    with daphne() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(web: Web, operator: User, chromium_running: Browser) -> AsyncIterator[Page]:
    """A signed-in tab; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running, viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert complaints == []


async def test_what_is_unhealthy_is_seen_first_and_clears_by_itself(
    page: Page, web: Web, empty_redis: Redis
) -> None:
    reports = Reports(empty_redis, symbols(LIVE, STALE, LIVE, DOWN))
    reports.publish(SILENT)
    empty_redis.rpush("series:10s:process|web|rss_mb", _point(100.0))
    empty_redis.zadd(NAMES, {"process|web|rss_mb": int(time.time())})
    await page.goto(f"{web.url}/health/")

    finding = page.locator("#findings li")
    await expect(finding).to_contain_text("warning C1/USDT on okx is silent.")
    await expect(finding).to_contain_text("for 1 min 3")
    await expect(finding).to_contain_text("Is it halted?")
    await expect(page.locator("#health-link")).to_contain_text("C1/USDT on okx is silent.")
    await expect(page.locator("#exchanges tr")).to_contain_text("OKX")
    await expect(page.locator("#rows .name")).to_have_text(["C3/USDT", "C1/USDT", "C0/USDT", "C2/USDT"])
    await expect(page.locator("#rows tr").first.locator(".state")).to_contain_text("down")

    await page.select_option("select[name=state]", "ill")
    await expect(page.locator("#rows .name")).to_have_text(["C3/USDT", "C1/USDT"])
    assert page.url.endswith("?state=ill")

    await page.locator("#rows .open").first.press("Enter")
    await expect(page.locator("#drawer-words")).to_have_text("data for 1 minute")
    await page.keyboard.press("Escape")
    await expect(page.locator("#drawer")).to_be_hidden()

    await page.locator("#graphs-section").scroll_into_view_if_needed()
    await expect(page.locator("#graphs figure").first).to_contain_text("web100 MB")

    reports.rows["state"] = LIVE
    reports.publish()
    await expect(page.locator("#findings li")).to_have_count(0)
    await expect(page.locator("#rows tr")).to_have_count(0)
    await expect(page.locator("#tally")).to_contain_text("4 live")

    without = await page.context.new_page()  # whose proxy lets no WebSocket through
    await without.route_web_socket("**/ws/health", lambda socket: asyncio.ensure_future(socket.close()))
    await without.clock.install()
    await without.goto(f"{web.url}/health/")
    await without.clock.run_for(31_000)
    await expect(without.locator("#tally")).to_contain_text("4 live")


async def test_the_page_of_a_table_stands_in_the_address_and_comes_back(
    page: Page, web: Web, empty_redis: Redis
) -> None:
    """One module does it for the scanner, opportunities and symbols."""
    Reports(empty_redis, symbols(*[LIVE] * 30)).publish()
    await page.goto(f"{web.url}/health/?sort=symbol&descending=false&state=toString")
    place, names = page.locator("#place"), page.locator("#rows .open")
    await expect(place).to_have_text("1–25 of 30")
    assert await page.input_value("select[name=state]") == "", "what is no state asks for none"

    await names.first.press("ArrowRight")
    await expect(place).to_have_text("26–30 of 30")
    assert page.url.endswith("?sort=symbol&descending=false&offset=25")
    await page.reload()
    await expect(place).to_have_text("26–30 of 30")
    await expect(page.locator("#next")).to_be_disabled()
    await names.first.press("End")
    await expect(names.last).to_be_focused()

    await page.fill("#search", "C29")
    await expect(place).to_have_text("1–1 of 1")
    assert page.url.endswith("?sort=symbol&descending=false&search=C29"), "other rows: the first of them"


def _point(value: float) -> bytes:
    return struct.pack("<If", int(time.time()) - 10, value)

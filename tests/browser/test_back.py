"""A page that is left and comes back as it was, out of the browser's cache: it claims nothing of then."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Page, Route, expect
from redis import Redis

from markets.config import MarketConfig
from markets.selectors import load_config
from tests.browser.test_dashboard import quoting
from tests.browser.test_frozen import settled, something_green
from tests.browser.test_scanner import speaking
from tests.support.browser import NAMES, chromium, require_chromium, session_cookies
from tests.support.desk.frozen_link import Link, link
from tests.support.live import Web, daphne, eventually

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SOON_MS = 20_000

# What the page shows at the first moment of its return, before any listener of its own was called.
WATCH = """
    addEventListener("pageshow", ({ persisted }) => {
        if (persisted) window.returned = document.body.dataset.connection;
    });
"""


def whole_chromium() -> str | None:
    """The headless shell keeps no pages."""
    found = [os.environ.get("CHROME_BIN", ""), *map(shutil.which, NAMES)]
    return next((program for program in found if program and "headless-shell" not in program), None)


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    require_chromium()
    with daphne() as running:
        yield running


@pytest.fixture
async def wire(web: Web) -> AsyncIterator[Link]:
    async with link(web.port) as made:
        made.lets_keep = True
        yield made


@pytest.fixture
async def page(wire: Link, operator: User) -> AsyncIterator[Page]:
    cookies = await database_sync_to_async(session_cookies)(operator, wire.url)
    program = require_chromium()
    options = {"viewport": {"width": 1280, "height": 800}}
    async with chromium(whole_chromium() or program, keeps_pages=True, **options) as context:
        await context.add_cookies(cookies)
        await context.add_init_script(WATCH)
        yield await context.new_page()


AWAY_MS = 7_000  # well beyond the 5 s that a page may show what was so
PAGES = ("/", "/scanner", "/health/", "/opportunities")
SHOWS = {
    "/": ".card .state .word",
    "/scanner": "#rows tr",
    "/health/": "#exchanges",
    "/opportunities": "#tally",
}


@asynccontextmanager
async def market(config: MarketConfig, redis: Redis) -> AsyncIterator[None]:
    async with quoting(config, spread_pct=0.5), speaking(redis, config):
        yield


async def shown(page: Page, wire: Link, path: str) -> None:
    await page.goto(wire.url + path)
    await expect(page.locator("#connection")).to_have_text("connected", timeout=SOON_MS)
    await expect(page.locator(SHOWS[path]).first).to_be_attached(timeout=SOON_MS)
    await something_green(page)


@pytest.mark.parametrize("path", PAGES)
async def test_it_claims_nothing_when_the_browser_shows_it_again_as_it_was(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis, path: str
) -> None:
    if whole_chromium() is None:
        pytest.skip(
            "this needs a whole Chromium (apt-get install chromium): the headless shell keeps no pages"
        )
    async with market(config, empty_redis):
        await shown(page, wire, path)
        await page.goto("about:blank")
        wire.freeze()
        await page.wait_for_timeout(AWAY_MS)
        await page.evaluate(
            "setTimeout(() => history.back(), 50)"
        )  # playwright waits for a load that never is
        await page.wait_for_url(f"**{path}", wait_until="commit")
        await page.wait_for_function("window.returned")
        assert await page.evaluate("returned") == "lost"
        assert await settled(page) == []
        wire.thaw()
        await expect(page.locator("#connection")).to_have_text("connected", timeout=2 * SOON_MS)


@pytest.mark.parametrize("path", PAGES)
async def test_it_claims_nothing_from_when_it_is_left(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis, path: str
) -> None:
    """A page is left and comes back by the events of any browser, whether or not this one keeps pages."""
    async with market(config, empty_redis):
        await shown(page, wire, path)
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        assert await page.evaluate("document.body.dataset.connection") == "lost"
        wire.freeze()
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        if path != "/opportunities":  # which goes by when it received something: less than 5 s ago
            assert await page.evaluate("document.body.dataset.connection") == "lost"
        await page.wait_for_timeout(AWAY_MS)
        assert await page.evaluate("document.body.dataset.connection") == "lost"
        assert await settled(page) == []
        wire.thaw()
        await expect(page.locator("#connection")).to_have_text("connected", timeout=2 * SOON_MS)


async def test_an_answer_of_before_the_page_was_left_is_no_sign_of_life(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis
) -> None:
    """A kept page gets it when it is shown again, however long that takes."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    async with market(config, empty_redis):
        await shown(page, wire, "/opportunities")
        await page.route("**/api/**", hold)
        await eventually(lambda: held, "a question")
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
        await expect(page.locator("#connection")).not_to_have_text("connected", timeout=SOON_MS)
        await held[0].fulfill(json={"status": "ok", "worst": ""})
        await page.wait_for_timeout(1_500)  # three times the pace at which the page looks at its link
        assert await page.evaluate("document.body.dataset.connection") == "lost"
        await page.unroute("**/api/**")
        await expect(page.locator("#connection")).to_have_text("connected", timeout=2 * SOON_MS)

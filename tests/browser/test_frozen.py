"""A browser whose link dies without a word: every page says so within 5 s, claims nothing, and comes back."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Browser, Page, expect
from redis import Redis

from markets.config import MarketConfig
from markets.selectors import load_config
from monitoring.quality.wire import LIVE, STALE
from opportunities.services import save_episodes
from tests.browser.test_dashboard import BTC, Card, quoting
from tests.browser.test_scanner import DEAREST, speaking
from tests.opportunities.test_episodes import episode
from tests.support.browser import profile, session_cookies
from tests.support.desk.frozen_link import Link, link
from tests.support.health_data import Reports
from tests.support.live import Web, daphne, eventually, promised
from tests.support.observed import symbols

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

NO_DATA = re.compile(r"^no data for \d+ s")
COUNTING = re.compile(r"^no data for (\d+) s")

GREEN = """() => {
    const green = (colour) => {
        const [r, g, b, a = 1] = (colour.match(/[\\d.]+/g) ?? []).map(Number);
        return a > 0 && g > r + 20 && g > b + 20;
    };
    const found = [];
    for (const node of document.querySelectorAll("body *")) {
        if (!node.checkVisibility()) continue;
        for (const part of [null, "::before", "::after"]) {
            const style = getComputedStyle(node, part);
            if (part && style.content === "none") continue;
            const edge = parseFloat(style.borderLeftWidth) > 0 ? style.borderLeftColor : "";
            const colours = [style.color, style.backgroundColor, edge];
            if (colours.some(green)) found.push(`${node.tagName}.${node.className}${part ?? ""}`);
        }
    }
    return found;
}"""


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    with daphne() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def wire(web: Web) -> AsyncIterator[Link]:
    async with link(web.port) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def page(wire: Link, operator: User, chromium_running: Browser) -> AsyncIterator[Page]:
    """A signed-in tab behind the link. What it complains about on the console is what a dead link costs."""
    cookies = await database_sync_to_async(session_cookies)(operator, wire.url)
    async with profile(chromium_running, viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        yield await context.new_page()


async def words(page: Page, text: "str | re.Pattern[str]", seconds: float = 15) -> None:
    """The header says this within so many seconds."""
    await expect(page.locator("#connection")).to_have_text(text, timeout=promised(seconds) * 1000)


async def says_that_nothing_comes(page: Page, wire: Link) -> None:
    """From a good link to a dead one: said in time, counting up, nothing green, no word on health."""
    await something_green(page)
    before = wire.accepted
    wire.freeze()
    await words(page, NO_DATA, seconds=7)
    await expect(page.locator("body")).to_have_attribute("data-connection", "lost")
    assert await settled(page) == []
    await expect(page.locator("#health-link")).to_have_attribute("data-tone", "unknown")
    first = int(COUNTING.findall(await page.inner_text("#connection"))[0])
    await expect(page.locator("#connection")).to_have_text(re.compile(f"^no data for {first + 2} s"))
    await eventually(lambda: wire.accepted > before, "it tries to connect again", seconds=30)


async def something_green(page: Page) -> None:
    """Wait until colours have faded in: while the link lives the test can see something green."""
    await page.wait_for_function(f"({GREEN})().length > 0", timeout=5000)


async def settled(page: Page) -> list[str]:
    """Green elements once colours have faded."""
    await page.wait_for_timeout(400)
    found: list[str] = await page.evaluate(GREEN)
    return found


async def test_the_dashboard_claims_nothing_over_a_dead_link_and_comes_back(
    page: Page, wire: Link, config: MarketConfig
) -> None:
    async with quoting(config, spread_pct=0.5):
        await page.goto(wire.url)
        card = Card(page, BTC)
        await card.says(".state .word", "live")
        await says_that_nothing_comes(page, wire)

        await card.says(".state .word", "unknown")
        await card.says(".reason", "no data from the server")
        assert not await page.locator(".card .word", has_text=re.compile("live|quiet")).count()
        assert not await page.locator(".gain, .passes:visible").count()
        leg = page.locator(f'.grid [data-id="{BTC}"] .leg1')
        age = await leg.inner_text()
        await expect(leg).not_to_have_text(age)  # grey, and growing
        await page.locator(".open").first.click()
        await expect(page.locator("#large .state .word")).to_have_text("unknown")

        wire.thaw()
        await words(page, "connected", seconds=25)
        await card.says(".state .word", "live")


LISTEN = """() => {
    window.said = new Set();
    const note = () => document.querySelectorAll(".card .word").forEach((node) => said.add(node.textContent));
    const every = { subtree: true, childList: true, characterData: true };
    new MutationObserver(note).observe(document.body, every);
}"""


async def test_a_dead_link_never_reads_as_a_quiet_market(
    page: Page, wire: Link, config: MarketConfig
) -> None:
    """The link's silence is as long as that of a market where nothing moves, and means something else."""
    async with quoting(config):
        await page.goto(wire.url)
        await Card(page, BTC).says(".state .word", "live")
        await page.evaluate(LISTEN)
        wire.freeze()
        await words(page, NO_DATA, seconds=7)
        await Card(page, BTC).says(".state .word", "unknown")
        assert "quiet" not in await page.evaluate("[...said]")


@pytest.mark.parametrize("path", ["/", "/scanner"])
async def test_what_comes_too_late_over_a_slow_link_is_not_shown_as_live(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis, path: str
) -> None:
    """Messages come every 3 s and are 3 s old: what they say is up to 6 s old when the next one comes."""
    async with quoting(config), speaking(empty_redis, config):
        await page.goto(wire.url + path)
        await words(page, "connected")
        await expect(page.locator(".state .word", has_text="live").first).to_be_visible()
        wire.slow_s = 3.0
        await words(page, NO_DATA, seconds=10)
        believed = page.locator(".state .word", has_text=re.compile("live|quiet"))
        await expect(believed).to_have_count(0, timeout=1000)
        assert await settled(page) == []
        await page.wait_for_timeout(7000)
        assert await settled(page) == [], "two messages came meanwhile, both too old"
        wire.slow_s = 0.0
        await words(page, "connected", seconds=10)


async def test_the_scanner_claims_nothing_over_a_dead_link_and_comes_back(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config):
        await page.goto(f"{wire.url}/scanner")
        row = page.locator(f'tr[data-id="{DEAREST}"]')
        await expect(row.locator("td.gates")).to_have_text(re.compile("^✓"))
        await expect(row.locator("td.state .word")).to_have_text("live")
        await row.locator(".open").click()
        await expect(page.locator("#drawer-facts")).to_contain_text("live")
        await says_that_nothing_comes(page, wire)

        await expect(row.locator("td.state .word")).to_have_text("unknown")
        await expect(row.locator("td.gates")).to_have_text(re.compile(r"^\?"))
        assert not await page.locator("td.state .word", has_text=re.compile("live|quiet")).count()
        await expect(page.locator("#drawer-facts")).not_to_contain_text("live")
        await expect(page.locator("#drawer-body")).to_contain_text("The server does not respond.")

        wire.thaw()
        await words(page, "connected", seconds=25)
        await expect(row.locator("td.state .word")).to_have_text(re.compile("live|quiet"))


async def test_the_health_page_claims_nothing_over_a_dead_link_and_comes_back(
    page: Page, wire: Link, empty_redis: Redis
) -> None:
    reports = Reports(empty_redis, symbols(LIVE, STALE, LIVE))

    async def report() -> None:
        while True:
            await asyncio.to_thread(reports.publish)
            await asyncio.sleep(1)

    task = asyncio.create_task(report())
    try:
        await page.goto(f"{wire.url}/health/")
        await expect(page.locator("#rows .word", has_text="live")).to_have_count(2)
        overall = page.locator("#overall .word")
        said = await overall.inner_text()
        await says_that_nothing_comes(page, wire)

        await expect(overall).to_have_text("unknown")
        states = page.locator("#exchanges .word, #processes .word, #rows .word")
        assert set(await states.all_inner_texts()) == {"unknown"}
        await expect(page.locator("#tally")).not_to_contain_text("live")
        await expect(page.locator("#exchanges .counts")).to_have_text("–")

        wire.thaw()
        await words(page, "connected", seconds=25)
        await expect(overall).to_have_text(said)
        await expect(page.locator("#rows .word", has_text="live")).to_have_count(2)
    finally:
        task.cancel()


@pytest.mark.parametrize(
    "path", ["/opportunities", "/opportunities/statistics", f"/opportunities/explain?id={BTC}"]
)
async def test_a_page_without_a_socket_says_so_too(page: Page, wire: Link, path: str) -> None:
    await page.goto(wire.url + path)
    await words(page, "connected")
    await says_that_nothing_comes(page, wire)
    wire.thaw()
    await words(page, "connected", seconds=25)


@pytest.mark.parametrize("width", [1280, 390])
async def test_how_long_what_was_open_has_lasted_is_unknown_and_fits(
    page: Page, wire: Link, config: MarketConfig, width: int
) -> None:
    """It was "unknown" and half a number: "? unknown 78…"."""
    await page.set_viewport_size({"width": width, "height": 800})
    started_us = time.time_ns() // 1000 - 78_456_000
    await database_sync_to_async(save_episodes)([episode(1, started_us=started_us)])
    await page.goto(f"{wire.url}/opportunities?period=all")
    cell = page.locator('#rows tr[data-standing="open"] td.lasted')
    await expect(cell).to_contain_text("1 min")
    wire.freeze()
    unknown = page.locator('#rows tr[data-standing="unknown"] td.lasted')
    await expect(unknown).to_be_visible(timeout=promised(7) * 1000)
    assert re.fullmatch(r"\s*unknown\s*", await unknown.inner_text())
    assert await unknown.evaluate("(node) => node.scrollWidth <= node.clientWidth")


async def test_an_explanation_says_of_no_side_what_it_does_over_a_dead_link(
    page: Page, wire: Link, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config):
        await page.goto(f"{wire.url}/opportunities/explain?id={DEAREST}")
        main = page.locator("main")
        await expect(main).to_contain_text("is live: ")
        wire.freeze()
        await words(page, NO_DATA, seconds=7)
        await expect(main).not_to_contain_text(re.compile(r"\blive\b|\bquiet\b"))
        assert set(await page.locator(".legs-now .age").all_inner_texts()) == {"–"}
        wire.thaw()
        await words(page, "connected", seconds=25)
        await expect(main).to_contain_text("is live: ")


async def test_a_connection_that_is_accepted_and_never_answered_is_given_up(
    page: Page, wire: Link, config: MarketConfig
) -> None:
    async with quoting(config):
        await page.goto(wire.url)
        await words(page, "connected")
        wire.freeze()
        await words(page, NO_DATA, seconds=7)
        tries = wire.accepted
        await words(page, re.compile(r"reconnecting in \d+ s$"), seconds=10)
        wire.thaw()
        await words(page, "connected", seconds=25)
        assert wire.accepted > tries


@pytest.mark.parametrize("news", ["online", "pageshow"])
async def test_when_the_network_is_back_nobody_waits_for_the_pause_to_end(
    page: Page, wire: Link, config: MarketConfig, news: str
) -> None:
    async with quoting(config):
        await page.goto(wire.url)
        await words(page, "connected")
        wire.freeze()
        await words(page, re.compile(r"reconnecting in \d+ s$"), seconds=20)
        wire.thaw()
        await page.evaluate(f"dispatchEvent(new Event('{news}'))")
        await words(page, "connected", seconds=2)


async def test_a_machine_that_slept_reconnects_at_once(page: Page, wire: Link, config: MarketConfig) -> None:
    """The machine's monotonic clock stood still: only the wall clock shows it."""
    async with quoting(config):
        await page.goto(wire.url)
        await words(page, "connected")
        opened = wire.accepted
        await page.evaluate("const at = Date.now; Date.now = () => at() + 600_000")
        await eventually(lambda: wire.accepted > opened, "another connection", seconds=promised(2))
        await words(page, "connected")

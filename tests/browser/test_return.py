"""Acts of somebody at the desk while it breaks: odd links, quick hands, a keyboard, a log-in that ended."""

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from playwright.async_api import Browser, Page, WebSocketRoute, expect
from redis import Redis

from markets.config import MarketConfig
from markets.selectors import load_config
from tests.browser.test_dashboard import BTC, Card, quoting
from tests.browser.test_frozen import GREEN
from tests.browser.test_scanner import speaking
from tests.support.browser import profile, session_cookies
from tests.support.live import Web, daphne

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

SOON_MS = 20_000
STANDS = """() => {
    const row = document.activeElement.closest("#rows tr");
    return row ? [row.dataset.id, [...row.parentNode.children].indexOf(row)] : null;
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
async def errors() -> list[str]:
    """Errors that no handler of the page's caught."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def page(web: Web, operator: User, errors: list[str], chromium_running: Browser) -> AsyncIterator[Page]:
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running, viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        tab = await context.new_page()
        tab.on("pageerror", lambda error: errors.append(str(error)))
        yield tab
        assert errors == []


async def sign_out_elsewhere() -> None:
    await Session.objects.all().adelete()


# --- links nobody would write --------------------------------------------------------------


async def test_an_odd_link_to_the_scanner_is_read_as_far_as_it_makes_sense(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    """The server refuses such a number: the page connected, was closed, and began again for ever."""
    queries = (
        "offset=-5", "offset=1.5", "offset=1e300", "offset=NaN", "offset=9007199254740993", "filter=1.5",
        "filter=-0.5", "filter=1e300", "filter=Infinity", "min_edge=1e999&offset=-1&filter=0.1",
    )  # fmt: skip
    async with speaking(empty_redis, config):
        for query in queries:
            await page.goto(f"{web.url}/scanner?{query}")
            await expect(page.locator("#connection")).to_have_text("connected", timeout=SOON_MS)
            await expect(page.locator("#rows tr").first).to_be_visible(timeout=SOON_MS)


async def test_an_odd_link_to_the_dashboard_breaks_nothing(
    page: Page, web: Web, config: MarketConfig, errors: list[str]
) -> None:
    queries = (
        "span=1e99&to=1e99", "span=60&to=-1e99", "span=1e-9", "span=Infinity&to=1", "span=60&to=8.64e15",
        "range=constructor", "range=toString", "range=9999-12-31", "range=2026-02-31&span=x",
    )  # fmt: skip
    async with quoting(config):
        for query in queries:
            await page.goto(f"{web.url}/?{query}&chart={quote(BTC)}")
            await expect(page.locator("#large-window")).not_to_be_empty(timeout=SOON_MS)
            state = page.locator("#large .state .word")
            await expect(state).to_have_text(re.compile("^(live|past)$"), timeout=SOON_MS)
            assert errors == [], query


async def test_a_day_that_has_not_begun_is_no_day_to_show(page: Page, web: Web, config: MarketConfig) -> None:
    """Today's headline stood under the date of Christmas."""
    async with quoting(config):
        await page.goto(f"{web.url}/?range=9999-12-31")
        await Card(page, BTC).says(".state .word", "live")
        await expect(page.locator("#tools input[type=date]")).to_have_value("")
        assert "9999" not in page.url


# --- quick hands ---------------------------------------------------------------------------


@pytest.mark.parametrize("then", ['[data-sort="symbol"]', "#next"])
async def test_what_was_typed_a_moment_ago_is_not_lost_by_the_next_click(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis, then: str
) -> None:
    async with speaking(empty_redis, config):
        await page.goto(f"{web.url}/scanner")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 560 match")
        await page.evaluate(
            """(then) => {
                const search = document.getElementById("search");
                search.focus();
                search.value = "btc";
                search.dispatchEvent(new Event("input", { bubbles: true }));
                search.blur();
                document.querySelector(then).click();
            }""",
            then,
        )
        await expect(page.locator("#tally")).to_have_text("560 pairs, 28 match")
        await expect(page.locator("#search")).to_have_value("btc")
        await expect(page.locator("#place")).to_have_text("1–28 of 28")


async def test_the_keyboard_stays_in_the_table_when_the_page_is_turned_or_rows_move(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config) as shard:
        await page.goto(f"{web.url}/scanner")
        await expect(page.locator("#place")).to_have_text("1–50 of 560")
        await page.locator("#rows .open").nth(3).focus()
        for key, place in [("ArrowRight", "51–100 of 560"), ("ArrowRight", "101–150 of 560"),
                           ("ArrowLeft", "51–100 of 560"), ("ArrowLeft", "1–50 of 560")]:  # fmt: skip
            await page.keyboard.press(key)
            await expect(page.locator("#place")).to_have_text(place)
            assert (await page.evaluate(STANDS))[1] == 3

        await page.goto(f"{web.url}/scanner?search=btc")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 28 match")
        await page.locator("#rows .open").first.focus()
        stood, _ = await page.evaluate(STANDS)
        shard.quote("mexc", 150.0)
        await expect(page.locator("#rows tr").first).to_contain_text("MEXC")
        assert (await page.evaluate(STANDS))[0] == stood, "it moved down, and the keyboard with it"


# --- a log-in that ended -------------------------------------------------------------------


async def test_a_large_chart_says_that_you_are_signed_out_where_it_covers_the_notice(
    page: Page, web: Web, config: MarketConfig
) -> None:
    async with quoting(config):
        await page.goto(web.url)
        await Card(page, BTC).says(".state .word", "live")
        await page.locator(f'.grid [data-id="{BTC}"] .open').click()
        await expect(page.locator("#large .state .word")).to_have_text("live")
        await sign_out_elsewhere()
        await expect(page.locator("#connection")).to_have_text("signed out", timeout=SOON_MS)
        await expect(page.locator("#large .state .word")).to_have_text("unknown")
        await expect(page.locator("#large .reason")).to_have_text("signed out: sign in again")
        assert await page.evaluate(GREEN) == []


async def test_every_page_offers_the_way_back_in_and_tries_no_more(
    page: Page, web: Web, config: MarketConfig
) -> None:
    """One log-in ends under all of them at once."""
    paths = ("/", "/scanner", "/health/", "/opportunities", "/opportunities/statistics")
    tabs = {path: await page.context.new_page() for path in paths}
    for path, tab in tabs.items():
        await tab.goto(web.url + path)
        await expect(tab.locator("#connection")).to_have_text("connected", timeout=SOON_MS)
    await sign_out_elsewhere()
    sockets: list[str] = []
    for path, tab in tabs.items():
        await expect(tab.locator("#connection")).to_have_text("signed out", timeout=SOON_MS)
        tab.on("websocket", lambda socket: sockets.append(socket.url))
        await expect(tab.locator("#notice a", has_text="Sign in")).to_have_attribute(
            "href", f"/accounts/login/?next={quote(path, safe='')}"
        )
    await page.wait_for_timeout(3000)
    assert sockets == []


async def test_a_pair_explained_leads_to_the_sign_in_and_back(page: Page, web: Web) -> None:
    await page.goto(f"{web.url}/opportunities/explain?id={quote(BTC)}")
    await expect(page.locator("#connection")).to_have_text("connected", timeout=SOON_MS)
    await sign_out_elsewhere()
    await expect(page).to_have_url(
        re.compile(r"/accounts/login/\?next=/opportunities/explain"), timeout=SOON_MS
    )


# --- a socket that says nothing, or no -----------------------------------------------------


async def test_what_the_server_says_when_it_closes_a_socket_is_shown(page: Page, web: Web) -> None:
    async def refuse(socket: WebSocketRoute) -> None:
        await socket.close(code=4400, reason="`offset` has to be a number")

    await page.route_web_socket("**/ws/scanner", refuse)
    await page.goto(f"{web.url}/scanner")
    words = "The server says: `offset` has to be a number."
    await expect(page.locator("#notice")).to_contain_text(words, timeout=SOON_MS)


async def test_a_socket_that_opens_and_never_says_anything_is_explained(page: Page, web: Web) -> None:
    await page.route_web_socket("**/ws/scanner", lambda socket: None)
    await page.clock.install()
    await page.goto(f"{web.url}/scanner")
    for _ in range(120):  # seconds, until three tries were in vain
        await page.clock.run_for(1000)
        await page.wait_for_timeout(100)  # requests take their own time
        if await page.locator("#notice h2").is_visible():
            break
    await expect(page.locator("#notice h2")).to_have_text("The live connection was refused")
    await expect(page.locator("#notice")).to_contain_text("passes WebSockets")


async def test_a_server_that_answers_again_is_not_said_to_be_silent(page: Page, web: Web) -> None:
    """The page's socket waits for its next try; a request that is answered says as much."""
    await page.route_web_socket("**/ws/health", lambda socket: socket.close())
    await page.route("**/api/**", lambda route: route.abort())
    await page.goto(f"{web.url}/health/")
    await expect(page.locator("#notice h2")).to_have_text("The server does not respond", timeout=30_000)
    await page.unroute("**/api/**")
    await expect(page.locator("body")).to_have_attribute("data-connection", "good", timeout=15_000)
    await expect(page.locator("#notice")).not_to_contain_text("does not respond", timeout=2000)


# --- what cards say ------------------------------------------------------------------------


async def test_all_cards_change_with_the_header(page: Page, web: Web, config: MarketConfig) -> None:
    """Cards out of sight said "live" for a second longer than the header said that nothing comes."""
    async with quoting(config):
        await page.goto(web.url)
        await Card(page, BTC).says(".state .word", "live")
        await page.evaluate(
            """() => document.addEventListener("connection", ({ detail }) => {
                const words = [...document.querySelectorAll(".card .word")];
                if (detail.lost) window.then = words.map((node) => node.textContent);
            })"""
        )
        await page.context.set_offline(True)
        await page.wait_for_function("() => window.then", timeout=30_000)
        said = set(await page.evaluate("() => window.then"))
        assert "unknown" in said
        assert not said & {"live", "quiet"}


async def test_after_a_trouble_nothing_is_live_before_it_says_something(page: Page, web: Web) -> None:
    """A collector that slept says "live" before it has a new point: the old one was shown in green."""
    await page.goto(web.url)
    said = await page.evaluate(
        """async () => {
            const { Store } = await import("/static/js/dashboard/store.js");
            const store = new Store({ lost: false });
            const entry = (state, times) => {
                const values = times.map(() => 0.1);
                const names = ["spreads", "upperBand", "lowerBand", "edge12", "edge21", "size12", "size21"];
                const all = Object.fromEntries([...names, "age1", "age2"].map((name) => [name, values]));
                const chart = { id: "A|b|c", symbol: "A", exchange1: "b", exchange2: "c", state, reason: "" };
                return { ...chart, ahead: 0, timestamps: times, ...all };
            };
            const receive = (at, state, times = []) => {
                const about = { type: "delta", seq: at * 1e6, until: at, removed: [] };
                store.take({ ...about, charts: [entry(state, times)] });
                return store.charts.get("A|b|c").state();
            };
            return [
                receive(1000, "live", [1000]), receive(1003, "stale"), receive(1020, "live"),
                receive(1021, "live", [1021]), receive(1040, "stale"), receive(1041, "live"),
                receive(1048, "live"),
            ];
        }"""
    )
    assert said == ["live", "stale", "waiting", "live", "stale", "waiting", "quiet"]


async def test_one_is_not_counted_as_many(page: Page, web: Web) -> None:
    await page.goto(web.url)
    words = await page.evaluate(
        """async () => {
            const { plural } = await import("/static/js/shared/i18n.js");
            return [0, 1, 2].map((n) => plural("%(n)s pair", "%(n)s pairs", n, { n }));
        }"""
    )
    assert words == ["0 pairs", "1 pair", "2 pairs"]

"""The scanner in a real Chromium: rows that move in place, filters, the drawer, pins, views, and the CSV."""

import asyncio
import csv
import io
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
from markets.follow import fundings as funding_wire
from markets.models import Symbol
from markets.selectors import load_config
from tests.realtime.funding.test_funding import publish
from tests.realtime.funding.test_funding import swap as funded
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.live import Web, daphne
from tests.support.scan.shard import Shard
from tests.support.swaps import pair, swap

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

DEAREST = "BTC/USDT|bybit|okx"


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


MIXED = "BTC/USDT|bybit|gate:swap"


def _with_swaps() -> MarketConfig:
    """Also swaps of two exchanges, compared with each other and each with a spot market."""
    swap("bybit")
    swap("gate")
    pair("bybit:swap", "gate:swap")
    pair("bybit", "gate:swap")
    pair("gate", "gate:swap")
    return load_config()


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
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


@asynccontextmanager
async def speaking(redis: Redis, config: MarketConfig) -> AsyncIterator[Shard]:
    """A shard that says something ten times a second; BTC is dearest on OKX."""
    shard = Shard(redis, config)
    shard.quote("okx", 103.0)

    async def speak() -> None:
        while True:
            shard.frame([])
            await asyncio.sleep(0.1)

    task = asyncio.create_task(speak())
    try:
        yield shard
    finally:
        task.cancel()


async def test_rows_move_in_place_and_say_what_can_be_traded(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config) as shard:
        await page.goto(f"{web.url}/scanner")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 560 match")
        row = page.locator(f'tr[data-id="{DEAREST}"]')
        await expect(row.locator(".buy")).to_have_text("Bybit")
        await expect(row.locator(".sell")).to_have_text("OKX")
        await expect(row.locator("td.edge")).to_have_text(re.compile(r"^\+\d+\.\d bps$"))
        await expect(row.locator("td.size")).to_have_text("100 USDT")
        await expect(row.locator("td.gates")).to_have_text("✓ 8 of 9")
        await expect(row.locator("td.state")).to_have_text(re.compile("live"))
        before = await row.locator("td.edge").inner_text()
        await row.evaluate("row => { row.sameNode = true; }")
        shard.quote("okx", 102.5)
        await expect(row.locator("td.edge")).not_to_have_text(before)
        assert await row.evaluate("row => row.sameNode"), "the row was written to, not replaced"

        await page.fill("#search", "btc")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 28 match")
        await page.click('[data-sort="symbol"]')
        await expect(page.locator('th[aria-sort="ascending"] button')).to_have_text("Symbol")
        await expect(page).to_have_url(re.compile(r"sort=symbol&descending=false&search=btc"))
        async with page.expect_download() as download:
            await page.click("#csv")
        text = await asyncio.to_thread((await (await download.value).path()).read_text)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert (len(rows), {line["symbol"] for line in rows}) == (28, {"BTC/USDT"})
        best = next(line for line in rows if (line["buy_on"], line["sell_on"]) == ("bybit", "okx"))
        assert float(best["edge_bps"]) > 200
        assert best["buy_quote_at"].endswith("Z")

        await page.fill("#search", "nothing like it")
        await expect(page.locator("#notice h2")).to_have_text("No pair matches")
        await page.click("#notice button")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 560 match")


async def test_a_row_explains_itself_is_pinned_for_the_dashboard_and_a_view_is_kept(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, config):
        await page.goto(f"{web.url}/scanner?search=btc&min_edge=100")
        await expect(page.locator("#tally")).to_have_text("560 pairs, 7 match")
        await page.click(f'tr[data-id="{DEAREST}"] .open')
        await expect(page.locator("#drawer-title")).to_have_text("BTC/USDT · Bybit / OKX")
        await expect(page.locator(".gatelist")).to_have_count(2)
        await expect(page.locator(".gatelist").first).to_contain_text("freshness")
        await page.keyboard.press("Escape")
        await expect(page.locator(f'tr[data-id="{DEAREST}"] .open')).to_be_focused()

        await page.click("#save")
        await page.fill("#ask-name", "big BTC")
        await page.click("#ask .primary")
        await expect(page.locator("#views option:checked")).to_have_text("big BTC")
        await page.click('[data-sort="size"]')
        await expect(page.locator("#views option:checked")).to_have_text("(not saved)")
        await page.select_option("#views", label="big BTC")
        await expect(page.locator('th[aria-sort="descending"] button')).to_have_text("Edge")

        await page.focus(f'tr[data-id="{DEAREST}"] .open')
        await page.keyboard.press("p")
        await expect(page.locator(f'tr[data-id="{DEAREST}"] .pin button')).to_have_text("★ Unpin")
        await page.click("#toast a")
        await expect(page.locator("#filter option:checked")).to_have_text("★ Pinned (1)")
        await expect(page.locator(".grid .card")).to_have_count(1)
        await expect(page.locator(".grid .symbol")).to_have_text("BTC/USDT")


async def test_pairs_are_chosen_by_their_kind_here_in_the_address_and_in_a_kept_view(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, await database_sync_to_async(_with_swaps)()):
        await page.goto(f"{web.url}/scanner?search=btc&kind=swap-swap")
        await expect(page.locator("#tally")).to_have_text("563 pairs, 1 match")
        await expect(page.locator("#rows td.exchange")).to_have_text(["Gate swap", "Bybit swap"])
        await page.select_option('[name="kind"]', "basis")
        await expect(page.locator("#rows tr")).to_have_attribute("data-id", "BTC/USDT|gate|gate:swap")
        await expect(page).to_have_url(re.compile("kind=basis"))
        await page.click("#save")
        await page.fill("#ask-name", "basis")
        await page.click("#ask .primary")
        await expect(page.locator("#views option:checked")).to_have_text("basis")
        async with page.expect_download() as download:
            await page.click("#csv")
        text = await asyncio.to_thread((await (await download.value).path()).read_text)
        (line,) = csv.DictReader(io.StringIO(text))
        assert {line["buy_on"], line["sell_on"]} == {"gate", "gate:swap"}
        await page.goto(f"{web.url}/scanner?kind=futures")
        await expect(page.locator("#tally")).to_have_text("563 pairs, 563 match")
        await page.select_option("#views", label="basis")
        await expect(page.locator('[name="kind"]')).to_have_value("basis")
        await expect(page.locator("#tally")).to_have_text("563 pairs, 1 match")


async def test_the_drawer_and_the_page_of_a_pair_say_what_the_trade_is(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    trades = {
        "long Bybit spot, short Gate swap",
        "long Gate swap, short Bybit spot: not possible without borrowing",
    }
    async with speaking(empty_redis, await database_sync_to_async(_with_swaps)()):
        await page.goto(f"{web.url}/scanner?search=btc&kind=spot-swap")
        await page.click(f'tr[data-id="{MIXED}"] .open')
        await expect(page.locator("#drawer-title")).to_have_text("BTC/USDT · Bybit / Gate swap")
        await expect(page.locator("#drawer-body .trade")).to_have_count(2)
        assert set(await page.locator("#drawer-body .trade").all_inner_texts()) == trades
        await page.click("#drawer-page")
        await expect(page.locator("td.trade")).to_have_count(2)
        assert set(await page.locator("td.trade").all_inner_texts()) == trades


async def test_the_drawer_of_a_pair_that_is_compared_no_more_says_why(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    def disable() -> None:
        symbol = Symbol.objects.get(name="BTC/USDT")
        symbol.enabled = False
        symbol.save()

    async with speaking(empty_redis, config):
        await page.goto(f"{web.url}/scanner?search=btc")
        await page.click(f'tr[data-id="{DEAREST}"] .open')
        await expect(page.locator(".gatelist")).to_have_count(2)
        await database_sync_to_async(disable)()
        await expect(page.locator("#drawer-body")).to_have_text(
            re.compile("^Not compared: .*BTC/USDT"), timeout=30_000
        )


def _publish_funding(redis: Redis) -> None:
    rows = [funded("bybit", "BTC/USDT", 0.0001, 8), funded("gate", "BTC/USDT", 0.0004, 8)]
    redis.delete(funding_wire.SHARDS)
    publish(redis, *rows)


async def test_pairs_with_swaps_say_what_they_leave_when_they_are_held(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    _publish_funding(empty_redis)
    async with speaking(empty_redis, await database_sync_to_async(_with_swaps)()) as shard:
        shard.quote("gate:swap", 101.0, "BTC/USDT:USDT")
        await page.goto(f"{web.url}/scanner?search=btc&kind=swap-swap")
        row = page.locator('tr[data-id="BTC/USDT|bybit:swap|gate:swap"]')
        await expect(row.locator("td.funding")).to_have_text("+3.0 bps")
        await expect(page.locator("#funding-head")).to_have_text("Funding 8 h")
        await expect(row.locator("td.net_zero")).to_have_text(re.compile(r"^\+\d+\.\d bps$"))
        await expect(row.locator("td.net_now")).to_have_text(re.compile(r"^-\d+\.\d bps$"))
        await expect(row.locator("td.net_median")).to_have_text("–")
        assert "5 minutes" in str(await row.locator("td.net_median").get_attribute("title"))

        await page.click("#held summary")
        await page.fill('[name="hold"]', "24")
        await expect(row.locator("td.funding")).to_have_text("+9.0 bps")
        await expect(page.locator("#funding-head")).to_have_text("Funding 24 h")
        await page.fill('[name="min_net"]', "100000")
        await expect(page.locator("#notice")).to_contain_text("No pair matches")
        await page.fill('[name="min_net"]', "")
        await page.click('[data-sort="net_now"]')
        await expect(page).to_have_url(re.compile(r"sort=net_now.*kind=swap-swap.*hold=24"))
        await page.click("#sized summary")
        for size, sized in (("1000", "yes"), ("", "no")):
            await page.fill('#sized [name="size"]', size)
            await expect(page.locator("#table")).to_have_attribute("data-sized", sized)
            for width in (1440, 1500, 1600, 1740, 1920):  # the state of a row is never beyond the edge
                await page.set_viewport_size({"width": width, "height": 900})
                await expect(row.locator("td.state")).to_be_in_viewport(ratio=1)
                await expect(row.locator("td.net_now")).to_be_visible()
                wide = "(e => e.scrollWidth - e.clientWidth)(document.getElementById('table').parentElement)"
                assert await page.evaluate(wide) <= 0, (size, width)
        await page.set_viewport_size({"width": 390, "height": 844})
        await expect(row.locator("td.net_now")).to_be_visible()
        for other in ("net_zero", "net_median", "funding", "size"):
            await expect(row.locator(f"td.{other}")).to_be_hidden()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await page.set_viewport_size({"width": 1280, "height": 800})

        await row.locator(".open").click()
        terms = page.locator("#drawer-net #net tr")
        await page.fill('#position [name="size"]', "5000")
        await expect(terms.nth(2).locator(".money")).to_have_text("+6.00 USDT")
        await expect(page.locator("#held-for")).to_have_text("Held for 24 h")
        await page.click("#drawer-funding")
        await expect(page.locator("#drawer-title")).to_have_text("BTC/USDT")
        await expect(page.locator('#pair [name="buy"]')).to_have_value("bybit:swap")
        await expect(page.locator('#pair [name="sell"]')).to_have_value("gate:swap")
        await expect(page).to_have_url(re.compile(r"/funding\?.*hours=24$"))


async def test_unknown_funding_is_a_dash_that_says_why_and_spot_loses_no_width_to_it(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, await database_sync_to_async(_with_swaps)()):
        await page.goto(f"{web.url}/scanner?search=btc&kind=spot-swap")
        cell = page.locator(f'tr[data-id="{MIXED}"] td.net_zero')
        await expect(cell).to_have_text("–")
        await expect(cell).to_have_attribute("title", "Gate swap: nothing was said of its funding")
        await page.select_option('[name="kind"]', "spot-spot")
        await expect(page.locator("#tally")).to_have_text("563 pairs, 28 match")
        await expect(page.locator(".net >> visible=true")).to_have_count(0)
        await page.goto(f"{web.url}/scanner?hold=9999")
        await expect(page.locator("#notice")).to_contain_text(
            "hold: 9999 must be hours above 0, 720 at most."
        )
        await page.click("#notice button")
        await expect(page.locator("#tally")).to_have_text("563 pairs, 563 match")


async def test_the_page_of_a_basis_pair_names_its_two_markets(
    page: Page, web: Web, config: MarketConfig, empty_redis: Redis
) -> None:
    async with speaking(empty_redis, await database_sync_to_async(_with_swaps)()):
        await page.goto(f"{web.url}/opportunities/explain?id=BTC/USDT|gate|gate:swap")
        await expect(page.locator("table.ways thead")).to_contain_text("Buy on Gate spot, sell on Gate swap")
        await expect(page.locator("table.ways")).to_contain_text("bid Gate swap / bid Gate spot − 1")

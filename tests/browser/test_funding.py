"""The page of funding in a real Chromium: the matrix, its countdowns, filters, the drawer, empty states."""

import asyncio
import csv
import io
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import polars as pl
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import Page, expect
from pytest_django import Settings
from redis import Redis

from history.lake.tables import Lake
from history.write.buffer import Buffer
from markets.events import Funding, Quote
from markets.selectors import load_config
from tests.browser.test_scanner import speaking
from tests.realtime.funding.test_funding import HOUR, S, publish, swap
from tests.support.browser import Complaints, chromium, require_chromium, session_cookies
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.live import Web, daphne

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SETTLING = "just settled: the rate may be that of the interval before"


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    """Eight hours of funding of BTC on Binance and Bybit, a row every half hour."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed")
    made, buffer, now_us = Lake(settings.LAKE_URL), Buffer(), time.time_ns() // 1000
    for n in range(16):
        at_us = now_us - (16 - n) * HOUR // 2
        for exchange, rate in (("binance", 0.0001), ("bybit", 0.0001 + n * 0.00001)):
            said = {"interval_s": 8 * 3600, "received_ts_us": at_us, "received_mono_ns": at_us * 1000}
            buffer.add([Funding(f"{exchange}:swap", "BTC/USDT:USDT", rate, now_us + HOUR // 2, **said)])
    times = [now_us - n * S for n in range(600, 0, -10)]
    bids = {"binance": 100.0, "bybit": 100.5}
    write_quotes(
        made,
        (
            Quote(key, "BTC/USDT", bid, 1.0, bid, 1.0, None, at, at * 1000)
            for at in times
            for key, bid in bids.items()
        ),
    )
    write(made, "funding", pl.DataFrame(pl.from_arrow(buffer.tables()["funding"])))
    return made


@pytest.fixture
def web(lake: Lake) -> Iterator[Web]:
    require_chromium()
    with daphne(LAKE_URL=lake.url) as running:
        yield running


@pytest.fixture
async def page(web: Web, operator: User) -> AsyncIterator[Page]:
    """A signed-in tab; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with chromium(require_chromium(), viewport={"width": 1440, "height": 900}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert complaints == []


def say(redis: Redis) -> None:
    """Three coins, as a collector says them now."""
    publish(
        redis,
        swap("binance", "BTC/USDT", 0.0001, 8),
        swap(
            "bybit", "BTC/USDT", 0.00035, 4, settled_rate=0.0003, settled_ts_us=time.time_ns() // 1000 - HOUR
        ),
        swap("gate", "BTC/USDT", 0.009, 8, problem=SETTLING, settled_rate=0.0002),
        swap("binance", "ETH/USDT", -0.00005, 1, is_derived=True),
        swap("okx", "ETH/USDT", 0.0004, 8),
        swap("okx", "ADA/USDT", 0.0004, None, problem="the interval is unknown", next_ts_us=None),
    )


async def test_the_matrix_says_rates_with_signs_and_counts_down(
    page: Page, web: Web, empty_redis: Redis
) -> None:
    say(empty_redis)
    await page.goto(f"{web.url}/funding")
    await expect(page.locator("#tally")).to_have_text("3 coins of 6 swaps")
    eth = page.locator('tr[data-id="ETH/USDT"]')
    await expect(eth.locator("td.best .value")).to_have_text("+0.0800 %")
    await expect(eth.locator("td.best .under")).to_have_text("short OKX, long Binance")
    await expect(eth.locator("td.held")).to_have_text("+0.0800 %")
    binance = eth.locator('td[data-exchange="binance"]')
    await expect(binance.locator(".value")).to_have_text("-0.0400 %")
    await expect(binance.locator(".under")).to_have_text(re.compile(r"^~1 h · (29|30):\d\d · \d+ s$"))
    assert await binance.get_attribute("data-leg") == "long"
    before = await binance.locator(".under").inner_text()
    await expect(binance.locator(".under")).not_to_have_text(before)

    gate = page.locator('tr[data-id="BTC/USDT"] td[data-exchange="gate"]')
    await expect(gate.locator(".value")).to_have_text("unknown")
    assert await gate.get_attribute("title") == SETTLING
    okx = page.locator('tr[data-id="ADA/USDT"] td[data-exchange="okx"]')
    await expect(okx.locator(".under")).to_have_text(re.compile(r"^\? h · – · "))
    assert await page.locator('tr[data-id="ADA/USDT"] td[data-exchange="mexc"]').inner_text() == ""


async def test_it_is_sorted_filtered_and_exported(page: Page, web: Web, empty_redis: Redis) -> None:
    say(empty_redis)
    await page.goto(f"{web.url}/funding")
    await expect(page.locator("#rows tr").first).to_have_attribute("data-id", "ETH/USDT")
    await page.click('[data-sort="binance"]')
    await expect(page.locator("#rows tr").first).to_have_attribute("data-id", "BTC/USDT")
    await expect(page.locator('th[aria-sort="descending"] button')).to_have_text("Binance")

    await page.fill('[name="hours"]', "24")
    await expect(page.locator("#held")).to_have_text("In 24 h")
    await page.fill("#search", "btc")
    await expect(page.locator("#tally")).to_have_text("1 coin of 6 swaps")
    await expect(page).to_have_url(re.compile(r"sort=binance&search=btc&hours=24"))
    async with page.expect_download() as download:
        await page.click("#csv")
    text = await asyncio.to_thread((await (await download.value).path()).read_text)
    assert [line["exchange"] for line in csv.DictReader(io.StringIO(text))] == ["binance", "bybit", "gate"]

    await page.click("#exchanges summary")
    await page.check('[name="exchanges"][value="binance"]')
    await expect(page.locator('th[data-exchange="bybit"]')).to_be_hidden()
    await expect(page.locator('th[data-exchange="binance"]')).to_be_visible()
    await page.fill("#search", "nothing like it")
    await expect(page.locator("#notice h2")).to_have_text("No coin matches")
    await page.click("#notice button")
    await expect(page.locator("#tally")).to_have_text("3 coins of 6 swaps")


async def test_a_coin_shows_what_its_legs_are_paid_and_were(page: Page, web: Web, empty_redis: Redis) -> None:
    say(empty_redis)
    await page.goto(f"{web.url}/funding")
    await page.click('tr[data-id="BTC/USDT"] .open')
    await expect(page.locator("#drawer-title")).to_have_text("BTC/USDT")
    await expect(page.locator("#trade")).to_contain_text("long Binance swap, short Bybit swap")
    await expect(page.locator("#trade")).to_contain_text(
        "is not compared between Binance swap and Bybit swap"
    )
    terms = page.locator("#net tr")
    await expect(page.locator("#held-for")).to_have_text("Held for 8 h")
    await expect(page.locator("#money")).to_have_text("of 1,000 USDT")
    # In half an hour and four hours later on Bybit; on Binance once. Fees of swaps, and prices, are unknown.
    await expect(terms.nth(1)).to_contain_text("Binance swap: 1 settlement, +0.0100 %")
    await expect(terms.nth(2)).to_contain_text("2 settlements, +0.0350 %")
    await expect(terms.nth(5).locator(".money")).to_have_text("–")
    facts = page.locator("#facts tr")
    await expect(facts).to_have_count(3)
    await expect(facts.nth(1)).to_contain_text("+0.0350 % per 4 h")
    await expect(facts.nth(1)).to_contain_text("between -1.00 % and +1.00 %")
    await expect(facts.nth(1)).to_contain_text("charged +0.0300 % at ")
    await expect(facts.nth(2)).to_contain_text(SETTLING)
    await expect(facts.nth(2)).to_contain_text("charged +0.0200 % at –")  # when, it does not say
    await expect(page.locator("#plot-words")).to_have_text("lowest 0.0000 %, highest +0.0150 %")
    await page.select_option('[name="sell"]', "binance:swap")
    await expect(page.locator("#plot-words")).to_have_text("Choose two legs to compare them.")

    config = await database_sync_to_async(load_config)()
    async with speaking(empty_redis, config):
        await page.select_option('[name="buy"]', "binance")
        await page.select_option('[name="sell"]', "bybit")
        await expect(page.locator("#trade")).to_have_text(
            "buy Binance spot, sell Bybit spot: the coins must be there, or be borrowed"
        )
        await expect(terms.nth(0).locator(".bps")).to_have_text(re.compile(r"^-\d+\.\d$"))
        await expect(terms.nth(1).locator(".money")).to_have_text("0.00 USDT")
        # Sold at 100.5 where bought at 100, so far: 50 bps that are lost when both prices stay apart.
        await expect(terms.nth(8).locator(".bps")).to_have_text(re.compile(r"^-5\d\.\d$"))
        net = terms.nth(5).locator(".money")
        await expect(net).to_have_text(re.compile(r"^-\d+\.\d\d USDT$"))
        before = await net.inner_text()
        await page.fill('#pair [name="size"]', "2000")
        await page.locator('#pair [name="size"]').blur()
        await expect(page.locator("#money")).to_have_text("of 2,000 USDT")
        await expect(net).not_to_have_text(before)
        await expect(page.locator("#plot-words")).to_have_text(re.compile("A spot leg has no funding"))
    await page.keyboard.press("Escape")
    await expect(page.locator('tr[data-id="BTC/USDT"] .open')).to_be_focused()


async def test_without_anything_said_it_says_what_to_do(page: Page, web: Web, empty_redis: Redis) -> None:
    await page.goto(f"{web.url}/funding")
    await expect(page.locator("#notice h2")).to_have_text("No collector publishes funding")
    publish(empty_redis)
    await expect(page.locator("#notice h2")).to_have_text("No swap is followed yet")
    say(empty_redis)
    await expect(page.locator("#tally")).to_have_text("3 coins of 6 swaps")
    await expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 1440])
async def test_nothing_hangs_over_the_edge(page: Page, web: Web, empty_redis: Redis, width: int) -> None:
    say(empty_redis)
    await page.set_viewport_size({"width": width, "height": 844})
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto(f"{web.url}/funding")
        await expect(page.locator("#tally")).to_have_text("3 coins of 6 swaps")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        if folder := os.environ.get("SHOTS"):
            await page.screenshot(path=f"{folder}/matrix-{width}-{scheme}.png")
            await page.click('tr[data-id="BTC/USDT"] .open')
            await page.wait_for_timeout(2500)
            await page.screenshot(path=f"{folder}/drawer-{width}-{scheme}.png")

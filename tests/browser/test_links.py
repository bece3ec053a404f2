"""Links to charts that are not watched, and charts that began just now, in a real Chromium."""

# ruff: noqa: F811 - fixtures come by import

import asyncio
import math
import re
import time

import pytest
from channels.db import database_sync_to_async
from msgspec import structs
from playwright.async_api import expect

from history.lake.tables import Lake
from markets.events import Quote
from markets.models import ExchangePair
from tests.browser.test_history import Tab, browser, chromium_path, lake, recorded, running, tab, web  # noqa: F401
from tests.support.lakes.lake_data import write_quotes
from tests.support.live import Desk

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.asyncio(loop_scope="module")]


async def test_a_chart_that_began_just_now_shows_the_quarter_of_an_hour_before(
    tab: Tab, running: Desk, lake: Lake
) -> None:
    """A pair that nobody charted, as one that is pinned: its quotes are in the lake, its points begin now."""
    now = time.time()
    pair = "ETH/USDT|binance|bybit"

    def quotes_at(at: float) -> list[Quote]:
        bid, us = 10.0 + 0.005 * math.sin(at / 40), int(at * 1e6)
        return [
            Quote(exchange, "ETH/USDT", price, 1.0, price * 1.0001, 2.0, None, us, us * 1000)
            for exchange, price in (("bybit", 10.0), ("binance", bid))
        ]

    await asyncio.to_thread(
        write_quotes, lake, [q for step in range(1000, 8, -2) for q in quotes_at(now - step)]
    )
    mono_ns = time.monotonic_ns()
    for quoted in quotes_at(now):
        running.channel.put(structs.replace(quoted, received_mono_ns=mono_ns))
    await tab.page.goto(f"{tab.url}/?chart={pair.replace('|', '%7C')}")
    await expect(tab.page.locator(".large .state .word")).to_have_text(re.compile("live|quiet"))
    for view in ("large", "grid"):
        if view == "grid":
            await tab.page.keyboard.press("Escape")

        async def reaches_back(view: str = view) -> bool:
            first, window = await tab.page.evaluate(
                """async ([view, id]) => {
                    const { grid, large } = await import("/static/js/dashboard/main.js");
                    const card = view === "large" ? large.card : grid.cards.get(id);
                    return [card.plot?.plot.data[0][0] ?? Infinity, card.window?.from ?? Infinity];
                }""",
                [view, pair],
            )
            return bool(first < now - 880 and window < now - 880)

        async with asyncio.timeout(15):
            while not await reaches_back():  # noqa: ASYNC110 - the page sends no event
                await asyncio.sleep(0.1)
    asked = [request.url for request in tab.spreads_asked if "ETH" in request.url]
    assert 1 <= len(asked) <= 3, "not again and again"


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("NOSUCH/USDT|binance|bybit", "symbol: no exchange lists 'NOSUCH/USDT'"),
        ("BTC/USDT|binance|mars", "exchange2: there is no exchange 'mars'"),
        ("BTC/USDT|binance|binance", "exchange2: binance is exchange1, too"),
        ("BTC/USDT|binance", "id: 'BTC/USDT|binance' is none"),
        ("BTC/USDT|gate|kucoin", "The scanner compares this pair, but no filter charts it"),
    ],
)
async def test_a_link_to_what_is_not_watched_says_what_is_true(tab: Tab, link: str, words: str) -> None:
    await tab.page.goto(f"{tab.url}/?chart={link.replace('|', '%7C')}")
    await expect(tab.page.locator(".large .state .word")).to_have_text("not watched")
    await expect(tab.page.locator(".large .reason")).to_contain_text(words)
    assert "No longer" not in await tab.page.locator(".large .reason").inner_text()
    if not words.startswith("The"):
        await tab.page.wait_for_load_state("networkidle")  # it may be asked more than once
        tab.complaints.forgive("the server responded with a status of 40")


async def test_a_link_to_a_pair_that_is_switched_off_says_so(tab: Tab) -> None:
    def switch(enabled: bool) -> None:
        pair = ExchangePair.objects.get(exchange1__key="binance", exchange2__key="okx")
        pair.enabled = enabled
        pair.save()

    await database_sync_to_async(switch)(False)
    try:
        await tab.page.goto(f"{tab.url}/?chart=BTC/USDT%7Cbinance%7Cokx")
        reason = tab.page.locator(".large .reason")
        await expect(reason).to_contain_text("Not compared: the pair of Binance and OKX is disabled")
    finally:
        await database_sync_to_async(switch)(True)


@pytest.mark.parametrize("link", ["BTC/USDT|bybit|binance", "btcusdt|Bybit|BINANCE"])
async def test_a_link_that_spells_a_watched_pair_otherwise_opens_it(tab: Tab, link: str) -> None:
    await tab.page.goto(f"{tab.url}/?chart={link.replace('|', '%7C')}")
    await expect(tab.page.locator(".large .state .word")).to_have_text("live")
    await expect(tab.page).to_have_url(re.compile(r"chart=BTC%2FUSDT%7Cbinance%7Cbybit"))


async def test_a_refused_question_waits_also_while_its_window_becomes_shorter(tab: Tab) -> None:
    """A fresh chart's past ends where its points begin: what is asked for shrinks by the clock."""
    await tab.page.goto(tab.url)
    asked = await tab.page.evaluate(
        """async () => {
            const { Track } = await import("/static/js/dashboard/track.js");
            const { Refusal } = await import("/static/js/dashboard/history.js");
            const asked = [];
            const load = async ({ from }) => {
                asked.push(from);
                throw new Refusal("too many requests", 600);
            };
            const track = new Track("spreads of a test", load, (now) => now, () => {});
            const want = async (from, to, points, now) => {
                track.want({ from, to }, points, now);
                await new Promise((resolve) => setTimeout(resolve));
            };
            const seconds = Array.from({ length: 60 }, (_, n) => 5 * n);
            for (const s of seconds) await want(100 + s, 1000, 900 - s, 1000 + s);
            for (const s of seconds) await want(100 + s, 1000 + s, 900, 1000 + s);
            await want(900, 1000, 900, 1000);  // nearer: another question
            return asked;
        }"""
    )
    assert asked == [100, 900]

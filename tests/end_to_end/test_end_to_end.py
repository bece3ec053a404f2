"""The whole spine with nothing replaced: exchanges on loopback, collector, Redis, Daphne, Chromium."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connections
from playwright.async_api import Page, expect
from redis import Redis

from markets.models import Symbol
from markets.seed import seed
from simulator.server import Simulator
from tests.collectors.test_collect import BASES, Process
from tests.support.browser import Complaints, chromium, require_chromium
from tests.support.live import Web, daphne, database_url, promised

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery staple"
TALL = {"width": 1280, "height": 2200}  # every chart is in sight
COUNT = """([state, part, count]) => [...document.querySelectorAll(".grid [data-id]")].filter((card) =>
    card.dataset.id.includes(part) && card.querySelector(".state .word").textContent === state
).length === count"""
COLOUR = "node => getComputedStyle(node).color"


@pytest.fixture
async def exchanges(transactional_db: None, empty_redis: Redis) -> AsyncIterator[Simulator]:
    """Eight exchanges, and a desk that was pointed at them."""
    async with Simulator(rate=5.0) as simulator:
        await sync_to_async(_set_up)(simulator.url)
        yield simulator


def _set_up(url: str) -> None:
    seed(url)
    Symbol.objects.exclude(base__in=BASES).update(enabled=False)  # what no chart shows costs only time
    slowly = make_password(PASSWORD, hasher="pbkdf2_sha256")  # as Daphne's settings want it
    User.objects.create(username="trader", password=slowly, is_staff=True, is_superuser=True)
    connections.close_all()


@dataclass
class Charts:
    """The dashboard in a browser, seen through its words."""

    page: Page
    web: Web

    async def show(self, state: str, count: int, of: str = "", seconds: float = 15.0) -> float:
        """Wait until so many charts of an exchange are in a state; returns the seconds that took."""
        began = time.monotonic()
        await self.page.wait_for_function(COUNT, arg=[state, of, count], timeout=seconds * 1000)
        return time.monotonic() - began

    async def colour(self) -> str:
        """Colour of the first chart's state, once it has faded in."""
        state = self.page.locator(".grid .state").first
        await state.evaluate("node => Promise.all(node.getAnimations().map((each) => each.finished))")
        return str(await state.evaluate(COLOUR))


@pytest.fixture
async def charts(exchanges: Simulator) -> AsyncIterator[Charts]:
    """A trader who has just signed in, as people do."""
    program = require_chromium()
    complaints = Complaints()
    with daphne() as web:
        async with chromium(program, viewport=TALL) as context:
            page = await context.new_page()
            complaints.watch(page)
            await page.goto(web.url)
            await page.get_by_label("Username").fill("trader")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Sign in").click()
            yield Charts(page, web)
    assert complaints == []


async def moves(page: Page, chart_id: str) -> None:
    """The picture of a chart changes while nobody touches the page."""
    canvas = page.locator(f'[data-id="{chart_id}"] canvas')
    before = await canvas.evaluate("node => node.toDataURL()")
    await page.wait_for_function(
        "([id, before]) => document.querySelector(`[data-id='${id}'] canvas`).toDataURL() !== before",
        arg=[chart_id, before],
    )


async def set_enabled(admin: Page, charts: Charts, name: str, enabled: bool) -> None:
    """Switch as an operator does in the admin; returns when the server has saved it."""
    await admin.goto(f"{charts.web.url}/admin/markets/exchange/")
    await admin.get_by_role("link", name=name, exact=True).click()
    await admin.locator("#id_enabled").set_checked(enabled)
    async with admin.expect_response(lambda response: response.request.method == "POST") as saved:
        await admin.locator("[name=_save]").click()
    assert (await saved.value).status == 302


async def test_twenty_charts_move_and_follow_the_admin_within_two_seconds_without_a_reload(
    charts: Charts,
) -> None:
    async with Process(DATABASE_URL=database_url()):
        await expect(charts.page.locator("#tally")).to_have_text("20 of 20 charts")
        await charts.show("live", 20, seconds=30)
        await moves(charts.page, "SOL/USDT|kucoin|okx")
        await charts.page.evaluate("window.sameAsBefore = true")

        admin = await charts.page.context.new_page()
        await set_enabled(admin, charts, "Bybit", enabled=False)
        down = await charts.show("down", 5, of="bybit")
        reasons = charts.page.locator('.grid [data-id*="bybit"] .reason')
        assert set(await reasons.all_inner_texts()) == {"Bybit: exchange disabled"}
        await charts.show("live", 15)

        await set_enabled(admin, charts, "Bybit", enabled=True)
        back = await charts.show("live", 5, of="bybit")
        await charts.show("live", 20)
        assert await charts.page.evaluate("window.sameAsBefore"), "the page was never loaded again"
    print(f"down {down:.2f} s after the admin saved it, back {back:.2f} s after it was enabled again")
    assert down < promised(2)


async def test_a_killed_collector_s_charts_go_stale_in_words_and_colour_and_return_by_themselves(
    charts: Charts,
) -> None:
    async with Process(DATABASE_URL=database_url()) as collector:
        await charts.show("live", 20, seconds=30)
        live_colour = await charts.colour()
        await collector.stop(signal.SIGKILL)
        silent = await charts.show("stale", 20)
        assert await charts.colour() != live_colour
        reasons = set(await charts.page.locator(".grid .reason").all_inner_texts())
        assert reasons == {"no data from collector 1/1 for 3 s"}

    restarted = time.monotonic()  # as the supervisor does: tests/arbsite/desk/test_up.py shows that it does
    async with Process(DATABASE_URL=database_url()):
        await charts.show("live", 20, seconds=30)
        back = time.monotonic() - restarted
        assert await charts.colour() == live_colour
        await asyncio.wait_for(moves(charts.page, "BTC/USDT|binance|bybit"), 10)
    print(f"stale {silent:.2f} s after kill -9, back {back:.2f} s after the restart")
    assert back < promised(10)

"""The charts' past in a real Chromium: what the lake keeps and what the socket brings, as one picture.

One desk, one lake, one Daphne and one Chromium for the whole module: nothing here changes them.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import BrowserContext, Locator, Page, Request, Route, expect
from pytest_django import DjangoDbBlocker
from redis import Redis

from engine.charts.points import POINT_COLUMNS
from history.lake.tables import Lake
from markets.config import MarketConfig
from markets.events import Quote, SpreadPoints
from markets.models import OpportunityFilter
from markets.selectors import load_config
from tests.support.browser import Complaints, chromium, require_chromium, session_cookies
from tests.support.lakes.lake_data import write
from tests.support.live import Desk, Web, daphne, desk, eventually

pytestmark = [pytest.mark.browser, pytest.mark.django_db, pytest.mark.asyncio(loop_scope="module")]

BTC = "BTC/USDT|binance|bybit"
RECORDED_S = 70 * 60
PAIR = {"symbol": pl.lit("BTC/USDT"), "exchange1": pl.lit("binance"), "exchange2": pl.lit("bybit")}
STEP_S = 3.0  # slow enough that nothing on the way thins a quarter of an hour


@dataclass
class Recorded:
    """Recording of BTC on Binance and Bybit, which the lake holds until `until`."""

    config: MarketConfig
    cookies: list[dict[str, str]]
    since: float = 0.0
    until: float = 0.0
    points: dict[float, tuple[float, ...]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def chromium_path() -> str:
    return require_chromium()


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return Lake(str(tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="module")
def recorded(
    chromium_path: str, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Recorded]:
    """A seeded desk and somebody signed in, left empty again."""
    with django_db_blocker.unblock():
        Redis.from_url(settings.REDIS_URL).flushdb()
        call_command("seed")
        user = User.objects.create_superuser("historian")
        yield Recorded(load_config(), session_cookies(user, "http://127.0.0.1"))
        User.objects.all().delete()
        for model in apps.get_app_config("markets").get_models():
            model._base_manager.all().delete()


@pytest.fixture(scope="module")
def web(recorded: Recorded, lake: Lake) -> Iterator[Web]:
    with daphne(LAKE_URL=lake.url) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(recorded: Recorded, lake: Lake) -> AsyncIterator[Desk]:
    """BTC quotes for 70 minutes, then on and on; what was made of it until now is recorded."""
    async with desk(recorded.config) as made:
        started = time.time()
        for step in range(int(RECORDED_S / STEP_S), 0, -1):
            quote(made, started - step * STEP_S)
            if step % 20 == 0:
                await asyncio.sleep(0.01)
        await eventually(lambda: last_made(made) >= started - 2 * STEP_S, "all quotes became points")
        record(made, lake, recorded)
        task = asyncio.create_task(keep_quoting(made))
        yield made
        task.cancel()


def quote(made: Desk, at: float) -> None:
    """Both legs as they are at that time: a slow wave with a fast one upon it, 0.05 % up and down."""
    wave = 0.03 * math.sin(at / 300) + 0.02 * math.sin(at / 7)
    ns = time.monotonic_ns() - int((time.time() - at) * 1e9)
    for exchange, bid in (("bybit", 100.0), ("binance", 100.0 * (1 + wave / 100))):
        made.channel.put(Quote(exchange, "BTC/USDT", bid, 1.0, bid * 1.0001, 2.0, None, int(at * 1e6), ns))


async def keep_quoting(made: Desk) -> None:
    while True:
        quote(made, time.time())
        await asyncio.sleep(0.5)


def made_points(made: Desk) -> list[tuple[float, ...]]:
    """Every point that the desk emitted for BTC on Binance and Bybit."""
    found = [
        e
        for e in made.emitted
        if isinstance(e, SpreadPoints) and (e.symbol, e.exchange1) == ("BTC/USDT", "binance")
    ]
    return [tuple(row) for event in found for row in event.points.tolist()]


def last_made(made: Desk) -> float:
    points = made_points(made)
    return points[-1][0] / 1e6 if points else 0.0


def record(made: Desk, lake: Lake, recorded: Recorded) -> None:
    """Put what was made so far into the lake; half an hour ago there was an outage, a passing, two trades."""
    points = made_points(made)
    recorded.since, recorded.until = points[0][0] / 1e6, points[-1][0] / 1e6
    columns = dict(zip(POINT_COLUMNS, zip(*points, strict=True), strict=True))
    columns["ts_us"] = tuple(int(us) for us in columns["ts_us"])
    write(lake, "spreads", pl.DataFrame(columns).with_columns(**PAIR))
    record_events(lake, int((recorded.until - 1800) * 1e6))


def record_events(lake: Lake, at_us: int) -> None:
    """Two minutes of outage, from the fifth minute on a passing, in the tenth a trade on each exchange."""
    outage = {
        "exchange": ["bybit", "bybit"],
        "symbol": ["BTC/USDT", "BTC/USDT"],
        "state": ["down", "up"],
        "reason": ["connection lost: 1006", ""],
        "dropped": [0, 0],
        "received_ts_us": [at_us, at_us + 120_000_000],
    }
    passing = {
        "filter_id": [1, 1],
        "event": ["open", "close"],
        "ts_us": [at_us + 300_000_000, at_us + 420_000_000],
        **{name: [3.2, -1.0] for name in ("spread", "edge12", "edge21", "size12", "size21")},
    }
    trades = {
        "exchange": ["binance", "bybit"],
        "symbol": ["BTC/USDT", "BTC/USDT"],
        "price": [100.0, 100.0],
        "size": [15.0, 4.0],
        "side": ["buy", "sell"],
        "received_ts_us": [at_us + 600_000_000] * 2,
    }
    write(lake, "stream_states", pl.DataFrame(outage))
    write(lake, "opportunities", pl.DataFrame(passing).with_columns(**PAIR))
    write(lake, "trades", pl.DataFrame(trades))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium_path: str, recorded: Recorded, web: Web) -> AsyncIterator[BrowserContext]:
    async with chromium(chromium_path, viewport={"width": 1440, "height": 900}) as context:
        await context.add_cookies([{**cookie, "url": web.url} for cookie in recorded.cookies])  # type: ignore[typeddict-item]
        yield context


@dataclass
class Tab:
    """One page and what it asked of the history API."""

    page: Page
    url: str
    recorded: Recorded
    asked: list[Request] = field(default_factory=list)
    complaints: Complaints = field(default_factory=Complaints)

    async def open(self, query: str = "") -> None:
        await self.page.goto(f"{self.url}/{query}")
        await expect(self.page.locator(f'.grid [data-id="{BTC}"] .state .word')).to_have_text("live")

    @property
    def spreads_asked(self) -> list[Request]:
        return [request for request in self.asked if "/api/dashboard_data" in request.url]

    def note(self, of: str = f'.grid [data-id="{BTC}"]') -> Locator:
        return self.page.locator(f"{of} .note")

    async def drawn(self, view: str = "grid") -> list[tuple[float, float | None, float | None, float | None]]:
        """The points of the BTC chart as its plot has them: time, spread, upper, lower."""
        columns = await self.page.evaluate(
            """async ([view, id]) => {
                const { grid, large } = await import("/static/js/dashboard/main.js");
                const card = view === "large" ? large.card : grid.cards.get(id);
                return card?.plot ? card.plot.plot.data.map((column) => [...column]) : [];
            }""",
            [view, BTC],
        )
        return list(zip(*columns, strict=True))  # nothing, while its plot is not there yet

    async def window(self) -> tuple[float, float]:
        """From when to when the large chart shows, in seconds."""
        scale = await self.page.evaluate(
            """async () => {
                const { large } = await import("/static/js/dashboard/main.js");
                const { min, max } = large.card.plot.plot.scales.x;
                return [min, max];
            }"""
        )
        return scale[0], scale[1]

    async def point_at(self, time_s: float) -> None:
        """Put the mouse on a moment of the large chart."""
        low, high = await self.window()
        box = await self.page.locator(".large .u-over").bounding_box()
        assert box
        await self.page.mouse.move(box["x"] + box["width"] * (time_s - low) / (high - low), box["y"] + 150)


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: BrowserContext, web: Web, running: Desk, recorded: Recorded) -> AsyncIterator[Tab]:
    """A new tab; whatever it complained about fails the test."""
    page = await browser.new_page()
    opened = Tab(page, web.url, recorded)
    opened.complaints.watch(page)
    page.on("request", lambda request: opened.asked.append(request) if "/api/" in request.url else None)
    yield opened
    await page.close()
    # A chart of which nothing was recorded is answered with 404, and a browser reports every one.
    assert [text for text in opened.complaints if "404" not in text] == []


async def until_drawn(tab: Tab, since: float, view: str = "grid") -> list[Any]:
    """The drawn points, once they reach back to `since`."""
    points: list[Any] = []

    async def reach_back() -> bool:
        points[:] = await tab.drawn(view)
        return bool(points) and points[0][0] <= since

    deadline = time.monotonic() + 10
    while not await reach_back():
        assert time.monotonic() < deadline, f"drawn since {points[:1]}, not {since}"
        await asyncio.sleep(0.05)
    return points


async def test_an_hour_is_the_recorded_past_and_the_live_end_as_one_line(tab: Tab, running: Desk) -> None:
    await tab.open("?range=1h")
    points = await until_drawn(tab, tab.recorded.until - 3500)
    times = [point[0] for point in points]
    assert all(a < b for a, b in pairwise(times)), "times rise strictly"
    assert max(b - a for a, b in pairwise(times)) < 60, "no hole"
    assert times[-1] > tab.recorded.until, "up to now"


async def test_where_live_joins_history_there_is_no_gap_no_duplicate_and_no_other_band(
    tab: Tab, running: Desk
) -> None:
    await tab.open(f"?chart={BTC}&span=1100")
    points = await until_drawn(tab, time.time() - 1090, "large")
    times = [point[0] for point in points]
    assert all(a < b for a, b in pairwise(times))
    made = {round(row[0]): row for row in made_points(running)}
    own = max(b - a for a, b in pairwise(sorted(made))) / 1e6
    assert max(b - a for a, b in pairwise(times)) <= own + 0.1, "no hole larger than the data's own"
    joint = await tab.page.evaluate(
        """async () => (await import("/static/js/dashboard/main.js")).large.card.chart.points.first"""
    )
    before, after = max(t for t in times if t < joint), min(t for t in times if t >= joint)
    assert after - before <= 2 * STEP_S, "recorded until there, live from there"
    for at, spread, upper, lower in points:
        point = made[round(at * 1e6)]
        assert (spread, upper, lower) == pytest.approx(point[1:4], abs=1e-6), "as the engine made it"


async def test_zooming_and_panning_load_what_is_needed_as_finely_as_needed(tab: Tab) -> None:
    page = tab.page
    await tab.open(f"?range=1h&chart={BTC}")
    await until_drawn(tab, tab.recorded.until - 3500, "large")
    coarse = len([p for p in await tab.drawn("large") if p[0] < time.time() - 1800])
    tab.asked.clear()

    await page.locator(".large .u-over").hover()
    for _ in range(6):
        await page.mouse.wheel(0, -300)
    low, high = await tab.window()
    assert high - low < 600
    await expect(page.locator("#large-window")).to_have_text(re.compile(r"\d\d:\d\d:\d\d – \d\d:\d\d:\d\d$"))
    finer = await until_finer(tab, low, high, coarse)
    assert max(b[0] - a[0] for a, b in pairwise(finer)) <= 2 * STEP_S
    assert len(tab.spreads_asked) <= 2, "one request when the wheel stands still, not one per notch"

    box = await page.locator(".large .u-over").bounding_box()
    assert box
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 100, steps=5)
    await page.mouse.up()
    assert (await tab.window())[0] < low, "dragging to the right goes back in time"

    before = await tab.window()
    await page.keyboard.press("ArrowRight")
    assert (await tab.window())[0] > before[0]
    await page.keyboard.press("-")
    await page.keyboard.press("+")
    zoomed = await tab.window()
    assert zoomed[1] - zoomed[0] == pytest.approx(before[1] - before[0])
    await page.keyboard.press("0")
    await expect(page.locator("#large-window")).to_have_text(re.compile(r"– now$"))


async def until_finer(tab: Tab, low: float, high: float, than: int) -> list[Any]:
    """The points drawn in a window, once their steps are the data's own."""
    deadline = time.monotonic() + 10
    while True:
        inside = [p for p in await tab.drawn("large") if low < p[0] < high]
        if len(inside) > 1.6 * (high - low) / STEP_S:
            return inside
        assert time.monotonic() < deadline, (
            f"{len(inside)} points in {high - low} s, of {than} in half an hour"
        )
        await asyncio.sleep(0.05)


async def test_what_was_down_passed_or_traded_is_said_in_words(tab: Tab) -> None:
    await tab.open(f"?range=1h&chart={BTC}")
    await until_drawn(tab, tab.recorded.until - 3500, "large")
    half_past = tab.recorded.until - 1800
    note = tab.note(".large")

    await tab.point_at(half_past + 60)
    await expect(note).to_have_text("connection lost: 1006")
    await tab.point_at(half_past + 300)
    await expect(note).to_have_text("▶ starts to pass the filter at +3.2 bps")
    await tab.point_at(half_past + 360)
    await expect(note).to_have_text("passes the filter")

    await tab.page.get_by_label("Trades").check()
    await tab.point_at(half_past + 601)
    await expect(note).to_have_text(
        "Binance: bought 1,500 USDT, sold 0.00 USDT · Bybit: bought 0.00 USDT, sold 400 USDT"
    )


async def test_where_nothing_was_recorded_the_chart_says_since_when_there_is_something(tab: Tab) -> None:
    await tab.open("?range=6h")
    first = time.strftime("%H:%M", time.localtime(tab.recorded.since))
    await expect(tab.note()).to_have_text(f"nothing recorded before {first}")
    await tab.page.locator(".tools [type=date]").fill("2020-02-02")
    await expect(tab.note()).to_have_text(re.compile("recorded"))
    await expect(tab.note()).not_to_have_text(re.compile("before"))


async def test_a_link_brings_back_range_chart_and_moment(tab: Tab, browser: BrowserContext) -> None:
    page = tab.page
    await tab.open()
    assert page.url == f"{tab.url}/"
    await page.get_by_text("6 h").first.click()
    await expect(page).to_have_url(f"{tab.url}/?range=6h")
    await page.locator(f'.grid [data-id="{BTC}"] .open').click()
    await page.keyboard.press("+")
    await expect(page).to_have_url(re.compile("chart=BTC.*span=14400$"))

    await page.reload()
    await expect(page.locator("#large-title")).to_have_text("BTC/USDT · Binance / Bybit")
    low, high = await tab.window()
    assert high - low == pytest.approx(14400)
    await page.keyboard.press("Escape")
    await expect(page).to_have_url(f"{tab.url}/?range=6h")
    await expect(page.locator(".tools").get_by_label("6 h")).to_be_checked()


async def test_only_charts_in_sight_are_loaded_and_two_at_a_time(tab: Tab) -> None:
    page = tab.page
    at_once: list[int] = [0]
    going: set[str] = set()

    async def watch(route: Route) -> None:
        going.add(route.request.url)
        at_once.append(len(going))
        answer = await route.fetch()
        going.discard(route.request.url)
        await route.fulfill(response=answer)

    await page.route("**/api/dashboard_data*", watch)
    await page.route("**/api/history/*", watch)
    await page.set_viewport_size({"width": 375, "height": 800})
    await tab.open("?range=24h")
    await expect(tab.note()).to_have_text(re.compile("nothing recorded before"))
    assert max(at_once) <= 2
    charts = {request.url.partition("symbol=")[2].partition("&start")[0] for request in tab.spreads_asked}
    assert 1 <= len(charts) <= 6, "of twenty"


async def test_a_refusal_is_shown_in_the_servers_words_and_asked_again(tab: Tab) -> None:
    refused: list[str] = []

    async def refuse_once(route: Route) -> None:
        if "BTC" in route.request.url and "binance" in route.request.url and not refused:
            refused.append(route.request.url)
            answer = json.dumps({"error": "more than 60 requests a minute: wait 1 s"})
            await route.fulfill(status=429, body=answer, headers={"Retry-After": "1"})
        else:
            await route.continue_()

    await tab.page.route("**/api/dashboard_data*", refuse_once)
    await tab.open("?range=1h")
    await expect(tab.note()).to_have_text("more than 60 requests a minute: wait 1 s")
    await until_drawn(tab, tab.recorded.until - 3500)
    await expect(tab.note()).to_have_text("")
    tab.complaints.forgive("429")


async def test_a_chart_taken_away_while_it_is_open_large_says_so(tab: Tab) -> None:
    await tab.open()
    await tab.page.locator(f'.grid [data-id="{BTC}"] .open').click()
    await expect(tab.page.locator(".large .state .word")).to_have_text("live")
    async with only("ETH/USDT"):
        await expect(tab.page.locator(".large .state .word")).to_have_text("not watched")
        await expect(tab.page.locator(".large .reason")).to_have_text(
            re.compile("No longer selected by the filter")
        )
    await expect(tab.page.locator(".large .state .word")).to_have_text("live")


@asynccontextmanager
async def only(symbols: str) -> AsyncIterator[None]:
    """Meanwhile the filter selects these symbols only."""

    def select(text: str) -> None:
        chosen = OpportunityFilter.objects.get(name="Majors")
        chosen.symbols = text
        chosen.save()

    await database_sync_to_async(select)(symbols)
    try:
        yield
    finally:
        await database_sync_to_async(select)("")


async def test_what_to_buy_and_what_to_sell_is_never_cut(tab: Tab) -> None:
    await tab.open()
    long_words = (
        "document.querySelector('#health-link .said').textContent = ': something is unhealthy'.repeat(20)"
    )
    await tab.page.evaluate(long_words)  # the longest words the header may have to show
    for width in (1440, 1425, 768, 375):
        await tab.page.set_viewport_size({"width": width, "height": 900})
        cut = await tab.page.evaluate(
            """() => [...document.querySelectorAll(".edges dt")]
                .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)
                .map((label) => label.textContent)"""
        )
        assert cut == []
        assert await tab.page.evaluate("document.documentElement.scrollWidth") <= width


async def test_what_a_chart_says_of_the_past_is_of_the_past(tab: Tab, running: Desk) -> None:
    await tab.open(f"?chart={BTC}")
    large = tab.page.locator("#large")
    await expect(large.locator(".state .word")).to_have_text("live")
    await tab.page.locator("#large .plot").focus()
    for _ in range(3):
        await tab.page.keyboard.press("-")
    for _ in range(4):
        await tab.page.keyboard.press("ArrowLeft")
    await expect(large.locator(".state .word")).to_have_text("past")
    await expect(large.locator(".reason")).to_have_text(re.compile("^as of "))
    await expect(large.locator(".value")).to_have_text(re.compile(r"%$"))
    await expect(large.locator(".edge12 .bps")).to_have_text(re.compile(r"bps$"))
    said = await large.locator(".value").inner_text()
    await asyncio.sleep(2)
    assert await large.locator(".value").inner_text() == said, "it stands still while the market moves on"
    await tab.page.keyboard.press("0")
    await expect(large.locator(".state .word")).to_have_text("live")

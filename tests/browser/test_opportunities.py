"""The pages of the opportunities in a real Chromium: the list, one of them with its chart, the statistics."""

import math
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from msgspec import structs
from playwright.async_api import Browser, Page, expect
from redis import Redis

from history.lake.tables import Lake
from markets.events import Episode, Moment, Quote
from opportunities.services import save_episodes
from tests.opportunities.test_episodes import closed, episode
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.live import Web, daphne

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

BEGAN_US = 90_000_000
PAIR = {"symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit"}

COLOURED = """(names) => {
  const style = getComputedStyle(document.documentElement);
  const canvas = document.querySelector("#edge canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return names.map((name) => {
    const wanted = style.getPropertyValue(name).match(/\\d+/g).map(Number);
    const near = (i) => wanted.every((value, at) => Math.abs(data[i + at] - value) < 3);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) count += near(i);
    return count;
  });
}"""
"""How many pixels of the edge's chart have each of these colours of the theme."""


@pytest.fixture
def lake(tmp_path: Path, transactional_db: None, empty_redis: Redis) -> Lake:
    call_command("seed")
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def web(lake: Lake) -> Iterator[Web]:
    with daphne(LAKE_URL=lake.url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(web: Web, operator: User, chromium_running: Browser) -> AsyncIterator[Page]:
    """A signed-in tab in India; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(
        chromium_running, viewport={"width": 1280, "height": 800}, timezone_id="Asia/Kolkata"
    ) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert complaints == []


def now_us() -> int:
    return time.time_ns() // 1000


def found(began_us: int) -> Episode:
    """An episode that lasted 3.4 s, at its peak after 0.9 s."""
    story = episode(started_us=began_us)
    at = {
        name: structs.replace(story.opened, ts_us=began_us + after)
        for name, after in (("opened", 0), ("peak", 900_000))
    }
    peak = structs.replace(at["peak"], edge_bps=31.5)
    ended: Moment = structs.replace(story.opened, ts_us=began_us + 3_400_000, edge_bps=1.5)
    return closed(structs.replace(story, opened=at["opened"], peak=peak), closed=ended)


def record(lake: Lake, began_us: int) -> None:
    """Quotes of both legs about an episode, five a second."""
    rows = []
    for step in range(-300, 300):
        us = began_us + step * 200_000
        high = 0.4 if 0 <= step < 17 else 0.0
        for exchange, bid in (("binance", 100 + high), ("bybit", 99.9)):
            rows.append(Quote(exchange, "BTC/USDT", bid, 1.0, bid + 0.1, 2.0, None, us, us * 1000))
    write_quotes(lake, rows)


def record_and_lose(lake: Lake, began_us: int, path: Path) -> None:
    """Record as many quotes again, and lose their files."""
    whole = set(path.rglob("*.parquet"))
    record(lake, began_us)
    for lost in set(path.rglob("*.parquet")) - whole:
        lost.unlink()


def store_wave(lake: Lake) -> None:
    """Ten minutes in which the spread swings widely and often."""
    start_us = now_us() - 600_000_000
    wave = [0.8 * math.sin(i / 2) ** 5 for i in range(590)]
    names = {name: [value] * len(wave) for name, value in PAIR.items()}
    write(
        lake,
        "spreads",
        names | {"ts_us": [start_us + i * 1_000_000 for i in range(len(wave))], "spread": wave},
    )


async def test_an_opportunity_appears_and_leads_to_its_chart_and_to_what_its_pair_amounts_to(
    page: Page, web: Web, lake: Lake
) -> None:
    await page.goto(f"{web.url}/opportunities")
    await expect(page.locator("#notice h2")).to_have_text("No opportunity began in this period")
    await expect(page.locator("#notice")).to_contain_text("Everything (≥ 5 bps)")

    began_us = now_us() - BEGAN_US
    record(lake, began_us)
    store_wave(lake)
    await database_sync_to_async(save_episodes)([found(began_us), episode(2, started_us=now_us())])
    rows = page.locator("#rows tr")
    await expect(rows).to_have_count(2)
    await expect(page.locator("#notice")).to_be_hidden()
    await expect(rows.nth(0).locator(".lasted")).to_contain_text("open")
    await expect(rows.nth(1).locator(".lasted")).to_have_text(re.compile(r"3\.4 s"))
    await expect(rows.nth(1)).to_contain_text("Bybit → Binance")
    india = time.strftime("%H:%M:%S", time.gmtime(began_us / 1e6 + 5.5 * 3600))
    await expect(rows.nth(1).locator("time")).to_have_text(re.compile(india))
    await expect(page.locator("#zone")).to_have_text(re.compile("Asia/(Kolkata|Calcutta)"))
    await expect(page.locator("#durations li.some")).to_have_text(re.compile("2.5 s – 5 s: 1"))

    await rows.nth(1).locator("td.why").click()
    await expect(page.locator("h1")).to_have_text("BTC/USDT buy on Bybit, sell on Binance")
    await expect(page.locator(".standing")).to_contain_text("closed after 3.4 s: edge fell below 2.0 bps")
    await expect(page.locator("#words")).to_have_text(re.compile(r"[\d,]+ points, from the recorded quotes"))
    await expect(page.locator("#edge")).to_have_attribute(
        "aria-label", re.compile(r"open \+12.*peak \+31.5.*close \+1.5")
    )
    drawn = await page.evaluate(COLOURED, ["--line", "--stale", "--down", "--live"])
    assert min(drawn) > 20, "the edge, its peak, its close and both thresholds"

    await page.locator("#edge").focus()
    before = await page.locator("#edge .u-over").screenshot()
    await page.keyboard.press("+")
    await expect(page.locator("#edge")).to_be_focused()
    assert await page.locator("#edge .u-over").screenshot() != before, "nearer"
    await page.get_by_role("link", name="Statistics of the pair").click()
    row = page.locator("#rows tr")
    await expect(row).to_have_count(1)
    await expect(row.locator("td.verdict")).to_contain_text("excellent")
    await expect(page.locator("#pair-title")).to_have_text("BTC/USDT · Binance / Bybit")
    await expect(page.locator("#verdicts li")).to_have_text(
        re.compile("★? ?excellent.*events per hour, above 100")
    )
    await expect(page.locator("#figures")).to_contain_text("Complete cycles per hour")
    await expect(page.locator("#deviation canvas")).to_be_visible()
    assert "exchange1=binance" in page.url
    await page.get_by_role("link", name="Thresholds").click()
    await page.locator("[name=excellent_above_events_per_hour]").fill("9000")
    await page.locator("[name=_save]").click()
    await page.goto(f"{web.url}/opportunities/statistics")
    await expect(page.locator("#rows td.verdict")).to_contain_text("ordinary")


async def test_a_damaged_file_of_the_lake_takes_its_own_ticks_only(
    page: Page, web: Web, lake: Lake, tmp_path: Path
) -> None:
    began_us = now_us() - BEGAN_US
    record(lake, began_us)
    record_and_lose(lake, began_us + 50_000, tmp_path)
    story = found(began_us)
    await database_sync_to_async(save_episodes)([story])
    await page.goto(f"{web.url}/opportunities/{UUID(story.id)}")
    await expect(page.locator("#words")).to_contain_text("left out, because it is damaged: quotes/")
    assert min(await page.evaluate(COLOURED, ["--line"])) > 20, "the edge of what is there"


async def test_a_move_is_one_row_that_opens_to_its_routes(page: Page, web: Web) -> None:
    began_us = now_us() - BEGAN_US
    of_move = {"move": f"{7:032x}", "moved_on": "kucoin", "moved_side": "buy", "buy_on": "kucoin"}
    routes = [
        structs.replace(
            found(began_us), id=f"{number:032x}", exchange1="kucoin", exchange2=key, sell_on=key,
            peak=structs.replace(found(began_us).peak, edge_bps=20.0 + number), **of_move,
        )
        for number, key in enumerate(("bybit", "okx", "gate"), 1)
    ]  # fmt: skip
    alone = structs.replace(found(began_us - 1_000_000), id=f"{9:032x}")
    await database_sync_to_async(save_episodes)([*routes, alone])
    await page.goto(f"{web.url}/opportunities")
    rows = page.locator("#rows tr")
    await expect(rows).to_have_count(2)
    await expect(page.locator("#tally")).to_have_text("2 moves, 4 routes")
    await expect(rows.nth(0)).to_contain_text("KuCoin moved")
    await expect(rows.nth(0).locator("td.way")).to_contain_text("KuCoin → Gate")
    await expect(rows.nth(1).locator(".moved")).to_have_text("–")
    button = rows.nth(0).get_by_role("button", name="+2 routes")
    await expect(button).to_have_attribute("aria-expanded", "false")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(button).to_have_attribute("aria-expanded", "true")
    await expect(rows).to_have_count(5)
    await expect(rows.locator("td.way")).to_have_text(
        ["KuCoin → Gate", "KuCoin → Gate", "KuCoin → OKX", "KuCoin → Bybit", "Bybit → Binance"]
    )
    await page.get_by_label("every route").check()
    await expect(rows).to_have_count(4)
    await expect(page).to_have_url(re.compile("every=true"))
    await page.get_by_label("every route").uncheck()
    await expect(rows).to_have_count(5)
    await rows.nth(2).locator("td.why").click()
    await expect(page.locator("h1")).to_contain_text("buy on KuCoin, sell on OKX")
    await expect(page.locator("#move")).to_contain_text("KuCoin moved")
    await expect(page.locator("#siblings a")).to_have_text(["KuCoin → Gate", "KuCoin → Bybit"])

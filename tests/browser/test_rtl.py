"""Names of right-to-left letters in a real Chromium: no number, arrow or name beside them moves."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from channels.db import database_sync_to_async
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from msgspec import structs
from playwright.async_api import Browser, Page, expect
from redis import Redis

from accounts.tokens.tokens import make_token
from core.health.findings import Finding
from history.lake.tables import Lake
from markets.config import MarketConfig
from markets.models import Exchange, ExchangePair, FeeSchedule, OpportunityFilter, PinnedChart, Symbol
from markets.selectors import load_config
from monitoring.models import AlertChannel, AlertRule
from monitoring.quality.wire import DOWN, LIVE, STALE
from opportunities.services import save_episodes
from realtime.models import SavedView
from tests.browser.test_opportunities import PAIR, found, now_us, record
from tests.support.browser import Complaints, profile, session_cookies
from tests.support.health_data import Reports
from tests.support.lakes.lake_data import write
from tests.support.live import Web, daphne, desk
from tests.support.observed import symbols
from tests.support.scan.shard import Shard

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio(loop_scope="session"),
]

BINANCE, OKX, FILTER, RULE = (
    "\u05d1\u05d5\u05e8\u05e1\u05d4 \u05d0",
    "\u0628\u0648\u0631\u0635\u0629",
    "\u05de\u05e1\u05e0\u05df",
    "\u0642\u0627\u0639\u062f\u0629",
)
BYBIT = "\u05d1\u05d9\u05d9\u05d1\u05d9\u05d8 24"
"""Ends in a number of its own."""

MISPLACED = """() => {
  const letters = "[\\u0590-\\u08ff\\ufb1d-\\ufefc]+";
  const RTL = new RegExp(letters, "u");
  const THINGS = new RegExp(`${letters}( ${letters})*( 24)?|[^\\\\s\\u2066-\\u2069]`, "gu");
  const inline = (node) => getComputedStyle(node).display === "inline" || node.tagName === "BDI";
  const blockOf = (node) => { while (inline(node)) node = node.parentElement; return node; };
  const lines = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const parent = text.parentElement;
    if (!text.data.trim() || !parent.checkVisibility({ visibilityProperty: true })) continue;
    if (parent.closest("script, style, noscript, select, textarea, svg, title")) continue;
    const block = blockOf(parent);
    if (!lines.has(block)) lines.set(block, []);
    lines.get(block).push(text);
  }
  const wrong = [];
  for (const texts of lines.values()) {
    if (!texts.some((text) => RTL.test(text.data))) continue;
    // Letters one by one; a run of right-to-left ones, with the spaces and digits within, is one thing.
    const things = [];
    for (const text of texts) {
      for (const run of text.data.matchAll(THINGS)) {
        const range = document.createRange();
        range.setStart(text, run.index);
        range.setEnd(text, run.index + run[0].length);
        const boxes = [...range.getClientRects()].filter((box) => box.width);
        if (!boxes.length) continue;
        for (const line of Object.values(Object.groupBy(boxes, (box) => Math.round(box.top / 4)))) {
          const [left, right] = [Math.min(...line.map((b) => b.left)), Math.max(...line.map((b) => b.right))];
          things.push({ what: run[0], left, right, top: line[0].top, bottom: line[0].bottom });
        }
      }
    }
    for (let i = 1; i < things.length; i += 1) {
      const [one, two] = [things[i - 1], things[i]];
      const sameLine = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top) > 3;
      if (sameLine && two.left < one.right - 1.5) {
        const all = texts.map((each) => each.data).join("").trim().slice(0, 120);
        wrong.push(`${one.what} then ${two.what} in: ${all}`);
        break;
      }
    }
  }
  return wrong;
}"""
"""Texts with right-to-left letters of which something does not stand behind what is before it."""


@pytest.fixture
def lake(tmp_path: Path, transactional_db: None, empty_redis: Redis) -> Lake:
    call_command("seed")
    for key, name in (("binance", BINANCE), ("okx", OKX), ("bybit", BYBIT)):
        row = Exchange.objects.get(key=key)
        row.name = name
        row.save()
    first = OpportunityFilter.objects.filter(enabled=True).first()
    assert first
    first.name = FILTER
    first.save()
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def config(lake: Lake) -> MarketConfig:
    return load_config()


@pytest.fixture
def web(lake: Lake) -> Iterator[Web]:
    with daphne(LAKE_URL=lake.url) as running:
        yield running


@pytest_asyncio.fixture(params=[1280, 390], loop_scope="session")
async def page(
    web: Web, operator: User, request: pytest.FixtureRequest, chromium_running: Browser
) -> AsyncIterator[Page]:
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with profile(chromium_running, viewport={"width": request.param, "height": 900}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert [each for each in complaints if "status of 40" not in each] == []  # of what is not watched


async def nothing_misplaced(page: Page, *names: str) -> None:
    """Nothing is misplaced on a page that shows these names."""
    shown = await page.evaluate("document.body.innerText")
    missing = [name for name in names if name not in shown]
    assert missing == [], page.url
    wrong = await page.evaluate(MISPLACED)
    assert wrong == [], "\n".join((page.url, *wrong))


async def test_the_check_finds_what_it_is_for(page: Page, web: Web) -> None:
    """Otherwise all the others would be true of nothing."""
    await page.goto("about:blank")
    for html in (f"{OKX} 56 ms", f"{OKX} / {BINANCE}", f"{OKX}: +1.5 bps", f"1 {OKX} 2 {BINANCE} 3"):
        await page.evaluate("(html) => { document.body.innerHTML = `<p>${html}</p>`; }", html)
        assert await page.evaluate(MISPLACED), html
        isolated = html.replace(OKX, f"<bdi>{OKX}</bdi>").replace(BINANCE, f"<bdi>{BINANCE}</bdi>")
        await page.evaluate("(html) => { document.body.innerHTML = `<p>${html}</p>`; }", isolated)
        assert await page.evaluate(MISPLACED) == [], html


@asynccontextmanager
async def live(redis: Redis, config: MarketConfig) -> AsyncIterator[None]:
    """Quotes for the dashboard, and a shard for the scanner."""
    shard = Shard(redis, config)
    shard.quote("okx", 103.0)
    async with desk(config) as running:

        async def quote() -> None:
            while True:
                for exchange, bid in (("bybit", 100.0), ("binance", 100.124), ("okx", 100.3)):
                    running.quote(exchange, bid)
                shard.frame([])
                await asyncio.sleep(0.1)

        task = asyncio.create_task(quote())
        try:
            yield
        finally:
            task.cancel()


async def test_live_pages(page: Page, web: Web, config: MarketConfig, empty_redis: Redis) -> None:
    async with live(empty_redis, config):
        await page.goto(web.url)
        await expect(page.locator('.grid [data-id="BTC/USDT|binance|bybit"] .state .word')).to_have_text(
            "live"
        )
        await nothing_misplaced(page, BINANCE, BYBIT)
        await page.goto(f"{web.url}/?chart=BTC/USDT%7Cbinance%7Cbybit")
        await expect(page.locator(".large .state .word")).to_have_text("live")
        await nothing_misplaced(page, BINANCE, BYBIT)
        await page.goto(f"{web.url}/scanner")
        await expect(page.locator("#rows tr").first).to_contain_text(OKX)
        await nothing_misplaced(page, OKX)
        await page.locator("#rows tr").first.click()
        await page.wait_for_timeout(500)
        await nothing_misplaced(page, OKX)
    await page.goto(f"{web.url}/?chart=BTC/USDT%7Cbinance%7Cokx")
    await expect(page.locator(".large .state .word")).to_have_text("not watched")
    await nothing_misplaced(page, BINANCE)


async def test_pages_of_opportunities(page: Page, web: Web, lake: Lake) -> None:
    began_us = now_us() - 90_000_000
    record(lake, began_us)
    start_us = now_us() - 600_000_000
    wave = [0.8 * math.sin(i / 2) ** 5 for i in range(590)]
    names = {name: [value] * len(wave) for name, value in PAIR.items()}
    write(lake, "spreads", names | {"ts_us": [start_us + i * 1_000_000 for i in range(590)], "spread": wave})
    of_move = {"move": f"{7:032x}", "moved_on": "okx", "moved_side": "buy", "buy_on": "okx"}
    story = structs.replace(found(began_us), filter_name=FILTER)
    routes = [
        structs.replace(story, id=f"{number:032x}", exchange1=one, exchange2="okx", sell_on=one, **of_move)
        for number, one in enumerate(("binance", "bybit"), 1)
    ]
    alone = structs.replace(story, id=f"{9:032x}")
    await database_sync_to_async(save_episodes)([*routes, alone])
    await page.goto(f"{web.url}/opportunities")
    await expect(page.locator("#rows tr")).to_have_count(2)
    await nothing_misplaced(page, OKX, BINANCE)
    if await page.get_by_label("every route").is_visible():  # on a phone the filters are folded
        await page.get_by_label("every route").check()
        await expect(page.locator("#rows tr")).to_have_count(3)
        await nothing_misplaced(page, OKX, BINANCE, BYBIT)
    for number in (9, 1):
        await page.goto(f"{web.url}/opportunities/{UUID(int=number)}")
        await page.wait_for_load_state("networkidle")
        await nothing_misplaced(page, BINANCE, FILTER)
    await page.goto(f"{web.url}/opportunities/explain?symbol=BTC/USDT&exchange1=okx&exchange2=binance")
    await page.wait_for_load_state("networkidle")
    await nothing_misplaced(page, BINANCE)
    await page.goto(f"{web.url}/opportunities/statistics?symbol=BTC/USDT&exchange1=binance&exchange2=bybit")
    await expect(page.locator("#rows tr")).to_have_count(1)
    await expect(page.locator("#pair-title")).to_contain_text(BINANCE)
    await nothing_misplaced(page, BINANCE, BYBIT)


async def test_the_health_page(page: Page, web: Web, empty_redis: Redis) -> None:
    silent = Finding(
        "symbol_silent",
        "C1/USDT on okx",
        "warning",
        0,
        f"C1/USDT on \u2068{OKX}\u2069 is silent for 56 s.",
        "?",
    )
    Reports(empty_redis, symbols(LIVE, STALE, LIVE, DOWN)).publish(silent)
    await page.goto(f"{web.url}/health/")
    await expect(page.locator("#findings li")).to_have_count(1)
    await expect(page.locator("#rows tr").first).to_be_visible()
    await nothing_misplaced(page, OKX)
    await page.locator("#rows .open").first.press("Enter")
    await page.wait_for_timeout(500)
    await nothing_misplaced(page, OKX)


def furnish(operator: User) -> None:
    """A row of each kind with such a name."""
    pair, symbol = ExchangePair.objects.all()[0], Symbol.objects.get(name="BTC/USDT")
    PinnedChart.objects.create(user=operator, symbol=symbol, pair=pair)
    FeeSchedule.objects.create(
        exchange=Exchange.objects.get(key="okx"), tier=f"{RULE} 24", taker_fee_bps=5, maker_fee_bps=1,
        valid_from="2026-01-01",
    )  # fmt: skip
    channel = AlertChannel.objects.create(name=RULE, kind="webhook", settings={"url": "https://example.com/"})
    rule = AlertRule.objects.create(name=RULE, what="exchange_silent", subject="okx")
    rule.channels.add(channel)
    SavedView.objects.create(user=operator, name=RULE, query="search=BTC")
    Group.objects.create(name=RULE)
    User.objects.create_user(RULE, is_staff=True)
    make_token(operator, name=RULE)
    save_episodes([structs.replace(found(now_us() - 90_000_000), filter_name=FILTER)])


LISTS = (
    "markets/exchange", "markets/exchangepair", "markets/instrument", "markets/opportunityfilter",
    "markets/feeschedule", "markets/pinnedchart", "markets/walletstatus", "monitoring/alertchannel",
    "monitoring/alertrule", "monitoring/alert", "monitoring/delivery", "realtime/apitoken",
    "opportunities/opportunityepisode", "auth/user", "auth/group", "audit/entry", "accounts/usersession",
)  # fmt: skip


async def test_lists_and_forms_of_the_admin(page: Page, web: Web, operator: User) -> None:
    await database_sync_to_async(furnish)(operator)
    await page.goto(f"{web.url}/admin/")
    wrong: list[str] = await page.evaluate(MISPLACED)
    for each in LISTS:
        await page.goto(f"{web.url}/admin/{each}/")
        wrong += await page.evaluate(MISPLACED)
    for model in (
        Exchange,
        OpportunityFilter,
        ExchangePair,
        PinnedChart,
        AlertRule,
        AlertChannel,
        FeeSchedule,
    ):
        row: Any = await database_sync_to_async(model.objects.first)()
        under = f"{web.url}/admin/{model._meta.app_label}/{model._meta.model_name}/{row.pk}"
        for which in ("change", "history", "delete"):
            await page.goto(f"{under}/{which}/")
            wrong += await page.evaluate(MISPLACED)
    assert wrong == [], "\n".join(wrong)

"""Charts of swap legs in a real Chromium: the trade in words, mark over index, what settlements paid."""

import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

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
from markets.events import Funding, MarkPrice, StreamState
from tests.realtime.funding.test_funding import HOUR, S, publish, swap
from tests.support.browser import Complaints, chromium, require_chromium, session_cookies
from tests.support.lakes.lake_data import write, write_states
from tests.support.live import Web, daphne

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SWAP = "BTC/USDT:USDT"
MINUTE = 60 * S
PAIR = "?range=1h&chart=BTC/USDT|gate:swap|bybit:swap"
DRAWN = """async () => {
    const { large } = await import("/static/js/dashboard/main.js");
    const { distances, settlements } = large.card.marks;
    return { distances, settlements, from: large.card.window.from };
}"""


@pytest.fixture
def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis, now_us: int) -> Lake:
    """An hour of BTC on Gate's and Bybit's swaps and on Binance: half an hour ago both settled.

    Gate said then what it charged, Bybit only what it had published. Gate's stream was down for five minutes.
    """
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed", swaps=True)
    made, buffer = Lake(settings.LAKE_URL), Buffer()
    settled_us = now_us - 30 * MINUTE
    for key, rate in (("gate:swap", 0.0002), ("bybit:swap", -0.0001)):
        for at_us, next_us in ((now_us - 55 * MINUTE, settled_us), (settled_us + 3 * MINUTE, now_us + HOUR)):
            said: dict[str, Any] = {"received_ts_us": at_us, "received_mono_ns": at_us * 1000}
            if key == "gate:swap" and at_us > settled_us:
                said |= {"settled_rate": 0.00025, "settled_ts_us": settled_us}
            buffer.add([Funding(key, SWAP, rate, next_us, 8 * 3600, **said)])
    for n in range(60):
        at_us = now_us - (60 - n) * MINUTE
        buffer.add([MarkPrice("gate:swap", SWAP, 100 + n / 1000, 100.0, None, at_us, at_us * 1000)])
    for name, table in buffer.tables().items():
        write(made, name, pl.DataFrame(pl.from_arrow(table)))
    write_states(made, [StreamState("gate:swap", (SWAP,), "down", "gone", now_us - 1170 * S)])
    times = [now_us - n * 10 * S for n in range(360, 0, -1)]
    for one, two in (("gate:swap", "bybit:swap"), ("bybit", "gate:swap"), ("binance", "bybit")):
        values = {"symbol": "BTC/USDT", "exchange1": one, "exchange2": two, "spread": 0.1, "upper": 0.2}
        columns = {name: [value] * len(times) for name, value in values.items()}
        edges = {"edge12": [3.0] * len(times), "edge21": [-5.0] * len(times), "lower": [0.0] * len(times)}
        write(made, "spreads", pl.DataFrame(columns | edges | {"ts_us": times}))
    return made


@pytest.fixture
def web(lake: Lake) -> Iterator[Web]:
    require_chromium()
    with daphne(LAKE_URL=lake.url) as running:
        yield running


@pytest.fixture
async def page(web: Web, operator: User) -> AsyncIterator[Page]:
    """A signed-in tab; what it complained about fails the test, but that nothing was recorded: a 404."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with chromium(require_chromium(), viewport={"width": 1440, "height": 900}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert [text for text in complaints if "404 (Not Found)" not in text] == []


def say(redis: Redis) -> None:
    """The settlements to come, as a collector says them now."""
    publish(redis, swap("gate", "BTC/USDT", 0.0003, 8), swap("bybit", "BTC/USDT", -0.00005, 8))


async def drawn(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = await page.evaluate(DRAWN)
    return found


async def test_settlements_say_who_paid_what_and_what_a_position_was_paid(
    page: Page, web: Web, empty_redis: Redis, now_us: int
) -> None:
    say(empty_redis)
    await page.goto(f"{web.url}/{PAIR}")
    items = page.locator("#settled-list li")
    await expect(items).to_have_count(4)
    await expect(page.locator("#large-title")).to_have_text("BTC/USDT · Gate swap / Bybit swap")
    next_ones, over = items.filter(has_text="next settlement"), items.filter(has_not_text="next settlement")
    await expect(next_ones.filter(has_text="Gate swap")).to_contain_text(
        "forming: longs pay 0.0300 % (long -0.3 USDT, short +0.3 USDT of 1,000 USDT)"
    )
    await expect(next_ones.filter(has_text="Bybit swap")).to_contain_text("forming: shorts pay 0.0050 %")
    await expect(over.filter(has_text="Gate swap")).to_contain_text(
        "longs paid 0.0250 % (long -0.25 USDT, short +0.25 USDT of 1,000 USDT)"
    )
    await expect(over.filter(has_text="Bybit swap")).to_contain_text(
        "what was charged is unknown, said last before: shorts paid 0.0100 %"
    )
    await page.fill("#large-size", "20000")
    await expect(over.filter(has_text="Gate swap")).to_contain_text("long -5.00 USDT, short +5.00 USDT")

    found = (await drawn(page))["settlements"]
    assert [(each["leg"], each["rate"], each["coming"]) for each in found] == [
        (0, pytest.approx(0.025), False), (1, None, False), (0, 0.03, True), (1, -0.005, True),
    ]  # fmt: skip
    assert found[0]["time"] == pytest.approx(now_us / S - 1800, abs=1)

    await page.uncheck("#large-settlements")
    await expect(items).to_have_count(0)
    await page.reload()
    await expect(page.locator("#large-size")).to_have_value("20000")
    await expect(page.locator("#large-settlements")).not_to_be_checked()


async def test_mark_over_index_is_off_until_somebody_wants_it_and_unknown_is_a_gap(
    page: Page, web: Web, now_us: int
) -> None:
    await page.goto(f"{web.url}/{PAIR}")
    await expect(page.locator("#settled-list li")).to_have_count(2)
    assert (await drawn(page))["distances"] is None
    await page.check("#large-distance")
    key = page.locator(".legend [data-distance]")
    await expect(key.first).to_have_text(
        re.compile(r"^Gate swap: mark − index, last \+0\.0590 % of the index")
    )
    await expect(key.last).to_have_text(re.compile("^Bybit swap: mark − index, last – of the index"))
    gate, bybit = (await drawn(page))["distances"]
    assert (gate["leg"], bybit["leg"], bybit["values"]) == (0, 1, [])
    values = dict(zip([round(at - now_us / S) for at in gate["times"]], gate["values"], strict=True))
    assert values[-20 * 60] == pytest.approx(0.04)
    assert values[-1170] is None, "the stream went down"
    assert values[-19 * 60] == pytest.approx(0.041)
    assert 0 not in gate["values"][1:]

    await page.reload()
    await expect(page.locator("#large-distance")).to_be_checked()
    await expect(key.first).to_contain_text("+0.0590 %")


async def test_the_trade_is_said_for_the_direction_that_is_better(page: Page, web: Web) -> None:
    trade = page.locator("#large-trade")
    await page.goto(f"{web.url}/?chart=BTC/USDT|bybit|gate:swap&span=1800&to={time.time() - 60:.0f}")
    await expect(trade).to_have_text(
        "Better at the end of this time: long Gate swap, short Bybit spot: not possible without borrowing"
    )
    await page.goto(f"{web.url}/?chart=BTC/USDT|gate:swap|bybit:swap&span=1800&to={time.time() - 60:.0f}")
    await expect(trade).to_have_text("Better at the end of this time: long Bybit swap, short Gate swap")
    await page.goto(f"{web.url}/?chart=BTC/USDT|binance|bybit&span=1800&to={time.time() - 60:.0f}")
    await expect(trade).to_have_text(
        "Better at the end of this time: buy Bybit spot, sell Binance spot: the coins must be there, or be "
        "borrowed"
    )
    await expect(page.locator("#settled")).to_be_hidden()
    await expect(page.locator("#large-distance")).to_be_hidden()


async def test_hovering_a_settlement_says_which_exchange_when_and_who_paid(
    page: Page, web: Web, now_us: int
) -> None:
    await page.goto(f"{web.url}/{PAIR}")
    await expect(page.locator("#settled-list li")).to_have_count(2)
    box = await page.locator("#large .u-over").bounding_box()
    assert box is not None
    window = (await drawn(page))["from"]
    x = box["x"] + box["width"] * (now_us / S - 1800 - window) / 3600
    await page.mouse.move(x, box["y"] + box["height"] / 2)
    note = page.locator("#large .note")
    await expect(note).to_contain_text(re.compile(r"Gate swap .*: longs paid 0\.0250 %"))
    await expect(note).to_contain_text("Bybit swap")


@pytest.mark.parametrize("width", [390, 1440])
async def test_a_chart_of_which_nothing_was_recorded_says_so_and_fits(
    page: Page, web: Web, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 844})
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        await page.goto(f"{web.url}/?range=1h&chart=BTC/USDT|okx:swap|mexc:swap")
        await expect(page.locator("#large-title")).to_have_text("BTC/USDT · OKX swap / MEXC swap")
        await page.check("#large-distance")
        await expect(page.locator("#settled-sum")).to_have_text(
            "No settlement was recorded in the time shown."
        )
        await expect(page.locator("#large-trade")).to_have_text(
            "No edges, so either way: long MEXC swap, short OKX swap – or long OKX swap, short MEXC swap"
        )
        words = await page.locator("#large").inner_text()
        assert ":swap" not in words
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert (
            await page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.getElementById('large'))") <= 0
        )

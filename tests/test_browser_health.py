"""The health page in a real Chromium: it is filled live, sorts worst first, and shows a symbol's last hour."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import numpy as np
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from msgspec import structs
from playwright.async_api import Page, expect
from redis import Redis

from monitoring import quality_wire as wire
from monitoring.findings import Finding
from monitoring.memory import FRESH, Published
from monitoring.quality_wire import DOWN, LIVE, MINUTE_ROW, STALE, Rows, ShardReport
from monitoring.series import NAMES
from tests.browser import Complaints, chromium, require_chromium, session_cookies
from tests.live import Web, daphne
from tests.test_monitoring_assess import exchange, symbols

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ILL = Finding("symbol_silent", "C1/USDT on okx", "warning", 0, "C1/USDT on okx is silent.", "Is it halted?")


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    require_chromium()
    call_command("seed")
    with daphne() as running:
        yield running


@pytest.fixture
async def page(web: Web, operator: User) -> AsyncIterator[Page]:
    """A signed-in tab; whatever it complained about meanwhile fails the test."""
    cookies = await database_sync_to_async(session_cookies)(operator, web.url)
    async with chromium(require_chromium(), viewport={"width": 1280, "height": 800}) as context:
        await context.add_cookies(cookies)
        tab, complaints = await context.new_page(), Complaints()
        complaints.watch(tab)
        yield tab
        assert complaints == []


class Reports:
    """Speaks for a collector and a monitor."""

    def __init__(self, redis: Redis, *states: int) -> None:
        self._redis = redis
        self._quality = symbols(*states)
        self.rows: Rows = self._quality.rows

    def tell(self, *findings: Finding) -> None:
        """What is known of the symbols now, and what is ill."""
        names, now_us = wire.encode(self._quality.names), time.time_ns() // 1000
        digest = wire.digest_of(names)
        at = structs.replace(exchange(), since_us=now_us, symbols=dict.fromkeys(wire.SYMBOL_STATES, 1))
        report = ShardReport("1/1", now_us, digest, [at], self.rows.tobytes())
        minute = np.zeros(len(self.rows), MINUTE_ROW)
        minute["quotes"] = 321
        self._redis.set(wire.names_key(digest), names)
        self._redis.set(wire.report_key("1/1"), wire.encode(report))
        self._redis.set(wire.minute_key("1/1", now_us // 60_000_000 - 1), wire.minute_value(digest, minute))
        self._redis.hset(wire.SHARDS, "1/1", now_us)
        since = [structs.replace(each, since_us=now_us - 90_000_000) for each in findings]
        self._redis.set(FRESH, _published(now_us, since))


def _published(now_us: int, findings: list[Finding]) -> bytes:
    return msgspec.json.encode(Published(now_us, tuple(findings)))


async def test_what_is_ill_is_seen_first_and_clears_by_itself(
    page: Page, web: Web, empty_redis: Redis
) -> None:
    reports = Reports(empty_redis, LIVE, STALE, LIVE, DOWN)
    reports.tell(ILL)
    empty_redis.rpush("series:10s:process|web|rss_mb", _point(100.0))
    empty_redis.zadd(NAMES, {"process|web|rss_mb": int(time.time())})
    await page.goto(f"{web.url}/health/")

    finding = page.locator("#findings li")
    await expect(finding).to_contain_text("warning C1/USDT on okx is silent.")
    await expect(finding).to_contain_text("for 1 min 3")
    await expect(finding).to_contain_text("Is it halted?")
    await expect(page.locator("#health-link")).to_contain_text("C1/USDT on okx is silent.")
    await expect(page.locator("#exchanges tr")).to_contain_text("OKX")
    await expect(page.locator("#rows .name")).to_have_text(["C3/USDT", "C1/USDT", "C0/USDT", "C2/USDT"])
    await expect(page.locator("#rows tr").first.locator(".state")).to_contain_text("down")

    await page.select_option("select[name=state]", "ill")
    await expect(page.locator("#rows .name")).to_have_text(["C3/USDT", "C1/USDT"])
    assert page.url.endswith("?state=ill")

    await page.locator("#rows .open").first.press("Enter")
    await expect(page.locator("#drawer-words")).to_have_text("1 minutes are known")
    await page.keyboard.press("Escape")
    await expect(page.locator("#drawer")).to_be_hidden()

    await page.locator("#graphs-section").scroll_into_view_if_needed()
    await expect(page.locator("#graphs figure").first).to_contain_text("web100 MB")

    reports.rows["state"] = LIVE
    reports.tell()
    await expect(page.locator("#findings li")).to_have_count(0)
    await expect(page.locator("#rows tr")).to_have_count(0)
    await expect(page.locator("#tally")).to_contain_text("4 live")

    without = await page.context.new_page()  # whose proxy lets no WebSocket through
    await without.route_web_socket("**/ws/health", lambda socket: asyncio.ensure_future(socket.close()))
    await without.clock.install()
    await without.goto(f"{web.url}/health/")
    await without.clock.run_for(31_000)
    await expect(without.locator("#tally")).to_contain_text("4 live")


def _point(value: float) -> bytes:
    return struct.pack("<If", int(time.time()) - 10, value)

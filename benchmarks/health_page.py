"""Cost of the health page at 8,000 symbols: one viewer, and a hundred.

    python benchmarks/health_page.py [--seconds 20]

Starts its own PostgreSQL, Redis and Daphne, and speaks for a collector that reports 8,000 symbols on 8
exchanges every 2 s. First a page of the table by itself (medians), then the CPU time of Daphne without a
viewer, with one and with a hundred that ack as browsers do. With SCREENSHOT=page.png
the page is opened in Chromium too. The last line is the result as JSON.
"""

# ruff: noqa: E402 - the settings read DATABASE_URL, so the servers come first

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")
import django

import tests.support.servers  # noqa: F401 - starts PostgreSQL and Redis, and puts their addresses into the settings

django.setup()

import numpy as np
import websockets
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from msgspec import structs
from redis import Redis
from websockets.typing import Origin

from accounts.tokens.tokens import make_token
from monitoring.pages.symbols import Show, SymbolTable
from monitoring.quality.wire import SYMBOL_ROW, Quality
from tests.support.browser import chromium, chromium_program, session_cookies
from tests.support.health_data import Reports
from tests.support.live import Web, daphne
from tests.support.observed import exchange

EXCHANGES = ("binance", "bingx", "bitget", "bybit", "gate", "kucoin", "mexc", "okx")
SYMBOLS = 1_000
VIEWERS = 100
TURNS = 30
PUBLISH_EVERY_S = 2.0
PAGE_MS = 20.0
EXTRA_PERCENT = 10.0


def big_quality() -> Quality:
    """Every symbol on every exchange; one in a hundred is unhealthy."""
    random = np.random.default_rng(1)
    names = tuple((key, f"C{n:04}/USDT") for key in EXCHANGES for n in range(SYMBOLS))
    rows = np.zeros(len(names), SYMBOL_ROW)
    rows["state"] = random.choice(5, len(names), p=[0.9, 0.09, 0.004, 0.003, 0.003])
    rows["since_us"] = time.time_ns() // 1000 - random.integers(0, 3_600_000_000, len(names))
    for name in ("age_ms", "gap_ms", "spread_bps", "quotes_per_min", "updates_per_hour"):
        rows[name] = random.exponential(500, len(names))
    exchanges = tuple(structs.replace(exchange(), exchange=key) for key in EXCHANGES)
    return Quality(time.time_ns() // 1000, exchanges, names, rows)


def median_ms(work: Callable[[], object]) -> float:
    """The median of some turns."""
    took = []
    for _ in range(TURNS):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def cpu_s(pid: int) -> float:
    """CPU time a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def view(web: Web, token: str, counted: list[int]) -> None:
    """One browser: acks every message, and counts its bytes."""
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(
        f"ws://127.0.0.1:{web.port}/ws/health",
        origin=Origin(web.url),
        additional_headers=headers,
        max_size=None,
    ) as socket:
        await socket.send('{"type":"symbols"}')
        async for text in socket:
            counted.append(len(text))
            await socket.send(json.dumps({"type": "ack", "seq": json.loads(text)["seq"]}))


@contextlib.asynccontextmanager
async def viewers(web: Web, token: str, count: int, counted: list[int]) -> AsyncIterator[None]:
    """Open so many pages."""
    tasks = [asyncio.create_task(view(web, token, counted)) for _ in range(count)]
    await asyncio.sleep(4)  # the first message, which is the whole page
    counted.clear()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def publish(reports: Reports) -> None:
    """Send a collector's reports, on and on; every age differs each time."""
    while True:
        reports.rows["age_ms"] += 1
        await asyncio.to_thread(reports.publish)
        await asyncio.sleep(PUBLISH_EVERY_S)


async def measure(web: Web, token: str, seconds: float) -> dict[int, tuple[float, float]]:
    """Measure by number of viewers: Daphne's CPU in percent of a core, and kB per message."""
    found = {}
    for count in (0, 1, VIEWERS):
        counted: list[int] = []
        async with viewers(web, token, count, counted):
            began, used = time.monotonic(), cpu_s(web.process.pid)
            await asyncio.sleep(seconds)
            percent = 100 * (cpu_s(web.process.pid) - used) / (time.monotonic() - began)
        found[count] = percent, statistics.mean(counted) / 1000 if counted else 0.0
    return found


async def shoot(web: Web, cookies: list[dict[str, str]], path: str) -> None:
    """The page as people see it."""
    async with chromium(chromium_program() or "", viewport={"width": 1440, "height": 1500}) as context:
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        page = await context.new_page()
        await page.goto(f"{web.url}/health/")
        await page.wait_for_selector("#rows tr")
        await page.screenshot(path=path)


async def run(
    web: Web, seconds: float, cookies: list[dict[str, str]], token: str
) -> dict[int, tuple[float, float]]:
    """Run everything that needs a running desk."""
    reports = Reports(Redis.from_url(settings.REDIS_URL), big_quality())
    reports.publish()
    publishing = asyncio.create_task(publish(reports))
    try:
        found = await measure(web, token, seconds)
        if path := os.environ.get("SCREENSHOT"):
            await shoot(web, cookies, path)
    finally:
        publishing.cancel()
    return found


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=20)
    seconds = arguments.parse_args().seconds
    call_command("migrate", verbosity=0)
    call_command("seed", verbosity=0)
    user, _ = User.objects.get_or_create(username="viewer")
    quality = big_quality()
    table = SymbolTable(quality)
    page_ms = median_ms(lambda: table.page(Show()))
    search_ms = median_ms(lambda: SymbolTable(quality, table).page(Show(search="c01 okx", sort="age")))
    with daphne() as web:
        found = asyncio.run(run(web, seconds, session_cookies(user, web.url), make_token(user, 1)))
    for name, value in (("first page, worst first", page_ms), ("searched and sorted by age", search_ms)):
        print(f"{name:30} {value:6.1f} ms")
    for count, (percent, kilobytes) in found.items():
        print(f"{count:>4} viewers: {percent:5.1f} % of a core, {kilobytes:5.1f} kB a message")
    extra = found[VIEWERS][0] - found[1][0]
    figures = {
        "page_ms": {"value": round(page_ms, 2), "target": PAGE_MS, "met": page_ms <= PAGE_MS},
        "search_ms": {"value": round(search_ms, 2), "target": PAGE_MS, "met": search_ms <= PAGE_MS},
        "extra_cpu_percent_of_99_more_viewers": {
            "value": round(extra, 1), "target": EXTRA_PERCENT, "met": extra <= EXTRA_PERCENT,
        },
    }  # fmt: skip
    print(json.dumps({"benchmark": "health_page", "figures": figures}))


if __name__ == "__main__":
    main()

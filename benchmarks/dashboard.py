"""Cost of the dashboard for a browser: 20 charts, each updated 20 times a second.

    python benchmarks/dashboard.py [--seconds 20]

Starts its own PostgreSQL, Redis and Daphne, feeds a real sink with quotes for the 20 charts of a
fresh desk (after 15 minutes of history, so that the charts are full), opens the page in Chromium
and reads the share of one core that the tab took. The last line is the result as JSON.
"""

# ruff: noqa: E402 - the settings read DATABASE_URL, so the servers come first

import argparse
import asyncio
import json
import math
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import django

import tests.support.servers  # noqa: F401 - starts PostgreSQL and Redis, and puts their addresses into the settings

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from playwright.async_api import CDPSession, Page

from markets.config import MarketConfig
from markets.events import Quote
from markets.selectors import load_config
from tests.support.browser import chromium, chromium_program, session_cookies
from tests.support.live import Desk, daphne, desk

UPDATES_A_SECOND = 20
HISTORY_S = 900
TARGET_PERCENT = 20.0


def quote(config: MarketConfig, running: Desk, ago_s: float) -> None:
    """Both legs of every chart, as they were `ago_s` seconds ago."""
    now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
    stamps = (now_us - int(ago_s * 1e6), now_ns - int(ago_s * 1e9))
    angle = stamps[1] / 1e9
    for place, o in enumerate(config.opportunities):
        basis = 0.02 * math.sin(angle / 60 + place) + 0.01 * math.sin(angle * 7 + place * 3)
        for exchange, bid in ((o.exchange1, 100 + basis), (o.exchange2, 100.0)):
            running.channel.put(Quote(exchange, o.symbol, bid, 1.0, bid * 1.0001, 2.0, None, *stamps))


async def keep_quoting(config: MarketConfig, running: Desk) -> None:
    """One update of every chart 20 times a second, without drift."""
    due = time.monotonic()
    while True:
        quote(config, running, 0)
        due += 1 / UPDATES_A_SECOND
        await asyncio.sleep(max(0, due - time.monotonic()))


async def history(config: MarketConfig, running: Desk) -> None:
    """A quarter of an hour of points, four a second, as the store keeps them."""
    for step in range(HISTORY_S * 4, 0, -1):
        quote(config, running, step / 4)
        if step % 10 == 0:
            await asyncio.sleep(0.005)


async def task_seconds(session: CDPSession) -> float:
    """The tab's main thread: seconds it has been busy since it was opened."""
    answer = await session.send("Performance.getMetrics")
    return float(next(m["value"] for m in answer["metrics"] if m["name"] == "TaskDuration"))


def renderer_seconds() -> float:
    """CPU seconds of all our Chromium's renderer processes, threads included."""
    total = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue  # it ended meanwhile
    return total


async def received(page: Page) -> None:
    """Count chart updates in the page itself, so that the figure says what was really delivered."""
    await page.add_init_script(
        """window.updates = 0;
        const Real = WebSocket;
        window.WebSocket = class extends Real {
            constructor(url) {
                super(url);
                this.addEventListener("message", ({ data }) => {
                    window.updates += data.split('"timestamps":[1').length - 1;
                });
            }
        };"""
    )


async def measure(
    program: str, seconds: float, config: MarketConfig, cookies: list[dict[str, str]], url: str
) -> dict[str, float]:
    """Open the page, let it settle, and watch it for `seconds`."""
    async with chromium(program, viewport={"width": 1920, "height": 1080}) as context:
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        page = await context.new_page()
        await received(page)
        await page.goto(url)
        await page.wait_for_function(
            "() => document.querySelectorAll('.card[data-state=live]').length === 20"
        )
        await asyncio.sleep(3)
        session = await context.new_cdp_session(page)
        await session.send("Performance.enable")
        started = time.monotonic()
        task, renderer, updates = (
            await task_seconds(session),
            renderer_seconds(),
            await page.evaluate("updates"),
        )
        await asyncio.sleep(seconds)
        took = time.monotonic() - started
        return {
            "tab_cpu_percent": round((await task_seconds(session) - task) / took * 100, 1),
            "renderer_process_percent": round((renderer_seconds() - renderer) / took * 100, 1),
            "updates_per_chart_per_second": round((await page.evaluate("updates") - updates) / took / 20, 1),
        }


async def run(
    seconds: float, program: str, config: MarketConfig, cookies: list[dict[str, str]], port_url: str
) -> dict[str, float]:
    """Feed and measure at the same time."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(desk(config))
        await history(config, running)
        quoting = asyncio.create_task(keep_quoting(config, running))
        try:
            return await measure(program, seconds, config, cookies, port_url)
        finally:
            quoting.cancel()


def main() -> None:
    """Prepare the desk, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    program = chromium_program()
    if program is None:
        parser.error("no Chromium found: install one or set CHROME_BIN")
    call_command("migrate", verbosity=0)
    call_command("seed", verbosity=0)
    user = User.objects.create_user("bench")
    with daphne() as web:
        figures = asyncio.run(run(seconds, program, load_config(), session_cookies(user, web.url), web.url))
    print(f"{os.cpu_count()} cores; {figures}")
    tab = figures.pop("tab_cpu_percent")
    judged = {"value": tab, "target": TARGET_PERCENT, "met": tab <= TARGET_PERCENT}
    rest = {name: {"value": value} for name, value in figures.items()}
    print(json.dumps({"benchmark": "dashboard", "figures": {"tab_cpu_percent": judged, **rest}}))


if __name__ == "__main__":
    main()

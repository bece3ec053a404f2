"""Cost of the scanner's page: 28,000 pairs, 4,000 of their 8,000 legs quoting 5 times a second.

    python benchmarks/scanner_page.py [--seconds 15]
    python benchmarks/scanner_page.py --pairs 120000     spot and swaps of all eight: what the table costs

Starts its own PostgreSQL, Redis and Daphne, and speaks for a collector: the whole state, then 5 frames
a second with 4,000 changed legs each. First the table by itself (medians of its refresh, and of the first
pages of new views), then one socket that acks as a browser does, then the page in Chromium. The last line
is the result as JSON.
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
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import django

import tests.support.servers  # noqa: F401 - starts PostgreSQL and Redis, and puts their addresses into the settings

django.setup()

import numpy as np
import websockets
from django.contrib.auth.models import User
from django.core.management import call_command
from redis.asyncio import Redis
from websockets.typing import Origin

from accounts.tokens.tokens import make_token
from benchmarks.scanner import SPOT_PAIRS, Desk, configuration
from core.names.market_keys import SWAP, market_of
from core.redis_client import async_redis
from markets.config import MarketConfig
from markets.follow.fundings import Snapshot, SwapRow
from markets.models import Exchange, ExchangePair, Instrument, Symbol
from markets.selectors import load_config
from realtime.depth.book import Depth
from realtime.depth.wire import LEVELS, Key, Ladder
from realtime.scanner import wire as scan_wire
from realtime.scanner.messages import Page, make_page
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query, View
from realtime.scanner.wire import ShardScan
from tests.support.browser import chromium, chromium_program, session_cookies
from tests.support.live import Web, daphne
from tests.support.scan.data import scan_of

SYMBOLS = 1_000
FRAMES_A_SECOND = 5
CHANGED = 4_000
TURNS = 50
BOOKS = 200
REFRESH_MS = 5.0
FIRST_PAGE_MS = 5.0
TAB_PERCENT = 20.0
HOUR_US = 3_600_000_000
NOW_US = 1_763_640_000_000_000
FIRST_PAGES = {
    "": Query(),
    "_symbols": Query(search="C0", min_edge=-30.0),
    "_of_a_filter": Query(filter=1),
    "_by_size": Query(sort="size"),
    "_by_net": Query(sort="net_zero"),
    "_by_net_now": Query(sort="net_now", borrow=0.01, min_net=-100.0),
    "_by_net_median": Query(sort="net_median", kind="spot-swap"),
    "_at_size": Query(size=1000.0),
    "_by_edge_at_size": Query(sort="at_edge", size=1000.0),
    "_by_profit_at_size": Query(sort="at_profit", size=1000.0, min_at_edge=-20.0),
    "_by_size_to_zero": Query(sort="at_zero", size=1000.0),
}
"""Views whose first page is measured, by the end of the figure's name."""


def prepare() -> MarketConfig:
    """A desk with every symbol on every exchange, and all pairs of exchanges."""
    call_command("migrate", verbosity=0)
    call_command("seed", verbosity=0)
    Symbol.objects.bulk_create(
        Symbol(name=f"C{n:04}/USDT", base=f"C{n:04}", quote="USDT", enabled=True)
        for n in range(SYMBOLS - Symbol.objects.count())
    )
    exchanges = list(Exchange.objects.order_by("key"))
    Instrument.objects.all().delete()
    Instrument.objects.bulk_create(
        Instrument(
            exchange=exchange, symbol=symbol, native_id=f"{symbol.base}USDT", quote_volume_24h=1e6 + 1e3 * n
        )
        for exchange in exchanges
        for n, symbol in enumerate(Symbol.objects.order_by("name"))
    )
    have = {(pair.exchange1_id, pair.exchange2_id) for pair in ExchangePair.objects.all()}
    ExchangePair.objects.bulk_create(
        ExchangePair(exchange1=one, exchange2=two)
        for one, two in combinations(exchanges, 2)
        if not {(one.pk, two.pk), (two.pk, one.pk)} & have
    )
    return load_config()


class FakeCollector:
    """Writes what a shard writes, with prices that wander."""

    def __init__(self, config: MarketConfig) -> None:
        self.random = np.random.default_rng(1)
        count = len(config.listings)
        base = {s: self.random.uniform(0.1, 100) for s in {leg.symbol for leg in config.listings}}
        prices = {
            (leg.exchange, leg.symbol): base[leg.symbol] * (1 + self.random.normal(0, 5e-4))
            for leg in config.listings
        }
        self.scan = scan_of(config, prices)
        self.directory = self.scan.directory
        self.rows = self.scan.legs
        self.busy = self.random.permutation(count)[:CHANGED].astype("<u4")
        self.seq = 1

    def move(self) -> None:
        """Every busy leg quotes again."""
        factor = 1 + self.random.normal(0, 1e-4, len(self.busy))
        for name in ("bid", "ask"):
            self.rows[name][self.busy] *= factor
        self.rows["bid_size"][self.busy] = self.random.uniform(1, 1000, len(self.busy))
        self.rows["age_ms"][self.busy] = self.random.uniform(0, 200, len(self.busy))

    async def write_state(self, redis: "Redis") -> None:
        """The directory, all legs, and what is held of identities."""
        layout, now_us = self.directory.layout, time.time_ns() // 1000
        state = scan_wire.State(layout, self.seq, now_us, self.rows.tobytes())
        evidence = scan_wire.State(layout, self.seq, now_us, self.scan.pairs.tobytes())
        parts = {"directory": self.directory, "state": state, "evidence": evidence}
        async with redis.pipeline() as pipe:
            pipe.hset(scan_wire.SCANS, self.scan.shard, now_us)
            pipe.hset(
                scan_wire.state_key(self.scan.shard),
                mapping={name: scan_wire.encode(part) for name, part in parts.items()},
            )
            await pipe.execute()

    async def run(self) -> None:
        """Frames without drift, and the state every 2 s."""
        redis, due = async_redis(), time.monotonic()
        while True:
            self.move()
            self.seq += 1
            frame = scan_wire.Frame(
                self.scan.shard, self.directory.layout, self.seq, self.seq - 1, time.time_ns() // 1000,
                self.busy.tobytes(), self.rows[self.busy].tobytes(),
            )  # fmt: skip
            await redis.publish(scan_wire.FRAMES, scan_wire.encode(frame))
            if self.seq % (2 * FRAMES_A_SECOND) == 0:
                await self.write_state(redis)
            due += 1 / FRAMES_A_SECOND
            await asyncio.sleep(max(0, due - time.monotonic()))


def funding_of(config: MarketConfig) -> Snapshot:
    """Funding of all swaps: intervals of an hour to eight, rates of some basis points."""
    random = np.random.default_rng(2)
    rows = [
        SwapRow(
            leg.exchange, leg.symbol, leg.counts_as, float(random.normal(0, 1e-4)), NOW_US + HOUR_US,
            int(random.choice((1, 4, 8))) * 3600, False, 0.01, -0.01, None, None, 100.0, "",
        )
        for leg in config.listings
        if market_of(leg.exchange) == SWAP
    ]  # fmt: skip
    return Snapshot("1/1", NOW_US, rows)


def depths_of(config: MarketConfig, scan: ShardScan) -> list[tuple[Key, Depth]]:
    """Books of the legs of the first coins, 50 levels a side about the prices of now."""
    coins = sorted({leg.counts_as for leg in config.listings})
    few = set(coins[: max(1, BOOKS * len(coins) // len(config.listings))])
    found = []
    for leg, row in zip(config.listings, scan.legs, strict=True):
        if leg.counts_as in few:
            steps = np.arange(LEVELS) * row["bid"] * 1e-5
            bids, asks = (
                np.column_stack((price, np.full(LEVELS, 10.0))).tobytes()
                for price in (row["bid"] - steps, row["ask"] + steps)
            )
            ladder = Ladder(leg.exchange, leg.symbol, 0, 1, NOW_US, 100.0, "", bids, asks)
            found.append((ladder.key, Depth(ladder, "", 0.0)))
    return found


def median_ms(work: Callable[[], object]) -> float:
    """The median of some runs, ms of CPU: the machine may have other things to do."""
    took = []
    for _ in range(TURNS):
        started = time.thread_time()
        work()
        took.append((time.thread_time() - started) * 1e3)
    return statistics.median(took)


def of_the_table(config: MarketConfig, collector: FakeCollector) -> dict[str, float]:
    """Cost of what a web process computes by itself."""
    started = time.perf_counter()
    table = ScanTable(config)
    built_ms = (time.perf_counter() - started) * 1e3
    match = table.match(collector.scan)

    def refresh() -> None:
        table.take(collector.scan, match, time.monotonic(), False)
        table.refresh()

    def first_page(query: Query) -> Page:
        return make_page(View(table, query), slice(0, 50), 1, 0)

    snapshots = [funding_of(config)]
    table.take_evidence(collector.scan, match)
    table.funding.learn(snapshots)
    depths = depths_of(config, collector.scan)
    table.funding.turn(NOW_US)
    refresh()
    table.learn_depth(depths)
    view = View(table, Query())
    page = make_page(view, slice(0, 50), 1, 0)

    def new_page() -> None:
        make_page(view, slice(0, 50), 1, 0).changes(page)

    return {
        "pairs": len(table),
        "table_build_ms": built_ms,
        "table_refresh_ms": median_ms(refresh),
        "funding_learnt_ms": median_ms(lambda: table.funding.learn(snapshots)),
        "books": len(depths),
        "depth_learnt_ms": median_ms(lambda: table.learn_depth(depths)),
        "sort_again_ms": median_ms(view.sort),
        "page_and_its_changes_ms": median_ms(new_page),
    } | {
        f"first_page{name}_ms": median_ms(partial(first_page, query)) for name, query in FIRST_PAGES.items()
    }  # fmt: skip


async def of_a_socket(web: Web, token: str, seconds: float) -> dict[str, float]:
    """Size of what one viewer is sent, and its cost for the web process."""
    address = f"ws://127.0.0.1:{web.port}/ws/scanner"
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(
        address, origin=Origin(web.url), additional_headers=headers, max_size=None
    ) as socket:
        await socket.send(json.dumps({"type": "view"}))
        whole = json.loads(first := await socket.recv())
        await socket.send(json.dumps({"type": "ack", "seq": whole["seq"]}))
        sizes, cpu, started = [], cpu_seconds(web.process.pid), time.monotonic()
        while time.monotonic() - started < seconds:
            text = await socket.recv()
            sizes.append(len(text))
            await socket.send(json.dumps({"type": "ack", "seq": json.loads(text)["seq"]}))
        took = time.monotonic() - started
        return {
            "page_bytes": len(first),
            "changes_per_second": len(sizes) / took,
            "changes_bytes_per_second": sum(sizes) / took,
            "web_process_percent": (cpu_seconds(web.process.pid) - cpu) / took * 100,
        }


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def of_a_tab(program: str, cookies: list[dict[str, str]], web: Web, seconds: float) -> dict[str, float]:
    """The share of one core that the page's main thread takes, with 50 rows."""
    async with chromium(program, viewport={"width": 1920, "height": 1080}) as context:
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        page = await context.new_page()
        await page.goto(f"{web.url}/scanner")
        await page.wait_for_function("() => document.querySelectorAll('#rows tr').length === 50")
        await asyncio.sleep(3)
        session = await context.new_cdp_session(page)
        await session.send("Performance.enable", {"timeDomain": "threadTicks"})

        async def busy_s() -> float:
            answer = await session.send("Performance.getMetrics")
            return float(next(m["value"] for m in answer["metrics"] if m["name"] == "TaskDuration"))

        before, started = await busy_s(), time.monotonic()
        await asyncio.sleep(seconds)
        share = (await busy_s() - before) / (time.monotonic() - started)
        if shots := os.environ.get("SCREENSHOT"):
            await page.screenshot(path=shots)
        return {"tab_cpu_percent": share * 100}


async def run(
    config: MarketConfig, web: Web, token: str, cookies: list[dict[str, str]], program: str, seconds: float
) -> dict[str, float]:
    """The table first, then with a collector that speaks."""
    collector = FakeCollector(config)
    figures = of_the_table(config, collector)
    redis = async_redis()
    await collector.write_state(redis)
    await redis.aclose()
    speaking = asyncio.create_task(collector.run())
    try:
        figures |= await of_a_socket(web, token, seconds)
        figures |= await of_a_tab(program, cookies, web, seconds)
    finally:
        speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking
    return figures


def report(figures: dict[str, float]) -> None:
    """Print what was measured, beside its targets."""
    for name, value in figures.items():
        print(f"{name:28} {value:12,.2f}")
    targets = {"tab_cpu_percent": TAB_PERCENT}
    if figures["pairs"] <= SPOT_PAIRS:
        targets["table_refresh_ms"] = REFRESH_MS
    targets |= {name: FIRST_PAGE_MS for name in figures if name.startswith("first_page")}
    judged = {
        name: {"value": round(value, 2)}
        | ({"target": targets[name], "met": value <= targets[name]} if name in targets else {})
        for name, value in figures.items()
    }
    print(json.dumps({"benchmark": "scanner_page", "figures": judged}))


def main() -> None:
    """Prepare the desk, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--pairs", type=int, default=SPOT_PAIRS)
    given = parser.parse_args()
    if given.pairs != SPOT_PAIRS:
        config = configuration(Desk.of(given.pairs))
        report(of_the_table(config, FakeCollector(config)))
        return
    program = chromium_program()
    if program is None:
        parser.error("no Chromium found: install one or set CHROME_BIN")
    config = prepare()
    user = User.objects.create_user("bench", password="bench")
    with daphne() as web:
        cookies = session_cookies(user, web.url)
        report(asyncio.run(run(config, web, make_token(user, 1), cookies, program, given.seconds)))


if __name__ == "__main__":
    main()

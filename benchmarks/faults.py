"""Every fault an operator must learn of: how soon it is seen, sent as an alert, and over again. Everything
real.

    python benchmarks/faults.py [--only silent memory]

`manage.py up` on simulated exchanges in a home of its own, its lake in an object store on loopback that can
be made slow, and in this process the server a signed webhook goes to. Faults are made and undone; meanwhile

    page       /api/health names it: the findings the health page shows
    metrics    /metrics of the process that knows shows it
    alert      the webhook has its message (rules fire at once, without a duration of their own)
    gone       after the fault was undone: the finding is no longer there
    resolved   after the fault was undone: the message that says so

Faults of different exchanges and processes that do not touch each other are made at the same time. While
PostgreSQL is away nobody can be signed in, so its page is the public word, and its alert leaves through it:
that is counted from its return. Takes 5 minutes, 8 at most. The last line is a JSON object with every figure.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
from asgiref.sync import sync_to_async

from benchmarks.support.fault_desk import (
    LAKE_FLUSH_S,
    Desk,
    Store,
    Webhook,
    When,
    ask_for_alerts,
    home,
    serving,
    until_true,
)

ROOT: Final = Path(__file__).resolve().parent.parent
WELL_S: Final = 90.0
WARM_UP_S: Final = 25.0
OVER_S: Final = 60.0 + 25.0
"""What is counted over a minute is over a minute later; then it gives up."""
WHOLE_S: Final = 8 * 60.0

SEEN_S: Final = 10.0
ALERTED_S: Final = 15.0


# --- what can be seen ----------------------------------------------------------------------------


class Eyes:
    """Look at the desk from outside, again and again: its health, its metrics, its messages."""

    def __init__(self, desk: Desk, token: str, webhook: Webhook) -> None:
        self.word = ""
        self.findings: frozenset[str] = frozenset()
        self.webhook = webhook
        self._desk = desk
        self._headers = {"Authorization": f"Bearer {token}"}
        self._metrics: dict[str, dict[str, float]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Look until the block ends."""
        targets = json.loads((self._desk.home / "metrics-targets.json").read_text())
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            looks = [self._health(http), self._public_health(http)]
            for target in targets:
                if target["labels"]["part"] in ("monitor", "collector"):
                    looks.append(self._scrape(http, target["labels"]["part"], target["targets"][0]))
            tasks = [asyncio.create_task(look) for look in looks]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def has(self, finding: str) -> bool:
        """Whether a finding of this pattern is there now."""
        return any(fnmatchcase(key, finding) for key in self.findings)

    def got(self, title: str, state: str, since: float) -> bool:
        """Whether a message of this pattern came since then."""
        return any(
            at >= since and said == state and fnmatchcase(name, title)
            for at, name, said in self.webhook.taken
        )

    def metric(self, part: str, name: str, *labels: str) -> float:
        """The sum of a process's samples of that name with all of these labels."""
        samples = self._metrics.get(part, {}).items()
        found = (
            value
            for sample, value in samples
            if sample.partition("{")[0] == f"arbdesk_{name}" and all(label in sample for label in labels)
        )
        return sum(found)

    async def _health(self, http: aiohttp.ClientSession) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with http.get(f"{self._desk.url}/api/health", headers=self._headers) as answer:
                    said = await answer.json()
                    if "findings" in said:
                        self.findings = frozenset(finding["key"] for finding in said["findings"])
            await asyncio.sleep(0.2)

    async def _public_health(self, http: aiohttp.ClientSession) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with http.get(f"{self._desk.url}/api/health") as answer:
                    self.word = (await answer.json())["status"]
            await asyncio.sleep(0.2)

    async def _scrape(self, http: aiohttp.ClientSession, part: str, target: str) -> None:
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(f"http://{target}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
                samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
                self._metrics[part] = {sample: float(value) for sample, _, value in samples}
            await asyncio.sleep(0.5)


# --- the faults ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """Fault, and the metric that shows it. `metric` is process, name and labels; `shows` (before, now)."""

    name: str
    finding: str  # a pattern of its key
    breaks: Callable[[], AbstractAsyncContextManager[None]]
    metric: tuple[str, ...]
    shows: Callable[[float, float], bool]
    of_database: bool = False


@dataclass
class Row:
    """How one fault went, in seconds; None: not within the time it was given."""

    fault: Fault
    page: When = None
    metrics: When = None
    alert: When = None
    gone: When = None
    resolved: When = None


def turns(desk: Desk) -> list[list[Fault]]:
    """The faults of the issue; those of one turn are made together."""
    sim = desk.simulated

    def finding(kind: str) -> tuple[str, ...]:
        return ("monitor", "findings", f'kind="{kind}"')

    def more(before: float, now: float) -> bool:
        return now > before

    return [
        [
            Fault("one exchange silent", "exchange_silent:okx", partial(sim, "okx:silence", 20),
                  ("monitor", "exchange_age_seconds", 'exchange="okx"'), lambda _was, now: now > 5),
            Fault("one symbol silent", "symbol_silent:ETH/USDT on gate",
                  partial(sim, "gate/ETH/USDT:silence", 25),
                  ("monitor", "exchange_symbols", 'exchange="gate"', 'state="s'), more),
            Fault("reconnect storm", "reconnects:bybit", partial(sim, "bybit:storm=0.6s", 30),
                  ("collector", "exchange_reconnects_total", 'exchange="bybit"'),
                  lambda was, now: now >= was + 4),
            Fault("clock 3 s ahead", "clock_offset:kucoin", partial(sim, "kucoin:skew=3s", 15),
                  ("monitor", "exchange_clock_offset_seconds", 'exchange="kucoin"'),
                  lambda _was, now: now > 1),
            Fault("malformed frames", "bad_frames:bitget", partial(sim, "bitget:malformed=0.3", 15),
                  ("collector", "exchange_bad_frames_total", 'exchange="bitget"', 'kind="malformed"'),
                  lambda was, now: now >= was + 10),
            Fault("worker killed", "process_missing:worker*", partial(desk.killed, "worker"),
                  finding("process_missing"), more),
            Fault("memory over its limit", "memory:web *", desk.small_web, finding("memory"), more),
        ],
        [Fault("slow lake store", "lake_write:collector*", desk.store.slow,
               ("collector", "lake_last_flush_seconds"), lambda _was, now: now > LAKE_FLUSH_S)],
        [Fault("collector killed", "process_missing:collector*", partial(desk.killed, "collector"),
               finding("process_missing"), more)],
        [Fault("Redis restart", "redis:redis", partial(desk.stopped, "redis"),
               ("monitor", "store_up", 'store="redis"'), lambda _was, now: now == 0)],
        [Fault("PostgreSQL restart", "database:postgresql", partial(desk.stopped, "postgresql"),
               ("monitor", "store_up", 'store="database"'), lambda _was, now: now == 0, of_database=True)],
    ]  # fmt: skip


async def run(row: Row, eyes: Eyes) -> None:
    """Make the fault, watch, undo it, watch; what was seen is filled in as it comes."""
    fault, before, began = row.fault, eyes.metric(*row.fault.metric), time.monotonic()
    kind, _, subject = fault.finding.partition(":")
    title = f"{subject}: {_label(kind)}"

    async def shown() -> None:
        row.metrics = await until_true(lambda: fault.shows(before, eyes.metric(*fault.metric)), began)

    async def seen() -> None:
        word = "down" if fault.of_database else ""
        row.page = await until_true(lambda: eyes.has(fault.finding) or eyes.word == word, began)

    async def alerted(since: float) -> None:
        row.alert = await until_true(lambda: eyes.got(title, "firing", began), since)

    async def gone(since: float) -> None:
        row.gone = await until_true(
            lambda: not eyes.has(fault.finding) and (not fault.of_database or eyes.word != "down"),
            since, OVER_S,
        )  # fmt: skip

    async def resolved(since: float) -> None:
        row.resolved = await until_true(lambda: eyes.got(title, "resolved", began), since, OVER_S)

    async with fault.breaks():
        waits = [seen(), shown()] if fault.of_database else [seen(), shown(), alerted(began)]
        await asyncio.gather(*waits)
    undone = time.monotonic()
    after = [gone(undone), resolved(undone)]
    await asyncio.gather(*after, *([alerted(undone)] if fault.of_database else []))


def _label(kind: str) -> str:
    from monitoring.models import What

    return str(What(kind).label)


async def measure(only: list[str], rows: list[Row]) -> list[str]:
    """Start everything, let it warm up, make the faults; returns every message that was sent."""
    webhook, store = Webhook(), Store()
    with home() as place:
        async with serving(webhook) as address, store.running() as environment:
            desk = Desk(place, store, environment)
            running = desk.running()
            await asyncio.to_thread(running.__enter__)
            try:
                desk.join()
                token = await sync_to_async(ask_for_alerts)(address)
                eyes = Eyes(desk, token, webhook)
                async with eyes.open():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(WHOLE_S - (time.monotonic() - STARTED)):
                            await _all(turns(desk), only, eyes, rows)
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)
    return [f"{title} ({state})" for _, title, state in webhook.taken]


async def _all(all_turns: list[list[Fault]], only: list[str], eyes: Eyes, rows: list[Row]) -> None:
    await asyncio.sleep(WARM_UP_S)
    for turn in all_turns:
        chosen = [Row(each) for each in turn if not only or any(word in each.name for word in only)]
        if not chosen:
            continue
        if await until_true(lambda: not eyes.findings, time.monotonic(), WELL_S) is None:
            print("still unhealthy before the next fault:", *sorted(eyes.findings))
        rows.extend(chosen)
        await asyncio.gather(*(run(row, eyes) for row in chosen))
        for row in chosen:
            print(_line(row), flush=True)
    well_s = await until_true(lambda: not eyes.findings, time.monotonic())
    print("still unhealthy at the end:" if well_s is None else "all is healthy again", *sorted(eyes.findings))


# --- the table -----------------------------------------------------------------------------------


def _line(row: Row) -> str:
    times = (row.page, row.metrics, row.alert, row.gone, row.resolved)
    columns = " ".join(f"{'never':>9}" if each is None else f"{each:9.1f}" for each in times)
    return f"{row.fault.name:24} {columns}"


def figures_of(rows: list[Row]) -> dict[str, Any]:
    """Each fault's, and whether they are what was promised."""
    figures: dict[str, Any] = {}
    for row in rows:
        name = row.fault.name.lower().replace(" ", "_")
        for what, value, target in (("visible_s", row.page, SEEN_S), ("alert_s", row.alert, ALERTED_S)):
            met = value is not None and value <= target
            rounded = None if value is None else round(value, 1)
            figures[f"{name}_{what}"] = {"value": rounded, "target": target, "met": met}
        clears = row.gone is not None and row.resolved is not None
        figures[f"{name}_clears"] = {"value": clears, "target": True, "met": clears}
    return figures


STARTED: Final = time.monotonic()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="faults whose name contains one of these words")
    print(f"{'seconds':24} {'page':>9} {'metrics':>9} {'alert':>9} {'gone':>9} {'resolved':>9}", flush=True)
    rows: list[Row] = []
    messages = asyncio.run(measure(parser.parse_args().only, rows))
    print("every message:", "; ".join(messages))
    print(json.dumps({"benchmark": "faults", "figures": figures_of(rows)}))


if __name__ == "__main__":
    main()

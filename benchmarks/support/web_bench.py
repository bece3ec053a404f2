"""Base of the benchmarks of the web process: the servers on their core, and the collectors that feed them.

Importing it starts a PostgreSQL and a Redis (tests.support.servers) and sets Django up. Core 0 is the web
process's, everything else runs on core 1.
"""

# ruff: noqa: E402 - the settings read DATABASE_URL, so the servers come first

import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
WEB_CORE: Final = 0
LOAD_CORE: Final = min(1, (os.cpu_count() or 1) - 1)
os.sched_setaffinity(0, {LOAD_CORE})  # inherited by PostgreSQL, Redis and the crowd

import django

import tests.support.servers  # noqa: F401 - starts PostgreSQL and Redis, and puts their addresses into the settings

django.setup()

import numpy as np
from django.contrib.auth.models import User
from django.core.management import call_command

from accounts.tokens.tokens import make_token
from arbsite.desk.ports import free_port
from core.names.chart_ids import parts_of
from engine.charts.points import POINT_COLUMNS, ChartDelta
from markets.config import MarketConfig, Shard
from markets.models import ExchangePair, OpportunityFilter
from markets.selectors import load_config
from realtime.charts.publisher import FLUSH_EVERY_S, Publisher
from tests.support.browser import session_cookies

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
START_S: Final = 20.0
TURN_AFTER: Final = 50
"""Updates after which the publishers have their turn, when a feed cannot keep its rate."""


def machine(*packages: str) -> str:
    """One line that says where the numbers come from."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cores = os.cpu_count() or 1
    where = "web on core 0, load on core 1" if cores > 1 else "ONE core for everything: nothing is comparable"
    load, python = os.getloadavg()[0], platform.python_version()
    return f"{cores} cores ({where}), load {load:.1f}, Python {python}, {versions}"


def prepare(symbols_times_pairs: int) -> tuple[MarketConfig, int, str]:
    """A desk whose last filter selects this many charts (20 symbols to a pair): (config, filter, token)."""
    call_command("migrate", verbosity=0)
    call_command("seed", verbosity=0)
    row = OpportunityFilter.objects.create(name="bench")
    row.pairs.set(ExchangePair.objects.order_by("id")[: symbols_times_pairs // 20])
    user = User.objects.create_user("bench")
    return load_config(), row.pk, make_token(user, days=1)


def session_header() -> str:
    """The header by which a browser is signed in, as `prepare`'s user."""
    (cookie,) = session_cookies(User.objects.get(username="bench"), "http://127.0.0.1")
    return f"Cookie: {cookie['name']}={cookie['value']}\r\n"


class Server:
    """A server process on its core."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self.process = process

    @property
    def url(self) -> str:
        """Address of a page."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU seconds of all its threads so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def rss_mb(self) -> float:
        """Resident memory, in MB of 10⁶ bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def server(*command: str, port: int | None = None, **environment: str) -> Iterator[Server]:
    """Run `command` (`{port}` is filled in) on core 0 until the block ends."""
    port = port or free_port()
    process = subprocess.Popen(
        [part.format(port=port) for part in command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    os.sched_setaffinity(process.pid, {WEB_CORE})
    try:
        wait_for(port, process)
        yield Server(port, process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until somebody listens. Raises RuntimeError."""
    deadline = time.monotonic() + START_S
    needle = f":{port:04X} 00000000:0000 0A"
    while time.monotonic() < deadline and process.poll() is None:
        if needle in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}")


def daphne(port: int | None = None, python: str = sys.executable) -> Any:
    """The product's web process, as `make run` starts it."""
    return server(
        python, "-m", "arbsite.web", "-b", "127.0.0.1", "-p", "{port}", "-v", "0", "--no-server-name",
        "arbsite.asgi:application", port=port, REALTIME_SOCKETS_PER_USER="100000",
    )  # fmt: skip


def page(
    group: str, port: int, token: str, query: str, charts: Sequence[str] = (), kind: str = "healthy"
) -> dict[str, Any]:
    """One browser of a `crowd.Crowd` that opens the product's socket and subscribes to charts."""
    first = json.dumps({"type": "subscribe", "charts": list(charts)}) if charts else ""
    return {
        "group": group,
        "kind": kind,
        "port": port,
        "path": f"/ws/realtime_charts{query}",
        "headers": f"Authorization: Bearer {token}\r\n",
        "first": first,
    }


class Stamped(Publisher):
    """The product's publisher, which notes when it handed each point to the channel layer."""

    def __init__(self, shard: Shard, published: dict[int, int]) -> None:
        super().__init__(shard)
        self.noted = published
        self.late_s: list[float] = []

    async def _broadcast(self, deltas: list[ChartDelta], flush_us: int) -> None:
        now_us = time.time_ns() // 1000
        for delta in deltas:
            self.noted.update((int(stamp), now_us) for stamp in delta.points[:, 0])
        await super()._broadcast(deltas, flush_us)


class Collectors:
    """Collector shards without exchanges: real publishers, fed with made-up points of given charts."""

    def __init__(self, chart_ids: Sequence[str], shards: int = 1) -> None:
        self.chart_ids = list(chart_ids)
        self.published: dict[int, int] = {}
        """When each point (by its µs) was handed to the channel layer, µs."""
        self.updates = 0
        self.feeding = False
        self.batches = 0
        self._shards = [Shard(i + 1, shards) for i in range(shards)]
        self._publishers = [Stamped(shard, self.published) for shard in self._shards]
        self._owner = {
            id: next(p for p in self._publishers if p.shard.owns(parts_of(id).symbol))
            for id in self.chart_ids
        }
        for publisher in self._publishers:
            publisher.keep_only(frozenset(id for id in self.chart_ids if self._owner[id] is publisher))
        self._last_us = 0
        self._values = np.random.default_rng(4).uniform(-30, 30, (997, len(POINT_COLUMNS) - 1)).tolist()
        self.rng = random.Random(4)

    def made_up(self, chart_id: str) -> ChartDelta:
        """One new point of a chart, now; no two have the same µs."""
        self._last_us = max(self._last_us + 1, time.time_ns() // 1000)
        values = self._values[self._last_us % len(self._values)]
        row = np.array([[self._last_us, *values]])
        return ChartDelta(chart_id, *parts_of(chart_id), "live", "", row)

    def update(self, chart_id: str) -> None:
        """One new point of a chart, now."""
        self._owner[chart_id].add([self.made_up(chart_id)])
        self.updates += 1

    async def at_random(self, updates_s: float, seconds: float) -> None:
        """Updates of random charts at random moments, flushed as the product does."""
        self.feeding = True
        flushing = [asyncio.create_task(self._flush(p, n)) for n, p in enumerate(self._publishers)]
        due = time.monotonic()
        end = due + seconds
        while due < end and time.monotonic() < end:
            due += self.rng.expovariate(updates_s)
            ahead_s = due - time.monotonic()
            if ahead_s > 0.001 or self.updates % TURN_AFTER == 0:
                await asyncio.sleep(max(0.0, ahead_s))
            self.update(self.rng.choice(self.chart_ids))
        self.feeding = False
        await asyncio.gather(*flushing)

    async def in_step(self, batches_s: float, seconds: float) -> None:
        """Every chart gets one point in every batch."""
        self.feeding = True
        due = time.monotonic()
        end = due + seconds
        while due < end and self.feeding:
            for id in self.chart_ids:
                self.update(id)
            for publisher in self._publishers:
                await publisher.flush()
                publisher.late_s.append(time.monotonic() - due)
            self.batches += 1
            due += 1 / batches_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def late_s(self) -> list[float]:
        """How much later than due each flush of `in_step` was done."""
        return [late for publisher in self._publishers for late in publisher.late_s]

    def forget_lateness(self) -> None:
        """Note it from here."""
        for publisher in self._publishers:
            publisher.late_s.clear()

    async def close(self) -> None:
        """Release the connections."""
        for publisher in self._publishers:
            await publisher.aclose()

    async def _flush(self, publisher: Stamped, place: int) -> None:
        await asyncio.sleep(FLUSH_EVERY_S * place / len(self._publishers))
        while self.feeding:
            await asyncio.sleep(FLUSH_EVERY_S)
            if publisher.due:
                await publisher.flush()
                self.batches += 1


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies; NaN without values."""
    return float(np.quantile(values, share)) if len(values) else float("nan")

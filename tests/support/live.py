"""The product's processes for tests: real Daphne subprocesses, a collector's sink, a browser's socket."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import websockets
from django.conf import settings
from django.db import connection
from msgspec import structs

from arbsite.desk.ports import free_port
from core.channel import Channel
from markets.config import MarketConfig, Shard
from markets.events import DerivedEvent, Quote, SinkEvent, StreamState
from realtime.sink import RealtimeSink

DEADLINE_S = 15.0
START_S = 90.0
"""Until a process that starts is there, or has ended: nothing is measured by it."""


def promised(seconds: float) -> float:
    """How long something promised for a machine with nothing else to do may take on this one, now.

    The load is a mean of the last minute and knows nothing yet of what began a second ago.
    """
    runnable = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    waiting_per_core = max(os.getloadavg()[0], runnable) / (os.cpu_count() or 1)
    return seconds * max(1.0, waiting_per_core)


def database_url() -> str:
    """The URL of the test database, for processes of their own."""
    base, _, _name = os.environ["DATABASE_URL"].partition("?")[0].rpartition("/")
    return f"{base}/{connection.settings_dict['NAME']}"


@dataclass
class Web:
    """A running Daphne."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/realtime_charts"


@contextmanager
def daphne(port: int | None = None, log: Path | None = None, **environment: str) -> Iterator[Web]:
    """A real Daphne on the test database and Redis; needs a test with a transactional database.

    What it logs goes to `log`, where one is named.
    """
    port = port or free_port()
    command = [sys.executable, "-m", "arbsite.web", "-b", "127.0.0.1", "-p", str(port), "-v", "0"]
    with log.open("wb") if log else nullcontext() as written:
        process = subprocess.Popen(
            [*command, "arbsite.asgi:application"],
            cwd=Path(settings.BASE_DIR),
            env={**os.environ, "DATABASE_URL": database_url(), **environment},
            stderr=written,
        )
    try:
        wait_for_port(port, process)
        yield Web(port, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(START_S)


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Return once a server that was started listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("it does not listen")


async def eventually(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> Any:
    """Wait until the condition holds and return its value; fails naming `what` after the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> Any:
    """Wait as `eventually` does, where there is no event loop."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


# --- a collector without its exchanges -----------------------------------------------------------


@dataclass
class Desk:
    """The realtime sink of one shard, fed by hand."""

    channel: Channel[SinkEvent]
    sink: RealtimeSink
    task: "asyncio.Task[None]"
    emitted: list[DerivedEvent]

    def quote(self, exchange: str, bid: float, symbol: str = "BTC/USDT", ask: float | None = None) -> None:
        """A quote received now."""
        self.channel.put(
            Quote(
                exchange,
                symbol,
                bid,
                1.0,
                ask or bid * 1.0001,
                2.0,
                None,
                time.time_ns() // 1000,
                time.monotonic_ns(),
            )
        )

    def state(self, exchange: str, state: Any, reason: str, symbol: str = "BTC/USDT") -> None:
        """A connection's state, now."""
        now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
        self.channel.put(StreamState(exchange, (symbol,), state, reason, now_us, now_ns))

    def kill(self) -> None:
        """End at once and publish nothing more, as kill -9 does."""
        self.task.cancel()


@asynccontextmanager
async def desk(
    config: MarketConfig, shard: Shard | None = None, tolerance_ms: int | None = None
) -> AsyncIterator[Desk]:
    """A running `RealtimeSink`. Quotes never get too old, so that a slow machine changes no result."""
    shard = shard or Shard()
    channel: Channel[SinkEvent] = Channel("realtime")
    emitted: list[DerivedEvent] = []
    sink = RealtimeSink(channel, shard, emitted.append)
    patient = tuple(structs.replace(o, tolerance_ms=tolerance_ms) for o in config.opportunities)
    sink.configure(structs.replace(config, opportunities=patient))
    task = asyncio.create_task(sink.run())
    try:
        yield Desk(channel, sink, task, emitted)
    finally:
        channel.close()
        await asyncio.gather(task, return_exceptions=True)


# --- a browser's socket --------------------------------------------------------------------------


@dataclass
class Browser:
    """A client of the wire contract: keeps every chart's points as a page would."""

    socket: websockets.ClientConnection
    messages: list[dict[str, Any]] = field(default_factory=list)
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    seq: int = 0

    async def next(self, ack: bool = True, seconds: float = DEADLINE_S) -> dict[str, Any]:
        """The next message, applied and (unless the test says otherwise) acked."""
        async with asyncio.timeout(seconds):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        self.messages.append(message)
        if message["type"] in ("snapshot", "delta"):
            self._take(message)
            if ack and self.socket.state is websockets.State.OPEN:
                await self.ack()
        return message

    async def until(self, condition: Callable[["Browser"], Any], what: str) -> None:
        """Read on until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self):
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
            await self.next()

    async def ack(self) -> None:
        await self.send({"type": "ack", "seq": self.seq})

    async def send(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def state(self, chart_id: str) -> str:
        return str(self.charts.get(chart_id, {}).get("state"))

    def spreads(self, chart_id: str) -> list[float | None]:
        return list(self.charts.get(chart_id, {}).get("spreads", []))

    def _take(self, message: dict[str, Any]) -> None:
        assert message["seq"] > self.seq, "seq must rise"
        self.seq = message["seq"]
        for id in message["removed"]:
            self.charts.pop(id, None)
        for chart in message["charts"]:
            old = self.charts.get(chart["id"])
            self.charts[chart["id"]] = (
                chart if message["type"] == "snapshot" or old is None else _joined(old, chart)
            )
            stamps = self.charts[chart["id"]]["timestamps"]
            assert all(a < b for a, b in pairwise(stamps)), "timestamps must rise strictly"


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The chart with the new points appended."""
    return new | {key: old[key] + value for key, value in new.items() if isinstance(value, list)}


@asynccontextmanager
async def browser(web: Web, token: str, query: str = "", **options: Any) -> AsyncIterator[Browser]:
    """A connected socket with a valid Origin."""
    async with websockets.connect(
        f"{web.socket_url}{query}",
        origin=options.pop("origin", web.url),
        additional_headers={"Authorization": f"Bearer {token}"},
        **options,
    ) as socket_:
        yield Browser(socket_)

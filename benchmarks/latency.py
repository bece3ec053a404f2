"""Latency from a frame at the collector's socket to the delta at a browser-like client: everything real.

    python benchmarks/latency.py [--seconds 30] [--clients 100] [--rate 5000]

The simulator, `manage.py collect` with all its sinks, PostgreSQL, Redis, one Daphne and, in this process,
clients that read, decode and ack like the page, 20 charts each, all on two cores of one machine, so on one
clock. A point carries when its later quote was received, a message when its batch was flushed:

    received ── waits for its batch ──▶ flushed ── publish, hub, socket, client ──▶ there

The batch interval may add up to its length to a point; what a point waits beyond it counts against us like
the rest of the way. The last line is a JSON object with every figure, its target and whether it is met.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import msgspec
import numpy as np
import websockets
from asgiref.sync import sync_to_async

from benchmarks.support.big_desk import process, set_up, simulator
from collectors.exchanges import CODECS
from core.names.market_keys import exchange_of
from realtime.charts.publisher import FLUSH_EVERY_S
from tests.support.live import Web, daphne

RATE_PER_INSTRUMENT: Final = 5.0
CHARTS: Final = 20
LIVE_WITHIN_S: Final = 60
WARM_UP_S: Final = 5
P50_MS, P99_MS = 10.0, 20.0


class Chart(msgspec.Struct, gc=False):
    """Measurements of a chart."""

    timestamps: list[float]
    state: str


class Message(msgspec.Struct, gc=False):
    """A snapshot or a delta."""

    type: str
    seq: int = 0
    charts: list[Chart] = []


read = msgspec.json.Decoder(Message).decode


class Client:
    """Reads, decodes and acks; while `measuring` it notes how long each point took, in ms."""

    measuring = False

    def __init__(self) -> None:
        self.live = 0
        self.waited: list[float] = []
        self.took: list[float] = []

    async def run(self, web: Web, token: str) -> None:
        """Run until cancelled."""
        headers = {"Authorization": f"Bearer {token}"}
        async with websockets.connect(
            web.socket_url, origin=websockets.Origin(web.url), additional_headers=headers, compression=None
        ) as socket:
            async for text in socket:
                now = time.time()
                message = read(text)
                await socket.send(f'{{"type":"ack","seq":{message.seq}}}')
                self.live = max(self.live, sum(chart.state == "live" for chart in message.charts))
                if Client.measuring and message.type == "delta":
                    self._note(message, now)

    def _note(self, message: Message, now: float) -> None:
        flushed = message.seq / 1e6
        for chart in message.charts:
            for received in chart.timestamps:
                self.waited.append((flushed - received) * 1000)
                self.took.append((now - received) * 1000)


async def measure(web: Web, token: str, clients: int, seconds: float) -> tuple[Any, Any]:
    """How long each point waited for its batch, and took in all, in ms."""
    crowd = [Client() for _ in range(clients)]
    tasks = [asyncio.create_task(each.run(web, token)) for each in crowd]
    deadline = time.monotonic() + LIVE_WITHIN_S
    while time.monotonic() < deadline and not any(task.done() for task in tasks):
        if all(each.live for each in crowd):
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(WARM_UP_S)
    Client.measuring = True
    await asyncio.sleep(seconds)
    Client.measuring = False
    for task in tasks:
        task.cancel()
    ended = [each for each in await asyncio.gather(*tasks, return_exceptions=True) if each is not None]
    if failed := [each for each in ended if not isinstance(each, asyncio.CancelledError)]:
        raise RuntimeError(f"{len(failed)} of {clients} sockets ended: {failed[0]!r}")
    return np.concatenate([each.waited for each in crowd]), np.concatenate([each.took for each in crowd])


def token_of_a_user() -> str:
    """Token of an operator made for this."""
    from django.contrib.auth.models import User

    from accounts.tokens.tokens import make_token

    return make_token(User.objects.create_user("latency"), days=1)


def report(waited: Any, took: Any) -> dict[str, dict[str, Any]]:
    """Print the quantiles; return the figures."""
    interval_ms = FLUSH_EVERY_S * 1000
    beyond = took - np.clip(waited, 0.0, interval_ms)
    print(f"{len(took):,} points, ms               p50      p99      max")
    for name, values in (
        ("waiting for the batch", waited),
        (f"beyond the interval ({interval_ms:.0f} ms)", beyond),
        ("in all", took),
    ):
        p50, p99 = np.quantile(values, (0.5, 0.99))
        print(f"{name:28} {p50:8.1f} {p99:8.1f} {values.max():8.1f}")
    figures = {}
    for name, quantile, target in (("p50_ms", 0.5, P50_MS), ("p99_ms", 0.99, P99_MS)):
        value = float(np.quantile(beyond, quantile))
        figures[f"beyond_interval_{name}"] = {
            "value": round(value, 1),
            "target": target,
            "met": value <= target,
        }
    return figures


async def run(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Start everything, measure, stop everything."""
    symbols = max(
        CHARTS, round(options.rate / RATE_PER_INSTRUMENT / len({exchange_of(key) for key in CODECS}))
    )
    with tempfile.TemporaryDirectory() as lake, simulator(symbols, RATE_PER_INSTRUMENT) as url:
        await sync_to_async(set_up)(symbols, CHARTS, url)
        token = await sync_to_async(token_of_a_user)()
        with (
            process("collect", LAKE_URL=lake),
            daphne(REALTIME_SOCKETS_PER_USER=str(options.clients)) as web,
        ):
            return report(*await measure(web, token, options.clients, options.seconds))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rate", type=float, default=5000, help="quotes a second, all exchanges together")
    figures = asyncio.run(run(parser.parse_args()))
    print(json.dumps({"benchmark": "latency", "figures": figures}))


if __name__ == "__main__":
    main()

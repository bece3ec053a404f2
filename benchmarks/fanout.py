"""Cost for the web process of bringing one update of one opportunity to one browser.

    python benchmarks/fanout.py [--sockets 1000] [--turns 3] [--seconds 3] [--uvicorn PYTHON]

1,000 sockets, 100 opportunities, ten sockets to each; updates come at random moments. Three servers
stand side by side and are asked in turn:

| server | what it is |
|---|---|
| ours | the product, whole: signed-in sockets that ack; batches from real publishers, 20 a second each |
| channels | Daphne + RedisChannelLayer, `group_send` per update, as the documentation of Channels teaches |
| floor | `websockets`, `broadcast()` per update: no sign-in, no acks, no merging, unbounded buffers |

A *delivery* is one update of one opportunity that reached one socket. CPU is that of the web process
alone, which has core 0; everything else shares core 1. Latency is from handing the update to Redis
until the client read it, so what waiting for the publisher's next flush adds (25 ms on average) is
not in it; there the updates come from `COLLECTORS` shards, whose flushes do not coincide. A single
collector's batch goes to up to 1,000 sockets at once, whose writes alone take the kernel 9 µs each:
that figure is printed beside it. `--uvicorn` names a Python that has uvicorn, `websockets` and the
product's requirements; the same application is then measured under it, too. Takes about 3½ minutes.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from channels_redis.core import RedisChannelLayer
from django.conf import settings
from redis.asyncio import Redis

from benchmarks.support.crowd import Crowd
from benchmarks.support.fanout_peers import channels_host
from benchmarks.support.web_bench import (
    LOAD_CORE,
    Collectors,
    Server,
    daphne,
    machine,
    page,
    percentile,
    prepare,
    server,
)
from realtime.charts import wire

CHARTS: Final = 100
COLLECTORS: Final = 4
COMMON_RATE: Final = 3_000
"""Deliveries a second that all three servers manage."""
LATENCY_RATE: Final = 20_000
FLOODS: Final = {"ours": 200_000, "uvicorn": 200_000, "channels": 10_000, "floor": 120_000}
"""Deliveries a second that are more than the server manages."""
SETTLE_S: Final = 0.7
SETTLED_WITHIN_S: Final = 8.0
CONNECTED_WITHIN_S: Final = 90.0
PEERS: Final = str(Path(__file__).parent / "support" / "fanout_peers.py")


@dataclass
class Turn:
    """Figures of one server in one turn."""

    delivered: int
    cpu_s: float
    took_s: float
    p50_ms: float
    p99_ms: float

    @property
    def us(self) -> float:
        """CPU µs of the web process per delivery."""
        return self.cpu_s / max(1, self.delivered) * 1e6

    @property
    def per_cpu_s(self) -> float:
        """Deliveries per CPU second."""
        return self.delivered / max(self.cpu_s, 1e-9)


class Peer:
    """Feeds a peer: one message to Redis for every update."""

    def __init__(self, send: Callable[[int, str], Coroutine[Any, Any, Any]], like: Collectors) -> None:
        self._send = send
        self._like = like
        self.published: dict[int, int] = {}

    async def at_random(self, updates_s: float, seconds: float) -> None:
        """Updates at random moments, each sent by itself; never more than 64 under way."""
        under_way: set[asyncio.Task[Any]] = set()
        due = time.monotonic()
        end = due + seconds
        while due < end and time.monotonic() < end + 1:
            due += self._like.rng.expovariate(updates_s)
            if due > time.monotonic() + 0.001:
                await asyncio.sleep(due - time.monotonic())
            place = self._like.rng.randrange(CHARTS)
            delta = self._like.made_up(self._like.chart_ids[place])
            self.published[int(delta.points[0, 0])] = time.time_ns() // 1000
            task = asyncio.create_task(self._send(place, wire.chart_json(delta).decode()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if len(under_way) >= 64:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        if under_way:
            await asyncio.wait(under_way, timeout=5)


class Bench:
    """The servers, the crowd at each, and their collectors."""

    def __init__(self, crowd: Crowd, servers: dict[str, Server], sockets: int) -> None:
        self.crowd = crowd
        self.servers = servers
        self.sockets = sockets

    async def turn(self, name: str, feed: Any, rate: float, seconds: float) -> Turn:
        """Feed one server at this many deliveries a second."""
        updates_s = rate * CHARTS / self.sockets
        await feed.at_random(updates_s, SETTLE_S)
        web = self.servers[name]
        feed.published.clear()
        self.crowd.start()
        begun, cpu = time.monotonic(), web.cpu_s()
        await feed.at_random(updates_s, seconds)
        await self._settled(name)
        cpu, took = web.cpu_s() - cpu, time.monotonic() - begun
        seen = self.crowd.report(name)
        late = [
            at - feed.published[stamp]
            for _kind, seen_s, at in self.crowd.arrivals()
            if (stamp := round(seen_s * 1e6)) in feed.published
        ]
        points = sum(one.points for one in seen)
        return Turn(points, cpu, took, percentile(late, 0.5) / 1e3, percentile(late, 0.99) / 1e3)

    async def _settled(self, group: str) -> None:
        """Wait until nothing more arrives: what was sent too fast is still delivered, or given up."""
        before, deadline = -1, time.monotonic() + SETTLED_WITHIN_S
        while time.monotonic() < deadline:
            await asyncio.sleep(0.4)
            points = sum(one.points for one in self.crowd.report(group))
            if points == before:
                return
            before = points


async def run(
    args: argparse.Namespace, servers: dict[str, Server], ids: list[str], token: str
) -> dict[str, Any]:
    """All turns; the medians by (server, what)."""
    crowd = Crowd(LOAD_CORE)
    bench = Bench(crowd, servers, args.sockets)
    for name, web in servers.items():
        crowd.connect(browsers(name, web.port, ids, token, args.sockets), spacing_s=0.006)
        await everybody(crowd, name, args.sockets)
    many, one = Collectors(ids, COLLECTORS), Collectors(ids)
    layer = RedisChannelLayer(hosts=[channels_host(settings.REDIS_URL)])
    redis = Redis.from_url(settings.REDIS_URL)
    channels = Peer(
        lambda n, text: layer.group_send(f"chart-{n}", {"type": "chart.update", "text": text}), many
    )
    floor = Peer(lambda n, text: publish(redis, n, text), many)
    feeds: dict[str, Any] = {"ours": many, "uvicorn": many, "channels": channels, "floor": floor}
    samples: defaultdict[tuple[str, str], list[Turn]] = defaultdict(list)

    async def measure(name: str, what: str, feed: Any, rate: float) -> None:
        turn = await bench.turn(name, feed, rate, args.seconds)
        samples[name, what].append(turn)
        print(row(name, what, turn), flush=True)

    for _ in range(args.turns):
        for name in servers:
            await measure(name, "common", one if name == "ours" else feeds[name], COMMON_RATE)
            if name != "channels":
                await measure(name, "latency", feeds[name], LATENCY_RATE)
            await measure(name, "flood", feeds[name], FLOODS[name])
        await measure("ours", "one collector", one, LATENCY_RATE)
    lost = sum(not seen.open for name in servers for seen in crowd.report(name))
    await many.close()
    await one.close()
    await layer.flush()
    await redis.aclose()
    crowd.close()
    return {"lost": lost, "medians": {key: middle(turns) for key, turns in samples.items()}}


async def publish(redis: "Redis", place: int, text: str) -> None:
    """One update for the floor."""
    await redis.publish("floor", f"{place} {text}")


def row(name: str, what: str, turn: Turn) -> str:
    """A turn as a line of the table."""
    rate = turn.delivered / turn.took_s
    return (
        f"{name:10}{what:16}{rate:10,.0f} deliveries/s {turn.us:8.1f} µs CPU each, "
        f"p50 {turn.p50_ms:8.2f} ms, p99 {turn.p99_ms:8.2f} ms"
    )


def middle(turns: list[Turn]) -> Turn:
    """The median of each value."""
    return Turn(*(median(getattr(turn, name) for turn in turns) for name in Turn.__dataclass_fields__))


def browsers(name: str, port: int, ids: list[str], token: str, count: int) -> list[dict[str, Any]]:
    """Open so many sockets, spread evenly over the opportunities."""
    if name in ("ours", "uvicorn"):
        return [page(name, port, token, "?filter=none", [ids[n % CHARTS]]) for n in range(count)]
    plain = {"group": name, "kind": "healthy", "port": port, "headers": "", "first": ""}
    return [plain | {"path": f"/?{n % CHARTS}"} for n in range(count)]


async def everybody(crowd: Crowd, name: str, count: int) -> None:
    """Wait until all sockets of a group are open."""
    crowd.reconnect(again=True)
    deadline = time.monotonic() + CONNECTED_WITHIN_S
    while sum(one.open for one in crowd.report(name)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name}: not all sockets open: {set(crowd.report(name))}")
        await asyncio.sleep(0.1)
    crowd.reconnect(again=False)
    await asyncio.sleep(0.5)


def figures(medians: dict[tuple[str, str], Turn]) -> dict[str, dict[str, float | bool]]:
    """The issue's figures with their targets."""
    ours, channels, floor = (medians[name, "common"] for name in ("ours", "channels", "floor"))
    busy, busy_floor = medians["ours", "latency"], medians["floor", "latency"]
    full, full_channels, full_floor = (medians[name, "flood"] for name in ("ours", "channels", "floor"))
    at_least = {
        "x_channels_at_3000": (ours.per_cpu_s / channels.per_cpu_s, 7),
        "x_channels_saturated": (full.per_cpu_s / full_channels.per_cpu_s, 7),
        "x_floor_at_20000": (busy.per_cpu_s / busy_floor.per_cpu_s, 0.25),
        "x_floor_saturated": (full.per_cpu_s / full_floor.per_cpu_s, 0.25),
        "x_floor_at_3000": (ours.per_cpu_s / floor.per_cpu_s, 0.25),
    }
    at_most = {"p50_ms_at_20000": (busy.p50_ms, 3), "p99_ms_at_20000": (busy.p99_ms, 10)}
    judged = {n: {"value": round(v, 3), "target": t, "met": v >= t} for n, (v, t) in at_least.items()}
    return judged | {n: {"value": round(v, 3), "target": t, "met": v <= t} for n, (v, t) in at_most.items()}


def main() -> None:
    """Start the servers, measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--uvicorn", metavar="PYTHON", help="measure the product under this Python's uvicorn, too"
    )
    args = parser.parse_args()
    print(machine("daphne", "channels", "channels_redis", "websockets", "Twisted", "autobahn"))
    config, filter_id, token = prepare(CHARTS)
    ids = sorted(o.id for o in config.opportunities if filter_id in o.filters)
    with ExitStack() as stack:
        servers = {"ours": stack.enter_context(daphne())}
        for name in ("channels", "floor"):
            command = (sys.executable, PEERS, name, "{port}", settings.REDIS_URL)
            servers[name] = stack.enter_context(server(*command))
        if args.uvicorn:
            servers["uvicorn"] = stack.enter_context(uvicorn(args.uvicorn))
        result = asyncio.run(run(args, servers, ids, token))
    print("medians:")
    for (name, what), turn in sorted(result["medians"].items()):
        print(row(name, what, turn))
    print(f"sockets lost: {result['lost']}")
    print(json.dumps({"benchmark": "fanout", "figures": figures(result["medians"])}))


def uvicorn(python: str) -> Any:
    """The product's application under uvicorn, WebSocket compression off."""
    return server(
        python, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning",
        "--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "off",
        "arbsite.asgi:application", REALTIME_SOCKETS_PER_USER="100000",
    )  # fmt: skip


if __name__ == "__main__":
    main()

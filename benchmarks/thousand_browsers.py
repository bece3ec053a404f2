"""A thousand browsers on one web process: healthy ones beside unhealthy ones, and all of them back at once.

    python benchmarks/thousand_browsers.py [--turns 2] [--seconds 12] [--storm-history 60]

1,000 sockets watch 20 charts each, every chart gets a point in each of 10 batches a second, so every
socket is due 10 messages of 20 charts a second. Turns with and without unhealthy browsers alternate:

| run | sockets |
|---|---|
| A | 1,000 healthy |
| B | 850 healthy, 100 that read 500 ms late, 50 that never read: 25 acked once, 25 never did |

A *batch is kept* by a socket when all of its points arrived; it *came by itself* when no later batch
shared its message. Latency is from handing the batch to Redis until the client read it, of every
tenth healthy socket. Web memory is RSS in MB of 10⁶ bytes.

Then the storm: the web process is killed and started again, the 1,000 sockets reconnect as the
dashboard does (1 s ± 25 %, then 2, 4, 8, 15) and want snapshots, while a collector publishes on.
Takes about 2½ minutes.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.support.crowd import Crowd, Seen
from benchmarks.support.web_bench import (
    LOAD_CORE,
    Collectors,
    daphne,
    machine,
    page,
    percentile,
    prepare,
    session_header,
)

SOCKETS: Final = 1_000
CHARTS: Final = 20
BATCHES_S: Final = 10
LATE, STOPPED, SILENT = 100, 25, 25
BASE_MB: Final = 65.0
KB_PER_SOCKET: Final = 64.0
SERVED_WITHIN_S: Final = 10.0


@dataclass
class Turn:
    """Figures of the healthy sockets in one turn, and the cost for the web process."""

    kept: float
    by_itself: float
    p50_ms: float
    p99_ms: float
    core: float
    rss_mb: float
    base_mb: float


async def connected(crowd: Crowd, group: str, count: int = SOCKETS, within_s: float = 60.0) -> float:
    """Wait until so many sockets of a group have their snapshot; returns how long that took."""
    begun = time.monotonic()
    crowd.reconnect(again=True)
    while sum(one.open and one.snapshots > 0 for one in crowd.report(group)) < count:
        if time.monotonic() - begun > within_s:
            raise RuntimeError(f"not served within {within_s:g} s: {tally(crowd.report(group))}")
        await asyncio.sleep(0.05)
    crowd.reconnect(again=False)
    return time.monotonic() - begun


def tally(seen: Iterable[Seen]) -> dict[str, int]:
    """How many sockets are in which state."""
    found: dict[str, int] = {}
    for one in seen:
        words = "served" if one.snapshots else f"{'open' if one.open else 'closed'} {one.closed}"
        found[words] = found.get(words, 0) + 1
    return found


def browsers(port: int, headers: str, query: str, unhealthy: bool) -> list[dict[str, Any]]:
    """1,000 sockets; the unhealthy ones are spread among the healthy."""
    kinds = ["healthy"] * SOCKETS
    if unhealthy:
        spread = ["late"] * LATE + ["stopped"] * STOPPED + ["silent"] * SILENT
        for place, kind in enumerate(spread):
            kinds[place * (SOCKETS // len(spread)) + 1] = kind
    return [page("all", port, "", query, kind=kind) | {"headers": headers} for kind in kinds]


async def turn(unhealthy: bool, seconds: float, headers: str, query: str, ids: list[str]) -> Turn:
    """One fresh web process, one crowd."""
    collectors = Collectors(ids)
    await collectors.in_step(BATCHES_S, 0.3)
    with daphne() as web:
        crowd = Crowd(LOAD_CORE)
        base = web.rss_mb()
        crowd.connect(browsers(web.port, headers, query, unhealthy), spacing_s=0.004)
        await connected(crowd, "all", SOCKETS - (SILENT if unhealthy else 0))
        await collectors.in_step(BATCHES_S, 2)
        await asyncio.sleep(1)
        crowd.start()
        collectors.published.clear()
        batches, cpu, begun = collectors.batches, web.cpu_s(), time.monotonic()
        await collectors.in_step(BATCHES_S, seconds)
        cpu, took = web.cpu_s() - cpu, time.monotonic() - begun
        await asyncio.sleep(1)
        healthy = [one for one in crowd.report("all") if one.kind == "healthy"]
        batches = collectors.batches - batches
        late = [
            at - collectors.published[stamp]
            for kind, seen, at in crowd.arrivals()
            if kind == "healthy" and (stamp := round(seen * 1e6)) in collectors.published
        ]
        due = batches * len(healthy)
        result = Turn(
            sum(min(one.points, batches * CHARTS) for one in healthy) / (due * CHARTS),
            sum(one.messages for one in healthy) / due,
            percentile(late, 0.5) / 1e3,
            percentile(late, 0.99) / 1e3,
            cpu / took,
            web.rss_mb(),
            base,
        )
        crowd.close()
    await collectors.close()
    return result


async def storm(headers: str, query: str, ids: list[str], history_s: float) -> dict[str, float]:
    """Kill the web process under 1,000 sockets; when have all of them their snapshots again?"""
    collectors = Collectors(ids)
    for _ in range(int(history_s * BATCHES_S / 4)):  # a past for the snapshots, faster than it happened
        await collectors.in_step(1000, 0.001)
    crowd = Crowd(LOAD_CORE)
    with daphne() as web:
        port = web.port
        crowd.connect(browsers(port, headers, query, unhealthy=False), spacing_s=0.004)
        await connected(crowd, "all")
        publishing = asyncio.create_task(collectors.in_step(BATCHES_S, 25))
        await asyncio.sleep(2)
        crowd.start()
        crowd.reconnect(again=True)
        web.process.kill()
        web.process.wait()
    collectors.forget_lateness()
    begun = time.monotonic()
    with daphne(port):
        up_s = time.monotonic() - begun
        served_s = await connected(crowd, "all") + up_s
        late_ms = percentile(collectors.late_s(), 0.99) * 1e3
        longest_ms = max(collectors.late_s()) * 1e3
        crowd.close()
        collectors.feeding = False
        await publishing
    await collectors.close()
    return {"up_s": up_s, "served_s": served_s, "late_p99_ms": late_ms, "late_max_ms": longest_ms}


def row(name: str, one: Turn) -> str:
    """A turn as a line of the table."""
    return (
        f"{name}: kept {one.kept:.2%}, by itself {one.by_itself:.2%}, p50 {one.p50_ms:.1f} ms, "
        f"p99 {one.p99_ms:.1f} ms, {one.core:.0%} of a core, "
        f"RSS {one.rss_mb:.1f} MB ({one.base_mb:.1f} without sockets)"
    )


def middle(turns: list[Turn]) -> Turn:
    """The median of each value."""
    return Turn(*(median(getattr(one, name) for one in turns) for name in Turn.__dataclass_fields__))


async def run(args: argparse.Namespace, headers: str, query: str, ids: list[str]) -> dict[str, Any]:
    """All turns and the storm."""
    turns: dict[str, list[Turn]] = {"A": [], "B": []}
    for _ in range(args.turns):
        for name, done in turns.items():
            done.append(await turn(name == "B", args.seconds, headers, query, ids))
            print(row(name, done[-1]), flush=True)
    medians = {name: middle(done) for name, done in turns.items()}
    return medians | {"storm": await storm(headers, query, ids, args.storm_history)}


def figures(a: Turn, b: Turn, storm: dict[str, float]) -> dict[str, dict[str, float | bool]]:
    """The issue's figures with their targets."""
    dead = STOPPED + SILENT
    at_least = {"kept_share": (b.kept, 0.99), "by_itself_share": (b.by_itself, 0.99)}
    at_most = {
        "p99_of_healthy_b_over_a": (b.p99_ms / a.p99_ms, 1.5),
        "rss_mb": (a.rss_mb, BASE_MB + KB_PER_SOCKET * SOCKETS / 1e3),
        "kb_per_socket": ((a.rss_mb - a.base_mb) * 1e3 / SOCKETS, KB_PER_SOCKET),
        "mb_more_per_dead_socket": ((b.rss_mb - a.rss_mb) / dead, 0.5),
        "storm_served_s": (storm["served_s"], SERVED_WITHIN_S),
        "storm_flush_late_p99_ms": (storm["late_p99_ms"], 100.0),
    }
    judged = {n: {"value": round(v, 3), "target": t, "met": v >= t} for n, (v, t) in at_least.items()}
    return judged | {n: {"value": round(v, 3), "target": t, "met": v <= t} for n, (v, t) in at_most.items()}


def main() -> None:
    """Prepare, measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument(
        "--storm-history", type=float, default=60.0, metavar="S", help="seconds in the snapshots"
    )
    args = parser.parse_args()
    print(machine("daphne", "channels", "Twisted", "autobahn", "numpy"))
    config, filter_id, _token = prepare(CHARTS)
    ids = sorted(o.id for o in config.opportunities if filter_id in o.filters)
    result = asyncio.run(run(args, session_header(), f"?filter={filter_id}", ids))
    print("medians:")
    for name in ("A", "B"):
        print(row(name, result[name]))
    print("storm: " + ", ".join(f"{name} {value:.2f}" for name, value in result["storm"].items()))
    judged = figures(result["A"], result["B"], result["storm"])
    print(json.dumps({"benchmark": "thousand_browsers", "figures": judged}))


if __name__ == "__main__":
    main()

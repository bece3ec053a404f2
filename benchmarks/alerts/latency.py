"""Latency from the tick that opens an opportunity to its alert at an HTTP server: everything real.

    python benchmarks/alerts/latency.py [--seconds 45] [--symbols 40] [--edge 2]

The simulator, `manage.py collect` with all its sinks, PostgreSQL, Redis, `manage.py monitor` with the rules
and the delivery, and in this process the server a signed webhook goes to, all on two cores of one machine,
so on one clock. An opportunity carries when the quote that opened it was received:

    received ── scanner, episode sink ──▶ row ── rules ──▶ incident and outbox ── delivery ──▶ there

The last line is a JSON object with every figure, its target and whether it is met.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
import numpy as np
from aiohttp import web
from asgiref.sync import sync_to_async

from arbsite.desk.ports import free_port
from benchmarks.support.big_desk import process, set_up, simulator
from markets.defaults import FINDER_NAME
from markets.models import OpportunityFilter
from monitoring.models import Alert, AlertChannel, AlertRule, Severity, What
from opportunities.models import OpportunityEpisode

RATE_PER_INSTRUMENT: Final = 5.0
WARM_UP_S: Final = 20
P95_MS: Final = 1_000.0


class Server:
    """Takes messages and notes when the first of each incident came."""

    def __init__(self) -> None:
        self.came_us: dict[int, int] = {}

    async def take(self, request: web.Request) -> web.Response:
        """One message; several in one where they came faster than the channel takes them."""
        now_us = time.time_ns() // 1000
        said = await request.json()
        for message in said["parts"] or [said["message"]]:
            _incident, number, _fired = message["key"].split("-")
            self.came_us.setdefault(int(number), now_us)
        return web.json_response({})


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """The address messages are to be sent to."""
    application = web.Application()
    application.router.add_post("/alerts", server.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/alerts"
    finally:
        await runner.cleanup()


def ask_for_alerts(address: str, edge_bps: float) -> None:
    """Ask for alerts of every opportunity, however small, at once."""
    OpportunityFilter.objects.filter(name=FINDER_NAME).update(
        min_edge_bps=edge_bps, close_edge_bps=edge_bps - 1, min_duration_ms=0
    )
    channel = AlertChannel(
        name="server", kind="webhook", settings={"url": address}, per_second=100, per_minute=6_000
    )
    channel.secret = "benchmark"
    channel.save()
    # Without the default cool-down: of every move, not of the first one of each coin in five minutes.
    rule = AlertRule.objects.create(name="all", what=What.OPPORTUNITY, severity=Severity.INFO, cool_down_s=0)
    rule.channels.add(channel)


def stages(came_us: dict[int, int]) -> dict[str, Any]:
    """Per incident in ms: until it was in the outbox, and from there to the server."""
    alerts = {row.pk: row for row in Alert.objects.filter(pk__in=came_us)}
    episodes = OpportunityEpisode.objects.in_bulk([row.episode for row in alerts.values()])
    rows = [
        (episodes[row.episode].opened.ts_us, row.fired_at.timestamp() * 1e6, came_us[pk])
        for pk, row in alerts.items()
    ]
    ticks, fired, came = np.array(rows).T
    return {
        "tick to incident": (fired - ticks) / 1000,
        "incident to server": (came - fired) / 1000,
        "tick to server": (came - ticks) / 1000,
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Start everything, let it warm up, measure."""
    server = Server()
    async with serving(server) as address:
        with tempfile.TemporaryDirectory() as lake, simulator(options.symbols, RATE_PER_INSTRUMENT) as url:
            await sync_to_async(set_up)(options.symbols, 20, url)
            await sync_to_async(ask_for_alerts)(address, options.edge)
            with process("collect", LAKE_URL=lake), process("monitor"):
                await asyncio.sleep(WARM_UP_S)
                server.came_us.clear()
                known = await sync_to_async(lambda: set(Alert.objects.values_list("pk", flat=True)))()
                await asyncio.sleep(options.seconds)
                came = {pk: at for pk, at in server.came_us.items() if pk not in known}
    return await sync_to_async(stages)(came)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=45)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--edge", type=float, default=2, help="an opportunity opens at so many bps")
    took = asyncio.run(measure(parser.parse_args()))
    print(f"{len(took['tick to server']):,} alerts, ms        p50      p95      max")
    for name, values in took.items():
        p50, p95 = np.quantile(values, (0.5, 0.95))
        print(f"{name:20} {p50:8.0f} {p95:8.0f} {values.max():8.0f}")
    value = round(float(np.quantile(took["tick to server"], 0.95)), 1)
    figures = {"tick_to_handed_over_p95_ms": {"value": value, "target": P95_MS, "met": value <= P95_MS}}
    print(json.dumps({"benchmark": "alert_latency", "figures": figures}))


if __name__ == "__main__":
    main()

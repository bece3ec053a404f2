"""A simulator as a program: says where it is, serves until SIGINT or SIGTERM, and stops as exchanges do."""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from simulator.server import Simulator

_NOTICE_S: Final = 0.2


async def serve(simulator: Simulator, say: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM; `say` prints the address. Raises OSError when its port is taken."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with simulator:
        say("\n".join(_announcement(simulator)))
        await stop.wait()
        simulator.inject(f"all:maintenance={_NOTICE_S}s")  # as real exchanges do before they stop
        await asyncio.sleep(2 * _NOTICE_S)
    say("stopped")


def _announcement(simulator: Simulator) -> list[str]:
    lines = [f"Simulated exchanges on {simulator.url}", ""]
    listing = {key: exchange for key, exchange in simulator.exchanges.items() if exchange.listings}
    for key, exchange in listing.items():
        rest, socket = simulator.rest_url(key), simulator.ws_url(key) + exchange.ws_paths[0]
        lines.append(f"  {key:<12} {rest:<36}  {socket:<54}  {len(exchange.listings)} symbols")
    return [
        *lines,
        "",
        "Point a collector at them:",
        f"  manage.py seed --simulator {simulator.url}",
        "  manage.py sync_markets",
        "  manage.py collect",
        "",
        f"State: {simulator.url}/   Break something: {simulator.url}/control/faults   Stop: Ctrl-C",
    ]

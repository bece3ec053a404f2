"""`manage.py simulate`: eight exchanges on this machine, to demonstrate, load and break things with."""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.names.market_keys import SPOT, SWAP, market_of
from core.process.vitals import Vitals
from simulator.catalogue import MARKETS
from simulator.faults import KINDS
from simulator.server import Simulator
from simulator.serving import serve

_FAULTS = "\n".join(f"  {name:<16} {kind.text}" for name, kind in KINDS.items())

_DESCRIPTION = """\
Run the eight exchanges on this machine: REST and WebSocket, the same frames, heartbeats, limits and
refusals as the real ones, with invented prices or a recording. No exchange is contacted, no money moves.
"""

_EPILOG = f"""\
examples
  manage.py simulate
      spot and swaps of all exchanges, 20 symbols, 5 quotes a second each, on http://127.0.0.1:8900
  manage.py simulate --markets spot
      as on an exchange without derivatives; --exchanges okx,gate:swap chooses single markets
  manage.py seed --simulator http://127.0.0.1:8900  &&  manage.py sync_markets  &&  manage.py collect
      point the desk at it (in another terminal)
  manage.py simulate --symbols 200 --rate 20
      a load test: 200 symbols on 16 markets, up to 64,000 quotes a second when all are subscribed
  manage.py simulate --replay ../shared/recordings/xex_perp_20250727 --speed 10
      a recorded half hour of six exchanges' swaps in three minutes
  manage.py simulate --funding-scale 0.001
      swaps that settle every 8 hours do so every 29 seconds
  manage.py simulate --faults "okx:silence@30+20,bybit:drop@60,mexc:malformed=0.01"
      okx goes silent after 30 s for 20 s, bybit is cut after a minute, 1 % of mexc's frames are broken

faults: exchange[/SYMBOL]:kind[=value][@start][+duration], several separated by commas
  exchange is a market's key (okx, okx:swap) or `all`; start and duration are seconds; without a duration
  it lasts.
{_FAULTS}
  While it runs, from this machine:
    curl -X POST  -d '{{"faults": "gate:slow=500ms+30"}}' http://127.0.0.1:8900/control/faults
    curl -X DELETE http://127.0.0.1:8900/control/faults

http://127.0.0.1:8900/ shows addresses, connections, subscriptions, counters and active faults.
A market okx:swap is served under /okx-swap. The same --seed gives the same price paths.
"""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


class Command(BaseCommand):
    """Run the simulated exchanges until Ctrl-C."""

    help = _DESCRIPTION
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the help."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = _Help
        parser.description, parser.epilog = _DESCRIPTION, _EPILOG
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Take exchanges, symbols, rate and faults."""
        add = parser.add_argument
        add(
            "--exchanges",
            default=",".join(MARKETS),
            metavar="KEYS",
            help="comma-separated keys of markets: okx is spot, okx:swap its swaps (default: all sixteen)",
        )
        add(
            "--markets",
            default=f"{SPOT},{SWAP}",
            metavar="KINDS",
            help="of these exchanges the markets of these kinds (default spot,swap)",
        )
        add("--symbols", type=int, default=20, metavar="N", help="how many symbols each lists (default 20)")
        add("--rate", type=float, default=5.0, help="quotes per second and instrument (default 5)")
        add("--seed", type=int, default=1, help="chooses the price paths (default 1)")
        add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        add("--port", type=int, default=8900, help="port for everything, 0 picks a free one (default 8900)")
        add(
            "--replay",
            type=Path,
            metavar="DIR",
            help="play the recordings below DIR; --symbols, --rate, --seed and --traps then mean nothing",
        )
        add(
            "--contract-sizes",
            type=Path,
            metavar="FILE",
            help="coins per contract of recorded swaps (default contract_sizes.json in DIR)",
        )
        add("--speed", type=float, default=1.0, help="replay this many times as fast (default 1)")
        add("--loop", action="store_true", help="begin the replay again when it ends")
        add(
            "--replay-after",
            type=int,
            default=1,
            metavar="N",
            help="begin the replay when N quote topics are subscribed (default 1, 0 at once)",
        )
        add(
            "--traps",
            action="store_true",
            help="also list CAT, sold by the thousand on Binance, BEAM, another on KuCoin, and swaps of SATS",
        )
        add("--faults", default="", metavar="SPEC", help="what to break and when, see below")
        add(
            "--time-scale",
            type=float,
            default=1.0,
            help="shrink heartbeats and lifetimes (0.1: ten times as fast)",
        )
        add(
            "--funding-scale",
            type=float,
            metavar="SCALE",
            help="shrink the time between settlements of funding (default: as --time-scale)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check the options, then serve until SIGINT or SIGTERM."""
        try:
            simulator = Simulator(
                exchanges=_wanted(options["exchanges"], options["markets"]),
                symbols=options["symbols"],
                rate=options["rate"],
                seed=options["seed"],
                host=options["host"],
                port=options["port"],
                time_scale=options["time_scale"],
                funding_scale=options["funding_scale"],
                faults=options["faults"],
                replay=options["replay"],
                contract_sizes=options["contract_sizes"],
                speed=options["speed"],
                loop=options["loop"],
                replay_after=options["replay_after"],
                traps=options["traps"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        try:
            asyncio.run(_serve(simulator, self._say))
        except OSError as error:
            where = f"{options['host']}:{options['port']}"
            words = error.strerror or str(error)
            raise CommandError(f"cannot listen on {where} ({words}); try another --host or --port") from None
        except UnicodeError:
            raise CommandError(f"--host: {options['host']!r} is no name of a host") from None

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _wanted(exchanges: str, markets: str) -> list[str]:
    """The keys given, of the kinds of markets given."""
    keys, kinds = (
        [word.strip() for word in text.split(",") if word.strip()] for text in (exchanges, markets)
    )
    wrong = sorted(set(kinds) - {SPOT, SWAP})
    if wrong or not kinds:
        raise CommandError(f"--markets: {', '.join(wrong) or 'none'} given; choose from spot, swap")
    return [key for key in keys if market_of(key) in kinds]


async def _serve(simulator: Simulator, say: Callable[[str], None]) -> None:
    """Serve; as a part of a simulated desk, with a heartbeat. By itself a simulator needs no Redis."""
    with ExitStack() as parts:
        if settings.FEED == "sim":
            limit = settings.MEMORY_LIMIT_BYTES
            parts.enter_context(
                Vitals("simulator", "simulator", settings.REDIS_URL, memory_limit_bytes=limit)
            )
        await serve(simulator, say)

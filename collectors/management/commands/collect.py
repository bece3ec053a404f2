"""`manage.py collect`: one collector process."""

import asyncio
import logging
import signal
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from collectors.exchanges import CODECS
from collectors.memory import CONNECTED_S, Memory
from collectors.reporter import Reporter
from collectors.supervisor import Outlet, Supervisor
from collectors.watcher import Watcher
from markets.config import MarketConfig, Shard
from markets.heartbeat import QueueFill, Report
from markets.vitals import Vitals

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs a collector until SIGTERM or SIGINT."""

    help = (
        "Keeps sockets open to the enabled exchanges and hands quotes and trades to the sinks "
        "(setting COLLECTOR_SINKS), until SIGTERM or Ctrl-C. What to collect comes from the admin and is "
        "followed while running: no restart is needed. Several processes share the work with --shard. "
        "A database, Redis or exchange that does not answer is waited for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--shard",
            default="1/1",
            metavar="I/N",
            help="collect the I-th of N parts of the symbols, for example 1/4 (default: 1/1, all of them)",
        )
        parser.add_argument(
            "--exchanges",
            default="",
            metavar="KEYS",
            help=f"only these, separated by commas (default: all enabled ones); known: {', '.join(CODECS)}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Collect; raises CommandError when an option is wrong."""
        shard, exchanges = _shard(options["shard"]), _exchanges(options["exchanges"])
        outlets = _outlets(shard)
        names = ", ".join(sorted(exchanges)) if exchanges else "all enabled exchanges"
        sinks = ", ".join(outlet.name for outlet in outlets)
        self.stderr.write(f"Collecting shard {shard} of {names} into {sinks}. Stop with Ctrl-C.")
        uvloop.run(_collect(outlets, shard, exchanges))


def _shard(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _exchanges(text: str) -> frozenset[str] | None:
    keys = frozenset(key.strip().lower() for key in text.split(",") if key.strip())
    if unknown := keys - CODECS.keys():
        raise CommandError(f"--exchanges: unknown {', '.join(sorted(unknown))}; known: {', '.join(CODECS)}")
    return keys or None


def _outlets(shard: Shard) -> list[Outlet]:
    try:
        sinks = [import_string(path) for path in settings.COLLECTOR_SINKS]
    except ImportError as error:
        raise CommandError(f"setting COLLECTOR_SINKS: {error}") from error
    return Outlet.chain(sinks, shard, settings.COLLECTOR_CHANNEL_CAPACITY)


async def _collect(outlets: list[Outlet], shard: Shard, exchanges: frozenset[str] | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    supervisor = Supervisor(CODECS, outlets, shard, exchanges=exchanges)
    memory = Memory()

    def apply(config: MarketConfig) -> None:
        supervisor.apply(config)
        memory.settle()
        for after_s in range(1, CONNECTED_S + 1):
            loop.call_later(after_s, memory.keep)

    watcher = Watcher(apply, settings.REDIS_URL)
    reporter = Reporter(supervisor, watcher, memory, settings.REDIS_URL)
    memory.watch()
    vitals = Vitals(
        "collector",
        f"collector {shard}",
        settings.REDIS_URL,
        lambda: _report(supervisor, watcher),
        memory_limit_bytes=settings.MEMORY_LIMIT_BYTES,
    )
    with vitals:
        async with asyncio.TaskGroup() as tasks:
            side = [
                tasks.create_task(watcher.run(), name="watcher"),
                tasks.create_task(reporter.run(), name="reporter"),
            ]
            await supervisor.run(stop)
            for task in side:
                task.cancel()
    logger.info("stopped")


def _report(supervisor: Supervisor, watcher: Watcher) -> Report:
    fills = {outlet.name: outlet.status() for outlet in supervisor.outlets}
    queues = {name: QueueFill(fill["len"], fill["capacity"], fill["dropped"]) for name, fill in fills.items()}
    return Report(revision=watcher.revision, queues=queues)

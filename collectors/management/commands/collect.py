"""`manage.py collect`: one collector process."""

import asyncio
import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from collectors.exchanges import CODECS
from collectors.lease import Lease
from collectors.memory import CONNECTED_S, Memory
from collectors.reporter import Reporter, books_status
from collectors.standby import Standby, unless_lost
from collectors.supervisor import Outlet, SinkType, Supervisor
from core.process.heartbeat import QueueFill, Report
from core.process.vitals import Vitals
from core.redis_client import REDIS_TIMEOUT_S, async_redis
from core.threads import in_daemon_thread
from markets.config import MarketConfig, Shard
from markets.follow.follower import Follower
from markets.follow.runtime import CollectorRole
from markets.models import Exchange
from markets.secret_use import proxies_used
from markets.selectors import load_config

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
        """Collect; raises CommandError when an option is wrong, or another collector took the shard over."""
        shard, exchanges = shard_of(options["shard"]), exchanges_of(options["exchanges"])
        sinks = _sinks()
        names = ", ".join(sorted(exchanges)) if exchanges else "all enabled exchanges"
        into = ", ".join(getattr(sink, "__name__", str(sink)) for sink in sinks)
        self.stderr.write(f"Collecting shard {shard} of {names} into {into}. Stop with Ctrl-C.")
        uvloop.run(collect(sinks, shard, exchanges))


def shard_of(text: str) -> Shard:
    try:
        return Shard.parse(text)
    except ValueError as error:
        raise CommandError(str(error)) from error


def exchanges_of(text: str) -> frozenset[str] | None:
    keys = frozenset(key.strip().lower() for key in text.split(",") if key.strip())
    if unknown := keys - CODECS.keys():
        raise CommandError(f"--exchanges: unknown {', '.join(sorted(unknown))}; known: {', '.join(CODECS)}")
    return keys or None


def _sinks() -> list[SinkType]:
    try:
        return [import_string(path) for path in settings.COLLECTOR_SINKS]
    except ImportError as error:
        raise CommandError(f"setting COLLECTOR_SINKS: {error}") from error


async def collect(
    sinks: list[SinkType],
    shard: Shard,
    exchanges: frozenset[str] | None,
    role: CollectorRole = "collector",
    load: Callable[[], MarketConfig] = load_config,
) -> None:
    """Follow the configuration, and collect as soon as the shard is ours, until asked to stop."""
    stop, lost = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lease = Lease(shard, lambda: loop.call_soon_threadsafe(lost.set), role)
    collector = Collector(role)
    follower = Follower(collector.apply, load=partial(_load, load))
    watching = asyncio.create_task(follower.run(), name="follower")
    try:
        if await Standby(lease, shard, role).over(stop):
            lease.keep()
            collecting = collector.run(follower, lease, shard, exchanges, sinks, stop)
            if not await unless_lost(collecting, lost):
                raise CommandError(
                    f"Another {role} has taken over shard {shard} while this one was silent. This one has "
                    "written nothing since, and ends."
                )
    finally:
        watching.cancel()
        await in_daemon_thread(lease.release)
    logger.info("stopped")


class Collector:
    """Collector of this process's shard; until its turn comes configurations are only watched."""

    def __init__(self, role: CollectorRole) -> None:
        self._role: CollectorRole = role
        self._supervisor: Supervisor | None = None
        self._memory = Memory()
        self._memory.watch()

    def apply(self, config: MarketConfig) -> None:
        """Apply a configuration."""
        if self._supervisor is None:
            return
        self._supervisor.apply(config)
        self._memory.settle()
        loop = asyncio.get_running_loop()
        for after_s in range(1, CONNECTED_S + 1):
            loop.call_later(after_s, self._memory.keep)

    async def run(  # noqa: PLR0917
        self,
        follower: Follower,
        lease: Lease,
        shard: Shard,
        exchanges: frozenset[str] | None,
        sinks: list[SinkType],
        stop: asyncio.Event,
    ) -> None:
        """Collect until asked to stop."""
        outlets = Outlet.chain(sinks, shard, settings.COLLECTOR_CHANNEL_CAPACITY)
        supervisor = self._supervisor = Supervisor(CODECS, outlets, shard, exchanges=exchanges)
        reporter = Reporter(supervisor, follower, self._memory, settings.REDIS_URL, self._role)
        vitals = Vitals(
            self._role,
            f"{self._role} {shard}",
            settings.REDIS_URL,
            lambda: _report(supervisor, follower),
            memory_limit_bytes=settings.MEMORY_LIMIT_BYTES,
        )
        async with async_redis(REDIS_TIMEOUT_S) as redis:
            await lease.plant(redis)
        if follower.revision is not None:
            follower.start_over()
        with vitals:
            async with asyncio.TaskGroup() as tasks:
                reporting = tasks.create_task(reporter.run(), name="reporter")
                await supervisor.run(stop)
                reporting.cancel()


def _load(load: Callable[[], MarketConfig]) -> MarketConfig:
    """Load a configuration; what goes out through a proxy with credentials is on record."""
    config = load()
    proxies_used(Exchange.objects.filter(enabled=True))
    return config


def _report(supervisor: Supervisor, follower: Follower) -> Report:
    fills = {outlet.name: outlet.status() for outlet in supervisor.outlets}
    queues = {name: QueueFill(fill["len"], fill["capacity"], fill["dropped"]) for name, fill in fills.items()}
    counters = {name: float(count) for name, count in supervisor.counters.items()}
    books = books_status(supervisor)
    counters |= {f"books_{name}": float(books[name]) for name in ("followed", "known", "refused", "updates")}
    return Report(revision=follower.revision, queues=queues, counters=counters)

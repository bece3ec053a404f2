"""`manage.py monitor`: the process that finds what is unhealthy and sends alerts."""

import asyncio
import logging
import os
import signal
import socket
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from core.process.heartbeat import Report
from core.process.vitals import Vitals
from monitoring.health import watching
from monitoring.health.monitor import Monitor

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs the monitor until SIGTERM or SIGINT."""

    help = (
        "Looks every second at every process, exchange and store, keeps what it finds for the health page "
        "and the graphs, compares it with the alert rules and delivers alerts, until SIGTERM or Ctrl-C. "
        "Of several monitors one works and the others stand by. A database or Redis that does not answer "
        "is waited for, and reported."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """Watch."""
        self.stderr.write("Watching the desk. Stop with Ctrl-C.")
        uvloop.run(_watch())


async def _watch() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    monitor = Monitor()
    watching.follow(monitor)
    vitals = Vitals(
        "monitor",
        f"monitor {socket.gethostname()}:{os.getpid()}",
        settings.REDIS_URL,
        lambda: _report(monitor),
        memory_limit_bytes=settings.MEMORY_LIMIT_BYTES,
    )
    with vitals:
        await monitor.run(stop)
    logger.info("stopped")


def _report(monitor: Monitor) -> Report:
    said = {"leads": monitor.leads, "findings": len(monitor.findings), **monitor.counters}
    return Report(counters={name: float(value) for name, value in said.items()})

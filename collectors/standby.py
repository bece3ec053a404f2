"""A collector waits for its turn: while another one has its shard, it writes nothing and says so."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable
from typing import Any, Final

import psycopg
from django.conf import settings

from collectors.lease import WAIT_EVERY_S, Lease
from core.outage import Outage
from core.process.heartbeat import Report
from core.process.vitals import Vitals
from core.threads import in_daemon_thread
from markets.config import Shard
from markets.follow.runtime import CollectorRole

logger = logging.getLogger(__name__)

CUT_OFF_WITHIN_S: Final = 2.0


class Standby:
    """Waits for a shard's lease. Its heartbeat says that it waits, and who collects meanwhile."""

    def __init__(self, lease: Lease, shard: Shard, role: CollectorRole = "collector") -> None:
        self._lease = lease
        self._shard = shard
        self._role: CollectorRole = role
        self._holder = ""
        self._vitals: Vitals | None = None
        self._outage = Outage(logger)

    async def over(self, stop: asyncio.Event) -> bool:
        """Whether the lease is ours; false when asked to stop first."""
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            while not stop.is_set():
                asking = asyncio.create_task(self._ask(), name="lease")
                await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if asking.done() and asking.result():
                    return True
                await asyncio.wait({stopping}, timeout=WAIT_EVERY_S)
            return False
        finally:
            stopping.cancel()
            if self._vitals is not None:
                await in_daemon_thread(self._vitals.stop)

    async def _ask(self) -> bool:
        try:
            holder = await in_daemon_thread(self._lease.take)
        except psycopg.Error as error:
            words = str(error).partition("\n")[0]
            self._outage.begins(
                "shard %s cannot be taken, PostgreSQL does not say whether it is free: %s; is the database "
                "of DATABASE_URL up, and is it migrated (manage.py migrate)?", self._shard, words,
            )  # fmt: skip
            return False
        self._outage.ends("PostgreSQL says again whether shard %s is free", self._shard)
        if not holder:
            return True
        if not self._holder:
            logger.warning("%s: this %s stands by and writes nothing", holder, self._role)
        self._holder = holder
        self._report()
        return False

    def _report(self) -> None:
        if self._vitals is None:
            self._vitals = Vitals(
                self._role,
                f"{self._role} {self._shard} stands by, {socket.gethostname()}:{os.getpid()}",
                settings.REDIS_URL,
                lambda: Report(stands_by=self._holder),
                memory_limit_bytes=settings.MEMORY_LIMIT_BYTES,
            )
            self._vitals.start()


async def unless_lost(work: Awaitable[Any], lost: asyncio.Event) -> bool:
    """Whether some work came to its end; once the lease is lost it is cut off."""
    working = asyncio.ensure_future(work)
    losing = asyncio.create_task(lost.wait(), name="lease lost")
    await asyncio.wait({working, losing}, return_when=asyncio.FIRST_COMPLETED)
    losing.cancel()
    if working.done():
        await working
        return True
    working.cancel()
    await asyncio.wait({working}, timeout=CUT_OFF_WITHIN_S)
    return False

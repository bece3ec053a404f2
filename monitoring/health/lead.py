"""Leadership among several monitors: the one that holds an advisory lock in PostgreSQL works.

The lock lives as long as its connection. A monitor that is killed loses it at once, and one whose
database restarts gets it again unless another was quicker.
"""

import asyncio
import logging
from typing import Any, Final

import psycopg

from core.connections import own_connection

logger = logging.getLogger(__name__)

LOCK: Final = 0x_6172_6264_6573_6B  # any number that nobody else takes: "arbdesk"
TIMEOUT_S: Final = 2


class Lead:
    """The lock. Not thread-safe; nothing here blocks the event loop or raises for the database."""

    def __init__(self) -> None:
        self._session: psycopg.Connection[Any] | None = None
        self._leads = False
        self._asking: asyncio.Task[bool] | None = None

    async def hold(self) -> bool:
        """Whether this monitor is the one that works.

        While the database does not answer it stays what it was: nobody else can take over then.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(asyncio.to_thread(self._ask), name="lead")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                leads = await asyncio.shield(self._asking)
        except (TimeoutError, psycopg.Error, OSError):
            return self._leads
        if leads != self._leads:
            logger.info("this monitor works" if leads else "another monitor works, this one stands by")
        self._leads = leads
        return leads

    def release(self) -> None:
        """Release the lead to another one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _ask(self) -> bool:
        """Hold the lock or try to get it. In a thread; raises psycopg.Error."""
        try:
            if self._session is not None:
                self._session.execute("SELECT 1")
                return True
            session = own_connection("arbdesk monitor", TIMEOUT_S)
            if session.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone() == (True,):
                self._session = session
                return True
            session.close()
        except psycopg.Error:
            self.release()
            raise
        return False

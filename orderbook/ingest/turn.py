"""Turns of processes that may write a shard into the store: a lease, beside that of its collector."""

import logging
from typing import Final

import psycopg

from collectors.lease import Lease, lease_of
from markets.config import Shard
from markets.follow.runtime import CollectorRole

logger = logging.getLogger(__name__)

ROLE: Final[CollectorRole] = "ingest"


class Turn:
    """The lease of a process that may write a shard. Everything but `is_ours` blocks.

    Where the process itself holds it (`manage.py ingest_orderbook`), its sink has nothing to take. `holder`
    says in words who has it instead.
    """

    def __init__(self, shard: Shard) -> None:
        self.holder = ""
        self._shard = shard
        self._lease: Lease | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this process may write."""
        lease = lease_of(self._shard, ROLE)
        return lease is not None and not lease.lost

    def look(self, is_wanted: bool) -> None:
        """Take the lease if it is wanted and free, give it back if it is wanted no more."""
        if not is_wanted:
            self.end()
        elif not self.is_ours:
            self._take()

    def end(self) -> None:
        """Give back what was taken here."""
        self.holder = ""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _take(self) -> None:
        if self._lease is None or self._lease.lost:
            self._lease = Lease(self._shard, role=ROLE)
        try:
            holder = self._lease.take()
        except psycopg.Error:  # as the settings: all stays as it is
            return
        if not holder:
            self._lease.keep()
        elif holder != self.holder:
            logger.warning("store: %s; this process writes nothing into it meanwhile", holder)
        self.holder = holder

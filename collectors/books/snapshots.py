"""Requests (REST) for whole books of one market: one at a time, paced, each with growing pauses."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from collectors.sockets.rest import ConnectFailed, Request, ask
from core.backoff import Backoff, Pace
from core.outage import Outage

if TYPE_CHECKING:
    from collectors.sockets.exchange import FollowedExchange

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 2**20
"""A thousand levels a side take 70 KB."""

AGAIN_FIRST_S: Final = 1.0


class _Try:
    """Attempts to get one instrument's book; healthy is who was not asked for in a while."""

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self.asked_at = -inf


class Snapshots:
    """Asks for what is wanted, in the order in which it is due, and hands on each answer.

    An instrument that is wanted twice is asked for once, over reconnects too: an answer that does not reach
    the deltas that wait is asked for again, after a growing pause. After a failure the whole market is left
    alone for as long as the exchange says, or for a pause that grows with failures in a row. `take` returns
    whether there was a book in the answer. `counts`: `snapshots` that were answered, `snapshots_failed`.
    """

    def __init__(self, exchange: "FollowedExchange", take: Callable[[str, bytes], bool]) -> None:
        self.counts: Counter[str] = Counter()
        self.failing: dict[str, Any] = {}
        """Since when (`since_us`), how often (`times`), and why last (`reason`); empty while it answers."""
        self._exchange = exchange
        self._take = take
        self._pace = Pace(1 / exchange.sheet.depth.snapshots_per_second)
        self._due: dict[str, float] = {}  # native id -> when, monotonic s
        self._tries: dict[str, _Try] = {}
        self._asking = ""
        self._resume_at = 0.0
        self._pauses = exchange.timing.backoff()
        self._wake = asyncio.Event()
        self._outage = Outage(logger, logging.WARNING)

    @property
    def waiting(self) -> int:
        """How many are wanted and not answered."""
        return len(self._due) + bool(self._asking)

    def want(self, native_id: str, *, used_up: bool = False) -> None:
        """Ask for a book as soon as it is its turn; one that is asked for already is not asked for twice.

        The last answer served where its levels are `used_up`: then the pause does not grow.
        """
        if native_id in self._due or native_id == self._asking:
            return
        now, timing = time.monotonic(), self._exchange.timing
        tried = self._tries.get(native_id)
        if tried is None:
            first_s = min(AGAIN_FIRST_S, timing.backoff_ceiling_s)
            tried = self._tries[native_id] = _Try(
                Backoff(first_s, timing.backoff_ceiling_s, timing.healthy_s)
            )
            self._due[native_id] = now
        else:
            pause_s = tried.backoff.after(inf if used_up else now - tried.asked_at)
            self._due[native_id] = max(now, tried.asked_at + pause_s)
        self._wake.set()

    def call_off(self, native_id: str) -> None:
        """Do not ask for a book until it is wanted again."""
        self._due.pop(native_id, None)

    def forget(self, native_id: str) -> None:
        """Ask for a book no more."""
        self.call_off(native_id)
        self._tries.pop(native_id, None)

    async def run(self) -> None:
        """Ask until this is cancelled."""
        try:
            while True:
                native_id = await self._next()
                await self._pace.turn()
                if self._due.pop(native_id, None) is not None:
                    self._asking = native_id
                    await self._ask(native_id)
                    self._asking = ""
        finally:
            self._asking = ""

    async def _next(self) -> str:
        """Wait until one is due, and nobody has to be left alone."""
        while True:
            self._wake.clear()
            if not self._due:
                await self._wake.wait()
                continue
            native_id = min(self._due, key=self._due.__getitem__)
            wait_s = max(self._due[native_id], self._resume_at) - time.monotonic()
            if wait_s <= 0:
                return native_id
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _ask(self, native_id: str) -> None:
        exchange = self._exchange
        base = (exchange.config.rest_url or exchange.sheet.rest_url).rstrip("/")
        request = Request(
            "request of a book", "GET", base + exchange.codec.snapshot_path(native_id), MOST_BYTES
        )
        if native_id in self._tries:
            self._tries[native_id].asked_at = time.monotonic()
        try:
            body, wait_s = await ask(request, exchange.config, exchange.timing)
        except ConnectFailed as error:
            self._failed(str(error), error.retry_after_s)
            return
        exchange.turns.hand_on()  # what was read before goes before
        if not self._take(native_id, body):
            self._failed("request of a book: there is none in the answer", wait_s)
            return
        self.counts["snapshots"] += 1
        self.failing = {}
        if wait_s:
            self._resume_at = time.monotonic() + wait_s
        self._outage.ends("%s answers requests of books", exchange.config.name)

    def _failed(self, reason: str, wait_s: float | None) -> None:
        now = time.monotonic()
        self.counts["snapshots_failed"] += 1
        before = self.failing or {"since_us": time.time_ns() // 1000, "times": 0}
        self.failing = before | {"times": before["times"] + 1, "reason": reason}
        # Begins again after any answer: one book that is always refused does not keep the others waiting.
        pause_s = self._pauses.after(0.0 if before["times"] else inf)
        self._resume_at = now + (pause_s if wait_s is None else wait_s)
        self._outage.begins("%s: %s", self._exchange.config.name, reason, kind=reason)

"""A circuit breaker per exchange, for books one of their own: after repeated failures it stops knocking."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from collectors.sockets.timing import Timing

logger = logging.getLogger(__name__)

BreakerState = Literal["closed", "open", "half-open"]


class Breaker:
    """Opens after `breaker_failures` failures within `breaker_window_s`, whichever connections had them.

    Open: nobody connects for a while, from `breaker_cool_down_s` doubling up to the backoff's
    ceiling, or as long as the exchange asked for with Retry-After. Then half-open: one attempt, which
    closes it or opens it again.
    """

    def __init__(self, name: str, timing: Timing) -> None:
        self.state: BreakerState = "closed"
        self._name = name
        self._timing = timing
        self._failures: deque[float] = deque(maxlen=timing.breaker_failures)
        self._cool_downs = timing.backoff(timing.breaker_cool_down_s)
        self._closed_at = time.monotonic()
        self._retry_at = 0.0
        self._changed = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """Whether nobody may connect at present."""
        return self.state == "open" and time.monotonic() < self._retry_at

    @property
    def next_try_s(self) -> float | None:
        """Seconds until somebody may connect again; None while nobody has to wait."""
        return round(self._retry_at - time.monotonic(), 1) if self.waiting else None

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Wait until an attempt is allowed; a body that returns has succeeded, one that raises has not.

        The caller reports failures by `failure`: it knows what the exchange asked for.
        """
        await self._permission()
        try:
            yield
        except BaseException:
            if self.state == "half-open":  # the trial failed, or was called off
                self._turn("open")
            raise
        if self.state != "closed":
            self._failures.clear()
            self._turn("closed")

    def failure(self, reason: str, retry_after_s: float | None = None) -> None:
        """Count a failed attempt or a lost connection. Retry-After opens the breaker at once."""
        now = time.monotonic()
        self._failures.append(now)
        full = len(self._failures) == self._failures.maxlen
        repeated = full and now - self._failures[0] <= self._timing.breaker_window_s
        if retry_after_s:  # 0 asks for nothing
            self._retry_at = max(self._retry_at, now + retry_after_s)
        elif now >= self._retry_at and (repeated or self.state != "closed"):
            closed_s = now - self._closed_at if self.state == "closed" else 0.0
            self._retry_at = now + self._cool_downs.after(closed_s)
        if self._retry_at > now:
            self._turn("open", reason)

    async def _permission(self) -> None:
        while self.state != "closed":
            wait_s = self._retry_at - time.monotonic()
            if self.state == "open" and wait_s <= 0:
                self._turn("half-open")
                return
            changed = self._changed
            try:
                async with asyncio.timeout(wait_s if self.state == "open" else None):
                    await changed.wait()
            except TimeoutError:
                continue

    def _turn(self, state: BreakerState, reason: str = "") -> None:
        if state == self.state:
            return
        first = self.state == "closed"
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()
        if state == "closed":
            self._closed_at = time.monotonic()
            logger.info("%s: breaker closed, connections may open again", self._name)
        elif first:  # later trials that fail change nothing an operator can see
            wait_s = self._retry_at - time.monotonic()
            logger.warning("%s: breaker open, next attempt in %.0f s (%s)", self._name, wait_s, reason)

"""How long to wait before trying again, and at which pace to send."""

import asyncio
import random
from collections.abc import Iterator

from collectors.timing import Timing


def delays(first_s: float, ceiling_s: float) -> Iterator[float]:
    """Waiting times in seconds: doubling up to the ceiling, each drawn from the upper half of its step.

    The jitter keeps connections that fell together from returning together.
    """
    step = first_s
    while True:
        yield random.uniform(step / 2, step)  # noqa: S311 - spreads load, hides nothing  # nosec B311 # no secret
        step = min(step * 2, ceiling_s)


class Backoff:
    """Waiting times that start anew only after a healthy period, not after a mere connect."""

    def __init__(self, timing: Timing, first_s: float | None = None) -> None:
        self._timing = timing
        self._first_s = timing.backoff_first_s if first_s is None else first_s
        self._delays = self._fresh()

    def after(self, healthy_s: float) -> float:
        """The next waiting time in seconds, for something that ran `healthy_s` before it failed."""
        if healthy_s >= self._timing.healthy_s:
            self._delays = self._fresh()
        return next(self._delays)

    def _fresh(self) -> Iterator[float]:
        return delays(self._first_s, self._timing.backoff_ceiling_s)


class Pace:
    """Hands out turns at least `gap_s` seconds apart, in the order they were asked for.

    Also in a process that gets the processor late: turns that were missed are not made up for in a burst.
    """

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._next = 0.0
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        async with self._queue:
            wait_s = self._next - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._next = loop.time() + self._gap_s

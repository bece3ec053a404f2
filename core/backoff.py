"""Pauses before trying again, and the pace of sending."""

import asyncio
import random
from collections.abc import Iterator


def delays(first_s: float, ceiling_s: float) -> Iterator[float]:
    """Waiting times in seconds: doubling up to the ceiling, each drawn from the upper half of its step.

    The jitter keeps connections that fell together from returning together.
    """
    step = first_s
    while True:
        yield random.uniform(step / 2, step)  # noqa: S311 - spreads load, hides nothing  # nosec B311 # no secret
        step = min(step * 2, ceiling_s)


class Backoff:
    """Waiting times of `delays` that begin again only after a healthy period, not after a mere connect."""

    def __init__(self, first_s: float, ceiling_s: float, healthy_s: float) -> None:
        self._first_s = first_s
        self._ceiling_s = ceiling_s
        self.healthy_s = healthy_s
        self._delays = delays(first_s, ceiling_s)

    def after(self, healthy_s: float) -> float:
        """The next waiting time in seconds, for something that ran `healthy_s` before it failed."""
        if healthy_s >= self.healthy_s:
            self._delays = delays(self._first_s, self._ceiling_s)
        return next(self._delays)


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

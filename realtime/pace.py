"""Pace of each user's actions: so many times in any minute, in this process."""

import time
from collections import deque
from math import ceil
from typing import Final

from core.web.refused import Refused

MINUTE_S: Final = 60.0
USERS_KEPT: Final = 10_000


class Pace:
    """Counts what users do; only those of the last minute are remembered."""

    def __init__(self, what: str, per_minute: int) -> None:
        self._what = what
        self._per_minute = per_minute
        self._done: dict[int, deque[float]] = {}

    def step(self, user_id: int) -> None:
        """Count one. Raises Refused, with when to try again, where there were too many."""
        now_s = time.monotonic()
        if len(self._done) >= USERS_KEPT:
            self._forget(now_s)
        done = self._done.setdefault(user_id, deque())
        while done and done[0] <= now_s - MINUTE_S:
            done.popleft()
        if len(done) >= self._per_minute:
            again_s = ceil(done[0] + MINUTE_S - now_s)
            raise Refused(429, f"more than {self._per_minute} {self._what} in a minute", max(1, again_s))
        done.append(now_s)

    def _forget(self, now_s: float) -> None:
        self._done = {user: done for user, done in self._done.items() if done and done[-1] > now_s - MINUTE_S}

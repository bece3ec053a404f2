"""One collector shard as a web process receives it: what it flushed, and how its clock stands to ours."""

import time
from collections.abc import Iterable
from typing import Final

SILENT_AFTER_S: Final = 3.0
SAME_CLOCK_S: Final = 1.0
"""Clocks that differ by less are one: so long a batch may be on its way."""
DRIFT: Final = 0.001  # a clock that is slewed falls behind by no more than this share


class ShardView:
    """Times of the shard's own clock against the monotonic one here, which nobody sets.

    The flush that travelled fastest shows the shard's clock best, so what is known of it only moves on, but
    for a drift and where it was set back.
    """

    def __init__(self, name: str, received_at: float, flush_ts_us: int) -> None:
        self.name = name
        self.received_at = received_at
        self.flush_ts_us = flush_ts_us
        self.silent = False
        self.said_ahead_s = 0.0  # what viewers know of `ahead_s`
        self._clock_s: float | None = None  # the shard's clock less the monotonic one

    def note_batch(self, flush_ts_us: int, *, set_back: bool) -> None:
        """Note a batch; `set_back`: by a clock that was set back since the last."""
        last_received_at, self.received_at = self.received_at, time.monotonic()
        self.flush_ts_us = flush_ts_us if set_back else max(flush_ts_us, self.flush_ts_us)
        stamped_s = flush_ts_us / 1e6 - self.received_at
        known_s = (
            stamped_s
            if set_back or self._clock_s is None
            else self._clock_s - DRIFT * (self.received_at - last_received_at)
        )
        self._clock_s = max(stamped_s, known_s)

    def fell_silent(self, now: float) -> bool:
        """Whether it just passed the limit of silence."""
        return not self.silent and now - self.received_at > SILENT_AFTER_S

    def until_s(self) -> float:
        """Monotonic time here when the newest flush was made; by its arrival where no batch came."""
        return self.received_at if self._clock_s is None else self.flush_ts_us / 1e6 - self._clock_s

    def ahead_s(self) -> float:
        """Seconds by which its clock is ahead of the wall clock here; 0 for one that is the same."""
        if self._clock_s is None:
            return 0.0
        ahead_s = self._clock_s - wall_ahead_s()
        return round(ahead_s, 1) if abs(ahead_s) >= SAME_CLOCK_S else 0.0


def all_until_s(shards: Iterable[ShardView]) -> float:
    """Time up to which every live shard was received, s by the wall clock here; 0: there is none."""
    shards = list(shards)
    live = [shard.until_s() for shard in shards if not shard.silent]
    if not shards:
        return 0.0
    return (min(live) if live else max(shard.until_s() for shard in shards)) + wall_ahead_s()


def wall_ahead_s() -> float:
    """The wall clock less the monotonic one, s."""
    return time.time_ns() / 1e9 - time.monotonic()

"""By how much the wall clock was set while this process ran, so that what lasts is not made longer by it.

A stamp from before a step forward lies too far back: how long ago it was is what passed, less the step. A
stamp from before a step back lies ahead of now, and `core.clock.moments` has the rules for that.
"""

import time
from collections import deque
from typing import Final

from msgspec.structs import replace

from core.clock.clocks import JUMP_S, boot_ns
from monitoring.quality.wire import Quality

MOST: Final = 32
"""So many steps forward are remembered; of older ones nothing lasts any more that anybody waits for."""


class Jumps:
    """Notices what the wall clock does besides going on, whenever it is asked for the time."""

    def __init__(self) -> None:
        self.total_us = 0  # by how much it was set in all, back being negative
        self._forward: deque[tuple[int, int]] = deque(maxlen=MOST)  # the last time before a step, its length
        self._wall_us, self._boot_us = _clocks()

    def now_us(self) -> int:
        """The wall clock's time, µs."""
        before_us, boot_us = self._wall_us, self._boot_us
        self._wall_us, self._boot_us = _clocks()
        by_us = self._wall_us - before_us - (self._boot_us - boot_us)
        if abs(by_us) > JUMP_S * 1e6:
            self.total_us += by_us
            self._forward = deque((one for one in self._forward if one[0] < self._wall_us), MOST)
            if by_us > 0:
                self._forward.append((self._wall_us - by_us, by_us))
        return self._wall_us

    def since(self, stamp_us: int) -> int:
        """A wall time of this clock as it would have been stamped had it always gone as it goes now."""
        for before_us, by_us in self._forward:
            if stamp_us <= before_us:
                stamp_us += by_us
        return stamp_us

    def steady(self, quality: Quality) -> Quality:
        """What collectors say by the same clock, with the times since when as `since` has them."""
        if not self._forward:
            return quality
        rows = quality.rows.copy()
        rows["since_us"] = [self.since(stamp_us) for stamp_us in rows["since_us"].tolist()]
        exchanges = tuple(replace(each, since_us=self.since(each.since_us)) for each in quality.exchanges)
        return replace(quality, exchanges=exchanges, rows=rows)

    def ago(self, now_us: int, lasting_us: int) -> int:
        """The latest stamp that something may bear which has lasted so long now."""
        stamp_us = now_us - lasting_us
        for before_us, by_us in reversed(self._forward):
            if stamp_us < before_us + by_us:
                stamp_us -= by_us
        return stamp_us


def _clocks() -> tuple[int, int]:
    return time.time_ns() // 1000, boot_ns() // 1000

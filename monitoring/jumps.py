"""Steps of the wall clock while this process ran, so that no duration is made longer by them.

A stamp from before a step forward lies too far back: how long ago it was is what passed, less the step. A
stamp from before a step back lies ahead of now, and `core.clock.moments` has the rules for that.
"""

import time
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from core.clock.clocks import JUMP_S, boot_ns
from monitoring.quality.wire import Quality

MOST: Final = 32
"""So many steps forward are remembered; of older ones nothing lasts any more that anybody waits for."""


BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux' name of a machine's life; elsewhere there is none, and a monitor that starts knows of no step."""


class Clock(Struct, frozen=True):
    """Knowledge of a machine's clocks, for the next one there to go on from; times in µs.

    `forward` has of each step forward the last time before it and its length, the oldest first.
    """

    boot_id: str
    wall_us: int
    boot_us: int
    forward: tuple[tuple[int, int], ...] = ()


class Jumps:
    """Notices what the wall clock does besides going on, whenever it is asked for the time."""

    def __init__(self) -> None:
        self.total_us = 0  # by how much it was set in all, back being negative
        self.forward: tuple[tuple[int, int], ...] = ()  # as `Clock` has it; replaced as a whole, for threads
        self._boot_id = _boot_id()
        self._wall_us, self._boot_us = _clocks()

    @property
    def clock(self) -> Clock:
        """State for the next process, as of the last time that was asked for."""
        return Clock(self._boot_id, self._wall_us, self._boot_us, self.forward)

    def go_on_from(self, before: Clock | None) -> int:
        """Learn what the clock did before, if that was on this machine since it booted.

        Returns by how much it was set since, µs: what was stamped then goes along.
        """
        if before is None or not before.boot_id or before.boot_id != self._boot_id:
            return 0
        self._wall_us, self._boot_us, self.forward = before.wall_us, before.boot_us, before.forward[-MOST:]
        known_us = self.total_us
        self.now_us()
        return self.total_us - known_us

    def now_us(self) -> int:
        """The wall clock's time, µs."""
        before_us, boot_us = self._wall_us, self._boot_us
        self._wall_us, self._boot_us = _clocks()
        by_us = self._wall_us - before_us - (self._boot_us - boot_us)
        if abs(by_us) > JUMP_S * 1e6:
            self.total_us += by_us
            forward = tuple(one for one in self.forward if one[0] < self._wall_us)
            step = ((self._wall_us - by_us, by_us),) if by_us > 0 else ()
            self.forward = (*forward, *step)[-MOST:]
        return self._wall_us

    def since(self, stamp_us: int) -> int:
        """A wall time of this clock as it would have been stamped had it always gone as it goes now."""
        for before_us, by_us in self.forward:
            if stamp_us <= before_us:
                stamp_us += by_us
        return stamp_us

    def steady(self, quality: Quality) -> Quality:
        """Reports of collectors by the same clock, with the times since when as `since` has them."""
        if not self.forward:
            return quality
        rows = quality.rows.copy()
        rows["since_us"] = [self.since(stamp_us) for stamp_us in rows["since_us"].tolist()]
        exchanges = tuple(replace(each, since_us=self.since(each.since_us)) for each in quality.exchanges)
        return replace(quality, exchanges=exchanges, rows=rows)

    def ago(self, now_us: int, lasting_us: int) -> int:
        """The latest stamp that something may bear which has lasted so long now."""
        stamp_us = now_us - lasting_us
        for before_us, by_us in reversed(self.forward):
            if stamp_us < before_us + by_us:
                stamp_us -= by_us
        return stamp_us


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _clocks() -> tuple[int, int]:
    return time.time_ns() // 1000, boot_ns() // 1000

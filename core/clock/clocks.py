"""Events of a process's clocks between two ticks: a wall clock set, a process that stood still.

The clock that counts since the boot also counts a machine's sleep, and nobody sets it. What the wall clock
did besides is a jump; ticks that came much later than they were due are a standstill (SIGSTOP, a sleep).
"""

import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

JUMP_S: Final = 1.0
"""A wall clock that went by so much more or less than time did was set. An NTP daemon slews far slower."""

STANDSTILL_S: Final = 3.0
"""A tick so late means that nothing was read meanwhile."""

CATCH_UP_NS: Final = 30 * 10**9
"""So long after a standstill, and no longer than it lasted, what waited meanwhile may still come: a sender
whose segments found no room tries again after twice as long each time."""

STOOD_STILL: Final = "the collector stood still"
"""How the reason of a gap begins that is our own doing and no exchange's."""


class Tick(Struct, frozen=True):
    """One reading of the clocks. `jumped_s` is 0.0 unless the wall clock was set, negative: back."""

    wall_us: int
    mono_ns: int
    jumped_s: float = 0.0
    stood_s: float = 0.0


def boot_ns() -> int:
    """Nanoseconds since the boot, a sleep of the machine included where the system counts it."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock)


class Clocks:
    """Compares the clocks from tick to tick; ticks are due every `every_s` seconds."""

    def __init__(
        self,
        every_s: float,
        wall_ns: Callable[[], int] = time.time_ns,
        since_boot_ns: Callable[[], int] = boot_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._every_s = every_s
        self._wall_ns, self._boot_ns, self._mono_ns = wall_ns, since_boot_ns, mono_ns
        self._wall, self._boot = wall_ns(), since_boot_ns()
        self.last = Tick(self._wall // 1000, mono_ns())

    def tick(self) -> Tick:
        """Return what happened since the last tick, which is `last` until this returns."""
        wall, boot = self._wall_ns(), self._boot_ns()
        passed_s = (boot - self._boot) / 1e9
        jumped_s = (wall - self._wall) / 1e9 - passed_s
        late_s = passed_s - self._every_s
        self._wall, self._boot = wall, boot
        self.last = Tick(
            wall // 1000,
            self._mono_ns(),
            round(jumped_s, 1) if abs(jumped_s) > JUMP_S else 0.0,
            round(passed_s, 1) if late_s > STANDSTILL_S else 0.0,
        )
        return self.last


class Standstill:
    """The last standstill of this process, by the monotonic clock: what was due then is late by our own
    doing.

    Known from ticks, and before the next one from how long ago the last was. Without ticks nothing is known.
    """

    __slots__ = ("_since_ns", "_ticked_ns", "_until_ns")

    def __init__(self) -> None:
        self._since_ns = self._until_ns = self._ticked_ns = 0

    def tick(self, at_ns: int) -> None:
        """Take over that the process was at work at this moment; ticks are due every second or so."""
        if self._ticked_ns and at_ns - self._ticked_ns > STANDSTILL_S * 1e9:
            self._since_ns, self._until_ns = self._ticked_ns, at_ns
        self._ticked_ns = max(self._ticked_ns, at_ns)

    def explains(self, read_ns: int, late_us: int) -> bool:
        """Whether what was read then, so late, was due while the process stood still or caught up after it.

        What was late before that, or still is when it has caught up, is late for another reason.
        """
        self.tick(read_ns)
        until_ns = self._until_ns + catch_up_ns(self._until_ns - self._since_ns)
        return read_ns - late_us * 1000 >= self._since_ns and read_ns <= until_ns


def catch_up_ns(stood_ns: int) -> int:
    """Time after a standstill in which what waited meanwhile may still come."""
    return min(stood_ns, CATCH_UP_NS)


def steady_us(before_us: int, now_us: int, passed_ns: int) -> int:
    """The wall clock's time `now_us`, never before an earlier one; where the clock was set since, the earlier
    one and what passed by the monotonic clock: what lasts, lasts no longer or shorter for it.
    """
    passed_us = passed_ns // 1000
    ahead_us, most_us = now_us - before_us, JUMP_S * 1e6
    if passed_us >= 0 and (ahead_us < -most_us or ahead_us - passed_us > most_us):
        return before_us + passed_us
    return max(before_us, now_us)


def ended_us(seen_us: int, now_us: int, passed_ns: int) -> int:
    """Return the end of what was last seen at `seen_us`: now, or then where the clock was set back since."""
    return min(max(seen_us, now_us), steady_us(seen_us, now_us, passed_ns))


def jump_in_words(jumped_s: float) -> str:
    """`back by 3,600.0 s`."""
    return f"{'back' if jumped_s < 0 else 'forward'} by {abs(jumped_s):,.1f} s"

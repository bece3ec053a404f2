"""Memory of a process, and delays of its event loop and garbage collector, measured cheaply."""

import asyncio
import gc
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

TICK_S: Final = 0.25
"""How often an event loop is asked whether it turns. Four wake-ups a second cost nothing to speak of."""

MINUTE_S: Final = 60.0

_CGROUP_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


class LoopLag:
    """Delay of an event loop's timers, seen from another thread too while the loop is held up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = time.monotonic() + TICK_S
        self._worst_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure. Call it on the loop."""
        self._due = time.monotonic() + TICK_S
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Measure no more. Call it on the loop, or once the loop is closed."""
        if self._timer is not None:
            self._timer.cancel()

    def take_ms(self) -> float:
        """The latest that a timer came since the last call, the one that is overdue now included."""
        overdue_s = time.monotonic() - self._due
        worst_s, self._worst_s = self._worst_s, 0.0
        return max(worst_s, overdue_s, 0.0) * 1000

    def _tick(self) -> None:
        now = time.monotonic()
        self._worst_s = max(self._worst_s, now - self._due)
        self.start()


class GcWatch:
    """Full collections of the last minute, and the longest pause of any collection.

    Those that a program asks for on purpose are no sign of anything: see `on_purpose`.
    """

    _on_purpose = False

    def __init__(self) -> None:
        self._began = 0.0
        self._longest_ms = 0.0
        self._full: deque[float] = deque()

    @classmethod
    @contextmanager
    def on_purpose(cls) -> Iterator[None]:
        """Collections within this are not counted."""
        cls._on_purpose = True
        try:
            yield
        finally:
            cls._on_purpose = False

    def start(self) -> None:
        """Begin to count."""
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Count no more."""
        with suppress(ValueError):
            gc.callbacks.remove(self._on_collection)

    def full_per_min(self) -> float:
        """Number of full collections in the last minute."""
        oldest = time.monotonic() - MINUTE_S
        while self._full and self._full[0] < oldest:
            self._full.popleft()
        return float(len(self._full))

    def take_longest_ms(self) -> float:
        """The longest pause since the last call."""
        longest, self._longest_ms = self._longest_ms, 0.0
        return longest

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        now = time.monotonic()
        if phase == "start" or self._on_purpose:
            self._began = now
            return
        self._longest_ms = max(self._longest_ms, (now - self._began) * 1000)
        if info["generation"] == 2:
            self._full.append(now)


class Weight:
    """Memory and CPU of this process; of its children too where it has them do the work."""

    def __init__(self, *, with_children: bool = False) -> None:
        self._process = psutil.Process()
        self._with_children = with_children
        self._cpu_s = 0.0
        # All CPU until the first call was taken since the process began, not since a moment ago.
        self._at = time.monotonic() - max(0.0, time.time() - self._process.create_time())

    def take(self) -> tuple[int, float]:
        """RSS in bytes, and CPU since the last call in % of one core."""
        rss, cpu_s = 0, 0.0
        for process in self._processes():
            with suppress(psutil.Error):
                times = process.cpu_times()
                rss += process.memory_info().rss
                cpu_s += times.user + times.system
        now = time.monotonic()
        used_s, self._cpu_s = max(0.0, cpu_s - self._cpu_s), cpu_s
        passed_s, self._at = max(1e-3, now - self._at), now
        return rss, 100 * used_s / passed_s

    def _processes(self) -> list[psutil.Process]:
        children: list[psutil.Process] = []
        if self._with_children:
            with suppress(psutil.Error):
                children = self._process.children(recursive=True)
        return [self._process, *children]


def memory_limit(set_bytes: int | None) -> int | None:
    """Memory limit of this process: its setting, its cgroup or the machine, whichever is least."""
    limits = [] if set_bytes is None else [set_bytes]
    for path in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # "max" is no number
            limits.append(int(path.read_text()))
    with suppress(psutil.Error, OSError):
        limits.append(psutil.virtual_memory().total)
    return min(limits, default=None)


def open_sockets() -> int:
    """Open network and local sockets of this process; 0 where the system does not say."""
    count = 0
    with suppress(OSError), os.scandir("/proc/self/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                count += os.readlink(entry.path).startswith("socket:")
    return count

"""Memory a collector takes, and how long Python's garbage collector stops it.

Nearly everything a collector holds lives as long as its configuration: 28,000 pairs with both
directions are half a million objects. Looking at them again and again would stop the event loop for a
tenth of a second each time, so they are frozen once a configuration is applied. Events hold no
containers (`gc=False`) and go when the last reference does, so little is left to traverse.

glibc gives every thread that asks a heap of its own and keeps what was freed in each: with two, and what
reading a configuration took given back, a collector of 28,000 pairs is 20 MB smaller.
"""

import ctypes
import gc
import os
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from core.process.sampling import GcWatch

THRESHOLDS: Final = (700, 10, 20)
"""New containers before the youngest are collected (half a ms), and so on for the older ones."""

AT_FIRST: Final = (500_000, 10, 20)
"""The same until there is a configuration: what is made until then is there to stay."""

PAUSES_KEPT: Final = 1_000

CONNECTED_S: Final = 60
"""By then what a configuration brings along (connections, topics, tasks) is there. It stays as well, so it is
frozen as it comes, every second: otherwise it would be traversed again and again meanwhile."""

HEAPS: Final = 2

_M_ARENA_MAX: Final = -8  # malloc.h

_STATM: Final = Path("/proc/self/statm")  # Linux only


class Memory:
    """The garbage collector's policy in this process, and its pauses since `watch`."""

    def __init__(self) -> None:
        self.pauses = 0
        self.settled_ms = 0.0  # the pause of the last configuration, not counted among the others
        self._newest: deque[float] = deque(maxlen=PAUSES_KEPT)
        self._newest_cpu: deque[float] = deque(maxlen=PAUSES_KEPT)
        self._longest_ms = 0.0
        self._began = self._began_cpu = 0.0
        self._settling = False

    def watch(self) -> None:
        """Set the policy and count pauses from now on; call it before there are threads."""
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)
        gc.set_threshold(*AT_FIRST)
        gc.collect()
        gc.freeze()  # the program itself
        gc.callbacks.append(self._on_collection)

    def unwatch(self) -> None:
        """Count no more."""
        gc.callbacks.remove(self._on_collection)

    def settle(self) -> None:
        """Freeze what there is until the next configuration: collect garbage once, then skip it."""
        began = time.perf_counter()
        self._settling = True
        gc.unfreeze()  # what the configuration before left behind can go
        with GcWatch.on_purpose():
            gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        self._settling = False
        self.settled_ms = (time.perf_counter() - began) * 1000

    def keep(self) -> None:
        """Freeze what came since, too: no pause, so garbage among it waits for the next `settle`."""
        gc.freeze()

    def stats(self) -> dict[str, float]:
        """Figures for the collector's status: MB of RSS where it can be known, pauses in ms.

        A pause counts by the clock; on a machine that has too much to do its CPU time is less.
        """
        found: dict[str, float] = {
            "gc_pauses": self.pauses,
            "gc_pause_p99_ms": round(_p99(list(self._newest)), 3),
            "gc_pause_cpu_p99_ms": round(_p99(list(self._newest_cpu)), 3),
            "gc_pause_longest_ms": round(self._longest_ms, 3),
            "gc_settled_ms": round(self.settled_ms, 1),
        }
        with suppress(OSError):
            found["rss_mb"] = round(resident_bytes() / 2**20, 1)
        return found

    def _on_collection(self, phase: str, _info: dict[str, Any]) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        if phase == "start":
            self._began, self._began_cpu = now, cpu
        elif not self._settling:
            pause_ms = (now - self._began) * 1000
            self.pauses += 1
            self._newest.append(pause_ms)
            self._newest_cpu.append((cpu - self._began_cpu) * 1000)
            self._longest_ms = max(self._longest_ms, pause_ms)


def resident_bytes() -> int:
    """This process's memory in RAM. Raises OSError where the system does not say."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def _p99(pauses: list[float]) -> float:
    """99 of 100 are no longer; 0 while there are none."""
    return quantiles(pauses, n=100, method="inclusive")[98] if len(pauses) > 1 else sum(pauses)

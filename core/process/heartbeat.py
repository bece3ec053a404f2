"""Heartbeat of a process, a few times a minute at least: alive, memory, load.

It lies here, on the ground floor, because every process has one. Nothing here is configuration.
"""

from typing import Final, Literal

from msgspec import Struct, field

Role = Literal["collector", "ingest", "web", "worker", "beat", "simulator", "monitor"]

BEAT_EVERY_S: Final = 2.0
MISSING_AFTER_S: Final = 8.0
"""A process silent for so long is missing: four beats, so that one slow Redis call is no death."""

REMEMBERED_S: Final = 24 * 3600
"""How long a process that was not stopped cleanly stays listed as missing."""


class QueueFill(Struct, frozen=True):
    """One bounded queue of a process: what waits in it, and what it has dropped since the start."""

    length: int
    capacity: int
    dropped: int = 0


class Report(Struct, frozen=True):
    """Figures that only the process itself knows; the rest of a heartbeat is measured from outside."""

    revision: int | None = None
    queues: dict[str, QueueFill] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    stands_by: str = ""  # who does its work instead, in words; empty: it works


class Heartbeat(Struct):
    """One process as it saw itself at `reported_ts_us` (wall clock, µs since the epoch, UTC).

    `name` is unique and stays the same over restarts where the process is the same part of the desk
    (`collector 1/2`, `beat`), and holds host and pid where many alike may run (`web host:4711`).
    Averages and maxima are over the time since the beat before, `gc_gen2_per_min` counts the last minute.
    None: it has no such thing.
    """

    role: Role
    name: str
    host: str
    pid: int
    started_ts_us: int
    reported_ts_us: int
    revision: int | None = None
    rss_bytes: int = 0
    memory_limit_bytes: int | None = None  # of its cgroup or its setting, whichever is lower
    cpu_pct: float = 0.0  # of one core
    loop_lag_ms: float | None = None  # the latest a timer came
    gc_gen2_per_min: float = 0.0
    gc_pause_ms: float = 0.0  # the longest collection
    tasks: int = 0  # asyncio tasks, or threads where there is no loop
    sockets: int = 0  # open network sockets
    clock_jumped_s: float = 0.0  # by how much its wall clock was set last, negative: back
    clock_jumped_us: int | None = None  # when it saw that, by the clock as it was then set
    stands_by: str = ""  # who does its work instead, in words; empty: it works
    queues: dict[str, QueueFill] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)  # what else it counts, since its start


def is_missing(beat: Heartbeat, at_us: int) -> bool:
    """Whether a process has not reported for too long."""
    return at_us - beat.reported_ts_us > MISSING_AFTER_S * 1e6

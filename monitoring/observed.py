"""One look at the whole desk, and the limits it is held against..

All times are wall clock, µs since the epoch, UTC. None: not known, because nobody could be asked or
because it was never there; `missing` says in words what could not be asked.
"""

from msgspec import Struct

from markets.heartbeat import Heartbeat
from markets.runtime import CollectorStatus


class Answer(Struct, frozen=True):
    """Whether a store answers; `words` say why not, empty when it does."""

    well: bool
    words: str = ""
    took_ms: float = 0.0


class LakeTable(Struct, frozen=True):
    """A table of the lake, by its log; `bytes_per_day` is the mean of the last whole days."""

    table: str
    files: int
    rows: int
    bytes: int
    newest_us: int | None = None
    bytes_per_day: int | None = None


class Disk(Struct, frozen=True):
    """The file system under the lake; there is none under an object store."""

    total_bytes: int
    free_bytes: int


class LastRun(Struct, frozen=True):
    """How a recurring piece of work went last: `compact quotes`, `market sync okx`.

    `done_us` is when it last came to a good end, `due_every_s` how often it ought to.
    """

    job: str
    state: str  # running, done, stopped, failed, died
    tried_us: int
    done_us: int | None
    due_every_s: float
    error: str = ""


class ChannelTrouble(Struct, frozen=True):
    """An alert channel that does not take messages."""

    channel: str
    since_us: int
    words: str
    waiting: int = 0


class Observed(Struct, frozen=True):
    """One look. Never partly filled without saying so in `missing`."""

    at_us: int
    redis: Answer
    database: Answer
    simulated: bool = False
    saved_revision: int | None = None
    saved_us: int | None = None  # when it was first seen to be the saved one
    heartbeats: tuple[Heartbeat, ...] = ()
    collectors: tuple[CollectorStatus, ...] = ()
    shards: int | None = None  # how many collectors the split wants; None: no collector is known
    redis_bytes: int | None = None
    redis_limit_bytes: int | None = None
    database_bytes: int | None = None
    lake: tuple[LakeTable, ...] = ()
    disk: Disk | None = None
    runs: tuple[LastRun, ...] = ()
    channels: tuple[ChannelTrouble, ...] = ()
    missing: tuple[str, ...] = ()


class Limits(Struct, frozen=True):
    """Beyond these a thing is ill. An operator edits them in the admin; a rule may ask for more."""

    exchange_silent_s: float = 5.0
    symbols_silent: int = 50  # findings named one by one; the rest is summed up
    reconnects_per_min: float = 10.0
    clock_offset_s: float = 1.0
    latency_p95_ms: float = 2_000.0
    bad_frames_per_min: float = 10.0
    queue_fill_pct: float = 50.0
    queue_length: int = 10_000
    memory_pct: float = 80.0
    gc_gen2_per_min: float = 10.0
    loop_lag_ms: float = 500.0
    sockets: int = 1_000
    revision_lag_s: float = 15.0
    lake_flush_s: float = 10.0
    maintenance_late_times: float = 2.0  # of the usual time between two runs
    disk_free_pct: float = 10.0

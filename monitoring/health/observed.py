"""One look at the whole desk, and the limits it is held against.

All times are wall clock, µs since the epoch, UTC. None: not known, because nobody could be asked or
because it was never there; `missing` says in words what could not be asked.
"""

from msgspec import Struct, field

from core.health.findings import Lack
from core.health.upkeep import LastRun, Overdue
from core.process.heartbeat import Heartbeat, Role
from history.lake.standing import Disk, LakeTable
from markets.follow.runtime import CollectorStatus
from monitoring.health.fundings import Fundings
from monitoring.quality.wire import Quality
from orderbook.standing import Standing


class Answer(Struct, frozen=True):
    """Whether a store answers; `words` say why not, empty when it does."""

    well: bool
    words: str = ""
    took_ms: float = 0.0


class ChannelTrouble(Struct, frozen=True):
    """An alert channel that does not take messages."""

    channel: str
    since_us: int
    words: str
    waiting: int = 0


class Stores(Struct, frozen=True):
    """State of the stores, slow to read and slow to change; the monitor reads it for all, every 30 s."""

    at_us: int
    database_bytes: int | None = None
    lake: tuple[LakeTable, ...] = ()
    disk: Disk | None = None
    store: Standing | None = None
    runs: tuple[LastRun, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    names: dict[str, str] = {}  # of markets, by key
    missing: tuple[str, ...] = ()


class Restart(Struct, frozen=True):
    """A process that ended without saying goodbye, and whose place another took."""

    name: str
    role: Role
    at_us: int


class Observed(Struct, frozen=True, eq=False):
    """One observation of the desk. Never partly filled without saying so in `missing`.

    Heartbeats are stamped by the observer's clock, however wrong the clocks of their hosts are.
    """

    at_us: int
    redis: Answer
    database: Answer
    simulated: bool = False
    names: dict[str, str] = {}  # of markets, by key; what is not in it is called by its key
    saved_revision: int | None = None
    saved_us: int | None = None  # when it was first seen to be the saved one
    listening_since_us: int | None = None  # since when Redis has answered this observer
    heartbeats: tuple[Heartbeat, ...] = ()
    ahead_s: dict[str, float] = {}  # by name, how much the clock of a process is ahead of the observer's
    collectors: tuple[CollectorStatus, ...] = ()
    ingests: tuple[CollectorStatus, ...] = ()  # processes that only write into the store
    quality: Quality = field(default_factory=Quality)
    drops_per_min: dict[str, int] = {}  # `collector 1/2 LakeSink` -> events dropped in the last minute
    restarts: tuple[Restart, ...] = ()  # of the last minute
    redis_bytes: int | None = None
    redis_limit_bytes: int | None = None
    database_bytes: int | None = None
    lake: tuple[LakeTable, ...] = ()
    disk: Disk | None = None
    store: Standing | None = None
    measured_us: int | None = None  # when the sizes and runs were read
    runs: tuple[LastRun, ...] = ()
    overdue: tuple[Overdue, ...] = ()
    channels: tuple[ChannelTrouble, ...] = ()
    fundings: Fundings | None = None  # read by the monitor alone; None: not known
    lacks: dict[str, Lack] = {}  # of the whole desk; what collectors lack they say themselves
    jumps_us: int = 0  # by how much the observer's wall clock was set in all since it began
    missing: tuple[str, ...] = ()

    def called(self, key: str) -> str:
        """Name of a market in words."""
        return self.names.get(key, key)


class Limits(Struct, frozen=True):
    """Limits beyond which a thing is unhealthy, edited in the admin; a rule may ask for more."""

    exchange_silent_s: float = 5.0
    reconnects_per_min: float = 4.0  # with our growing pauses a single connection makes 10 at most
    clock_offset_s: float = 1.0
    latency_p95_ms: float = 2_000.0
    bad_frames_per_min: float = 10.0
    funding_unknown_s: float = (
        900.0  # after a settlement it is for two minutes, where nothing is said for ten
    )
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

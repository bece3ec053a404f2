"""What is ill: one finding per ill thing, the same for the health page, the metrics and the alerts.

Plain Python, no Django.
"""

from typing import Final, Literal

from msgspec import Struct

Severity = Literal["warning", "critical"]

KINDS: Final = (
    "exchange_silent",  # nothing of an exchange arrives, or its connections are down
    "symbol_silent",  # one instrument is silent while its neighbours talk
    "symbol_refused",  # an exchange does not take the subscription of an instrument
    "reconnects",  # connections of an exchange come and go
    "clock_offset",  # an exchange's clock and ours disagree
    "clock_jump",  # a wall clock was set
    "latency",  # an exchange's data comes late
    "bad_frames",  # malformed or rejected frames
    "queue_full",  # a queue fills up
    "drops",  # a queue drops
    "memory",  # a process is near its limit
    "gc",  # full garbage collections too often
    "loop_lag",  # a process's event loop is held up
    "sockets",  # too many sockets on a web process
    "process_missing",  # a process that ought to run is not heard
    "nothing_collected",  # there is nothing that collectors could collect
    "two_collectors",  # a collector is one too many for its shard, and stands by
    "configuration",  # it lacks something, or a process cannot take it over, or lags behind it
    "lake_write",  # the lake cannot be written, or writing is slow
    "maintenance_late",  # compaction, retention or a sync is overdue or failing
    "redis",  # Redis does not answer
    "database",  # PostgreSQL does not answer
    "disk",  # the disk under the lake fills up
    "alert_delivery",  # an alert channel does not take messages
)
"""Every kind has a paragraph of the same name in docs/operations.md."""


class Finding(Struct, frozen=True):
    """One ill thing. `key` is `kind:subject`: the same for as long as the same thing is ill.

    `value` and `limit` are numbers for rules and graphs, in the unit the words name. `since_us` is when
    it became ill (wall clock, µs, UTC). `words` say what is wrong, `remedy` what to do next.
    """

    kind: str
    subject: str  # `okx`, `BTC/USDT on okx`, `collector 1/2`, `web host:4711 recent points` …
    severity: Severity
    since_us: int
    words: str
    remedy: str
    value: float | None = None
    limit: float | None = None

    @property
    def key(self) -> str:
        """What it is known by while it lasts."""
        return f"{self.kind}:{self.subject}"

"""Memory of findings: since when they hold, and those that cannot be observed now.

| key | what |
|---|---|
| `monitoring:findings` | `Published` as JSON, written with every observation, gone after `FRESH_S` |
| `monitoring:last` | the same, kept: a monitor that starts goes on from it, its clock included |

A restarted monitor goes on where the last one was, and so does one whose Redis lost everything.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct, structs
from redis.asyncio import Redis

from core.clock.moments import is_over
from core.health.findings import Finding
from monitoring.health.assess import GRACE_S
from monitoring.health.observed import Observed
from monitoring.jumps import Clock

FRESH: Final = "monitoring:findings"
LAST: Final = "monitoring:last"
FRESH_S: Final = 5

OF_STORES: Final = frozenset({"redis", "database"})
OF_MARKETS: Final = frozenset(
    {
        "exchange_silent",
        "symbol_silent",
        "symbol_refused",
        "polls_failed",
        "reconnects",
        "clock_offset",
        "latency",
        "bad_frames",
        "funding_unknown",
    }
)


class Published(Struct, frozen=True):
    """Findings of the monitor at `at_us`, the worst first, and what it knows of its clock."""

    at_us: int
    findings: tuple[Finding, ...]
    clock: Clock | None = None


class Memory:
    """The findings of the observation before, and since when, however the observer's clock is set meanwhile.

    `steady` makes of a time since when, which may lie before a step of the clock, one as of now.
    """

    def __init__(self, before: Iterable[Finding] = (), steady: Callable[[int], int] = int) -> None:
        self._known = {finding.key: finding for finding in before}
        self._steady = steady
        self._jumps_us: int | None = None

    def keep(self, findings: Iterable[Finding], now: Observed) -> list[Finding]:
        """Add to findings the time since when, and those that hold because nothing shows otherwise."""
        if jumped_us := now.jumps_us - (now.jumps_us if self._jumps_us is None else self._jumps_us):
            self._known = {key: later(known, jumped_us) for key, known in self._known.items()}
        self._jumps_us = now.jumps_us
        current = {finding.key: self._aged(finding) for finding in findings}
        held = {
            key: finding
            for key, finding in self._known.items()
            if key not in current and _unknown(finding, now)
        }
        self._known = current | held
        return sorted(self._known.values(), key=lambda each: (each.severity != "critical", each.key))

    def _aged(self, finding: Finding) -> Finding:
        finding = structs.replace(finding, since_us=self._steady(finding.since_us))
        before = self._known.get(finding.key)
        if before is None or before.since_us >= finding.since_us:
            return finding
        return structs.replace(finding, since_us=before.since_us)


def later(finding: Finding, by_us: int) -> Finding:
    """The same after the clock was set by so much."""
    return structs.replace(finding, since_us=finding.since_us + by_us)


def _unknown(finding: Finding, now: Observed) -> bool:
    """Whether this observation cannot show that it is over: silence of its source is no recovery."""
    if finding.kind in OF_STORES:
        return False
    if now.listening_since_us is None or not is_over((now.at_us - now.listening_since_us) / 1e6, GRACE_S):
        return True
    return finding.kind in OF_MARKETS and not now.collectors


async def publish(redis: "Redis", published: Published) -> None:
    """Publish to every process. Raises RedisError."""
    encoded = msgspec.json.encode(published)
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(FRESH, encoded, ex=FRESH_S)
        pipe.set(LAST, encoded)
        await pipe.execute()


async def read_published(redis: "Redis", key: str = FRESH) -> Published | None:
    """Findings of the monitor within the last seconds; None when no monitor works. Raises RedisError."""
    value = await redis.get(key)
    try:
        return None if value is None else msgspec.json.decode(value, type=Published)
    except msgspec.MsgspecError:  # of another version, during an update
        return None

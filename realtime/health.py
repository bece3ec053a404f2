"""Whether web processes hold too many sockets. Plain Python, no Django."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from core.health.findings import Finding, finds
from core.process.heartbeat import Heartbeat, is_missing


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def heartbeats(self) -> Iterable[Heartbeat]: ...


class Limits(Protocol):
    """Limits that an operator sets."""

    @property
    def sockets(self) -> int: ...


@finds(sockets="too many sockets on a web process")
def many_sockets(now: Look, limits: Limits) -> Iterator[Finding]:
    """A web process serves more sockets than it should."""
    for beat in now.heartbeats:
        if beat.role == "web" and beat.sockets > limits.sockets and not is_missing(beat, now.at_us):
            yield Finding(
                "sockets", beat.name, "warning", now.at_us,
                f"{beat.name} has {beat.sockets:,} sockets open.",
                "Start another web process behind the proxy, or find the client that opens so many.",
                float(beat.sockets), float(limits.sockets),
            )  # fmt: skip

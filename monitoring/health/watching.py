"""Monitor of this process, for its metrics."""

from typing import Protocol

from core.health.findings import Finding
from monitoring.health.observed import Observed


class Watcher(Protocol):
    """The monitor, as far as metrics go; `observed` is its newest observation."""

    leads: bool
    findings: list[Finding]
    observed: Observed | None


_watchers: list[Watcher] = []


def follow(watcher: Watcher) -> None:
    """Make this process the monitor: its metrics report the desk as it sees it."""
    _watchers[:] = [watcher]


def watcher() -> Watcher | None:
    """The monitor this process is, if it is one."""
    return _watchers[0] if _watchers else None

"""Whether collectors have the configuration, and whether it is of any use."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from core.health.findings import Finding, Lack, finds, graded
from markets.follow.runtime import CollectorStatus
from markets.lacks import LACKS


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def collectors(self) -> Iterable[CollectorStatus]: ...
    @property
    def saved_revision(self) -> int | None: ...
    @property
    def saved_us(self) -> int | None: ...
    @property
    def lacks(self) -> Mapping[str, Lack]: ...


class Limits(Protocol):
    """Limits that an operator sets."""

    @property
    def revision_lag_s(self) -> float: ...


@finds(configuration="it lacks something, or a process cannot take it over, or lags behind it")
def not_taken_over(now: Look, limits: Limits) -> Iterator[Finding]:
    """A collector runs another configuration than the saved one."""
    for collector in now.collectors:
        yield from _of_collector(collector, now, limits)


def _of_collector(collector: CollectorStatus, now: Look, limits: Limits) -> Iterator[Finding]:
    subject = f"collector {collector.shard}"
    if collector.error:
        yield Finding(
            "configuration", subject, "warning", now.at_us,
            f"{subject} runs revision {collector.revision}: {collector.error}",
            "Correct it in the admin; the collector applies it by itself within seconds.",
        )  # fmt: skip
    elif now.saved_revision is not None and collector.revision != now.saved_revision:
        started_us = collector.started_ts_us if collector.started_ts_us <= now.at_us else 0
        since_us = max(now.saved_us or now.at_us, started_us)  # who starts has none yet
        lag_s = (now.at_us - since_us) / 1e6
        if lag_s > limits.revision_lag_s:
            yield Finding(
                "configuration", subject, "warning", since_us,
                f"{subject} runs revision {collector.revision}; revision {now.saved_revision} is saved.",
                "It checks every 5 s. Its log shows whether it can reach PostgreSQL.",
                round(lag_s, 1), limits.revision_lag_s,
            )  # fmt: skip


@finds(nothing_collected="there is nothing that collectors could collect")
def lacking(now: Look, _limits: Limits) -> Iterator[Finding]:
    """Lacks of all collectors (one shard alone may have nothing to do), and of the rest of the desk.

    What an operator deleted is not broken, but missed.
    """
    said = [set(collector.lacks) for collector in now.collectors]
    everywhere = set.intersection(*said) if said else set()
    of_collectors = {name: lack for name, lack in LACKS.items() if name in everywhere}
    for name, lack in {**of_collectors, **now.lacks}.items():
        kind = "nothing_collected" if lack.stops_all else "configuration"
        yield Finding(kind, name, graded(lack.stops_all), now.at_us, lack.words, lack.remedy)

"""Rules: when an unhealthy thing becomes an incident, when it is over, and when an alert may be sent.

Plain Python, no Django, no clock: the caller says what time it is (wall clock, µs, UTC).
"""

from datetime import datetime, time
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from core.clock.moments import is_over
from monitoring.alerts.messages import AlertSeverity


class Terms(Struct, frozen=True):
    """Terms of a rule. Durations in µs, `threshold` and `clear_below` in the finding's own unit.

    Without a threshold whatever is found is beyond it, and it is healthy when it is not found.
    """

    threshold: float | None = None
    clear_below: float | None = None  # None: the threshold itself
    for_us: int = 0
    clear_after_us: int = 0
    cool_down_us: int = 0


class Reading(Struct, frozen=True):
    """Reading of a thing just now: since when it is unhealthy, and how much."""

    since_us: int
    value: float | None = None


class Watch(Struct, frozen=True):
    """State of one thing under one rule."""

    firing: bool = False
    beyond_us: int | None = None  # since when it is beyond the threshold, without a break
    well_us: int | None = None  # since when it is healthy, without a break
    resolved_us: int | None = None  # when it was last resolved

    def idle(self, terms: Terms, now_us: int) -> bool:
        """Whether nothing is left to remember of it."""
        return not self.firing and self.beyond_us is None and not self.cools_down(terms, now_us)

    def later(self, by_us: int) -> "Watch":
        """The same after the clock was set by so much."""
        stamps = {name: getattr(self, name) for name in ("beyond_us", "well_us", "resolved_us")}
        return replace(self, **{name: at_us + by_us for name, at_us in stamps.items() if at_us is not None})

    def cools_down(self, terms: Terms, now_us: int) -> bool:
        """Whether it was resolved too lately to fire again."""
        if self.resolved_us is None:
            return False
        return not is_over((now_us - self.resolved_us) / 1e6, terms.cool_down_us / 1e6)


def step(was: Watch, reading: Reading | None, terms: Terms, now_us: int) -> Watch:
    """State after one more observation; `reading` is None where nothing was found.

    What began later than now did so before the clock was set back: it counts from now on.
    """
    now = replace(
        was,
        beyond_us=_beyond_since(was, reading, terms, now_us),
        well_us=_no_later(was.well_us, now_us) if _is_well(reading, terms) else None,
    )
    if was.firing:
        over = now.well_us is not None and now_us - now.well_us >= terms.clear_after_us
        return replace(now, firing=False, resolved_us=now_us) if over else now
    return replace(now, firing=_fires(now, terms, now_us))


def _fires(now: Watch, terms: Terms, now_us: int) -> bool:
    if now.beyond_us is None or now_us - now.beyond_us < terms.for_us:
        return False
    return not now.cools_down(terms, now_us)


def _beyond_since(was: Watch, reading: Reading | None, terms: Terms, now_us: int) -> int | None:
    """Since when it is beyond: the finding knows it over restarts, too; our threshold's crossing we saw."""
    if reading is None:
        return None
    if terms.threshold is None:
        return reading.since_us if reading.since_us <= now_us else _no_later(was.beyond_us, now_us)
    if reading.value is None or reading.value < terms.threshold:
        return None
    return _no_later(was.beyond_us, now_us)


def _no_later(since_us: int | None, now_us: int) -> int:
    """Since when; from now on where that is not known, or lies ahead."""
    return now_us if since_us is None else min(since_us, now_us)


def _is_well(reading: Reading | None, terms: Terms) -> bool:
    """Whether it is healthy: between the two thresholds it is neither, and stays as it was."""
    if reading is None:
        return True
    if terms.threshold is None or reading.value is None:
        return False
    return reading.value < (terms.threshold if terms.clear_below is None else terms.clear_below)


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is meant by a rule's pattern, in any case; an empty one means every subject."""
    return not pattern or fnmatchcase(subject.lower(), pattern.lower())


class QuietHours(Struct, frozen=True):
    """Quiet hours between two times of the day, in a zone; over midnight where they end before they begin."""

    start: time
    end: time
    zone: str
    critical: bool = False  # whether what is critical waits, too

    def hold(self, severity: AlertSeverity, now: datetime) -> bool:
        """Whether a message of this severity waits at this moment (aware)."""
        if severity == "critical" and not self.critical:
            return False
        at = now.astimezone(ZoneInfo(self.zone)).time()
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

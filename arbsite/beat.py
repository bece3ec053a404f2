"""What beat goes by: Celery's persistent schedule, with last runs that may be ahead of now, or far behind."""

import logging
from datetime import datetime, timedelta
from typing import Any, Final

from celery.beat import PersistentScheduler, ScheduleEntry

from markets.moments import AHEAD_S

logger = logging.getLogger(__name__)

AHEAD: Final = timedelta(seconds=AHEAD_S)
DELETING: Final = frozenset({"retain-lake", "retain-episodes", "retain-alerts", "clean-lake"})
OFF: Final = timedelta(days=7)
"""After so long what deletes old things makes up for nothing: the desk was off, or the clock is years ahead,
and by that clock everything is old. It runs when it is next due."""


class Scheduler(PersistentScheduler):
    """Runs nothing later for a clock that was set back, and deletes nothing for one that was set forward.

    Celery plans from when a task last ran. Where that lies ahead of now, nothing would run until the clock
    is there again; so it counts as having run now, and is next due when its crontab says.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn of beat's loop, at least once a minute: in how many seconds it wants the next."""
        self._go_by_this_clock()
        return float(super().tick(*args, **kwargs))

    def _go_by_this_clock(self) -> None:
        now: datetime = self.app.now()
        others = [entry for entry in self.schedule.values() if _is_of_another_time(entry, now)]
        if not others:
            return
        for entry in others:
            entry.last_run_at = now
        self._heap = None  # Celery builds it again from the schedule
        self.sync()  # the file's age is beat's sign of life
        logger.warning(
            "the clock was set, or the desk was off: rescheduled: %s", ", ".join(map(_name, others))
        )


def _is_of_another_time(entry: ScheduleEntry, now: datetime) -> bool:
    if entry.last_run_at is None:
        return False
    return entry.last_run_at > now + AHEAD or (_name(entry) in DELETING and entry.last_run_at < now - OFF)


def _name(entry: ScheduleEntry) -> str:
    return str(entry.name)

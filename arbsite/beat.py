"""What beat goes by: Celery's persistent schedule, with last runs that may lie ahead of now."""

import logging
from datetime import datetime
from typing import Any

from celery.beat import PersistentScheduler

from markets.moments import AHEAD_S

logger = logging.getLogger(__name__)


class Scheduler(PersistentScheduler):
    """Runs nothing later for a wall clock that was set back.

    Celery plans from when a task last ran. Where that lies ahead of now, nothing would run until the clock
    is there again; so it counts as having run now, and is next due when its crontab says.
    """

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn of beat's loop, at least once a minute: in how many seconds it wants the next."""
        self._go_by_this_clock()
        return float(super().tick(*args, **kwargs))

    def _go_by_this_clock(self) -> None:
        now: datetime = self.app.now()
        ahead = [
            entry
            for entry in self.schedule.values()
            if entry.last_run_at is not None and (entry.last_run_at - now).total_seconds() > AHEAD_S
        ]
        if not ahead:
            return
        for entry in ahead:
            entry.last_run_at = now
        self._heap = None  # planned anew
        self.sync()  # the file's age is beat's sign of life
        logger.warning("the clock was set back: %d schedules are planned anew", len(ahead))

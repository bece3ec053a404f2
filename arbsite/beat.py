"""Schedule of beat: Celery's persistent schedule, with last runs that may be ahead of now, or far behind.

And with a file that may be damaged: losing when tasks last ran costs little, not running them much.
"""

import logging
import shelve  # nosec B403 # opens nothing from elsewhere
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import schedstate
from kombu.transport.redis import Channel
from redis import RedisError

from arbsite.desk.aside import set_aside
from core.clock.moments import AHEAD_S
from core.outage import Outage
from core.redis_client import redis_client
from monitoring.clock_word import exchanges_agree

logger = logging.getLogger(__name__)

AHEAD: Final = timedelta(seconds=AHEAD_S)
DELETING: Final = frozenset({"retain-lake", "retain-episodes", "retain-alerts", "clean-lake"})
OFF: Final = timedelta(days=7)
"""After so long without a run the desk was off, or the clock is years ahead, and by that clock everything is
old: what deletes is made up for when exchanges say what time it is."""

ASK_AGAIN_S: Final = 60.0
MOST_TAKEN: Final = 1_000


class Scheduler(PersistentScheduler):
    """Runs nothing later for a clock that was set back, and deletes nothing for one that was set forward.

    Celery plans from when a task last ran. Where that lies ahead of now, nothing would run until the clock
    is there again; so it counts as having run now, and is next due when its crontab says.

    A schedule file that cannot be used is set aside, and where none can be written the schedule is kept in
    memory: Celery's own way out copes with few kinds of damage, and beat would die of the others for good.
    """

    schedule_filename: str
    persistence: Any
    _store: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._outage = Outage(logger)
        self._waiting: set[str] = set()  # for an exchange to say what time it is
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Open the schedule, or begin afresh."""
        try:
            self._set_up()
        except Exception as problem:
            self._begin_afresh(problem)

    def _set_up(self) -> None:
        """Set up as Celery does; raises whatever a damaged file raises."""
        for file in self._files():
            if not file.is_file():  # opening a pipe would wait for ever
                raise OSError(f"{file} is no file")
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.is_due()  # what was read of it can be reckoned with
        self._store.sync()  # and can be written

    def _begin_afresh(self, problem: Exception) -> None:
        with suppress(Exception):
            self.close()
        try:
            Path(self.schedule_filename).parent.mkdir(parents=True, exist_ok=True)
            set_aside(self._files(), problem)
            self._set_up()
        except Exception as still:
            logger.error(
                "%s cannot be written (%s): the schedule is kept in memory, and a restart forgets when "
                "tasks last ran",
                self.schedule_filename,
                still,
            )
            self.persistence = _InMemory
            super().setup_schedule()

    def sync(self) -> None:
        """Write the schedule; a disk that is full must not stop what would make room on it."""
        try:
            super().sync()
        except Exception as problem:
            self._outage.begins("%s is not written: %s", self.schedule_filename, problem)
        else:
            self._outage.ends("%s is written again", self.schedule_filename)

    def _files(self) -> list[Path]:
        """Files of the schedule: some kinds of dbm add an ending, or have several files."""
        names = (f"{self.schedule_filename}{suffix}" for suffix in self.known_suffixes)
        return [file for file in map(Path, names) if file.exists() or file.is_symlink()]

    def _destroy_open_corrupted_schedule(self, exc: Exception) -> Any:
        """Celery would delete it."""
        raise exc

    def merge_inplace(self, b: Any) -> None:
        """Take over the schedule; of what deletes and is new in its file nobody knows when it last ran."""
        known = set(self.schedule)
        super().merge_inplace(b)
        for name in DELETING & set(self.schedule) - known:
            self.schedule[name].last_run_at = self.app.now() - OFF - timedelta(days=1)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One turn of beat's loop, at least once a minute: in how many seconds it wants the next."""
        self._go_by_this_clock()
        _give_back_by_this_clock()
        return float(super().tick(*args, **kwargs))

    def is_due(self, entry: ScheduleEntry) -> tuple[bool, float]:
        """Whether its crontab says so; deletions after a long pause wait until exchanges confirm the time."""
        due = schedstate(*super().is_due(entry))
        name = _name(entry)
        if not due.is_due or not _is_long_ago(entry, self.app.now()) or exchanges_agree():
            self._waiting.discard(name)
            return due
        if name not in self._waiting:
            logger.warning("%s has not run for a week: it waits until an exchange says what time it is", name)
        self._waiting.add(name)
        return schedstate(False, ASK_AGAIN_S)

    def _go_by_this_clock(self) -> None:
        now: datetime = self.app.now()
        others = [entry for entry in self.schedule.values() if _is_ahead(entry, now)]
        if not others:
            return
        for entry in others:
            entry.last_run_at = now
        self._heap = None  # Celery builds it again from the schedule
        self.sync()  # the file's age is beat's sign of life
        logger.warning("the clock was set back: rescheduled: %s", ", ".join(map(_name, others)))


def _is_ahead(entry: ScheduleEntry, now: datetime) -> bool:
    return entry.last_run_at is not None and entry.last_run_at > now + AHEAD


def _is_long_ago(entry: ScheduleEntry, now: datetime) -> bool:
    return _name(entry) in DELETING and entry.last_run_at is not None and entry.last_run_at < now - OFF


def _give_back_by_this_clock() -> None:
    """Tasks that a worker took at a time ahead of now count as taken now.

    Celery gives what a dead worker had taken to another one CELERY_BROKER_TRANSPORT_OPTIONS' visibility
    timeout after that, by the wall clock: for one that was set back, only as much later.
    """
    index, now_s = Channel.unacked_index_key, time.time()
    redis = redis_client()
    try:
        taken: Any = redis.zrangebyscore(index, now_s + AHEAD_S, "+inf", 0, MOST_TAKEN)
        for tag in taken:
            redis.zadd(index, {tag: now_s}, xx=True)
    except (RedisError, OSError) as error:  # beat says itself that its broker is away
        logger.debug("tasks that were taken cannot be read: %s", error)
    finally:
        redis.close()


def _name(entry: ScheduleEntry) -> str:
    return str(entry.name)


class _InMemory:
    """Stand-in for the `shelve` module."""

    @staticmethod
    def open(_filename: str, writeback: bool) -> shelve.Shelf[Any]:
        return shelve.Shelf({}, writeback=writeback)

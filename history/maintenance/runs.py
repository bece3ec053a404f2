"""Running maintenance: one at a time per table, in steps that can be stopped between, each run on record."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from django.utils import timezone
from django.utils.translation import gettext as _
from redis.exceptions import LockError
from redis.lock import Lock

from core.redis_client import redis_client
from history.maintenance.steps import Step
from history.models import Kind, MaintenanceRun, State

if TYPE_CHECKING:
    from history.lake.tables import Lake

logger = logging.getLogger(__name__)

LOCK_S: Final = 600
"""A killed run keeps its table locked so long; longer than any task may run, renewed after each step."""

RUNS_KEPT: Final = 200
"""Of each kind and table: more than a day of compactions, half a year of retention."""

LABELS_SHOWN: Final = 5


class TableBusyError(Exception):
    """Other maintenance holds the table."""


Progress = Callable[[str, int, int], None]
"""Called before each step: its label, its number from 1 on, how many there are."""


def maintain(
    kind: Kind,
    lake: "Lake",
    table: str,
    plan: Callable[[], Sequence[Step]],
    *,
    budget_s: float = math.inf,
    wait_s: float = 0.0,
    progress: Progress = lambda label, number, count: None,
) -> MaintenanceRun:
    """Do what `plan` finds under the table's lock, and record it.

    No step begins once `budget_s` seconds are over; what is left is said in the run's remark. A step
    that fails ends the run as failed, with the error in it, logged and not raised.

    Raises:
        TableBusyError: other maintenance still held the table after `wait_s` seconds.
    """
    with _locked(table, wait_s) as lock:
        _mark_dead(table)
        run = _begin(kind, table)
        try:
            run.files_before, run.bytes_before = _size(lake, table)
            _work(run, plan(), time.monotonic() + budget_s, lock, progress)
            run.files_after, run.bytes_after = _size(lake, table)
        except Exception as error:
            run.state, run.error = State.FAILED, f"{type(error).__name__}: {in_short(error)}"
            logger.exception("lake maintenance failed: %s %s", kind, table)
        except BaseException:  # Ctrl-C, or the worker is asked to stop: on record, then on its way
            run.state, run.error = State.STOPPED, _("Interrupted.")
            raise
        finally:
            run.ended = timezone.now()
            run.save()
    return run


def in_short(error: Exception) -> str:
    """Message of an error, without the backtrace that the Delta library appends."""
    return str(error).partition("\n")[0]


@contextmanager
def _locked(table: str, wait_s: float) -> Iterator[Lock]:
    lock = redis_client().lock(f"lake:{table}", timeout=LOCK_S, sleep=0.5)
    if not lock.acquire(blocking=wait_s > 0, blocking_timeout=wait_s or None):
        raise TableBusyError(
            _("Other maintenance of %(table)s is running; it frees the table within %(minutes)d minutes.")
            % {"table": table, "minutes": LOCK_S // 60}
        )
    try:
        yield lock
    finally:
        try:
            lock.release()
        except LockError:  # it lapsed during a long step; commits are fenced, so nothing is wrong
            logger.warning("lake maintenance of %s took longer than its lock", table)


def _mark_dead(table: str) -> None:
    """Runs of this table that say they run do not: we hold its lock."""
    MaintenanceRun.objects.filter(table=table, state=State.RUNNING).update(
        state=State.DIED, ended=timezone.now(), error=_("The process ended before the run did.")
    )


def _begin(kind: Kind, table: str) -> MaintenanceRun:
    old = MaintenanceRun.objects.filter(kind=kind, table=table).values_list("pk", flat=True)
    MaintenanceRun.objects.filter(pk__in=list(old[RUNS_KEPT - 1 :])).delete()
    return MaintenanceRun.objects.create(kind=kind, table=table, started=timezone.now())


def _work(run: MaintenanceRun, steps: Sequence[Step], until: float, lock: Lock, progress: Progress) -> None:
    for number, step in enumerate(steps, 1):
        if time.monotonic() >= until:
            left = [waiting.label for waiting in steps[number - 1 :]]
            run.state = State.STOPPED
            run.remark = _("Out of time; left for the next run: %(left)s.") % {"left": _listed(left)}
            return
        progress(step.label, number, len(steps))
        lock.reacquire()
        run.rows += step.work()
    run.state = State.DONE
    run.remark = _listed([step.label for step in steps]) or _("Nothing to do.")


def _listed(labels: Sequence[str]) -> str:
    """A few labels and the number of the others."""
    shown = ", ".join(labels[:LABELS_SHOWN])
    rest = len(labels) - LABELS_SHOWN
    return shown if rest <= 0 else _("%(shown)s and %(rest)d more") % {"shown": shown, "rest": rest}


def _size(lake: "Lake", table: str) -> tuple[int, int]:
    """Files and bytes."""
    from history.lake.inventory import files_of

    files = files_of(lake, table)
    return len(files), int(files["bytes"].sum())

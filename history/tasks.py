"""Celery tasks of the lake. Every task takes one table, or all of them in turn."""

import logging
import time
from typing import Final

from celery import shared_task

from history.maintenance.runs import TableBusyError
from history.models import Kind

logger = logging.getLogger(__name__)

TIME_LIMIT_S: Final = 570  # below history.maintenance.runs.LOCK_S: the lock outlives a task killed over it
BUDGET_S: Final = 400  # no step begins after it
WAIT_S: Final = 60  # what runs rarely waits for a compaction to end


@shared_task(name="history.tasks.compact", time_limit=TIME_LIMIT_S, ignore_result=True)
def compact(table: str | None = None) -> None:
    """Compact what is over; a table somebody else is at is left to the next run."""
    _look_after(Kind.COMPACT, table, wait_s=0)


@shared_task(name="history.tasks.retain", time_limit=TIME_LIMIT_S, ignore_result=True)
def retain(table: str | None = None) -> None:
    """Delete the days that no policy keeps."""
    _look_after(Kind.RETAIN, table, wait_s=WAIT_S)


@shared_task(name="history.tasks.clean", time_limit=TIME_LIMIT_S, ignore_result=True)
def clean(table: str | None = None) -> None:
    """Delete the files and the log that no reader needs any more."""
    _look_after(Kind.CLEAN, table, wait_s=WAIT_S)


def _look_after(kind: Kind, table: str | None, wait_s: float) -> None:
    # Here, because what only queues a task (web, beat) must not load what does it.
    from history.lake.schema import SCHEMAS
    from history.lake.tables import Lake
    from history.services import look_after

    lake, until = Lake.from_settings(), time.monotonic() + BUDGET_S
    for name in [table] if table else list(SCHEMAS):
        left_s = until - time.monotonic()
        try:
            look_after(kind, lake, name, budget_s=left_s, wait_s=max(0.0, min(wait_s, left_s)))
        except TableBusyError as busy:
            logger.info("lake %s skipped: %s", kind, busy)


TASKS: Final = {Kind.COMPACT: compact, Kind.RETAIN: retain, Kind.CLEAN: clean}

"""Looking after the lake: what the worker's schedule, the admin's buttons and the commands all do."""

from functools import partial
from typing import Any

from django.utils import timezone

from history import compaction, retention
from history.lake import Lake
from history.maintenance import maintain
from history.models import Kind, MaintenanceRun
from history.steps import Step


def steps_of(kind: Kind, lake: Lake, table: str) -> list[Step]:
    """What there is to do now; nothing is done yet."""
    now = timezone.now()
    if kind == Kind.COMPACT:
        return compaction.plan(lake, table, now)
    if kind == Kind.RETAIN:
        return retention.plan(lake, table, now.date())
    return retention.plan_cleaning(lake, table)


def look_after(kind: Kind, lake: Lake, table: str, **options: Any) -> MaintenanceRun:
    """Do it; options, errors and what comes back are those of `history.maintenance.maintain`."""
    return maintain(kind, lake, table, partial(steps_of, kind, lake, table), **options)

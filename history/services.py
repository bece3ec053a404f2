"""Looking after the lake: what the worker's schedule, the admin's buttons and the commands all do."""

from functools import partial
from typing import Any

from django.utils import timezone

from history.lake.tables import Lake
from history.maintenance import compaction, retention
from history.maintenance.runs import maintain
from history.maintenance.steps import Step
from history.models import Kind, MaintenanceRun


def steps_of(kind: Kind, lake: Lake, table: str) -> list[Step]:
    """Steps to take now; nothing is done yet."""
    now = timezone.now()
    if kind == Kind.COMPACT:
        return compaction.plan(lake, table, now)
    if kind == Kind.RETAIN:
        return retention.plan(lake, table, now.date())
    return retention.plan_cleaning(lake, table)


def look_after(kind: Kind, lake: Lake, table: str, **options: Any) -> MaintenanceRun:
    """Do it; options, errors and what comes back are those of `history.maintenance.runs.maintain`."""
    return maintain(kind, lake, table, partial(steps_of, kind, lake, table), **options)

"""Retention: whole days that are too old go, and then what no reader can need any more."""

import datetime
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import polars as pl
from deltalake import DeltaTable, PostCommitHookProperties
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from history.lake.inventory import by_day, data_files, files_of
from history.lake.log_files import checkpoint_file, listed
from history.lake.mending import mend
from history.lake.schema import SCHEMAS
from history.lake.tables import Lake, log_entry
from history.maintenance.compaction import fenced
from history.maintenance.steps import Step
from history.models import RetentionPolicy

logger = logging.getLogger(__name__)

DEFAULT_DAYS: Final[dict[str, int]] = {"quotes": 30, "trades": 30, "marks": 30}
_OTHER_TABLES_DAYS: Final = 90
"""Stream states explain the gaps in spreads and opportunities, so they stay as long; funding is small."""

VACUUM_HOURS: Final = 2
"""A reader keeps the version it opened; files that left the table stay for it this long."""


LOG_HOURS: Final = 2
"""Entries of the log stay at least this long: a reader that opened an older version still needs them."""


def create_policies() -> None:
    """A policy for every table that has none yet."""
    there = set(RetentionPolicy.objects.values_list("table", flat=True))
    RetentionPolicy.objects.bulk_create(
        (
            RetentionPolicy(table=table, days=DEFAULT_DAYS.get(table, _OTHER_TABLES_DAYS))
            for table in SCHEMAS
            if table not in there
        ),
        ignore_conflicts=True,
    )


def keeps_from(days: int, today: datetime.date) -> str:
    """The first date (YYYY-MM-DD, UTC) that `days` whole days besides today keep."""
    return (today - datetime.timedelta(days=days)).isoformat()


def plan(lake: Lake, table: str, today: datetime.date) -> list[Step]:
    """One step when the table has days its policy does not keep."""
    policy = RetentionPolicy.objects.filter(table=table).first()
    if policy is None:
        logger.warning(
            "the lake's table %s has no policy: all of it is kept until `manage.py migrate` makes one", table
        )
        return []
    if (days := policy.days) is None:
        return []
    before = keeps_from(days, today)
    old = by_day(files_of(lake, table)).filter(pl.col("date") < before)
    if not len(old):
        return []
    label = ngettext("%(days)d day before %(date)s", "%(days)d days before %(date)s", len(old)) % {
        "days": len(old),
        "date": before,
    }
    return [Step(label, partial(delete_before, lake, table, before))]


def delete_before(lake: Lake, table: str, before: str) -> int:
    """Take the days before a date out of the table, whole partitions, no file is read; returns the rows.

    Raises CommitFailedError when a row for one of those days arrived meanwhile; nothing is changed.
    """
    delta = lake.open(table)
    if delta is None:
        return 0
    rows = data_files(delta, table).filter(pl.col("date") < before)["rows"].sum()
    delta.delete(
        f"date < '{before}'",
        commit_properties=fenced(delta, "retain"),
        post_commithook_properties=PostCommitHookProperties(
            create_checkpoint=True, cleanup_expired_logs=False
        ),
    )
    return int(rows)


def plan_cleaning(lake: Lake, table: str) -> list[Step]:
    """Delete files and log entries that no reader needs any more."""
    return [
        Step(_("vacuum"), partial(_clean, lake, table, _vacuum)),
        Step(_("checkpoint and log cleanup"), partial(_clean, lake, table, _shorten_log)),
    ]


def _clean(lake: Lake, table: str, work: Callable[[Lake, str, DeltaTable], None]) -> int:
    mend(lake, table)  # before the vacuum takes what can still be added again
    delta = lake.open(table)
    if delta is not None:
        work(lake, table, delta)
    return 0


def _vacuum(_lake: Lake, _table: str, delta: DeltaTable) -> None:
    """Files that left the table VACUUM_HOURS ago, and those of writers that died before they committed."""
    delta.vacuum(retention_hours=VACUUM_HOURS, dry_run=False, enforce_retention_duration=False, full=True)


def _shorten_log(lake: Lake, table: str, delta: DeltaTable) -> None:
    """Delete the log before a checkpoint that is older than the table keeps the log, if there is a newer one.

    The library would keep a single checkpoint of a table that rests, and with that file lose the table.
    """
    delta.create_checkpoint()
    store = lake.store(table)
    there = listed(store)
    *earlier, _newest = sorted(there.checkpoints)
    before_s = time.time() - LOG_HOURS * 3600
    base = max((version for version in earlier if there.checkpoints[version] < before_s), default=0)
    entries = [log_entry(version) for version in there.entries if version < base]
    checkpoints = [checkpoint_file(version) for version in earlier if version < base]
    if entries or checkpoints:
        store.delete([*entries, *checkpoints])

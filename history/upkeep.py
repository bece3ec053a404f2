"""How the maintenance of the lake went last."""

from collections.abc import Iterator
from typing import Final

from core.health.upkeep import LastRun, asked_in, runs, us_of
from history.models import Kind, MaintenanceRun

DUE_EVERY_S: Final = {Kind.COMPACT: 600.0, Kind.CLEAN: 3600.0, Kind.RETAIN: 86_400.0}
"""As CELERY_BEAT_SCHEDULE has them."""

JOBS: Final = {Kind.COMPACT: "compact", Kind.CLEAN: "clean", Kind.RETAIN: "retain"}


@asked_in(runs)
def maintenance_runs() -> Iterator[LastRun]:
    """The last run of every kind of maintenance on every table that ever had one."""
    for kind, job in JOBS.items():
        tables = MaintenanceRun.objects.filter(kind=kind).order_by().values_list("table", flat=True)
        for table in tables.distinct():
            yield _last_run(kind, f"{job} {table}", table)


def _last_run(kind: Kind, job: str, table: str) -> LastRun:
    found = MaintenanceRun.objects.filter(kind=kind, table=table).order_by("-pk")
    last = found[0]
    good = found.filter(state__in=("done", "stopped"), ended__isnull=False).first()
    return LastRun(
        job=job,
        state=last.state,
        tried_us=us_of(last.started),
        done_us=us_of(good.ended) if good and good.ended else None,
        due_every_s=DUE_EVERY_S[kind],
        error=last.error,
    )

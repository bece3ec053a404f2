"""The lake's tables as operators see them: how large, how old, how fast they grow, what was done to them."""

import datetime
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.guarded import GuardedAdmin, ReadOnlyAdmin
from history.maintenance.runs import in_short
from history.models import Kind, MaintenanceRun, RetentionPolicy, State

# The lake's libraries weigh 70 MB and every process loads the admin: they come with the first page of it.
if TYPE_CHECKING:
    import polars as pl

    from history.lake.tables import Lake

logger = logging.getLogger(__name__)

QUEUED_S = 600  # what no worker has begun by then is forgotten; ask again
DAYS_SHOWN = 31
RUNS_SHOWN = 10
REMARK_CHARS = 60
# A shape beside the word, so that state is never colour alone.
SIGNS = {
    State.RUNNING: "○",
    State.DONE: "●",
    State.STOPPED: "▲",
    State.FAILED: "■",
    State.DIED: "■",
}


@admin.register(RetentionPolicy)
class LakeTableAdmin(GuardedAdmin):
    """One row per table of the lake; the days it keeps are edited in place."""

    empty_text = _(
        "No table of the lake has a policy: nothing is ever deleted. `manage.py prepare` adds the default "
        "ones."
    )

    never = ("add", "delete")  # the schema says which tables there are
    list_display = ("table", "days", "size", "files", "rows", "oldest", "newest", "per_day", "maintained")
    list_editable = ("days",)
    fields = ("table", "days", "each_day", "last_runs")
    readonly_fields = ("table", "each_day", "last_runs")
    actions = ("compact_now", "retain_now", "clean_now")

    class Media:
        css = {"all": ("history/admin.css",)}

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, called what it is."""
        return super().changelist_view(request, {**(extra_context or {}), "title": _("Lake tables")})

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Look every listed table up once, and their last runs with one query."""
        from history.lake.inventory import size_of
        from history.lake.tables import Lake

        page = super().get_changelist_instance(request)
        lake, today, runs = Lake.from_settings(), timezone.now().date(), _newest_runs()
        for row in page.result_list:
            files = self._files(request, lake, row.table)
            row.measured = None if files is None else size_of(files, today)
            row.runs = {kind: runs.get((row.table, kind)) for kind in Kind}
        return page

    def _files(self, request: HttpRequest, lake: "Lake", table: str) -> "pl.DataFrame | None":
        from deltalake.exceptions import DeltaError

        from history.lake.inventory import files_of
        from history.write.appending import STORE_ERRORS

        try:
            return files_of(lake, table)
        except (DeltaError, *STORE_ERRORS) as error:
            logger.warning("the lake's table %s cannot be read: %s", table, error)
            text = _("Table %(table)s cannot be read at %(url)s: %(error)s. Check LAKE_URL and the store.")
            words = {"table": table, "url": lake.url, "error": in_short(error)}
            self.message_user(request, text % words, messages.ERROR)
            return None

    @admin.display(description=_("size"))
    def size(self, row: Any) -> str:
        """Bytes of the files that are in the table now."""
        return _bytes(row.measured and row.measured.bytes)

    @admin.display(description=_("files"))
    def files(self, row: Any) -> str:
        """Files that are in the table now."""
        return _number(row.measured and row.measured.files)

    @admin.display(description=_("rows"))
    def rows(self, row: Any) -> str:
        """Rows of the table."""
        return _number(row.measured and row.measured.rows)

    @admin.display(description=_("oldest row (UTC)"))
    def oldest(self, row: Any) -> str:
        """Time by the table's clock."""
        return _moment(row.measured and row.measured.oldest_us)

    @admin.display(description=_("newest row (UTC)"))
    def newest(self, row: Any) -> str:
        """Time by the table's clock."""
        return _moment(row.measured and row.measured.newest_us)

    @admin.display(description=_("growth per day"))
    def per_day(self, row: Any) -> str:
        """Mean of the last whole days."""
        return _bytes(row.measured and row.measured.bytes_per_day)

    @admin.display(description=_("last maintenance"))
    def maintained(self, row: Any) -> str:
        """State of the last run of each kind."""
        lines = ((kind.label, _standing(row.runs[kind])) for kind in Kind)
        return format_html_join("", "<span>{}: {}</span>", lines)

    @admin.display(description=_("each day"))
    def each_day(self, row: RetentionPolicy) -> str:
        """Files, rows and bytes of the newest days."""
        from deltalake.exceptions import DeltaError

        from history.lake.inventory import by_day, files_of
        from history.lake.tables import Lake
        from history.write.appending import STORE_ERRORS

        try:
            days = by_day(files_of(Lake.from_settings(), row.table)).head(DAYS_SHOWN)
        except (DeltaError, *STORE_ERRORS) as error:
            return gettext("The lake cannot be read: %(error)s") % {"error": in_short(error)}
        shown = [
            (date, _bytes(size), _number(files), _number(rows))
            for date, files, rows, size in days.iter_rows()
        ]
        return render_to_string("admin/history/days.html", {"days": shown})

    @admin.display(description=_("last runs"))
    def last_runs(self, row: RetentionPolicy) -> str:
        """Latest maintenance runs of the table."""
        runs = MaintenanceRun.objects.filter(table=row.table)[:RUNS_SHOWN]
        return render_to_string(
            "admin/history/runs.html", {"runs": [(run, _standing(run), _number(run.rows)) for run in runs]}
        )

    @admin.action(description=_("Compact now"), permissions=["change"])
    def compact_now(self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]) -> None:
        """Queue a compaction of the selected tables."""
        self._queue(request, queryset, Kind.COMPACT)

    @admin.action(description=_("Delete old days now"), permissions=["change"])
    def retain_now(self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]) -> None:
        """Queue the retention of the selected tables."""
        self._queue(request, queryset, Kind.RETAIN)

    @admin.action(description=_("Clean up now"), permissions=["change"])
    def clean_now(self, request: HttpRequest, queryset: QuerySet[RetentionPolicy]) -> None:
        """Queue a cleaning of the selected tables."""
        self._queue(request, queryset, Kind.CLEAN)

    def _queue(self, request: HttpRequest, queryset: QuerySet[RetentionPolicy], kind: Kind) -> None:
        # Here, because a web process that queues nothing needs no Celery.
        import_module(settings.TASKS_APPLICATION)
        from kombu.exceptions import OperationalError

        from history.tasks import TASKS

        rows = list(queryset)
        try:
            for row in rows:
                TASKS[kind].apply_async((row.table,), expires=QUEUED_S, retry=False)
                self.log_change(request, row, f"Queued: {kind.label}.")
        except OperationalError as error:
            text = _("Not queued, Redis does not respond: %(error)s") % {"error": error}
            self.message_user(request, text, messages.ERROR)
            return
        text = _("Queued for a worker: %(what)s %(tables)s. Reload in a moment to see the result.") % {
            "what": kind.label,
            "tables": ", ".join(row.table for row in rows),
        }
        self.message_user(request, text, messages.SUCCESS)


@admin.register(MaintenanceRun)
class MaintenanceRunAdmin(ReadOnlyAdmin):
    """Record of the lake's maintenance; only maintenance writes it."""

    empty_text = _(
        "No maintenance has run yet. If worker and beat are running, a compaction starts every ten minutes; "
        "Lake tables starts one at once."
    )

    list_display = ("began", "kind", "table", "standing", "took", "rows_", "files", "said")
    list_filter = ("table", "kind", "state")
    date_hierarchy = "started"

    class Media:
        css = {"all": ("history/admin.css",)}

    @admin.display(description=_("started (UTC)"), ordering="started")
    def began(self, run: MaintenanceRun) -> str:
        """Time to the second."""
        return f"{run.started:%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("state"), ordering="state")
    def standing(self, run: MaintenanceRun) -> str:
        """The state as shape and word."""
        return f"{SIGNS[State(run.state)]} {run.get_state_display()}"

    @admin.display(description=_("took"))
    def took(self, run: MaintenanceRun) -> str:
        """Seconds from start to end."""
        return "–" if run.ended is None else f"{(run.ended - run.started).total_seconds():,.1f} s"

    @admin.display(description=_("rows"), ordering="rows")
    def rows_(self, run: MaintenanceRun) -> str:
        """Number of rows, with separators."""
        return _number(run.rows)

    @admin.display(description=_("files"))
    def files(self, run: MaintenanceRun) -> str:
        """Files of the whole table, before and after."""
        return format_html(
            "{}, {}<br>→ {}, {}",
            _number(run.files_before), _bytes(run.bytes_before),
            _number(run.files_after), _bytes(run.bytes_after),
        )  # fmt: skip

    @admin.display(description=_("remark"))
    def said(self, run: MaintenanceRun) -> str:
        """The error, if there was one; the run's own page has all of it."""
        return Truncator(run.error or run.remark).chars(REMARK_CHARS)


def _newest_runs() -> dict[tuple[str, str], MaintenanceRun]:
    newest = MaintenanceRun.objects.order_by("table", "kind", "-started").distinct("table", "kind")
    return {(run.table, run.kind): run for run in newest}


def _standing(run: MaintenanceRun | None) -> str:
    if run is None:
        return gettext("never")
    return f"{SIGNS[State(run.state)]} {run.get_state_display()} {_ago(run)}"


def _ago(run: MaintenanceRun) -> str:
    return gettext("%(time)s ago") % {"time": timesince(run.ended or run.started, depth=1)}


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _bytes(value: int | None) -> str:
    return "–" if value is None else filesizeformat(value)


def _moment(ts_us: int | None) -> str:
    """Time to the minute."""
    if ts_us is None:
        return "–"
    return f"{datetime.datetime.fromtimestamp(ts_us // 1_000_000, datetime.UTC):%Y-%m-%d %H:%M}"

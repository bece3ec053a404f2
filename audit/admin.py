"""The audit in the admin: read, filtered, searched and taken away as a file, never changed."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _

from audit.conflicts import fields_of
from audit.guarded import ReadOnlyAdmin
from audit.models import Entry
from audit.reading import found, of_object, of_user
from audit.tally import settle

MOST_CHOICES = 100
PERIODS = {"day": 1, "week": 7, "month": 30, "year": 365}


class _Values(admin.SimpleListFilter):
    """Offers what there is of late."""

    column = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The values of the newest entries."""
        newest = Entry.objects.order_by("-pk")[:5_000].values_list(self.column, flat=True)
        there = sorted({str(value) for value in (*newest, self.value()) if value})
        return [(value, value.replace("_", " ")) for value in there[:MOST_CHOICES]]


class KindFilter(_Values):
    """Filter by the kind of action."""

    title, parameter_name, column = _("kind"), "kind", "kind"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Entries of that kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


class UserFilter(_Values):
    """Filter by the user."""

    title, parameter_name, column = _("user"), "user", "user_name"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Theirs."""
        return queryset.filter(of_user(self.value() or "")) if self.value() else queryset


class ObjectFilter(_Values):
    """Filter by the object."""

    title, parameter_name, column = _("type"), "object", "object_type"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Entries about that type, or that one row."""
        return queryset.filter(of_object(self.value() or "")) if self.value() else queryset


class PeriodFilter(admin.SimpleListFilter):
    """Filter by the time."""

    title, parameter_name = _("when"), "within"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Periods that end now."""
        return [
            ("day", _("24 hours")),
            ("week", _("7 days")),
            ("month", _("30 days")),
            ("year", _("365 days")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        """Entries no older than the period."""
        start = start_of(self.value())
        return queryset if start is None else queryset.filter(at__gte=start)


def start_of(period: str | None) -> Any:
    """Begin of a period; None for none."""
    days = PERIODS.get(period or "")
    return None if days is None else timezone.now() - timedelta(days=days)


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    """Read-only list of the audit's entries; `manage.py audit retain` removes what is old."""

    empty_text = _("No entries yet. Every action of a user is recorded here.")

    list_display = ("when", "kind_in_words", "who", "what", "address", "changed")
    list_display_links = ("when", "kind_in_words")
    list_filter = (PeriodFilter, KindFilter, UserFilter, ObjectFilter)
    search_fields = ("user_name",)  # see get_search_results
    search_help_text = _("Part of a user, an object, an address or an action")
    ordering = ("-id",)
    list_per_page = 50
    show_full_result_count = False
    fieldsets = (
        (None, {"fields": ("exactly", "kind_in_words", "what", "words", "count")}),
        (_("Who, and from where"), {"fields": ("who", "user_id", "token", "program", "address", "agent")}),
        (_("Before and after"), {"fields": ("compared",)}),
    )
    readonly_fields = (
        "exactly", "kind_in_words", "what", "words", "count", "who", "user_id", "token", "program", "address",
        "agent", "compared",
    )  # fmt: skip

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the list to users who may read it."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Entry | None = None) -> bool:
        """Allow by `audit.view`."""
        user: Any = request.user
        return bool(user.has_perm("audit.view"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        """Search like the API's `search`."""
        return (queryset.filter(found(search_term.strip())) if search_term.strip() else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with what was only counted so far, and the way to take it away."""
        settle()
        chosen = {name: request.GET[name] for name in ("kind", "user", "object") if request.GET.get(name)}
        if term := request.GET.get("q", "").strip():
            chosen["search"] = term
        if start := start_of(request.GET.get("within")):
            chosen["start"] = start.isoformat().replace("+00:00", "Z")
        links = {"export_query": urlencode(chosen), "title": _("Audit")}
        return super().changelist_view(request, {**(extra_context or {}), **links})

    @admin.display(description=_("at (UTC)"), ordering="id")
    def when(self, row: Entry) -> str:
        """Time to the second."""
        return f"{row.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("at (UTC)"))
    def exactly(self, row: Entry) -> str:
        """Time to the microsecond."""
        return f"{row.at:%Y-%m-%d %H:%M:%S.%f}"

    @admin.display(description=_("kind"), ordering="kind")
    def kind_in_words(self, row: Entry) -> str:
        """Kind of the action, with the number of times where it was counted."""
        return row.kind_in_words if row.count == 1 else f"{row.kind_in_words} × {row.count:,}"

    @admin.display(description=_("who"), ordering="user_name")
    def who(self, row: Entry) -> Any:
        """The name as it was, or the program."""
        by = f" (API token {row.token})" if row.token else ""
        return format_html("<bdi>{}</bdi>{}", row.who or "–", by)

    @admin.display(description=_("object"), ordering="object_name")
    def what(self, row: Entry) -> Any:
        """Name of the object as it was, and its type."""
        kind = row.object_type.rpartition(".")[2]
        return format_html("<bdi>{}</bdi> {}", row.object_name or "–", f"({kind})" if kind else "")

    @admin.display(description=_("what changed"))
    def changed(self, row: Entry) -> Any:
        """The fields, or words."""
        names = [label for label, _before, _after in fields_of(row)]
        return row.words or ", ".join(names[:6]) + ("…" if len(names) > 6 else "")

    @admin.display(description=_("fields"))
    def compared(self, row: Entry) -> Any:
        """Each field as it was and as it is."""
        lines = format_html_join(
            "", "<tr><th scope=row>{}</th><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td></tr>", fields_of(row)
        )
        if not lines:
            return "–"
        head = format_html("<tr><th>{}</th><th>{}</th><th>{}</th></tr>", _("Field"), _("Before"), _("After"))
        return format_html(
            '<div class="audit-scroll"><table class="audit-fields">{}{}</table></div>', head, lines
        )

"""The page of followed order books: the rule, the budget, and what collectors do with it now."""

from typing import Any

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from redis import RedisError

from audit.guarded import OneRowAdmin
from core.process.vitals import heartbeats
from markets.admin.configuration import ConfigAdmin
from markets.follow.runtime import CollectorStatus, collector_statuses
from markets.models import DepthSettings

NAMED = 20
"""Refused books of one collector named one by one."""


@admin.register(DepthSettings)
class DepthSettingsAdmin(OneRowAdmin, ConfigAdmin):
    """The one row of settings, with what they cost."""

    readonly_fields = ("now",)
    fieldsets = (
        (
            None,
            {
                "fields": ("top", "stay_s", "most", "now"),
                "description": _(
                    "Besides these, the books of the instruments that filters with “follow order books” use, "
                    "and of pinned instruments: see the actions of the list of instruments."
                ),
            },
        ),
    )

    @admin.display(description=_("followed now"))
    def now(self, row: DepthSettings) -> Any:
        """Books, topics and load of each collector, and which books have no room."""
        try:
            statuses = collector_statuses()
            cpu = {beat.name: beat.cpu_pct for beat in heartbeats()}
        except RedisError:
            return gettext("unknown: Redis does not respond")
        lines = [(line,) for status in statuses for line in _in_words(status, cpu)]
        return format_html_join("", "<div>{}</div>", lines) if lines else gettext("no collector is running")


def _in_words(status: CollectorStatus, cpu: dict[str, float]) -> list[str]:
    books = status.books
    if not books:
        return [gettext("Collector %(shard)s says nothing of books.") % {"shard": status.shard}]
    load = cpu.get(f"collector {status.shard}")
    lines = [
        gettext(
            "Collector %(shard)s: %(followed)d followed of %(most)d at most, %(known)d of them known, "
            "%(topics)d topics, %(levels)d levels, %(updates).0f updates a second, %(load)s of a core in all."
        )
        % {**books, "shard": status.shard, "updates": books["updates_per_s"],
           "load": gettext("unknown") if load is None else f"{load:.0f} %"}
    ]  # fmt: skip
    if refused := books["refused"]:
        names = ", ".join(books["refused_books"][:NAMED])
        lines.append(gettext("No room for %(count)d: %(names)s") % {"count": refused, "names": names})
    return lines

"""The store's settings, and how the store stands."""

import logging
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db import DatabaseError
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from psycopg import Error as PostgresError

from audit.guarded import OneRowAdmin
from orderbook.models import StoreSettings
from orderbook.standing import StoreTable, measure
from orderbook.store.engine import StoreError

logger = logging.getLogger(__name__)

UNKNOWN = "–"


@admin.register(StoreSettings)
class StoreSettingsAdmin(OneRowAdmin):
    """The one row of settings."""

    fieldsets = (
        (None, {"fields": ("enabled",)}),
        (_("What is stored"), {"fields": ("symbols", "quotes", "trades", "depth", "top5")}),
        (_("How it is written"), {"fields": ("batch_rows", "batch_s", "spill_mb")}),
        (_("How long it is kept"), {"fields": ("raw_days", "rollup_days")}),
        (_("What there is"), {"fields": ("standing",)}),
    )
    readonly_fields = ("standing",)

    class Media:
        css = {"all": ("history/admin.css",)}

    @admin.display(description=_("the store now"))
    def standing(self, _row: Any) -> str:
        """Engine, symbols and tables; what cannot be looked up is said."""
        try:
            found = measure()
        except (DatabaseError, PostgresError, StoreError) as problem:
            logger.warning("the store cannot be measured: %s", problem)
            return gettext("The store cannot be measured: %(problem)s") % {"problem": problem}
        rows = [_shown(table) for table in found.tables]
        return render_to_string("admin/orderbook/standing.html", {"standing": found, "rows": rows})


def _shown(table: StoreTable) -> dict[str, str]:
    waits = table.waits_since_us
    return {
        "table": table.table,
        "size": filesizeformat(table.bytes),
        "rows": UNKNOWN if table.rows is None else f"{table.rows:,}",
        "parts": f"{table.parts:,}",
        "compressed": f"{table.compressed / table.parts:.0%}" if table.parts else UNKNOWN,
        "late": f"{table.late:,}",
        "oldest": UNKNOWN if table.oldest_us is None else f"{_moment(table.oldest_us):%Y-%m-%d %H:%M}",
        "kept": ngettext("%(days)s day", "%(days)s days", table.keep_days) % {"days": table.keep_days},
        "behind": UNKNOWN if waits is None else timesince(_moment(waits), timezone.now()),
    }


def _moment(ts_us: int) -> datetime:
    return datetime.fromtimestamp(ts_us / 1e6, UTC)

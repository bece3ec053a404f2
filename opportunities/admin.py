"""Opportunities in the admin: read, never edited."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from audit.guarded import ReadOnlyAdmin
from core.names import formats as wording
from core.names.symbols import quote_of
from markets.events import LegPrice, Moment
from opportunities import verdict_admin  # noqa: F401 - its page is registered by this
from opportunities.models import OpportunityEpisode


class StandingFilter(admin.SimpleListFilter):
    """Open, or over."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """The two."""
        return [("open", _("open")), ("closed", _("closed"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Opportunities in the chosen state."""
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(closed_at__isnull=chosen == "open")


@admin.register(OpportunityEpisode)
class OpportunityEpisodeAdmin(ReadOnlyAdmin):
    """One row per episode, open ones first; only collectors write them, old ones go (EPISODE_DAYS)."""

    list_display = (
        "standing", "symbol", "way", "began_s", "took", "peak_edge", "mean_edge", "size", "why",
        "filter_name",
    )  # fmt: skip
    list_display_links = ("standing", "symbol")
    list_filter = (StandingFilter, "filter_name", "buy_on", "sell_on")
    search_fields = ("symbol", "=id", "=move")
    search_help_text = _("A symbol or a part of it, like BTC/USDT, or the id of an opportunity or a move.")
    date_hierarchy = "started_at"
    ordering = ("-closed_at", "-started_at")  # PostgreSQL sorts nulls first here: what is open
    show_full_result_count = False
    list_per_page = 50
    fieldsets = (
        (None, {"fields": ("standing", "symbol", "way", "filter_name", "filter", "id")}),
        (_("Move"), {"fields": ("move", "moved_on", "moved_side")}),
        (_("When"), {"fields": ("began", "ended", "took", "seen", "why")}),
        (_("Edge"), {"fields": ("open_edge", "peak_edge", "mean_edge", "close_edge", "size", "unproven")}),
        (_("Both legs"), {"fields": ("sides",)}),
    )

    class Media:
        css = {"all": ("realtime/admin.css",)}

    @admin.display(description=_("state"), ordering="closed_at")
    def standing(self, row: OpportunityEpisode) -> str:
        """State as shape and word."""
        return f"● {gettext('open')}" if row.is_open else f"○ {gettext('closed')}"

    @admin.display(description=_("buy → sell"), ordering="buy_on")
    def way(self, row: OpportunityEpisode) -> str:
        """Exchange where one buys and exchange where one sells."""
        return f"{row.buy_on} → {row.sell_on}"

    @admin.display(description=_("began (UTC)"), ordering="started_at")
    def began_s(self, row: OpportunityEpisode) -> str:
        """Time to the second: a list is narrow."""
        return f"{row.started_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description=_("began (UTC)"))
    def began(self, row: OpportunityEpisode) -> str:
        """Time to the millisecond."""
        return _moment(row.started_at)

    @admin.display(description=_("closed (UTC)"), ordering="closed_at")
    def ended(self, row: OpportunityEpisode) -> str:
        """Time to the millisecond."""
        return _moment(row.closed_at)

    @admin.display(description=_("last seen (UTC)"))
    def seen(self, row: OpportunityEpisode) -> str:
        """Time when a collector last confirmed it."""
        return _moment(row.seen_at)

    @admin.display(description=_("lasted"), ordering="duration_ms")
    def took(self, row: OpportunityEpisode) -> str:
        """Duration from start to close."""
        return "–" if row.duration_ms is None else wording.age(row.duration_ms)

    @admin.display(description=_("edge at open, bps"))
    def open_edge(self, row: OpportunityEpisode) -> str:
        """Edge at the opening, after both taker fees."""
        return f"{row.open_edge_bps:z.1f}"

    @admin.display(description=_("peak, bps"), ordering="peak_edge_bps")
    def peak_edge(self, row: OpportunityEpisode) -> str:
        """The highest executable edge."""
        return f"{row.peak_edge_bps:z.1f}"

    @admin.display(description=_("mean, bps"), ordering="mean_edge_bps")
    def mean_edge(self, row: OpportunityEpisode) -> str:
        """Weighted by time."""
        return f"{row.mean_edge_bps:z.1f}"

    @admin.display(description=_("edge at close, bps"))
    def close_edge(self, row: OpportunityEpisode) -> str:
        """A dash where one side was gone."""
        return "–" if row.close_edge_bps is None else f"{row.close_edge_bps:z.1f}"

    @admin.display(description=_("size at peak"), ordering="peak_size")
    def size(self, row: OpportunityEpisode) -> str:
        """Executable, in quote currency."""
        return f"{wording.amount(row.peak_size)} {quote_of(row.symbol)}"

    @admin.display(description=_("reason for the close"))
    def why(self, row: OpportunityEpisode) -> str:
        """Reason of the close in words."""
        return row.reason or "–"

    @admin.display(description=_("unproven gate checks"))
    def unproven(self, row: OpportunityEpisode) -> str:
        """Gates that were not known to pass."""
        return ", ".join(row.gates) or gettext("none")

    @admin.display(description=_("best prices"))
    def sides(self, row: OpportunityEpisode) -> str:
        """Both legs at open, peak and close."""
        moments = [(_("open"), row.opened), (_("peak"), row.peak), (_("close"), row.closed)]
        lines = [
            line for label, moment in moments if moment is not None for line in _lines(row, label, moment)
        ]
        return render_to_string("admin/opportunities/sides.html", {"lines": lines})


def _lines(row: OpportunityEpisode, label: Any, moment: Moment) -> list[tuple[Any, ...]]:
    """The buying and the selling side."""
    return [
        (label, gettext("buy"), *_prices(moment.buy)),
        ("", gettext("sell"), *_prices(moment.sell)),
    ]


def _prices(leg: LegPrice) -> tuple[str, ...]:
    prices = (f"{value:,.10g}" for value in (leg.bid, leg.bid_size, leg.ask, leg.ask_size))
    return leg.exchange, *prices, wording.age(leg.age_ms)


def _moment(time: Any) -> str:
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}"

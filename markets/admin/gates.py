"""Inputs of the gate checks: fees, wallets, thresholds; and which charts people pinned."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

from audit.guarded import OneRowAdmin, ReadOnlyAdmin
from audit.own_rows import OwnRowsAdmin
from core.names.symbols import hints
from markets.admin.configuration import ConfigAdmin, WithMarkets
from markets.models import FeeSchedule, GateThresholds, PinnedChart, WalletStatus
from markets.selectors import strangers


class FeeScheduleInline(WithMarkets, admin.TabularInline):  # type: ignore[type-arg]  # no generic at run time
    """The schedules on their exchange's page."""

    model = FeeSchedule
    extra = 0
    fields = ("market", "tier", "symbols", "taker_fee_bps", "maker_fee_bps", "valid_from", "valid_until")
    formfield_overrides = {models.TextField: {"widget": forms.Textarea(attrs={"rows": 1, "cols": 24})}}


@admin.register(FeeSchedule)
class FeeScheduleAdmin(WithMarkets, ConfigAdmin):
    """Fees by tier, by symbol and by day."""

    empty_text = _(
        "The fees entered for each exchange apply. If you have a tier, or fees that change on a day, add a "
        "schedule here and name the tier on the exchange's page. Symbols with their own fees, like a "
        "promotion, need a schedule that names them."
    )
    list_display = (
        "exchange", "market", "tier", "symbols", "holds", "taker_fee_bps", "maker_fee_bps", "valid_from",
        "valid_until",
    )  # fmt: skip
    list_display_links = ("exchange", "tier", "symbols")
    list_filter = ("exchange", "market", "tier")
    list_select_related = ("exchange",)
    search_fields = ("tier", "symbols", "exchange__name")

    def save_model(
        self, request: HttpRequest, obj: FeeSchedule, form: forms.ModelForm[FeeSchedule], change: bool
    ) -> None:
        """Save, and say what of its list most likely is not meant."""
        super().save_model(request, obj, form, change)
        for words in (*hints(obj.symbols), *strangers(obj.symbols)):
            self.message_user(request, words, messages.WARNING)

    @admin.display(description=_("now"))
    def holds(self, row: FeeSchedule) -> Any:
        """Whether its days have come, and whether anybody has that tier."""
        today = datetime.now(UTC).date()
        if row.valid_from > today:
            return _("○ upcoming")
        if row.valid_until is not None and row.valid_until < today:
            return _("■ expired")
        return _("● valid") if row.tier in ("", row.exchange.account_tier) else _("○ valid, not your tier")


@admin.register(WalletStatus)
class WalletStatusAdmin(ReadOnlyAdmin, ConfigAdmin):
    """Wallets as exchanges report them; only the wallet sync writes here."""

    empty_text = _(
        "No wallet status yet. A worker syncs every 15 minutes; `manage.py sync_wallets` does it now, and "
        "its --help explains how to give the desk a read-only key for exchanges that require one."
    )
    list_display = ("coin", "network", "exchange", "deposits", "withdrawals", "cost", "age")
    list_filter = ("exchange", "deposit", "withdraw", "network")
    list_select_related = ("exchange",)
    search_fields = ("=coin",)
    search_help_text = _("A coin, like PEPE")
    ordering = ("coin", "network", "exchange__key")

    @admin.display(description=_("deposits"), ordering="deposit")
    def deposits(self, row: WalletStatus) -> Any:
        """State as a word and a shape."""
        return _door(row.deposit)

    @admin.display(description=_("withdrawals"), ordering="withdraw")
    def withdrawals(self, row: WalletStatus) -> Any:
        """State as a word and a shape."""
        return _door(row.withdraw)

    @admin.display(description=_("withdrawal fee"), ordering="fee")
    def cost(self, row: WalletStatus) -> str:
        """Cost in the coin, without trailing zeros."""
        return "–" if row.fee is None else f"{row.fee.normalize():f} {row.coin}"

    @admin.display(description=_("age"), ordering="synced_at")
    def age(self, row: WalletStatus) -> str:
        """Time since the exchange said so."""
        return timesince(row.synced_at, timezone.now())


@admin.register(GateThresholds)
class GateThresholdsAdmin(OneRowAdmin, ConfigAdmin):
    """The one row of thresholds."""

    fieldsets = (
        (_("Freshness"), {"fields": ("silent_gaps", "silent_floor_ms", "max_age_ms")}),
        (_("Quotes"), {"fields": ("jump_pct", "min_size", "min_volume")}),
        (
            _("Identity of the coin"),
            {
                "fields": (
                    "identity_near_pct", "identity_max_ratio", "identity_min_correlation",
                    "max_unproven_edge_bps",
                )
            },
        ),
        (_("Depth"), {"fields": ("min_edge_at_size_bps",)}),
        (_("Stablecoins"), {"fields": ("peg_band_pct",)}),
        (
            _("Swaps"),
            {
                "fields": (
                    "funding_max_age_s", "mark_band_pct", "mark_max_age_s", "min_swap_volume", "expiry_hours",
                )
            },
        ),
    )  # fmt: skip


@admin.register(PinnedChart)
class PinnedChartAdmin(OwnRowsAdmin, ConfigAdmin):
    """Charts that people pinned in the scanner; users who may take them down see everybody's."""

    sees_everybodys = "markets.delete_pinnedchart"
    never = ("add", "change")  # the scanner pins

    empty_text = _("No pins yet. A click in a row of the scanner pins its chart.")
    list_display = ("symbol", "pair", "user", "pinned_at")
    list_filter = ("user",)
    search_fields = ("symbol__name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PinnedChart]:
        """Add what the list shows of each."""
        rows: QuerySet[PinnedChart] = super().get_queryset(request)
        return rows.select_related("symbol", "user", "pair__exchange1", "pair__exchange2")


def _door(is_open: bool | None) -> Any:
    """A shape beside the word, so that state is never colour alone."""
    return {True: _("● open"), False: _("■ closed"), None: _("○ unknown")}[is_open]

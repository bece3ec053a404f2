"""The store's settings."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.guarded import OneRowAdmin
from orderbook.models import StoreSettings


@admin.register(StoreSettings)
class StoreSettingsAdmin(OneRowAdmin):
    """The one row of settings."""

    fieldsets = (
        (None, {"fields": ("enabled",)}),
        (_("What is stored"), {"fields": ("symbols", "quotes", "trades", "depth", "top5")}),
        (_("How it is written"), {"fields": ("batch_rows", "batch_s", "spill_mb")}),
        (_("How long it is kept"), {"fields": ("raw_days", "rollup_days")}),
    )

"""The store's settings."""

from django.contrib import admin

from audit.guarded import OneRowAdmin
from orderbook.models import StoreSettings


@admin.register(StoreSettings)
class StoreSettingsAdmin(OneRowAdmin):
    """The one row of settings."""

    fields = ("raw_days", "rollup_days")

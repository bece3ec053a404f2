"""The health limits in the admin."""

from django.contrib import admin

from audit.guarded import OneRowAdmin
from monitoring.health.limits import HealthLimits


@admin.register(HealthLimits)
class HealthLimitsAdmin(OneRowAdmin):
    """The one row of limits; without it, their defaults hold."""

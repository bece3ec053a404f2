"""The health limits in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from monitoring.limits import HealthLimits


@admin.register(HealthLimits)
class HealthLimitsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """The one row of limits; without it, their defaults hold."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Straight to the row: a list of one is no list."""
        row = HealthLimits.objects.first()
        if row is None:
            return HttpResponseRedirect(reverse("admin:monitoring_healthlimits_add"))
        return HttpResponseRedirect(reverse("admin:monitoring_healthlimits_change", args=[row.pk]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row at most."""
        return super().has_add_permission(request) and not HealthLimits.objects.exists()

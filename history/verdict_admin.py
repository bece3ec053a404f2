"""The thresholds of the verdicts on a pair's statistics."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from history.models import VerdictThresholds


@admin.register(VerdictThresholds)
class VerdictThresholdsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """The one row of thresholds; the statistics follow at the next look."""

    fieldsets = (
        (_("What counts"), {"fields": ("neutral_pct", "cycle_pct", "event_pct", "big_peak_pct")}),
        (
            _("What speaks against a pair"),
            {
                "fields": (
                    "trending_below_crossings_per_minute",
                    "never_closes_above_time_pct",
                    "biased_above_asymmetry",
                )
            },
        ),
        (
            _("What makes it excellent: all four"),
            {
                "fields": (
                    "excellent_above_crossings_per_minute",
                    "excellent_above_events_per_hour",
                    "excellent_above_mean_peak_pct",
                    "excellent_above_big_peaks_pct",
                )
            },
        ),
    )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Straight to the row: a list of one is no list."""
        row = VerdictThresholds.objects.first()
        if row is None:
            return HttpResponseRedirect(reverse("admin:history_verdictthresholds_add"))
        return HttpResponseRedirect(reverse("admin:history_verdictthresholds_change", args=[row.pk]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one row at most."""
        return super().has_add_permission(request) and not VerdictThresholds.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: VerdictThresholds | None = None) -> bool:
        """Without thresholds there is no verdict."""
        return False

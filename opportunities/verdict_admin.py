"""The thresholds of the verdicts on a pair's statistics."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from audit.guarded import OneRowAdmin
from opportunities.models import VerdictThresholds


@admin.register(VerdictThresholds)
class VerdictThresholdsAdmin(OneRowAdmin):
    """The one row of thresholds; the statistics follow at the next poll."""

    fieldsets = (
        (_("Cycles and events"), {"fields": ("neutral_pct", "cycle_pct", "event_pct", "big_peak_pct")}),
        (
            _("Criteria against a pair"),
            {
                "fields": (
                    "trending_below_crossings_per_minute",
                    "never_closes_above_time_pct",
                    "biased_above_asymmetry",
                )
            },
        ),
        (
            _("Criteria for excellent: all four"),
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

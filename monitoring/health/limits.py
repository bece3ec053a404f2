"""Limits an operator sets: what is beyond them is unhealthy, on the page, in metrics and by rules."""

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from msgspec import structs

from monitoring.health.observed import Limits
from monitoring.quality.latency import LONGEST_MS

DEFAULT = Limits()


def _between(least: float, most: float) -> list[Any]:
    return [MinValueValidator(least), MaxValueValidator(most)]


class HealthLimits(models.Model):
    """One row; fields as `monitoring.health.observed.Limits`.

    It is no market configuration: no revision moves.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    exchange_silent_s = models.FloatField(
        _("exchange silent after, s"), default=DEFAULT.exchange_silent_s, validators=_between(1, 3600)
    )
    reconnects_per_min = models.FloatField(
        _("reconnects per minute"), default=DEFAULT.reconnects_per_min, validators=_between(0, 10_000)
    )
    clock_offset_s = models.FloatField(
        _("clock offset, s"), default=DEFAULT.clock_offset_s, validators=_between(0.05, 3600)
    )
    latency_p95_ms = models.FloatField(
        _("latency p95, ms"),
        default=DEFAULT.latency_p95_ms,
        validators=_between(1, LONGEST_MS),
        help_text=_("At most 120,000: latencies above are not measured exactly."),
    )
    bad_frames_per_min = models.FloatField(
        _("bad frames per minute"), default=DEFAULT.bad_frames_per_min, validators=_between(0, 1_000_000)
    )
    funding_unknown_s = models.FloatField(
        _("funding unknown for, s"), default=DEFAULT.funding_unknown_s, validators=_between(120, 86_400),
        help_text=_("At least 120: after each settlement it is unknown for two minutes."),
    )  # fmt: skip
    queue_fill_pct = models.FloatField(
        _("queue fill, %"), default=DEFAULT.queue_fill_pct, validators=_between(1, 100)
    )
    queue_length = models.PositiveIntegerField(
        _("queue length"), default=DEFAULT.queue_length, validators=_between(1, 10_000_000)
    )
    memory_pct = models.FloatField(
        _("memory, %"), default=DEFAULT.memory_pct, validators=_between(1, 100),
        help_text=_("Of the limit of a process: its container's, MEMORY_LIMIT_MB, or the machine's memory."),
    )  # fmt: skip
    gc_gen2_per_min = models.FloatField(
        _("full garbage collections per minute"),
        default=DEFAULT.gc_gen2_per_min,
        validators=_between(0, 10_000),
    )
    loop_lag_ms = models.FloatField(
        _("event loop blocked, ms"), default=DEFAULT.loop_lag_ms, validators=_between(1, 600_000)
    )
    sockets = models.PositiveIntegerField(
        _("sockets of a web process"), default=DEFAULT.sockets, validators=_between(1, 1_000_000)
    )
    revision_lag_s = models.FloatField(
        _("configuration applied within, s"),
        default=DEFAULT.revision_lag_s,
        validators=_between(1, 3600),
    )
    lake_flush_s = models.FloatField(
        _("lake flush takes, s"), default=DEFAULT.lake_flush_s, validators=_between(0.1, 3600)
    )
    maintenance_late_times = models.FloatField(
        _("maintenance late after, times its interval"),
        default=DEFAULT.maintenance_late_times,
        validators=_between(1, 100),
    )
    disk_free_pct = models.FloatField(
        _("disk free, %"), default=DEFAULT.disk_free_pct, validators=_between(0, 100)
    )

    class Meta:
        verbose_name = _("health limits")
        verbose_name_plural = _("health limits")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_health_limits")]  # noqa: RUF012

    def __str__(self) -> str:
        return str(_("health limits"))


def load_limits() -> Limits:
    """Load the present limits. Raises DatabaseError."""
    row = HealthLimits.objects.first()
    if row is None:
        return DEFAULT
    return Limits(**{field.name: getattr(row, field.name) for field in structs.fields(Limits)})

"""Retention of the lake's tables, and the record of their maintenance."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField

MAX_DAYS = 3650


class RetentionPolicy(models.Model):
    """A table of the lake and how many whole UTC days of it are kept, besides today."""

    table = models.CharField(_("table"), max_length=32, unique=True, editable=False)
    days = models.PositiveIntegerField(
        _("days kept"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_DAYS)],
        help_text=_(
            "Whole days (UTC) kept besides today. What is older is deleted once a day, for good. "
            "Empty: nothing is ever deleted."
        ),
    )

    class Meta:
        verbose_name = _("lake table")
        verbose_name_plural = _("lake tables")
        ordering = ("table",)
        constraints = [
            models.CheckConstraint(
                condition=Q(days__isnull=True) | Q(days__gte=1, days__lte=MAX_DAYS),
                name="retention_days_in_range",
            )
        ]

    def __str__(self) -> str:
        return self.table


class Kind(models.TextChoices):
    """Kind of maintenance."""

    COMPACT = "compact", _("compact")
    RETAIN = "retain", _("retain")
    CLEAN = "clean", _("clean up")


class State(models.TextChoices):
    """State of a run; `stopped` ran out of time and says what is left, `died` never came to an end."""

    RUNNING = "running", _("running")
    DONE = "done", _("done")
    STOPPED = "stopped", _("stopped")
    FAILED = "failed", _("failed")
    DIED = "died", _("died")


class MaintenanceRun(models.Model):
    """One piece of maintenance on one table. Files and bytes are the whole table's, before and after."""

    kind = models.CharField(_("what"), max_length=16, choices=Kind)
    table = models.CharField(_("table"), max_length=32)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.RUNNING)
    started = models.DateTimeField(_("started"))
    ended = models.DateTimeField(_("ended"), null=True, blank=True)
    rows = models.BigIntegerField(
        _("rows"), default=0, help_text=_("Rows rewritten by a compaction, or deleted by the retention.")
    )
    files_before = models.BigIntegerField(_("files before"), default=0)
    files_after = models.BigIntegerField(_("files after"), null=True, blank=True)
    bytes_before = models.BigIntegerField(_("bytes before"), default=0)
    bytes_after = models.BigIntegerField(_("bytes after"), null=True, blank=True)
    remark = LinesField(_("remark"), blank=True, help_text=_("What was done and what is left to do."))
    error = LinesField(_("error"), blank=True)

    class Meta:
        verbose_name = _("lake maintenance run")
        verbose_name_plural = _("lake maintenance runs")
        ordering = ("-started", "-pk")
        indexes = [models.Index(fields=["table", "kind", "-started"], name="maintenance_of_table")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.table} {self.started:%Y-%m-%d %H:%M}"

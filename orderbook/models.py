"""Settings of the store of quotes, trades and books."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

_DAYS = [MinValueValidator(1), MaxValueValidator(3650)]


class StoreSettings(models.Model):
    """How long the store keeps what it has; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    raw_days = models.PositiveIntegerField(
        _("days of rows kept"), default=30, validators=_DAYS,
        help_text=_("Older quotes, trades and books are deleted by the hour."),
    )  # fmt: skip
    rollup_days = models.PositiveIntegerField(
        _("days of second bars kept"), default=90, validators=_DAYS,
        help_text=_("Older second bars are deleted by the day; at least as long as the rows."),
    )  # fmt: skip

    class Meta:
        verbose_name = _("store settings")
        verbose_name_plural = _("store settings")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_store_settings")]

    def __str__(self) -> str:
        return str(_("store settings"))

    def clean(self) -> None:
        """Refuse bars that end before the rows they are made of."""
        if self.raw_days and self.rollup_days and self.rollup_days < self.raw_days:
            raise ValidationError({"rollup_days": _("Keep second bars at least as long as the rows.")})

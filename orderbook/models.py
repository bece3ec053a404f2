"""Settings of the store of quotes, trades and books."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField
from markets.follow.revision import ConfigModel
from markets.models.instrument import list_problems
from orderbook.store.tables import MOST_BATCH_ROWS

_DAYS = [MinValueValidator(1), MaxValueValidator(3650)]


class StoreSettings(ConfigModel):
    """Settings of what is stored, and of how long it is kept; one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    enabled = models.BooleanField(
        _("enabled"), default=False,
        help_text=_("Collectors write into the store. A process of manage.py ingest_orderbook writes "
                    "either way."),
    )  # fmt: skip
    symbols = LinesField(
        _("symbols"), blank=True, max_length=10_000,
        help_text=_("Empty: all that is collected. Names or patterns as in a filter: BTC/USDT, ETH/*, "
                    "!*3L/*. Swaps are meant by their coins' names or their own."),
    )  # fmt: skip
    quotes = models.BooleanField(_("best bids and asks"), default=True)
    trades = models.BooleanField(_("trades"), default=True)
    depth = models.BooleanField(
        _("depth"), default=True, help_text=_("Snapshots and changes of the books that are followed."),
    )  # fmt: skip
    top5 = models.BooleanField(
        _("five best levels"), default=True, help_text=_("Of the books that are followed, as they change."),
    )  # fmt: skip
    batch_rows = models.PositiveIntegerField(
        _("rows of a batch"), default=500,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_BATCH_ROWS)],
        help_text=_("So many rows are written at once; more while the store is behind."),
    )  # fmt: skip
    batch_s = models.FloatField(
        _("seconds of a batch"), default=10.0, validators=[MinValueValidator(0.1), MaxValueValidator(60)],
        help_text=_("Fewer rows are written after so many seconds."),
    )  # fmt: skip
    spill_mb = models.PositiveIntegerField(
        _("megabytes kept on disk"), default=1024,
        validators=[MinValueValidator(16), MaxValueValidator(1_000_000)],
        help_text=_("What each writing process keeps while the database is away; beyond it the oldest is "
                    "dropped."),
    )  # fmt: skip
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
        """Refuse bars that end before the rows they are made of, and symbols that nothing is called."""
        errors: dict[str, object] = {}
        if self.raw_days and self.rollup_days and self.rollup_days < self.raw_days:
            errors["rollup_days"] = _("Keep second bars at least as long as the rows.")
        if wrong := list_problems(self.symbols):
            errors["symbols"] = wrong
        if errors:
            raise ValidationError(errors)

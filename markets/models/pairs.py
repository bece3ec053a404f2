"""Two markets that are compared, and charts that somebody pinned."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from markets.config import pair_kind
from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.instrument import Symbol
from markets.models.legs import SAME_LEGS, UNORDERED, TwoLegs, in_order

EXISTS_ALREADY = _("This pair exists already, maybe the other way round: edit that one instead.")
TWICE_THE_SAME = _(
    "Exchange 2 is the same as exchange 1: choose a different one. Of one exchange, spot and swap can be "
    "compared."
)


class PairKind(models.TextChoices):
    """Kinds of pairs, as `markets.config.pair_kind` has them."""

    SPOT = "spot-spot", _("spot against spot")
    SWAP = "swap-swap", _("swap against swap")
    MIXED = "spot-swap", _("spot against swap of another exchange")
    BASIS = "basis", _("basis: spot and swap of one exchange")


class ExchangePair(TwoLegs):
    """Two markets compared with each other, and how old a leg may be."""

    tolerance_ms = models.PositiveIntegerField(
        _("tolerance, ms"), null=True, blank=True, default=1000,
        validators=[MinValueValidator(1, _("Enter at least 1 ms, or leave it empty for liveness only."))],
        help_text=_("A leg older than this makes the spread stale. Empty: a leg is never too old while "
                    "its connection lives (a quiet book that has not changed is not stale)."),
    )  # fmt: skip
    max_age_ms = models.PositiveIntegerField(
        _("max age, ms"), null=True, blank=True,
        validators=[MinValueValidator(1, _("Enter at least 1 ms, or leave it empty for the gates' own."))],
        help_text=_("No opportunity opens on a quote older than this. Empty: as the gate thresholds say."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)

    objects = ConfigManager()

    class Meta:
        verbose_name = _("exchange pair")
        verbose_name_plural = _("exchange pairs")
        ordering = ["exchange1__key", "exchange2__key", "market1", "market2"]
        constraints = [
            models.UniqueConstraint(
                *UNORDERED, name="pair_unordered_unique", violation_error_message=EXISTS_ALREADY
            ),
            models.CheckConstraint(
                condition=~SAME_LEGS,
                name="pair_distinct_exchanges",
                violation_error_message=TWICE_THE_SAME,
            ),
            models.CheckConstraint(
                condition=Q(tolerance_ms__isnull=True) | Q(tolerance_ms__gt=0), name="pair_tolerance_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.leg1} – {self.leg2}"

    @property
    def kind(self) -> PairKind:
        """Kind of pair."""
        return PairKind(pair_kind(self.key1, self.key2))

    def clean(self) -> None:
        """Check that the two legs differ and are not paired yet in either order."""
        one, two = (self.exchange1_id, self.market1), (self.exchange2_id, self.market2)
        if not (one[0] and two[0]):  # the form names what is missing
            return
        if one == two:
            raise ValidationError({"exchange2": TWICE_THE_SAME})
        if ExchangePair.objects.filter(in_order(one, two) | in_order(two, one)).exclude(pk=self.pk).exists():
            raise ValidationError({"exchange2": EXISTS_ALREADY})


class PinnedChart(ConfigModel):
    """A pair of a symbol that a user wants to see as a chart, whatever the filters select."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="pinned_charts", verbose_name=_("user")
    )
    symbol = models.ForeignKey(Symbol, models.CASCADE, related_name="+", verbose_name=_("symbol"))
    pair = models.ForeignKey(ExchangePair, models.CASCADE, related_name="+", verbose_name=_("exchange pair"))
    pinned_at = models.DateTimeField(_("pinned at"), auto_now_add=True)

    objects = ConfigManager()

    class Meta:
        verbose_name = _("pinned chart")
        verbose_name_plural = _("pinned charts")
        ordering = ["pinned_at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "symbol", "pair"], name="pinned_chart_once"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.pair}"

    def save(self, *args: Any, moves: bool = True, **kwargs: Any) -> None:
        """Save; the revision stays for a caller that knows that collectors follow the chart as before."""
        if moves:
            super().save(*args, **kwargs)
        else:
            models.Model.save(self, *args, **kwargs)

    def delete(self, *args: Any, moves: bool = True, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete; as `save`."""
        if moves:
            return super().delete(*args, **kwargs)
        return models.Model.delete(self, *args, **kwargs)

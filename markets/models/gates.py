"""The thresholds of all gate checks."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.checks import limits


class GateThresholds(ConfigModel):
    """The thresholds of the gates, one row; fields as `markets.config.GateTerms`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    silent_gaps = models.FloatField(
        _("silent after, usual gaps"), default=20, validators=limits(2, 1000),
        help_text=_("A leg is silent after this many of its own usual gaps, while others quote."),
    )  # fmt: skip
    silent_floor_ms = models.FloatField(
        _("never silent before, ms"), default=3000, validators=limits(100, 600_000)
    )
    max_age_ms = models.FloatField(
        _("never older than, ms"), default=60_000, blank=True, validators=limits(100, 86_400_000),
        help_text=_("No quote and no stablecoin rate older than this is used, whatever its usual gap; an "
                    "exchange pair or a filter may set another limit."),
    )  # fmt: skip
    jump_pct = models.FloatField(
        _("jump, %"), default=10, validators=limits(0.1, 1000),
        help_text=_("A price this far from the last one is not used until the next quote confirms it."),
    )  # fmt: skip
    identity_near_pct = models.FloatField(
        _("prices near, within %"), default=1, blank=True, validators=limits(0.01, 50),
        help_text=_("Prices further apart are not those of one coin before they meet and move alike."),
    )  # fmt: skip
    identity_max_ratio = models.FloatField(
        _("price ratio, at most"), default=1.5, validators=limits(1.001, 1000),
        help_text=_("Beyond this ratio the two prices are not those of one coin: quarantine."),
    )  # fmt: skip
    identity_min_correlation = models.FloatField(
        _("correlation of returns, at least"), default=0.1, validators=limits(-1, 1)
    )
    max_unproven_edge_bps = models.FloatField(
        _("unproven edge, at most, bps"), default=300, blank=True, validators=[MinValueValidator(0)],
        help_text=_("A larger edge is implausible: it counts only where both exchanges are proven to trade "
                    "the same coin, by statistics or by an operator. A filter may have its own limit."),
    )  # fmt: skip
    min_size = models.FloatField(
        _("executable size, at least"), default=10, validators=[MinValueValidator(0)],
        help_text=_("At both best prices, in USDT by the live rate of the quote currency."),
    )  # fmt: skip
    min_volume = models.FloatField(
        _("24 h volume, at least"), default=0, validators=[MinValueValidator(0)],
        help_text=_("On both exchanges, in USDT by the live rate of the quote currency."),
    )  # fmt: skip
    peg_band_pct = models.FloatField(
        _("stablecoin rate within, %"), default=2, validators=limits(0.01, 50),
        help_text=_("How far from 1 the rate between two quote currencies may be."),
    )  # fmt: skip
    funding_max_age_s = models.FloatField(
        _("funding never older than, s"), default=600, db_default=600, blank=True, validators=limits(10, 600),
        help_text=_("A swap's funding rate that its exchange did not say again for so long is unknown. The "
                    "slowest exchange says it every 90 s."),
    )  # fmt: skip
    mark_band_pct = models.FloatField(
        _("mark price within, %"), default=1, db_default=1, blank=True, validators=limits(0.01, 50),
        help_text=_("How far a swap's mark price may be from its own best bid and ask."),
    )  # fmt: skip
    mark_max_age_s = models.FloatField(
        _("mark price never older than, s"), default=60, db_default=60, blank=True,
        validators=limits(10, 3600),
        help_text=_("A swap's mark price that its exchange did not say again for so long is unknown."),
    )  # fmt: skip
    min_swap_volume = models.FloatField(
        _("24 h volume of swaps, at least"), default=0, db_default=0, blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Of each leg that is a swap, in USDT by the live rate of the quote currency. Where the "
                    "24 h volume of all is higher, that counts."),
    )  # fmt: skip
    expiry_hours = models.FloatField(
        _("no delisting within, h"), default=24, db_default=24, blank=True, validators=limits(0, 8760),
        help_text=_("A swap whose delisting or last settlement is announced for sooner than this, or within "
                    "a filter's holding time, is not traded."),
    )  # fmt: skip

    min_edge_at_size_bps = models.FloatField(
        _("edge at a filter's size, at least, bps"), default=0, db_default=0, blank=True,
        validators=limits(-10_000, 10_000),
        help_text=_("Of the average prices in both order books, after both taker fees. It is asked for "
                    "filters that have a size (“my size”), which may have a minimum of their own."),
    )  # fmt: skip

    objects = ConfigManager()

    class Meta:
        verbose_name = _("gate thresholds")
        verbose_name_plural = _("gate thresholds")
        constraints = [models.CheckConstraint(condition=Q(id=1), name="one_gate_thresholds")]

    def __str__(self) -> str:
        return str(_("gate thresholds"))

    def clean(self) -> None:
        """Put the default where a field that may be empty is."""
        for field in self._meta.fields:
            if field.blank and getattr(self, field.name) is None:
                setattr(self, field.name, field.get_default())

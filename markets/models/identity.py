"""Whether two listings of one ticker are one coin, as evidence or a person decided."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField
from markets.follow.revision import ConfigManager
from markets.models.instrument import Symbol
from markets.models.legs import SAME_LEGS, UNORDERED, TwoLegs


class IdentityCase(TwoLegs):
    """Do two markets mean the same coin by a symbol? Opened by the collectors, decided by people.

    Spot and swap of one exchange are two markets like any others: they are of one coin only while their
    prices say so, or an operator did, since exchanges have given a swap's ticker to another coin.
    """

    class Verdict(models.TextChoices):
        """Verdict on the case as of now."""

        QUARANTINED = "quarantined", _("in quarantine")
        CONFIRMED = "confirmed", _("the same coin")
        DIFFERENT = "different", _("different coins")

    symbol = models.ForeignKey(
        Symbol, models.CASCADE, related_name="identity_cases", verbose_name=_("symbol")
    )
    verdict = models.CharField(_("verdict"), max_length=16, choices=Verdict, default=Verdict.QUARANTINED)
    price_ratio = models.FloatField(
        _("price ratio"), null=True, blank=True, help_text=_("Price on exchange 1 over price on exchange 2.")
    )
    correlation = models.FloatField(_("correlation of returns"), null=True, blank=True)
    found_at = models.DateTimeField(_("found at"))
    seen_at = models.DateTimeField(_("last seen at"))
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+",
        verbose_name=_("decided by"),
    )  # fmt: skip
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    follows = models.CharField(
        _("follows"), max_length=40, blank=True, editable=False,
        help_text=_("Key of the market whose listing was decided, where this pair only follows that."),
    )  # fmt: skip
    note = LinesField(_("note"), blank=True)

    objects = ConfigManager()
    findings = models.Manager()  # the collectors' door: fresh evidence moves no revision

    class Meta:
        verbose_name = _("coin identity")
        verbose_name_plural = _("coin identities")
        ordering = ["symbol__name", "exchange1__key", "exchange2__key", "market1", "market2"]
        constraints = [
            models.UniqueConstraint(
                "symbol",
                *UNORDERED,
                name="identity_one_case_per_pair",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=["quarantined", "confirmed", "different"]),
                name="identity_verdict_known",
            ),
            models.CheckConstraint(condition=~SAME_LEGS, name="identity_distinct_exchanges"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.leg1} – {self.leg2}"

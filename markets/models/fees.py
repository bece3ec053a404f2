"""Fees that differ by symbol, tier and time."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField, NameField
from core.names.plain_names import isolated
from markets.config import FEE_RANGE_BPS
from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.checks import limits
from markets.models.exchange import Exchange
from markets.models.instrument import list_problems
from markets.models.legs import market_field


class FeeSchedule(ConfigModel):
    """Fees an account pays on an exchange from a day on: by its tier, by symbol or both; days are UTC."""

    exchange = models.ForeignKey(
        Exchange, models.CASCADE, related_name="fee_schedules", verbose_name=_("exchange")
    )
    market = market_field(_("market"))
    tier = NameField(
        _("account tier"), max_length=32, blank=True,
        help_text=_("The exchange's own name, like “VIP 1”. Empty, with symbols: any tier."),
    )  # fmt: skip
    symbols = LinesField(
        _("symbols"), blank=True, max_length=10_000,
        help_text=_("Empty: all. Names or patterns as in a filter: BTC/USDT, */USDC, *3L/* !BTC3L/USDT. It "
                    "takes precedence over the exchange's own fee of a market, and the closest pattern over "
                    "others."),
    )  # fmt: skip
    taker_fee_bps = models.DecimalField(
        _("taker fee, bps"), max_digits=6, decimal_places=3, validators=limits(*FEE_RANGE_BPS)
    )
    maker_fee_bps = models.DecimalField(
        _("maker fee, bps"), max_digits=6, decimal_places=3, validators=limits(*FEE_RANGE_BPS)
    )
    valid_from = models.DateField(_("valid from"))
    valid_until = models.DateField(
        _("valid until"), null=True, blank=True,
        help_text=_("The last day. Empty: until further notice, or until the next schedule of this tier."),
    )  # fmt: skip

    objects = ConfigManager()

    class Meta:
        verbose_name = _("fee schedule")
        verbose_name_plural = _("fee schedules")
        ordering = ["exchange__key", "market", "tier", "symbols", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "market", "tier", "symbols", "valid_from"],
                name="fees_one_per_tier_and_day",
            ),
            models.CheckConstraint(
                condition=~Q(tier="") | ~Q(symbols=""),
                name="fees_of_a_tier_or_symbols",
                violation_error_message=_(
                    "Name the tier, the symbols or both: fees of all symbols without a tier stand on the "
                    "exchange's page."
                ),
            ),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")),
                name="fees_until_not_before_from",
                violation_error_message=_(
                    "It ends before it begins: choose a later last day, or leave it empty."
                ),
            ),
            models.CheckConstraint(condition=Q(taker_fee_bps__range=FEE_RANGE_BPS), name="fees_taker_sane"),
            models.CheckConstraint(condition=Q(maker_fee_bps__range=FEE_RANGE_BPS), name="fees_maker_sane"),
        ]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.exchange.called(self.market), isolated(self.tier), self.symbols)))

    def clean(self) -> None:
        """Check the symbols, and that no two schedules of the same, with a last day, hold on one day."""
        self.symbols = self.symbols.strip()
        if wrong := list_problems(self.symbols):
            raise ValidationError({"symbols": wrong})
        if not (self.exchange_id and self.valid_from and self.valid_until):
            return
        same = FeeSchedule.objects.filter(
            exchange=self.exchange_id, market=self.market, tier=self.tier, symbols=self.symbols
        )
        same_tier = same.exclude(pk=self.pk)
        clash = same_tier.filter(valid_from__lte=self.valid_until, valid_until__gte=self.valid_from).first()
        if clash is not None:
            raise ValidationError(
                {
                    "valid_from": _(
                        "Another schedule of this tier holds from %(start)s until %(end)s: choose other days."
                    )
                    % {"start": clash.valid_from, "end": clash.valid_until}
                }
            )

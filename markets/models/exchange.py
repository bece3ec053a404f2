"""An exchange, its fees and how it is reached."""

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names import symbols as names
from core.names.plain_fields import NameField
from core.names.plain_names import isolated
from markets.config import FEE_RANGE_BPS
from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.checks import (
    key_validator,
    limits,
    validate_proxy,
    validate_rest_url,
    validate_ws_url,
    volume_constraints,
    volume_errors,
    volume_field,
)
from markets.sealed_proxy import SealedProxyField


class Exchange(ConfigModel):
    """An exchange: whether we use it, what it costs, and where it is reached."""

    key = models.CharField(
        _("key"), max_length=32, unique=True, validators=[key_validator],
        help_text=_("The lower-case ccxt id, like “binance”."),
    )  # fmt: skip
    name = NameField(_("name"), max_length=64)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: nothing is collected and its charts say “down”.")
    )
    taker_fee_bps = models.DecimalField(
        _("taker fee, bps"), max_digits=6, decimal_places=3, validators=limits(*FEE_RANGE_BPS),
        help_text=_("What you pay to take liquidity, in basis points (10 bps = 0.1 %). Negative when the "
                    "exchange pays you a rebate."),
    )  # fmt: skip
    maker_fee_bps = models.DecimalField(
        _("maker fee, bps"), max_digits=6, decimal_places=3, validators=limits(*FEE_RANGE_BPS),
        help_text=_("Negative when the exchange pays you a rebate."),
    )  # fmt: skip
    account_tier = NameField(
        _("account tier"), max_length=32, blank=True,
        help_text=_("Your tier there, like “VIP 1”: its fee schedule valid today applies. Empty: the two "
                    "fees above apply."),
    )  # fmt: skip
    rest_url = models.CharField(
        _("REST base URL"), max_length=200, blank=True, validators=[validate_rest_url],
        help_text=_("Replaces the exchange's own scheme and host, like http://127.0.0.1:9000/binance. "
                    "Empty: the exchange itself."),
    )  # fmt: skip
    ws_url = models.CharField(
        _("WebSocket base URL"), max_length=200, blank=True, validators=[validate_ws_url],
        help_text=_("Replaces the exchange's own scheme and host, like ws://127.0.0.1:9000/binance. "
                    "Empty: the exchange itself."),
    )  # fmt: skip
    proxy = SealedProxyField(
        _("proxy"), max_length=300, blank=True, validators=[validate_proxy],
        help_text=_("The outbound proxy for this exchange's sockets, tokens, catalogue and wallets: "
                    "http://host:port or socks5://user:password@host:port. “direct”: none, whatever "
                    "OUTBOUND_PROXY says. Empty: as OUTBOUND_PROXY says. Credentials are never shown again."),
    )  # fmt: skip
    min_volume = volume_field(
        _("min 24 h volume"),
        _(
            "In USDT, by the catalogue's last prices. Instruments below it are not collected; an unknown "
            "volume, or one in a currency without a price, counts as 0."
        ),
    )
    max_volume = volume_field(_("max 24 h volume"), _("In USDT. Instruments above it are not collected."))

    objects = ConfigManager()

    class Meta:
        verbose_name = _("exchange")
        verbose_name_plural = _("exchanges")
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(taker_fee_bps__range=FEE_RANGE_BPS), name="exchange_taker_fee_sane"
            ),
            models.CheckConstraint(
                condition=Q(maker_fee_bps__range=FEE_RANGE_BPS), name="exchange_maker_fee_sane"
            ),
            *volume_constraints("exchange"),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    def clean(self) -> None:
        """Check the volume bounds against each other, and that nobody takes it for another exchange."""
        errors = volume_errors(self)
        if other := self._of_the_same_name():
            errors["name"] = _(
                "The exchange with the key %(key)s already has this name: their prices would be mixed up."
            ) % {"key": other}
        if errors:
            raise ValidationError(errors)

    def _of_the_same_name(self) -> str:
        """The key of another exchange that has this name or key, however it is written; empty without."""
        own = names.letters(self.name)
        others = Exchange.objects.exclude(pk=self.pk).values_list("key", "name")
        return next((key for key, name in others if own in (names.letters(key), names.letters(name))), "")

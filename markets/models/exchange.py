"""An exchange, its fees and how it is reached."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from core.names import symbols as names
from core.names.market_keys import SPOT, SWAP, MarketName
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


class Kind(models.TextChoices):
    """Markets of an exchange; contracts of every sort are in the market of its swaps."""

    SPOT = SPOT, _("spot")
    SWAP = SWAP, _("swap")


def swaps_led_away(prefix: str = "") -> Q:
    """Exchanges whose swaps are not followed, since only their spot market is led elsewhere: the exchange
    itself is not asked then, or invented and real prices would be compared."""
    rest = ~Q(**{f"{prefix}rest_url": ""}) & Q(**{f"{prefix}swap_rest_url": ""})
    return rest | (~Q(**{f"{prefix}ws_url": ""}) & Q(**{f"{prefix}swap_ws_url": ""}))


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
    swap_taker_fee_bps = models.DecimalField(
        _("taker fee of swaps, bps"), max_digits=6, decimal_places=3, null=True, blank=True,
        validators=limits(*FEE_RANGE_BPS),
        help_text=_("Of perpetual swaps. Empty: unknown, and no edge with a swap of this exchange counts."),
    )  # fmt: skip
    swap_maker_fee_bps = models.DecimalField(
        _("maker fee of swaps, bps"), max_digits=6, decimal_places=3, null=True, blank=True,
        validators=limits(*FEE_RANGE_BPS), help_text=_("Negative when the exchange pays you a rebate."),
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
    swap_rest_url = models.CharField(
        _("REST base URL of swaps"), max_length=200, blank=True, validators=[validate_rest_url],
        help_text=_("As the REST base URL, for perpetual swaps. Empty: the exchange itself, unless the "
                    "REST base URL replaces it: then its swaps are not followed."),
    )  # fmt: skip
    swap_ws_url = models.CharField(
        _("WebSocket base URL of swaps"), max_length=200, blank=True, validators=[validate_ws_url],
        help_text=_("As the WebSocket base URL, for perpetual swaps. Empty: the exchange itself, unless "
                    "the WebSocket base URL replaces it: then its swaps are not followed."),
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
            models.CheckConstraint(
                condition=Q(swap_taker_fee_bps__isnull=True) | Q(swap_taker_fee_bps__range=FEE_RANGE_BPS),
                name="exchange_swap_taker_fee_sane",
            ),
            models.CheckConstraint(
                condition=Q(swap_maker_fee_bps__isnull=True) | Q(swap_maker_fee_bps__range=FEE_RANGE_BPS),
                name="exchange_swap_maker_fee_sane",
            ),
            *volume_constraints("exchange"),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    def called(self, market: str) -> str:
        """Name of one of its markets: `Binance`, `Binance swap`."""
        return isolated(self.swap_name) if market == SWAP else str(self)

    @property
    def swap_name(self) -> str:
        """Name of its market of swaps."""
        return f"{self.name} {SWAP}"

    def urls_of(self, market: str) -> tuple[str, str]:
        """REST and WebSocket base URL of a market; empty for the exchange's own."""
        return (self.swap_rest_url, self.swap_ws_url) if market == SWAP else (self.rest_url, self.ws_url)

    def fees_of(self, market: str) -> tuple[Decimal, Decimal] | None:
        """Taker and maker fee of a market as entered, in bps; None where they are not known."""
        if market == SPOT:
            return self.taker_fee_bps, self.maker_fee_bps
        if self.swap_taker_fee_bps is None or self.swap_maker_fee_bps is None:
            return None
        return self.swap_taker_fee_bps, self.swap_maker_fee_bps

    @property
    def markets(self) -> tuple[MarketName, ...]:
        """Markets that are followed: see `swaps_led_away`."""
        led_away = (self.rest_url and not self.swap_rest_url) or (self.ws_url and not self.swap_ws_url)
        return (SPOT,) if led_away else (SPOT, SWAP)

    def clean(self) -> None:
        """Check fees and volume bounds, and that nobody takes it for another exchange."""
        errors = volume_errors(self)
        if (self.swap_taker_fee_bps is None) != (self.swap_maker_fee_bps is None):
            empty = "swap_taker_fee_bps" if self.swap_taker_fee_bps is None else "swap_maker_fee_bps"
            errors[empty] = _("Enter both fees of swaps, or neither: that means unknown.")
        if other := self._of_the_same_name():
            errors["name"] = _(
                "The exchange with the key %(key)s already has this name: their prices would be mixed up."
            ) % {"key": other}
        if errors:
            raise ValidationError(errors)

    def _of_the_same_name(self) -> str:
        """The key of another exchange that has this name or key, however it is written; empty without."""
        own = {names.letters(self.name), names.letters(self.swap_name)}
        for row in Exchange.objects.exclude(pk=self.pk):
            if not own.isdisjoint(map(names.letters, (row.key, row.name, row.swap_name))):
                return row.key
        return ""

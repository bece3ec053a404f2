"""Results of the syncs of catalogue and wallets."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField, NameField
from core.names.plain_names import isolated
from markets.models.exchange import Exchange
from markets.models.legs import market_field


class WalletStatus(models.Model):
    """Whether an exchange takes in and pays out a coin over a network; written by the wallet sync only."""

    exchange = models.ForeignKey(Exchange, models.CASCADE, related_name="wallets", verbose_name=_("exchange"))
    coin = NameField(_("coin"), max_length=32)
    network = NameField(_("network"), max_length=64)
    deposit = models.BooleanField(_("deposits"), null=True, help_text=_("Empty: the exchange did not say."))
    withdraw = models.BooleanField(
        _("withdrawals"), null=True, help_text=_("Empty: the exchange did not say.")
    )
    fee = models.DecimalField(
        _("withdrawal fee"), max_digits=36, decimal_places=18, null=True, help_text=_("In the coin.")
    )
    synced_at = models.DateTimeField(_("synced at"))

    class Meta:
        verbose_name = _("wallet status")
        verbose_name_plural = _("wallet statuses")
        ordering = ["exchange__key", "coin", "network"]
        constraints = [
            models.UniqueConstraint(fields=["exchange", "coin", "network"], name="wallet_unique_network"),
        ]

    def __str__(self) -> str:
        return f"{self.exchange} {self.coin} {isolated(self.network)}"


class CatalogueSync(models.Model):
    """Result of the last catalogue sync of a market; written by the sync, never by people."""

    exchange = models.ForeignKey(
        Exchange, models.CASCADE, related_name="catalogue_syncs", verbose_name=_("exchange")
    )
    market = market_field(_("market"))
    tried_at = models.DateTimeField(_("tried at"))
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    listed = models.PositiveIntegerField(_("instruments listed"), default=0)
    error = LinesField(
        _("error"), blank=True,
        help_text=_("Why the last try failed, or which of the answers are missing."),
    )  # fmt: skip
    remarks = LinesField(
        _("remarks"), blank=True, help_text=_("Markets that share a name: which is compared.")
    )

    class Meta:
        verbose_name = _("catalogue sync")
        verbose_name_plural = _("catalogue syncs")
        ordering = ["exchange__key", "market"]
        constraints = [models.UniqueConstraint(fields=["exchange", "market"], name="sync_one_per_market")]

    def __str__(self) -> str:
        return self.error or f"{self.listed}"

    @property
    def in_part(self) -> bool:
        """Whether the last try stored what could be had of a damaged answer."""
        return bool(self.error) and self.synced_at == self.tried_at


class WalletSync(models.Model):
    """Result of the last sync of an exchange's wallets; written by the wallet sync, never by people."""

    exchange = models.OneToOneField(
        Exchange, models.CASCADE, related_name="wallet_sync", verbose_name=_("exchange")
    )
    tried_at = models.DateTimeField(_("tried at"))
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    networks = models.PositiveIntegerField(
        _("networks"), default=0, help_text=_("0: the exchange requires a key.")
    )
    error = LinesField(
        _("error"), blank=True,
        help_text=_("Why the last try failed, or which part of the answer is missing."),
    )  # fmt: skip
    remarks = LinesField(
        _("remarks"), blank=True, help_text=_("Coins or networks that share a name: which is taken.")
    )

    class Meta:
        verbose_name = _("wallet sync")
        verbose_name_plural = _("wallet syncs")

    def __str__(self) -> str:
        return self.error or f"{self.networks}"

    @property
    def in_part(self) -> bool:
        """Whether the last try stored what could be had of a damaged answer."""
        return bool(self.error) and self.synced_at == self.tried_at

"""Symbols, and how each exchange lists them."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from core.names import symbols as names
from core.names.market_keys import market_key
from core.names.plain_fields import NameField
from markets.follow.revision import ConfigManager, ConfigModel
from markets.models.checks import validate_risk_tiers
from markets.models.exchange import Exchange, Kind, swaps_led_away


class Symbol(ConfigModel):
    """Symbol that is traded, under ccxt's unified name, the same on every exchange."""

    name = NameField(
        _("name"), max_length=64, unique=True, help_text=_("ccxt's unified name, like BTC/USDT.")
    )
    base = NameField(_("base"), max_length=32)
    quote = NameField(_("quote"), max_length=32)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.SPOT)
    enabled = models.BooleanField(
        _("enabled"), default=False,
        help_text=_("Symbols found by the catalogue sync start disabled, so that a sync never subscribes "
                    "to thousands of symbols by itself. Enable the ones you want collected."),
    )  # fmt: skip

    objects = ConfigManager()
    catalogue = models.Manager()  # the sync's door: it moves the revision itself, when it matters

    class Meta:
        verbose_name = _("symbol")
        verbose_name_plural = _("symbols")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(base=F("quote")) & ~Q(base="") & ~Q(quote=""), name="symbol_base_not_quote"
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="symbol_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check that base and quote are two coins, and that the name is made of them."""
        if self.base and self.base == self.quote:
            raise ValidationError(
                {"quote": _("Quote and base are the same coin: enter what the base is priced in.")}
            )
        unified = f"{self.base}/{self.quote}"
        if self.name.partition(":")[0] != unified:
            raise ValidationError(
                {"name": _("The name of this base and quote is %(name)s: enter that.") % {"name": unified}}
            )


class Instrument(ConfigModel):
    """A symbol as one exchange lists it. The catalogue sync writes it; operators may switch it off."""

    exchange = models.ForeignKey(
        Exchange, models.CASCADE, related_name="instruments", verbose_name=_("exchange")
    )
    symbol = models.ForeignKey(Symbol, models.PROTECT, related_name="instruments", verbose_name=_("symbol"))
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.SPOT)
    native_id = NameField(_("native id"), max_length=64, help_text=_("The exchange's own name for it."))
    enabled = models.BooleanField(
        _("enabled"), default=True,
        help_text=_("Kept when the catalogue is synced. Off: never collected here, for example because this "
                    "exchange trades another coin under the same ticker."),
    )  # fmt: skip
    depth_pinned = models.BooleanField(
        _("follow order book"),
        default=False,
        db_default=False,
        help_text=_("On: its order book is followed whatever filters choose, within the budget of books."),
    )
    active = models.BooleanField(
        _("active"), default=True, help_text=_("Whether the exchange reports it as trading.")
    )
    status = NameField(_("status"), max_length=64, blank=True, help_text=_("The exchange's own word."))
    counts_as = models.ForeignKey(
        Symbol, models.PROTECT, null=True, blank=True, related_name="aliases", verbose_name=_("counts as"),
        help_text=_("The symbol it is compared under, when that is another one (1000PEPE/USDT counts as "
                    "PEPE/USDT), or its own one in another unit. Empty: its own, coin for coin."),
    )  # fmt: skip
    multiplier = models.DecimalField(
        _("multiplier"), max_digits=18, decimal_places=8, default=1,
        help_text=_("How many coins of that symbol one unit of this is: 1000 for 1000PEPE."),
    )  # fmt: skip
    settle = NameField(
        _("settle coin"), max_length=32, blank=True, help_text=_("The coin a swap is settled in.")
    )
    contract_size = models.DecimalField(
        _("contract size"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("Coins in one contract by the exchange's own field; 1 where it sizes in coins. Empty: "
                    "spot, or unknown, and then a swap is not followed."),
    )  # fmt: skip
    contract_size_before = models.DecimalField(
        _("contract size before"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("What it was until the exchange last changed it."),
    )  # fmt: skip
    contract_size_since = models.DateTimeField(_("contract size since"), null=True, blank=True)
    not_followed = NameField(
        _("not followed"), max_length=255, blank=True,
        help_text=_("Why it is listed and neither collected nor compared: inverse, dated, or without a "
                    "contract size that can be read."),
    )  # fmt: skip
    tick_size = models.DecimalField(_("tick size"), max_digits=36, decimal_places=18, null=True, blank=True)
    lot_size = models.DecimalField(
        _("lot size"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("In coins, as the two amounts."),
    )  # fmt: skip
    min_amount = models.DecimalField(_("min amount"), max_digits=36, decimal_places=18, null=True, blank=True)
    max_amount = models.DecimalField(_("max amount"), max_digits=36, decimal_places=18, null=True, blank=True)
    min_notional = models.DecimalField(
        _("min notional"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("Smallest order, in quote currency."),
    )  # fmt: skip
    quote_volume_24h = models.DecimalField(
        _("24 h volume"), max_digits=36, decimal_places=8, null=True, blank=True,
        help_text=_("In quote currency; empty when the exchange did not say."),
    )  # fmt: skip
    volume_at = models.DateTimeField(
        _("volume said at"),
        null=True,
        blank=True,
        help_text=_("Empty: at the last sync."),
    )
    last_price = models.DecimalField(
        _("last price"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("As its ticker said; from it volumes in other currencies are converted to USDT."),
    )  # fmt: skip
    price_at = models.DateTimeField(
        _("price said at"), null=True, blank=True, help_text=_("Empty: at the last sync.")
    )
    set_aside = NameField(
        _("set aside"), max_length=255, blank=True,
        help_text=_("Why it is not compared: another market of this exchange has the same name."),
    )  # fmt: skip
    own_taker_fee = models.DecimalField(
        _("own taker fee"), max_digits=7, decimal_places=3, null=True, blank=True,
        help_text=_("What the exchange says this market costs, where that is not its usual fee; in bps, or "
                    "as a multiple of your own fee."),
    )  # fmt: skip
    own_maker_fee = models.DecimalField(
        _("own maker fee"), max_digits=7, decimal_places=3, null=True, blank=True
    )
    own_fee_times = models.BooleanField(_("as a multiple"), default=False)
    own_fee_since = models.DateTimeField(_("said since"), null=True, blank=True)
    max_leverage = models.DecimalField(
        _("max leverage"), max_digits=9, decimal_places=3, null=True, blank=True
    )
    risk_tiers = models.JSONField(
        _("risk limits"), null=True, blank=True, validators=[validate_risk_tiers],
        help_text=_("Steps of notional in quote currency with the leverage each allows; empty where the "
                    "exchange does not list them publicly."),
    )  # fmt: skip
    expires_at = models.DateTimeField(
        _("expires at"), null=True, blank=True, help_text=_("Its delivery, or an announced last settlement.")
    )
    listed_at = models.DateTimeField(_("listed at"), null=True, blank=True)
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    delisted_at = models.DateTimeField(_("delisted at"), null=True, blank=True)

    objects = ConfigManager()
    catalogue = models.Manager()  # the sync's door: it moves the revision itself, when it matters

    class Meta:
        verbose_name = _("instrument")
        verbose_name_plural = _("instruments")
        ordering = ["exchange__key", "native_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "kind", "native_id"], name="instrument_unique_native_id"
            ),
            models.UniqueConstraint(
                fields=["exchange", "symbol"],
                condition=Q(active=True),
                name="instrument_one_active_per_symbol",
            ),
            models.CheckConstraint(condition=~Q(native_id=""), name="instrument_native_id_given"),
            models.CheckConstraint(condition=Q(multiplier__gt=0), name="instrument_multiplier_positive"),
            models.CheckConstraint(
                condition=Q(contract_size__isnull=True) | Q(contract_size__gt=0),
                name="instrument_contract_size_positive",
            ),
            models.CheckConstraint(
                condition=Q(kind=Kind.SPOT) | Q(contract_size__isnull=False) | ~Q(not_followed=""),
                name="instrument_of_known_size_or_not_followed",
            ),
            models.CheckConstraint(
                condition=Q(multiplier=1) | Q(counts_as__isnull=False),
                name="instrument_multiplier_of_something",
            ),
            # Trading or not: a listing that comes back must not break the sync that finds it.
            models.UniqueConstraint(
                fields=["exchange", "counts_as"],
                condition=Q(counts_as__isnull=False),
                name="instrument_one_alias_per_symbol",
            ),
            models.CheckConstraint(
                condition=Q(delisted_at__isnull=True) | Q(active=False),
                name="instrument_delisted_is_inactive",
            ),
        ]

    def __str__(self) -> str:
        return self.native_id

    @property
    def key(self) -> str:
        """The key of its market; a query unless the exchange was read with it."""
        return market_key(self.exchange.key, self.kind)

    def clean(self) -> None:
        """Check that the alias leads somewhere, and that nothing else of this exchange is there already."""
        if self.multiplier <= 0:
            raise ValidationError({"multiplier": _("Enter more than 0: how many coins one of this is.")})
        if self.counts_as is None:
            if self.multiplier != 1:
                raise ValidationError(
                    {"counts_as": _("Name the symbol that the multiplier counts in, its own or another.")}
                )
        elif problem := self._alias_problem(self.counts_as):
            raise ValidationError({"counts_as": problem})

    def _alias_problem(self, target: Symbol) -> Any:
        if target.pk == self.symbol_id and self.multiplier == 1:
            return _("That is its own symbol: leave it empty, or enter a multiplier other than 1.")
        if target.kind != self.kind:
            return _("%(symbol)s is of the other market: choose one of the same, like %(example)s.") % {
                "symbol": target, "example": "PEPE/USDT:USDT" if self.kind == Kind.SWAP else "PEPE/USDT",
            }  # fmt: skip
        others = Instrument.objects.filter(exchange=self.exchange_id).exclude(pk=self.pk)
        if target.pk != self.symbol_id and others.filter(symbol=target, active=True).exists():
            return _(
                "%(exchange)s trades %(symbol)s itself, and that is what is compared: "
                "nothing else can count as it."
            ) % {"exchange": self.exchange, "symbol": target}
        if taken := others.filter(counts_as=target).first():
            return _("%(other)s of this exchange counts as %(symbol)s already: empty that one first.") % {
                "other": taken, "symbol": target,
            }  # fmt: skip
        return ""


FOLLOWED = Q(not_followed="") & (Q(kind=Kind.SPOT) | ~swaps_led_away("exchange__"))
"""Instruments that may be collected and compared at all."""


def compared_so(coin: str, prefix: str = "") -> Q:
    """Symbols that are compared under a coin's symbol: itself, and of swaps those that name a settle coin."""
    return Q(**{f"{prefix}name": coin}) | Q(**{f"{prefix}name__startswith": f"{coin}:"})


def compared_as(coin: str) -> Q:
    """Instruments that are compared under a coin's symbol."""
    return (Q(counts_as=None) & compared_so(coin, "symbol__")) | compared_so(coin, "counts_as__")


def list_problems(symbols: str) -> list[str]:
    """Problems of a list of symbols, with the names that several symbols share."""
    there = names.Spellings(Symbol.objects.values_list("name", flat=True))
    wrong = names.problems(names.pinned_down(symbols, there))
    for name in names.literal_names(symbols):
        try:
            there.resolve(name)
        except names.AmbiguousName as problem:
            wrong.append(str(problem))
    return wrong

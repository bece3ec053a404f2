"""What can be traded where, and what the operator wants of it.

Validation speaks to people (field and remedy); the database holds the same rules for everybody else.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Least
from django.db.models.signals import m2m_changed
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from markets.config import REST_SCHEMES, WS_SCHEMES, base_url_problem
from markets.revision import ConfigManager, ConfigModel, ConfigRevision, bump_revision

__all__ = [
    "CatalogueSync",
    "ConfigRevision",
    "Exchange",
    "ExchangePair",
    "Instrument",
    "Kind",
    "OpportunityFilter",
    "Symbol",
]

TAKER_FEE_RANGE = (0, 200)  # bps; 2 % is beyond any retail tier, so more is a typing error
MAKER_FEE_RANGE = (-50, 200)  # makers may get a rebate

key_validator = RegexValidator(
    r"^[a-z][a-z0-9]*$", _("Use the exchange's lower-case ccxt id, letters and digits only, like “binance”.")
)


def validate_rest_url(url: str) -> None:
    """Refuse what is no http(s) base URL."""
    if problem := base_url_problem(url, REST_SCHEMES):
        raise ValidationError(_("REST base URL: %(problem)s."), params={"problem": problem})


def validate_ws_url(url: str) -> None:
    """Refuse what is no ws(s) base URL."""
    if problem := base_url_problem(url, WS_SCHEMES):
        raise ValidationError(_("WebSocket base URL: %(problem)s."), params={"problem": problem})


def _range(low: int, high: int) -> list[Any]:
    return [MinValueValidator(low), MaxValueValidator(high)]


def _volume(label: Any, help_text: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(
        label, max_digits=24, decimal_places=2, null=True, blank=True, help_text=help_text
    )


def _volume_constraints(prefix: str) -> list[models.CheckConstraint]:
    """Volume bounds of a table: none negative, minimum not above maximum; open ends pass."""
    return [
        models.CheckConstraint(
            condition=(Q(min_volume__isnull=True) | Q(min_volume__gte=0))
            & (Q(max_volume__isnull=True) | Q(max_volume__gte=0)),
            name=f"{prefix}_volume_not_negative",
        ),
        models.CheckConstraint(
            condition=Q(min_volume__isnull=True)
            | Q(max_volume__isnull=True)
            | Q(min_volume__lte=F("max_volume")),
            name=f"{prefix}_min_volume_lte_max",
        ),
    ]


def _volume_errors(row: "Exchange | OpportunityFilter") -> dict[str, Any]:
    errors: dict[str, Any] = {}
    for name in ("min_volume", "max_volume"):
        value = getattr(row, name)
        if value is not None and value < 0:
            errors[name] = _("A volume cannot be negative: enter 0 or more, or leave it empty for no limit.")
    low, high = row.min_volume, row.max_volume
    if not errors and low is not None and high is not None and low > high:
        errors["max_volume"] = _(
            "The maximum (%(high)s) is below the minimum (%(low)s): raise it, or leave it empty for no limit."
        ) % {"high": high, "low": low}
    return errors


class Kind(models.TextChoices):
    """What sort of contract a symbol is."""

    SPOT = "spot", _("spot")
    SWAP = "swap", _("perpetual swap")


class Exchange(ConfigModel):
    """A venue: whether we use it, what it costs, and where it is reached."""

    key = models.CharField(
        _("key"), max_length=32, unique=True, validators=[key_validator],
        help_text=_("The lower-case ccxt id, like “binance”."),
    )  # fmt: skip
    name = models.CharField(_("name"), max_length=64)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: nothing is collected and its charts say “down”.")
    )
    taker_fee_bps = models.DecimalField(
        _("taker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*TAKER_FEE_RANGE),
        help_text=_("What you pay to take liquidity, in basis points (10 bps = 0.1 %)."),
    )  # fmt: skip
    maker_fee_bps = models.DecimalField(
        _("maker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*MAKER_FEE_RANGE),
        help_text=_("Negative when the exchange pays you a rebate."),
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
    min_volume = _volume(
        _("min 24 h volume"),
        _("In quote currency. Instruments below it are not collected; an unknown volume counts as 0."),
    )
    max_volume = _volume(
        _("max 24 h volume"), _("In quote currency. Instruments above it are not collected.")
    )

    objects = ConfigManager()

    class Meta:
        verbose_name = _("exchange")
        verbose_name_plural = _("exchanges")
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(taker_fee_bps__range=TAKER_FEE_RANGE), name="exchange_taker_fee_sane"
            ),
            models.CheckConstraint(
                condition=Q(maker_fee_bps__range=MAKER_FEE_RANGE), name="exchange_maker_fee_sane"
            ),
            *_volume_constraints("exchange"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check the volume bounds against each other."""
        if errors := _volume_errors(self):
            raise ValidationError(errors)


class Symbol(ConfigModel):
    """What is traded, under ccxt's unified name, the same on every exchange."""

    name = models.CharField(
        _("name"), max_length=64, unique=True, help_text=_("ccxt's unified name, like BTC/USDT.")
    )
    base = models.CharField(_("base"), max_length=32)
    quote = models.CharField(_("quote"), max_length=32)
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
    native_id = models.CharField(
        _("native id"), max_length=64, help_text=_("The exchange's own name for it.")
    )
    enabled = models.BooleanField(
        _("enabled"), default=True,
        help_text=_("Your switch, kept over syncs. Off: never collected here, for example because this "
                    "exchange trades another coin under the same ticker."),
    )  # fmt: skip
    active = models.BooleanField(
        _("active"), default=True, help_text=_("Whether the exchange says it is trading.")
    )
    status = models.CharField(_("status"), max_length=64, blank=True, help_text=_("The exchange's own word."))
    tick_size = models.DecimalField(_("tick size"), max_digits=36, decimal_places=18, null=True, blank=True)
    lot_size = models.DecimalField(_("lot size"), max_digits=36, decimal_places=18, null=True, blank=True)
    min_notional = models.DecimalField(
        _("min notional"), max_digits=36, decimal_places=18, null=True, blank=True,
        help_text=_("Smallest order, in quote currency."),
    )  # fmt: skip
    quote_volume_24h = models.DecimalField(
        _("24 h volume"), max_digits=36, decimal_places=8, null=True, blank=True,
        help_text=_("In quote currency; empty when the exchange did not say."),
    )  # fmt: skip
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
            models.CheckConstraint(
                condition=Q(delisted_at__isnull=True) | Q(active=False),
                name="instrument_delisted_is_inactive",
            ),
        ]

    def __str__(self) -> str:
        return self.native_id


class ExchangePair(ConfigModel):
    """Two exchanges compared with each other, and how old a leg may be."""

    exchange1 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 1"))
    exchange2 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 2"))
    tolerance_ms = models.PositiveIntegerField(
        _("tolerance, ms"), null=True, blank=True, default=1000,
        validators=[MinValueValidator(1, _("Enter at least 1 ms, or leave it empty for liveness only."))],
        help_text=_("A leg older than this makes the spread stale. Empty: a leg is never too old while "
                    "its connection lives (a quiet book that has not changed is not stale)."),
    )  # fmt: skip
    enabled = models.BooleanField(_("enabled"), default=True)

    objects = ConfigManager()

    class Meta:
        verbose_name = _("exchange pair")
        verbose_name_plural = _("exchange pairs")
        ordering = ["exchange1__key", "exchange2__key"]
        constraints = [
            models.UniqueConstraint(
                Least("exchange1", "exchange2"),
                Greatest("exchange1", "exchange2"),
                name="pair_unordered_unique",
                violation_error_message=_(
                    "This pair exists already, maybe the other way round: edit that one."
                ),
            ),
            models.CheckConstraint(
                condition=~Q(exchange1=F("exchange2")),
                name="pair_distinct_exchanges",
                violation_error_message=_("Exchange 1 and 2 are the same: choose two different ones."),
            ),
            models.CheckConstraint(
                condition=Q(tolerance_ms__isnull=True) | Q(tolerance_ms__gt=0), name="pair_tolerance_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.exchange1} – {self.exchange2}"

    def clean(self) -> None:
        """Check that the two exchanges differ and are not paired yet in either order."""
        one, two = self.exchange1_id, self.exchange2_id
        if not (one and two):  # the form names what is missing
            return
        if one == two:
            raise ValidationError(
                {"exchange2": _("Exchange 2 is the same as exchange 1: choose a different one.")}
            )
        same = Q(exchange1=one, exchange2=two) | Q(exchange1=two, exchange2=one)
        if ExchangePair.objects.filter(same).exclude(pk=self.pk).exists():
            raise ValidationError(
                {
                    "exchange2": _(
                        "This pair exists already, maybe the other way round: edit that one instead."
                    )
                }
            )


class OpportunityFilter(ConfigModel):
    """Which symbols on which pairs become opportunities (charts), and which of those are shown."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    symbols = models.TextField(
        _("symbols"), blank=True, max_length=10_000,
        help_text=_("Names or patterns separated by spaces, commas or new lines: BTC/USDT, ETH/*, *. "
                    "Empty: every enabled symbol."),
    )  # fmt: skip
    quote = models.CharField(
        _("quote currency"), max_length=32, blank=True, help_text=_("Like USDT. Empty: any.")
    )
    pairs = models.ManyToManyField(
        ExchangePair, blank=True, related_name="filters", verbose_name=_("exchange pairs"),
        help_text=_("Empty: every enabled pair."),
    )  # fmt: skip
    min_volume = _volume(
        _("min 24 h volume"),
        _("In quote currency, required of both legs; an unknown volume counts as 0. Empty: no limit."),
    )
    max_volume = _volume(
        _("max 24 h volume"), _("In quote currency, required of both legs. Empty: no limit.")
    )
    min_spread_pct = models.DecimalField(
        _("min |spread|, %"), max_digits=8, decimal_places=4, null=True, blank=True,
        help_text=_("Live: a chart is shown only while its spread, either sign, is at least this. "
                    "Empty: always."),
    )  # fmt: skip
    min_edge_bps = models.DecimalField(
        _("min edge, bps"), max_digits=8, decimal_places=3, null=True, blank=True,
        help_text=_("Live: a chart is shown only while the better direction, after both taker fees, "
                    "earns at least this. Negative is allowed. Empty: always."),
    )  # fmt: skip

    objects = ConfigManager()

    selected_count: int  # what the admin's list counted for this row

    class Meta:
        verbose_name = _("opportunity filter")
        verbose_name_plural = _("opportunity filters")
        ordering = ["id"]  # the oldest enabled one is what the dashboard opens with
        constraints = [
            *_volume_constraints("filter"),
            models.CheckConstraint(
                condition=Q(min_spread_pct__isnull=True) | Q(min_spread_pct__gte=0),
                name="filter_min_spread_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Check the bounds; upper-case symbols and quote, as all names are."""
        self.symbols, self.quote = self.symbols.upper(), self.quote.strip().upper()
        errors = _volume_errors(self)
        if self.min_spread_pct is not None and self.min_spread_pct < 0:
            errors["min_spread_pct"] = _(
                "The sign does not count here: enter the size of the spread, 0 or more, or leave it empty."
            )
        if errors:
            raise ValidationError(errors)


class CatalogueSync(models.Model):
    """How the last catalogue sync of an exchange went; written by the sync, never by people."""

    exchange = models.OneToOneField(
        Exchange, models.CASCADE, related_name="catalogue_sync", verbose_name=_("exchange")
    )
    tried_at = models.DateTimeField(_("tried at"))
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    listed = models.PositiveIntegerField(_("instruments listed"), default=0)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("catalogue sync")
        verbose_name_plural = _("catalogue syncs")

    def __str__(self) -> str:
        return self.error or f"{self.listed}"


@receiver(m2m_changed, sender=OpportunityFilter.pairs.through)
def _pairs_changed(action: str, **_kwargs: Any) -> None:
    """Choosing pairs for a filter changes the configuration without saving the filter."""
    if action.startswith("pre_"):  # before its rows, like every writer; Django wraps it in a transaction
        bump_revision()

"""What can be traded where, and what the operator wants of it.

Validation speaks to people (field and remedy); the database holds the same rules for everybody else.
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Least
from django.db.models.signals import m2m_changed
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from markets import names
from markets.config import FEE_RANGE_BPS, REST_SCHEMES, WS_SCHEMES, base_url_problem
from markets.leases import ShardLease  # noqa: F401 - a model of this app, in a module of its own
from markets.plain_fields import LinesField, NameField
from markets.plain_names import isolated
from markets.proxies import DIRECT, proxy_problem
from markets.revision import ConfigManager, ConfigModel, ConfigRevision, bump_revision
from markets.sealed_proxy import SealedProxyField
from markets.targets import host_problem

__all__ = [
    "CatalogueSync",
    "ConfigRevision",
    "Exchange",
    "ExchangePair",
    "FeeSchedule",
    "GateThresholds",
    "IdentityCase",
    "Instrument",
    "Kind",
    "OpportunityFilter",
    "PinnedChart",
    "Symbol",
    "WalletStatus",
    "WalletSync",
]


key_validator = RegexValidator(
    r"^[a-z][a-z0-9]*$", _("Use the exchange's lower-case ccxt id, letters and digits only, like “binance”.")
)


def validate_rest_url(url: str) -> None:
    """Refuse what is no http(s) base URL."""
    if problem := base_url_problem(url, REST_SCHEMES) or _host_problem(url):
        raise ValidationError(_("REST base URL: %(problem)s."), params={"problem": problem})


def validate_ws_url(url: str) -> None:
    """Refuse what is no ws(s) base URL."""
    if problem := base_url_problem(url, WS_SCHEMES) or _host_problem(url):
        raise ValidationError(_("WebSocket base URL: %(problem)s."), params={"problem": problem})


def _host_problem(url: str) -> str:
    return host_problem(urlsplit(url).hostname or "", settings.EXCHANGE_TARGETS)


def validate_proxy(url: str) -> None:
    """Refuse what is no address of a proxy, without saying its credentials again."""
    if url != DIRECT and (problem := proxy_problem(url)):
        raise ValidationError(_("Proxy: %(problem)s."), params={"problem": problem})


def _range(low: float, high: float) -> list[Any]:
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
    name = NameField(_("name"), max_length=64)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: nothing is collected and its charts say “down”.")
    )
    taker_fee_bps = models.DecimalField(
        _("taker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*FEE_RANGE_BPS),
        help_text=_("What you pay to take liquidity, in basis points (10 bps = 0.1 %). Negative when the "
                    "exchange pays you a rebate."),
    )  # fmt: skip
    maker_fee_bps = models.DecimalField(
        _("maker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*FEE_RANGE_BPS),
        help_text=_("Negative when the exchange pays you a rebate."),
    )  # fmt: skip
    account_tier = NameField(
        _("account tier"), max_length=32, blank=True,
        help_text=_("Your tier there, like “VIP 1”: its fee schedule that is valid today then decides. "
                    "Empty: the two fees above hold."),
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
        help_text=_("The way out to this exchange, for its sockets, tokens, catalogue and wallets: "
                    "http://host:port or socks5://user:password@host:port. “direct”: none, whatever "
                    "OUTBOUND_PROXY says. Empty: as OUTBOUND_PROXY says. Credentials are never shown again."),
    )  # fmt: skip
    min_volume = _volume(
        _("min 24 h volume"),
        _(
            "Worth so many USDT by the catalogue's last prices. Instruments below it are not collected; an "
            "unknown volume, or one in a currency without a price, counts as 0."
        ),
    )
    max_volume = _volume(
        _("max 24 h volume"), _("Worth so many USDT. Instruments above it are not collected.")
    )

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
            *_volume_constraints("exchange"),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    def clean(self) -> None:
        """Check the volume bounds against each other, and that nobody takes it for another exchange."""
        errors = _volume_errors(self)
        if other := self._of_the_same_name():
            errors["name"] = _(
                "The exchange with the key %(key)s is called so: their prices would be mixed up."
            ) % {"key": other}
        if errors:
            raise ValidationError(errors)

    def _of_the_same_name(self) -> str:
        """The key of another exchange that has this name or key, however it is written; empty without."""
        own = names.letters(self.name)
        others = Exchange.objects.exclude(pk=self.pk).values_list("key", "name")
        return next((key for key, name in others if own in (names.letters(key), names.letters(name))), "")


class Symbol(ConfigModel):
    """What is traded, under ccxt's unified name, the same on every exchange."""

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
        help_text=_("Your switch, kept over syncs. Off: never collected here, for example because this "
                    "exchange trades another coin under the same ticker."),
    )  # fmt: skip
    active = models.BooleanField(
        _("active"), default=True, help_text=_("Whether the exchange says it is trading.")
    )
    status = NameField(_("status"), max_length=64, blank=True, help_text=_("The exchange's own word."))
    counts_as = models.ForeignKey(
        Symbol, models.PROTECT, null=True, blank=True, related_name="aliases", verbose_name=_("counts as"),
        help_text=_("The symbol it is compared under, when that is another one (1000PEPE/USDT counts as "
                    "PEPE/USDT), or its own one in another unit. Empty: its own, coin for coin."),
    )  # fmt: skip
    multiplier = models.DecimalField(
        _("multiplier"), max_digits=18, decimal_places=8, default=1,
        help_text=_("How many coins of that symbol one of this is: 1000 for 1000PEPE."),
    )  # fmt: skip
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
            return _("%(symbol)s is another kind of contract: choose one of the same kind.") % {
                "symbol": target
            }
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

    name = NameField(_("name"), max_length=64, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    symbols = LinesField(
        _("symbols"), blank=True, max_length=10_000,
        help_text=_("Names or patterns separated by spaces, commas or new lines: BTC/USDT, ETH/*, *. "
                    "“!” in front excludes: !*3L/* or !JUP/USDT; exclusions alone mean everything but. "
                    "Upper and lower case do not count, unless a symbol is called exactly that. In quotes a "
                    "name is taken literally: \"Jade Protocol/USDT\", \"omni/USDT\". "
                    "Empty: every enabled symbol."),
    )  # fmt: skip
    quote = NameField(_("quote currency"), max_length=32, blank=True, help_text=_("Like USDT. Empty: any."))
    pairs = models.ManyToManyField(
        ExchangePair, blank=True, related_name="filters", verbose_name=_("exchange pairs"),
        help_text=_("Empty: every enabled pair."),
    )  # fmt: skip
    names_pairs = models.BooleanField(
        default=False, editable=False,
        help_text=_("Whether pairs were chosen. When all of those are deleted, it selects none, not every."),
    )  # fmt: skip
    min_volume = _volume(
        _("min 24 h volume"),
        _(
            "Worth so many USDT by the catalogue's last prices, required of both legs; an unknown volume, or "
            "one in a currency without a price, counts as 0. Empty: no limit."
        ),
    )
    max_volume = _volume(
        _("max 24 h volume"), _("Worth so many USDT, required of both legs. Empty: no limit.")
    )
    min_spread_pct = models.DecimalField(
        _("min |spread|, %"), max_digits=8, decimal_places=4, null=True, blank=True,
        help_text=_("Live: a chart is shown only while its spread, either sign, is at least this. "
                    "Empty: always. It opens no opportunity: nobody can trade a spread, only an edge."),
    )  # fmt: skip
    min_edge_bps = models.DecimalField(
        _("min edge, bps"), max_digits=8, decimal_places=3, null=True, blank=True,
        help_text=_("An opportunity opens where one direction, after both taker fees, earns at least this; "
                    "a chart is shown only while the better one does. Negative is allowed. "
                    "Empty: none opens, and every chart is shown."),
    )  # fmt: skip

    close_edge_bps = models.DecimalField(
        _("close below, bps"), max_digits=8, decimal_places=3, null=True, blank=True,
        help_text=_("An opportunity that opened at the min edge stays open until the edge falls below this, "
                    "so that a trembling edge is one opportunity, not a hundred. "
                    "Empty: the min edge itself."),
    )  # fmt: skip
    min_duration_ms = models.PositiveIntegerField(
        _("min duration, ms"), default=0, validators=[MaxValueValidator(3_600_000)],
        help_text=_("How long the edge must hold before an opportunity opens."),
    )  # fmt: skip
    min_size = models.DecimalField(
        _("min size"), max_digits=18, decimal_places=2, null=True, blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Executable at both best prices, worth so many USDT by the live rate of the quote "
                    "currency. Empty: the gate's own minimum."),
    )  # fmt: skip
    wallets_open = models.BooleanField(
        _("only with open wallets"), default=False,
        help_text=_("On: both wallets must be known to be open. Off: a closed wallet is refused, an unknown "
                    "one is not."),
    )  # fmt: skip
    max_unproven_edge_bps = models.DecimalField(
        _("max unproven edge, bps"), max_digits=8, decimal_places=3, null=True, blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Above this edge it must be proven that both exchanges mean the same coin: by enough "
                    "moves that agree, or by an operator. Empty: as the gate thresholds say."),
    )  # fmt: skip
    max_age_ms = models.PositiveIntegerField(
        _("max age, ms"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("No opportunity opens on a quote older than this. Empty: as the exchange pair says, or "
                    "the gate thresholds."),
    )  # fmt: skip
    charted = models.BooleanField(
        _("show as charts"), default=True,
        help_text=_("Off: it only finds opportunities, among as many symbols as you like, and draws no "
                    "charts."),
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
            models.CheckConstraint(
                condition=Q(close_edge_bps__isnull=True) | Q(close_edge_bps__lte=F("min_edge_bps")),
                name="filter_close_edge_lte_min_edge",
            ),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As every configuration; one that was read before its pairs were chosen does not forget them."""
        super().save(*args, **kwargs)
        if not self.names_pairs and self.pairs.exists():
            self.note_pairs([self.pk], True)
            self.names_pairs = True

    @property
    def pairs_gone(self) -> bool:
        """Whether it named pairs and all of them were deleted: it selects none then, and not every."""
        return self.names_pairs and not self.pairs.all()

    @classmethod
    def note_pairs(cls, pks: Iterable[Any], chosen: bool) -> None:
        """Remember of filters whether they name pairs; choosing them was the change, this only follows."""
        models.QuerySet(cls).filter(pk__in=pks).exclude(names_pairs=chosen).update(names_pairs=chosen)

    def clean(self) -> None:
        """Check the list of symbols and the bounds."""
        self.quote = self.quote.strip()
        errors = _volume_errors(self)
        if wrong := _list_problems(self.symbols):
            errors["symbols"] = wrong
        if self.min_spread_pct is not None and self.min_spread_pct < 0:
            errors["min_spread_pct"] = _(
                "The sign does not count here: enter the size of the spread, 0 or more, or leave it empty."
            )
        opens, closes = self.min_edge_bps, self.close_edge_bps
        if not self.charted and opens is None:
            errors["min_edge_bps"] = _(
                "Without charts a filter is there to find opportunities: enter the edge at which one opens."
            )
        if closes is not None and opens is None:
            errors["close_edge_bps"] = _("Enter the min edge too: it opens what this closes.")
        elif closes is not None and opens is not None and closes > opens:
            errors["close_edge_bps"] = _("It must not be above the min edge (%(edge)s): lower it.") % {
                "edge": opens
            }
        if errors:
            raise ValidationError(errors)


def _list_problems(symbols: str) -> list[str]:
    """What is wrong with a list of symbols, and which of its names are several symbols'."""
    there = names.Spellings(Symbol.objects.values_list("name", flat=True))
    wrong = names.problems(names.pinned_down(symbols, there))
    for name in names.literal_names(symbols):
        try:
            there.resolve(name)
        except names.AmbiguousName as problem:
            wrong.append(str(problem))
    return wrong


class FeeSchedule(ConfigModel):
    """What an account pays on an exchange from a day on: by its tier, by symbol or both; days are UTC."""

    exchange = models.ForeignKey(
        Exchange, models.CASCADE, related_name="fee_schedules", verbose_name=_("exchange")
    )
    tier = NameField(
        _("account tier"), max_length=32, blank=True,
        help_text=_("As the exchange calls it, like “VIP 1”. Empty, with symbols: whatever the tier."),
    )  # fmt: skip
    symbols = LinesField(
        _("symbols"), blank=True, max_length=10_000,
        help_text=_("Empty: all. Names or patterns as in a filter: BTC/USDT, */USDC, *3L/* !BTC3L/USDT. It "
                    "goes before what the exchange says of a market, and the closest pattern before others."),
    )  # fmt: skip
    taker_fee_bps = models.DecimalField(
        _("taker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*FEE_RANGE_BPS)
    )
    maker_fee_bps = models.DecimalField(
        _("maker fee, bps"), max_digits=6, decimal_places=3, validators=_range(*FEE_RANGE_BPS)
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
        ordering = ["exchange__key", "tier", "symbols", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "tier", "symbols", "valid_from"], name="fees_one_per_tier_and_day"
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
        return " ".join(filter(None, (str(self.exchange), isolated(self.tier), self.symbols)))

    def clean(self) -> None:
        """Check the symbols, and that no two schedules of the same, with a last day, hold on one day."""
        self.symbols = self.symbols.strip()
        if wrong := _list_problems(self.symbols):
            raise ValidationError({"symbols": wrong})
        if not (self.exchange_id and self.valid_from and self.valid_until):
            return
        same = FeeSchedule.objects.filter(exchange=self.exchange_id, tier=self.tier, symbols=self.symbols)
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


class IdentityCase(ConfigModel):
    """Do two exchanges mean the same coin by a symbol? Opened by the collectors, decided by people."""

    class Verdict(models.TextChoices):
        """What is held of it now."""

        QUARANTINED = "quarantined", _("in quarantine")
        CONFIRMED = "confirmed", _("the same coin")
        DIFFERENT = "different", _("different coins")

    symbol = models.ForeignKey(
        Symbol, models.CASCADE, related_name="identity_cases", verbose_name=_("symbol")
    )
    exchange1 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 1"))
    exchange2 = models.ForeignKey(Exchange, models.CASCADE, related_name="+", verbose_name=_("exchange 2"))
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
        _("follows"), max_length=32, blank=True, editable=False,
        help_text=_("Key of the exchange whose listing was decided, where this pair only follows that."),
    )  # fmt: skip
    note = LinesField(_("note"), blank=True)

    objects = ConfigManager()
    findings = models.Manager()  # the collectors' door: fresh evidence moves no revision

    class Meta:
        verbose_name = _("coin identity")
        verbose_name_plural = _("coin identities")
        ordering = ["symbol__name", "exchange1__key", "exchange2__key"]
        constraints = [
            models.UniqueConstraint(
                "symbol",
                Least("exchange1", "exchange2"),
                Greatest("exchange1", "exchange2"),
                name="identity_one_case_per_pair",
            ),
            models.CheckConstraint(
                condition=Q(verdict__in=["quarantined", "confirmed", "different"]),
                name="identity_verdict_known",
            ),
            models.CheckConstraint(
                condition=~Q(exchange1=F("exchange2")), name="identity_distinct_exchanges"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.exchange1} – {self.exchange2}"


class GateThresholds(ConfigModel):
    """The thresholds of the gates, one row; fields as `markets.config.GateTerms`."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    silent_gaps = models.FloatField(
        _("silent after, usual gaps"), default=20, validators=_range(2, 1000),
        help_text=_("A leg is silent after this many of its own usual gaps, while its neighbours talk."),
    )  # fmt: skip
    silent_floor_ms = models.FloatField(
        _("never silent before, ms"), default=3000, validators=_range(100, 600_000)
    )
    max_age_ms = models.FloatField(
        _("never older than, ms"), default=60_000, blank=True, validators=_range(100, 86_400_000),
        help_text=_("No quote, and no stablecoin's rate, older than this is believed, whatever its rhythm; "
                    "an exchange pair or a filter may say otherwise."),
    )  # fmt: skip
    jump_pct = models.FloatField(
        _("jump, %"), default=10, validators=_range(0.1, 1000),
        help_text=_("A price this far from the last one is not believed until the next quote confirms it."),
    )  # fmt: skip
    identity_near_pct = models.FloatField(
        _("prices near, within %"), default=1, blank=True, validators=_range(0.01, 50),
        help_text=_("Prices further apart are not those of one coin before they meet and move alike."),
    )  # fmt: skip
    identity_max_ratio = models.FloatField(
        _("price ratio, at most"), default=1.5, validators=_range(1.001, 1000),
        help_text=_("The same coin does not cost this many times as much elsewhere: beyond it, quarantine."),
    )  # fmt: skip
    identity_min_correlation = models.FloatField(
        _("correlation of returns, at least"), default=0.1, validators=_range(-1, 1)
    )
    max_unproven_edge_bps = models.FloatField(
        _("unproven edge, at most, bps"), default=300, blank=True, validators=[MinValueValidator(0)],
        help_text=_("A larger edge speaks against itself: it counts only where both exchanges are proven to "
                    "mean the same coin, by statistics or by an operator. A filter may have its own."),
    )  # fmt: skip
    min_size = models.FloatField(
        _("executable size, at least"), default=10, validators=[MinValueValidator(0)],
        help_text=_("At both best prices, worth so many USDT by the live rate of the quote currency."),
    )  # fmt: skip
    min_volume = models.FloatField(
        _("24 h volume, at least"), default=0, validators=[MinValueValidator(0)],
        help_text=_("On both exchanges, worth so many USDT by the live rate of the quote currency."),
    )  # fmt: skip
    peg_band_pct = models.FloatField(
        _("stablecoin rate within, %"), default=2, validators=_range(0.01, 50),
        help_text=_("How far from 1 the rate between two quote currencies may be."),
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
        """Save; the revision stays for who knows that collectors follow the chart as before."""
        if moves:
            super().save(*args, **kwargs)
        else:
            models.Model.save(self, *args, **kwargs)

    def delete(self, *args: Any, moves: bool = True, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete; as `save`."""
        if moves:
            return super().delete(*args, **kwargs)
        return models.Model.delete(self, *args, **kwargs)


class CatalogueSync(models.Model):
    """How the last catalogue sync of an exchange went; written by the sync, never by people."""

    exchange = models.OneToOneField(
        Exchange, models.CASCADE, related_name="catalogue_sync", verbose_name=_("exchange")
    )
    tried_at = models.DateTimeField(_("tried at"))
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    listed = models.PositiveIntegerField(_("instruments listed"), default=0)
    error = LinesField(
        _("error"), blank=True,
        help_text=_("Why the last try failed, or what of the answers could not be had."),
    )  # fmt: skip
    remarks = LinesField(
        _("remarks"), blank=True, help_text=_("Markets that share a name: which is compared.")
    )

    class Meta:
        verbose_name = _("catalogue sync")
        verbose_name_plural = _("catalogue syncs")

    def __str__(self) -> str:
        return self.error or f"{self.listed}"

    @property
    def in_part(self) -> bool:
        """Whether the last try stored what could be had of a damaged answer."""
        return bool(self.error) and self.synced_at == self.tried_at


class WalletSync(models.Model):
    """How the last look at an exchange's wallets went; written by the wallet sync, never by people."""

    exchange = models.OneToOneField(
        Exchange, models.CASCADE, related_name="wallet_sync", verbose_name=_("exchange")
    )
    tried_at = models.DateTimeField(_("tried at"))
    synced_at = models.DateTimeField(_("synced at"), null=True, blank=True)
    networks = models.PositiveIntegerField(
        _("networks"), default=0, help_text=_("0: the exchange does not tell without a key.")
    )
    error = LinesField(
        _("error"), blank=True,
        help_text=_("Why the last try failed, or what of the answer could not be had."),
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


@receiver(m2m_changed, sender=OpportunityFilter.pairs.through)
def _pairs_changed(action: str, instance: Any, reverse: bool, pk_set: set[int] | None, **_about: Any) -> None:
    """Choosing pairs for a filter changes the configuration without saving the filter.

    That pairs were chosen is remembered: of one that is deleted Django tells its filters nothing.
    """
    if action.startswith("pre_"):  # before its rows, like every writer; Django wraps it in a transaction
        bump_revision()
    elif not reverse:
        instance.names_pairs = action == "post_add" or instance.pairs.exists()
        OpportunityFilter.note_pairs([instance.pk], instance.names_pairs)
    elif action == "post_add":
        OpportunityFilter.note_pairs(pk_set or (), True)

"""Filters: what an operator wants to see and to receive alerts about."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.signals import m2m_changed
from django.dispatch import receiver
from django.utils.translation import gettext_lazy as _

from core.names.plain_fields import LinesField, NameField
from core.names.plain_names import isolated
from markets.config import HOLDING_HOURS, MAX_HOLDING_HOURS, SPOT_ONLY
from markets.follow.revision import ConfigManager, ConfigModel, bump_revision
from markets.models.checks import edge_field, money_field, volume_constraints, volume_errors, volume_field
from markets.models.instrument import list_problems
from markets.models.pairs import ExchangePair, PairKind


def spot_only() -> list[str]:
    """Kinds of pairs of a filter that says nothing of them: as filters from before there were swaps."""
    return list(SPOT_ONLY)


class ExitChoice(models.TextChoices):
    """Assumptions of the exit spread, as `markets.config.ExitAssumption` has them."""

    ZERO = "zero", _("zero: both prices meet")
    NOW = "now", _("as now")
    MEDIAN = "median", _("the pair's own median")


class OpportunityFilter(ConfigModel):
    """Choice of the symbols and pairs that become opportunities (charts), and of those that are shown."""

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
        help_text=_("Empty: every enabled pair of these kinds."),
    )  # fmt: skip
    pair_kinds = ArrayField(
        models.CharField(max_length=16, choices=PairKind),
        verbose_name=_("kinds of pairs"), default=spot_only, db_default=[PairKind.SPOT.value],
        help_text=_("Which kinds of pairs it selects, of those chosen below or of all."),
    )  # fmt: skip
    names_pairs = models.BooleanField(
        default=False, editable=False,
        help_text=_("Whether pairs were chosen. When all of those are deleted, it selects none, not every."),
    )  # fmt: skip
    min_volume = volume_field(
        _("min 24 h volume"),
        _(
            "In USDT, by the catalogue's last prices, required of both legs; an unknown volume, or one in a "
            "currency without a price, counts as 0. Empty: no limit."
        ),
    )
    max_volume = volume_field(_("max 24 h volume"), _("In USDT, required of both legs. Empty: no limit."))
    min_spread_pct = models.DecimalField(
        _("min |spread|, %"), max_digits=8, decimal_places=4, null=True, blank=True,
        help_text=_("A chart is shown only while its current spread, of either sign, is at least this. "
                    "Empty: always. It opens no opportunity: an edge can be traded, a spread cannot."),
    )  # fmt: skip
    min_edge_bps = edge_field(
        _("min edge, bps"),
        _("An opportunity opens where one direction, after both taker fees, earns at least this; "
          "a chart is shown only while the better one does. Negative is allowed. "
          "Empty: none opens, and every chart is shown."),
    )  # fmt: skip

    close_edge_bps = edge_field(
        _("close below, bps"),
        _("An opportunity that opened at the min edge stays open until the edge falls below this, "
          "so that a fluctuating edge is one opportunity, not a hundred. Empty: the min edge "
          "itself."),
    )  # fmt: skip
    min_duration_ms = models.PositiveIntegerField(
        _("min duration, ms"), default=0, validators=[MaxValueValidator(3_600_000)],
        help_text=_("How long the edge must hold before an opportunity opens."),
    )  # fmt: skip
    min_size = money_field(
        _("min size"),
        _("Executable at both best prices, in USDT by the live rate of the quote currency. Empty: "
          "the minimum of the gate check."),
    )  # fmt: skip
    wallets_open = models.BooleanField(
        _("only with open wallets"), default=False,
        help_text=_("On: both wallets must be known to be open. Off: a closed wallet is refused, an unknown "
                    "one is not."),
    )  # fmt: skip
    max_unproven_edge_bps = edge_field(
        _("max unproven edge, bps"),
        _("Above this edge it must be proven that both exchanges mean the same coin: by enough "
          "moves that agree, or by an operator. Empty: as the gate thresholds say."),
        validators=[MinValueValidator(0)],
    )  # fmt: skip
    max_age_ms = models.PositiveIntegerField(
        _("max age, ms"), null=True, blank=True, validators=[MinValueValidator(1)],
        help_text=_("No opportunity opens on a quote older than this. Empty: as the exchange pair says, or "
                    "the gate thresholds."),
    )  # fmt: skip
    holding_hours = models.DecimalField(
        _("holding time, h"), max_digits=5, decimal_places=2, blank=True,
        default=Decimal(HOLDING_HOURS), db_default=Decimal(HOLDING_HOURS),
        validators=[MinValueValidator(Decimal("0.01")), MaxValueValidator(MAX_HOLDING_HOURS)],
        help_text=_("How long a position is held, up to 720 h: the settlements of swaps within this time "
                    "count in the net edge. Empty: 8 h."),
    )  # fmt: skip
    min_net_edge_bps = edge_field(
        _("min net edge, bps"),
        _("An opportunity opens, and stays open, only while entry, funding within the holding "
          "time and exit together leave at least this, after the taker fees of both. Unknown "
          "funding never opens. Negative is allowed. Empty: it does not ask."),
    )  # fmt: skip
    exit_assumption = models.CharField(
        _("exit spread"), max_length=8, choices=ExitChoice, blank=True,
        default=ExitChoice.ZERO, db_default=ExitChoice.ZERO,
        help_text=_("What the net edge takes for the spread at which the position is undone. Empty: "
                    "zero."),
    )  # fmt: skip
    settlement_wanted = models.BooleanField(
        _("through settlements"), default=True, db_default=True,
        help_text=_("On: funding may be settled within the holding time. Off: no opportunity opens on a swap "
                    "whose next settlement falls into it; as most settle every 8 h or oftener, enter a "
                    "shorter holding time then. Pairs of spot markets settle nothing."),
    )  # fmt: skip
    my_size = money_field(
        _("my size"),
        _("What you trade at once, in USDT by the live rate of the quote currency. An opportunity "
          "opens only while both order books leave enough at this size; where depth is not "
          "followed, only what the best prices hold. Empty: depth is not asked."),
        least=Decimal("0.01"),
    )  # fmt: skip
    min_edge_at_size_bps = edge_field(
        _("min edge at my size, bps"),
        _("Of the average prices of my size, after both taker fees. Negative is allowed. Empty: "
          "as the gate thresholds say."),
    )  # fmt: skip
    min_profit = money_field(
        _("min profit at my size"),
        _("In USDT, after both taker fees. Empty: it does not ask."),
    )  # fmt: skip
    charted = models.BooleanField(
        _("show as charts"), default=True,
        help_text=_("Off: it only finds opportunities, among any number of symbols, and draws no charts."),
    )  # fmt: skip

    follow_depth = models.BooleanField(
        _("follow order books"), default=False, db_default=False,
        help_text=_("On: the order books of the instruments that its pairs use are followed, so that the "
                    "edge of a size is known, within the budget of books per collector."),
    )  # fmt: skip

    objects = ConfigManager()

    selected_count: int  # what the admin's list counted for this row

    class Meta:
        verbose_name = _("opportunity filter")
        verbose_name_plural = _("opportunity filters")
        ordering = ["id"]  # the oldest enabled one is what the dashboard opens with
        constraints = [
            *volume_constraints("filter"),
            models.CheckConstraint(
                condition=Q(pair_kinds__contained_by=PairKind.values) & Q(pair_kinds__len__gt=0),
                name="filter_pair_kinds_known",
            ),
            models.CheckConstraint(
                condition=Q(min_spread_pct__isnull=True) | Q(min_spread_pct__gte=0),
                name="filter_min_spread_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(close_edge_bps__isnull=True) | Q(close_edge_bps__lte=F("min_edge_bps")),
                name="filter_close_edge_lte_min_edge",
            ),
            models.CheckConstraint(
                condition=Q(holding_hours__gt=0, holding_hours__lte=MAX_HOLDING_HOURS),
                name="filter_holding_hours_in_range",
            ),
            models.CheckConstraint(
                condition=Q(exit_assumption__in=ExitChoice.values), name="filter_exit_assumption_known"
            ),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a filter that was read before its pairs were chosen does not forget them."""
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
        self.holding_hours = Decimal(HOLDING_HOURS) if self.holding_hours is None else self.holding_hours
        self.exit_assumption = self.exit_assumption or ExitChoice.ZERO
        errors = volume_errors(self)
        if wrong := list_problems(self.symbols):
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
        if self.min_net_edge_bps is not None and opens is None:
            errors["min_net_edge_bps"] = _(
                "Enter the min edge too: it says when the net edge is asked at all. Negative is allowed."
            )
        errors |= self._depth_errors()
        if errors:
            raise ValidationError(errors)

    def _depth_errors(self) -> dict[str, Any]:
        if self.my_size is None:
            text = _("Enter my size too: it says at which size this is asked.")
            asked = ("min_edge_at_size_bps", "min_profit")
            return {name: text for name in asked if getattr(self, name) is not None}
        if self.min_edge_bps is None:
            return {"my_size": _("Enter the min edge too: it says when depth is asked at all.")}
        return {}


@receiver(m2m_changed, sender=OpportunityFilter.pairs.through)
def _pairs_changed(action: str, instance: Any, reverse: bool, pk_set: set[int] | None, **_about: Any) -> None:
    """Move the revision: choosing pairs changes the configuration without saving the filter.

    That pairs were chosen is remembered: the deletion of a pair sends its filters no signal.
    """
    if action.startswith("pre_"):  # before its rows, like every writer; Django wraps it in a transaction
        bump_revision()
    elif not reverse:
        instance.names_pairs = action == "post_add" or instance.pairs.exists()
        OpportunityFilter.note_pairs([instance.pk], instance.names_pairs)
    elif action == "post_add":
        OpportunityFilter.note_pairs(pk_set or (), True)

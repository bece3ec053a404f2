"""Alert rules: what becomes an incident, and who receives it. They are the operator's."""

import zoneinfo
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from audit.querysets import AuditedManager
from core.names.plain_fields import NameField
from core.names.plain_names import isolated
from markets.models import Exchange, OpportunityFilter
from monitoring.models.channels import AlertChannel
from monitoring.models.choices import (
    DAY_S,
    OPPORTUNITY_COOL_DOWN_S,
    FundingUnit,
    ProfitSize,
    Severity,
    What,
)
from monitoring.quality.latency import LONGEST_MS


def _up_to(most: float) -> list[Any]:
    return [MinValueValidator(0), MaxValueValidator(most)]


class AlertRule(models.Model):
    """Rule: conditions of an incident, and when which channels receive its alert."""

    name = NameField(_("name"), max_length=64, unique=True)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: its firing incidents are resolved.")
    )
    what = models.CharField(_("watches"), max_length=32, choices=What)
    severity = models.CharField(_("severity"), max_length=8, choices=Severity, default=Severity.WARNING)

    filter = models.ForeignKey(
        OpportunityFilter, models.PROTECT, null=True, blank=True, related_name="alert_rules",
        verbose_name=_("filter"), help_text=_("Opportunities of this filter. Empty: of every filter."),
    )  # fmt: skip
    min_edge_bps = models.FloatField(
        _("min edge, bps"), null=True, blank=True,
        help_text=_("After both taker fees, at the peak so far. Empty: whatever the filter opens at."),
    )  # fmt: skip
    min_size = models.FloatField(
        _("min size"), null=True, blank=True, validators=[MinValueValidator(0)],
        help_text=_("Executable at the peak so far, in USDT by the catalogue's last prices. Empty: as the "
                    "filter requires."),
    )  # fmt: skip

    min_edge_at_size_bps = models.FloatField(
        _("min edge at my size, bps"), null=True, blank=True,
        help_text=_("At the peak so far, by both order books, at the size of the filter (“my size”). Empty: "
                    "it does not ask."),
    )  # fmt: skip
    min_profit = models.FloatField(
        _("min profit"), null=True, blank=True, validators=[MinValueValidator(0)],
        help_text=_("In USDT after both taker fees, at the peak so far, by both order books. Where depth is "
                    "not followed it is unknown, which is not enough. Empty: it does not ask."),
    )  # fmt: skip
    profit_size = models.PositiveIntegerField(
        _("at a size of"), choices=ProfitSize, blank=True,
        default=ProfitSize.THOUSAND, db_default=ProfitSize.THOUSAND,
        help_text=_("The size of the min profit. Empty: 1,000 USDT."),
    )  # fmt: skip

    exchange1 = models.ForeignKey(
        Exchange, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("between"),
        help_text=_("Funding spread of the swaps of these two. Empty: of the best two of each coin."),
    )  # fmt: skip
    exchange2 = models.ForeignKey(
        Exchange, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("and")
    )
    funding_unit = models.CharField(
        _("threshold is in bps"), max_length=4, choices=FundingUnit, default=FundingUnit.EIGHT_HOURS
    )

    subject = NameField(
        _("subject"), max_length=128, blank=True,
        help_text=_("A pattern, for example okx, BTC/* on *, collector * or BTC/USDT *. Of a funding spread: "
                    "of the coin, for example BTC/*. Empty: any."),
    )  # fmt: skip
    threshold = models.FloatField(
        _("threshold"), null=True, blank=True,
        help_text=_("Fires at this value or above, in the unit the health page shows. "
                    "Empty: as soon as the health page lists it."),
    )  # fmt: skip
    for_s = models.PositiveIntegerField(
        _("for at least, s"), default=0, validators=_up_to(DAY_S),
        help_text=_("How long it must last before it fires."),
    )  # fmt: skip

    clear_below = models.FloatField(
        _("clears below"), null=True, blank=True,
        help_text=_("Resolved only below this value. Empty: below the threshold."),
    )  # fmt: skip
    clear_after_s = models.PositiveIntegerField(
        _("clears after, s"), default=0, validators=_up_to(DAY_S),
        help_text=_("Resolved only after it was within its limit for this long."),
    )  # fmt: skip
    cool_down_s = models.PositiveIntegerField(
        _("cool-down, s"), null=True, blank=True, validators=_up_to(7 * DAY_S),
        help_text=_("For opportunities: at most one incident per coin in this time, counted from when it "
                    "fired. For health: after it was resolved, the same subject does not fire again for "
                    "this time. 0: none. Empty: 300 for opportunities, none for health."),
    )  # fmt: skip

    quiet_from = models.TimeField(
        _("quiet from"), null=True, blank=True,
        help_text=_("Nothing is sent from this time on; incidents still firing at the end are sent then."),
    )  # fmt: skip
    quiet_until = models.TimeField(_("quiet until"), null=True, blank=True)
    quiet_zone = models.CharField(
        _("time zone"), max_length=64, default="UTC", help_text=_("For example Europe/Berlin.")
    )
    quiet_critical = models.BooleanField(
        _("quiet hours for critical, too"), default=False,
        help_text=_("Off: critical incidents are sent at any hour."),
    )  # fmt: skip
    digest_minutes = models.PositiveIntegerField(
        _("digest, minutes"), default=0, validators=_up_to(24 * 60),
        help_text=_("Collects incidents for this time and sends one message. 0: one message each, at once."),
    )  # fmt: skip
    tell_resolved = models.BooleanField(
        _("send “resolved”"), null=True, blank=True, choices=((True, _("yes")), (False, _("no"))),
        help_text=_("Whether a message is also sent when it is resolved. Empty: yes for health and funding "
                    "spreads, no for opportunities and changed intervals. PagerDuty always receives it, "
                    "or its incident would stay open."),
    )  # fmt: skip
    remind_minutes = models.PositiveIntegerField(
        _("remind every, minutes"), default=0, validators=_up_to(7 * 24 * 60),
        help_text=_("While it lasts. 0: never."),
    )  # fmt: skip
    channels = models.ManyToManyField(
        AlertChannel, blank=True, related_name="rules", verbose_name=_("channels"),
        help_text=_("None: shown only here and on the health page."),
    )  # fmt: skip
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = AuditedManager()

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(what__in=What.values), name="rule_what_known"),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="rule_severity_known"),
            models.CheckConstraint(
                condition=Q(profit_size__in=ProfitSize.values), name="rule_profit_size_known"
            ),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="rule_quiet_hours_whole",
            ),
            models.CheckConstraint(
                condition=Q(clear_below__isnull=True)
                | Q(threshold__isnull=False, clear_below__lte=F("threshold")),
                name="rule_clears_below_threshold",
            ),
        ]

    def __str__(self) -> str:
        return isolated(self.name)

    @property
    def of_opportunities(self) -> bool:
        """Whether it watches opportunities, not the desk's health."""
        return self.what == What.OPPORTUNITY

    @property
    def of_funding(self) -> bool:
        """Whether it watches what swaps pay, which is neither an opportunity nor the desk's health."""
        return self.what in (What.FUNDING_SPREAD, What.FUNDING_INTERVAL)

    @property
    def least_depth(self) -> dict[str, float]:
        """Least values by depth at an opportunity's peak that it asks, by their column."""
        asked = {
            "peak_my_edge_bps": self.min_edge_at_size_bps,
            f"peak_profit_{self.profit_size}": self.min_profit,
        }
        return {column: least for column, least in asked.items() if least is not None}

    @property
    def cools_down_s(self) -> int:
        """The cool-down in s: what was entered, or what is usual for what it watches."""
        if self.cool_down_s is not None:
            return self.cool_down_s
        return OPPORTUNITY_COOL_DOWN_S if self.of_opportunities else 0

    @property
    def tells_resolved(self) -> bool:
        """Whether people get a message when it is over: as entered, or as is usual for what it watches."""
        usual = self.what not in (What.OPPORTUNITY, What.FUNDING_INTERVAL)
        return usual if self.tell_resolved is None else self.tell_resolved

    def clean(self) -> None:
        """Check what belongs together."""
        self.profit_size = self.profit_size or ProfitSize.THOUSAND
        errors = {
            **self._other_side_errors(), **self._unreachable_errors(), **self._clearing_errors(),
            **self._funding_errors(), **self._quiet_errors(),
        }  # fmt: skip
        if errors:
            raise ValidationError(errors)

    def _other_side_errors(self) -> dict[str, Any]:
        """Refuse what is only for opportunities, or only for health."""
        if self.of_opportunities:
            text = _("An opportunity ends when it closes: leave this empty.")
            errors: dict[str, Any] = {
                name: text for name in ("threshold", "clear_below") if getattr(self, name) is not None
            }
            if self.min_edge_at_size_bps is not None and (self.filter is None or self.filter.my_size is None):
                errors["min_edge_at_size_bps"] = _(
                    "Choose a filter that has a size (“my size”): this edge is at that size."
                )
            return errors
        text = _("Only for opportunities: leave it empty.")
        names = ("filter", "min_edge_bps", "min_size", "min_edge_at_size_bps", "min_profit")
        return {name: text for name in names if getattr(self, name) is not None}

    def _unreachable_errors(self) -> dict[str, Any]:
        """A threshold that nothing measured can reach."""
        if self.what != What.LATENCY or self.threshold is None or self.threshold <= LONGEST_MS:
            return {}
        return {"threshold": _("Latencies above %(most)d ms are not measured exactly: enter at most that.")
                % {"most": LONGEST_MS}}  # fmt: skip

    def _clearing_errors(self) -> dict[str, Any]:
        if self.of_opportunities or self.clear_below is None:
            return {}
        if self.threshold is None:
            return {"threshold": _("Enter a threshold, or clear “clears below”.")}
        if self.clear_below > self.threshold:
            return {"clear_below": _("It would clear above its threshold: enter less than %(threshold)s.")
                    % {"threshold": self.threshold}}  # fmt: skip
        return {}

    def _funding_errors(self) -> dict[str, Any]:
        chosen = {name: getattr(self, name) for name in ("exchange1", "exchange2")}
        if self.what != What.FUNDING_SPREAD:
            text = _("Only for a funding spread: leave it empty.")
            errors = {name: text for name, exchange in chosen.items() if exchange is not None}
            if self.what == What.FUNDING_INTERVAL and self.threshold is not None:
                errors["threshold"] = _("A change has no size: leave this empty.")
            return errors
        errors = {
            name: _("Enter a number above 0: a spread is never negative.")
            for name in ("threshold", "clear_below")
            if (value := getattr(self, name)) is not None and value <= 0
        }
        if self.threshold is None:
            errors["threshold"] = _("Enter the spread it fires at, in bps.")
        if None in chosen.values() and chosen["exchange1"] != chosen["exchange2"]:
            missing = next(name for name, exchange in chosen.items() if exchange is None)
            errors[missing] = _("Choose both exchanges, or neither for the best two of each coin.")
        elif chosen["exchange1"] is not None and chosen["exchange1"] == chosen["exchange2"]:
            errors["exchange2"] = _("A spread needs two exchanges: choose another one.")
        return errors

    def _quiet_errors(self) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        if (self.quiet_from is None) != (self.quiet_until is None):
            missing = "quiet_from" if self.quiet_from is None else "quiet_until"
            errors[missing] = _("Enter both ends of the quiet hours, or neither.")
        elif self.quiet_from is not None and self.quiet_from == self.quiet_until:
            errors["quiet_until"] = _(
                "Quiet hours start and end at the same time: enter another end, or clear both."
            )
        if self.quiet_zone not in zoneinfo.available_timezones():
            errors["quiet_zone"] = _("There is no such time zone: enter one like Europe/Berlin or UTC.")
        return errors

"""What rules see: findings and opportunities that meet them now."""

import datetime
from collections.abc import Iterable
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from markets.worths import Worths
from monitoring.findings import Finding
from monitoring.models import Alert, AlertRule
from monitoring.rules import Terms, matches
from realtime.gates import quote_of
from realtime.models import OpportunityEpisode

US: Final = 1_000_000

LATE: Final = datetime.timedelta(minutes=2)
"""For so long it is told of an opportunity that was over before anybody looked; then it is history."""

AT_ONCE: Final = 200


def enabled_rules() -> list[AlertRule]:
    """Those that are switched on."""
    return list(AlertRule.objects.filter(enabled=True).select_related("filter"))


def terms_of(rule: AlertRule) -> Terms:
    """A rule as the state machine takes it."""
    return Terms(
        rule.threshold, rule.clear_below, rule.for_s * US, rule.clear_after_s * US, rule.cool_down_s * US
    )


def findings_for(rule: AlertRule, findings: Iterable[Finding]) -> list[Finding]:
    """The findings a rule is about, whatever their value."""
    return [each for each in findings if each.kind == rule.what and matches(rule.subject, each.subject)]


def opportunities_for(rule: AlertRule, now: datetime.datetime) -> QuerySet[OpportunityEpisode]:
    """The opportunities that meet a rule: those that are open, and those that were over just now."""
    lasting = datetime.timedelta(seconds=rule.for_s)
    open_ones = Q(closed_at=None, started_at__lte=now - lasting)
    since = now - LATE if rule.changed_at is None else max(now - LATE, rule.changed_at)
    over = Q(closed_at__gt=since, duration_ms__gte=rule.for_s * 1000)
    found = OpportunityEpisode.objects.filter(open_ones | over)
    if rule.filter_id is not None:
        found = found.filter(filter=rule.filter_id)
    if rule.min_edge_bps is not None:
        found = found.filter(peak_edge_bps__gte=rule.min_edge_bps)
    if rule.min_size is not None:
        found = found.filter(_worth_at_least(rule.min_size, found))
    return found.order_by("started_at", "pk")


def _worth_at_least(least: float, found: QuerySet[OpportunityEpisode]) -> Q:
    """What is executable in each quote currency, worth so many USDT; unknown is not enough."""
    symbols, worths = found.order_by().values_list("symbol", flat=True).distinct(), Worths()
    enough = Q(pk__in=[])
    for currency in {quote_of(symbol) for symbol in symbols}:
        if (worth := worths.of(currency)) > 0 or least <= 0:
            priced = Q(symbol__endswith=f"/{currency}")
            enough |= priced & Q(peak_size__gte=least / worth if least > 0 else 0)
    return enough


def untold_opportunities(rule: AlertRule, now: datetime.datetime) -> list[OpportunityEpisode]:
    """Those of them that made no incident of this rule yet, the oldest first; the rest the next time."""
    made = Alert.objects.filter(rule=rule, episode=OuterRef("pk"))
    return list(opportunities_for(rule, now).filter(~Exists(made))[:AT_ONCE])

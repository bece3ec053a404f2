"""Input of rules: findings and opportunities that meet them now."""

import datetime
from collections.abc import Collection, Iterable
from typing import Any, Final
from uuid import UUID

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.functions import Least

from core.clock.moments import lately
from core.health.findings import Finding
from monitoring.alerts.incidents import moment
from monitoring.alerts.rules import Terms, matches
from monitoring.jumps import Jumps
from monitoring.models import Alert, AlertRule
from opportunities.episodes import peak_worth
from opportunities.models import OpportunityEpisode

US: Final = 1_000_000

LATE: Final = datetime.timedelta(minutes=2)
"""An opportunity that was over before a poll saw it is reported for so long; then it is history."""

AT_ONCE: Final = 200


def enabled_rules() -> list[AlertRule]:
    """Rules that are switched on."""
    return list(AlertRule.objects.filter(enabled=True).select_related("filter", "exchange1", "exchange2"))


def terms_of(rule: AlertRule) -> Terms:
    """A rule as the state machine takes it."""
    return Terms(
        rule.threshold, rule.clear_below, rule.for_s * US, rule.clear_after_s * US, rule.cools_down_s * US
    )


def findings_for(rule: AlertRule, findings: Iterable[Finding]) -> list[Finding]:
    """The findings a rule is about, whatever their value."""
    return [each for each in findings if each.kind == rule.what and matches(rule.subject, each.subject)]


def ago(now: datetime.datetime, lasting: datetime.timedelta, jumps: Jumps | None) -> datetime.datetime:
    """The latest stamp of what has lasted so long now, steps forward of the clock of `now` left out."""
    if jumps is None or not jumps.forward:
        return now - lasting
    return moment(jumps.ago(_us(now), lasting // datetime.timedelta(microseconds=1)))


def opportunities_for(
    rule: AlertRule, now: datetime.datetime, jumps: Jumps | None = None
) -> QuerySet[OpportunityEpisode]:
    """The opportunities that meet a rule: those that are open, and those that were over just now.

    What lasts has lasted no longer for a step of the clock that `jumps` knows. Where an open one began later
    than now its duration is unknown: it is reported.
    """
    lasting = now - ago(now, datetime.timedelta(seconds=rule.for_s), jumps)
    young = Q(started_at__range=lately(now, lasting))
    open_ones = Q(closed_at=None) & (~young if rule.for_s else Q())
    changed_at, since = rule.changed_at, ago(now, LATE, jumps)
    if changed_at is not None and changed_at <= now:
        since = max(since, changed_at)
    over = Q(closed_at__gt=since, duration_ms__gte=rule.for_s * 1000)
    found = OpportunityEpisode.objects.filter(open_ones | over)
    if rule.filter_id is not None:
        found = found.filter(filter=rule.filter_id)
    if rule.min_edge_bps is not None:
        found = found.filter(peak_edge_bps__gte=rule.min_edge_bps)
    if rule.min_size:  # in USDT; what nobody knows the worth of is not enough
        found = found.alias(worth=peak_worth()).filter(worth__gte=rule.min_size)
    found = found.filter(**{f"{column}__gte": least for column, least in rule.least_depth.items()})
    return found.order_by("started_at", "pk")


def unreported_opportunities(
    rule: AlertRule, now: datetime.datetime, jumps: Jumps
) -> list[OpportunityEpisode]:
    """Opportunities that may make an incident of this rule now, the oldest first; the rest the next time.

    What has made one, belongs to a move that has, or falls into the cool-down of its coin is left out here,
    so that a coin that trembles never keeps the others from being seen.
    """
    coin = Func(F("symbol"), Value("/"), Value(1), function="split_part", output_field=CharField())
    found = opportunities_for(rule, now, jumps).annotate(coin=coin, ended_at=_as_of_now("closed_at", jumps))
    made = Alert.objects.filter(rule=rule).alias(began_at=_as_of_now("fired_at", jumps))
    unreported = ~Exists(made.filter(episode=OuterRef("pk"))) & ~Exists(made.filter(_of_reported_move(rule)))
    return list(found.filter(unreported, ~Exists(made.filter(_cooling(rule, now))))[:AT_ONCE])


def _as_of_now(column: str, jumps: Jumps) -> Any:
    """A column of stamps as they would be had the clock always gone as it goes now: `Jumps.since`."""
    stamp: Any = F(column)
    for before_us, by_us in jumps.forward:
        step = When(
            **{f"{column}__lte": moment(before_us)}, then=Value(datetime.timedelta(microseconds=by_us))
        )
        nothing = Value(datetime.timedelta())
        stamp += Case(step, default=nothing, output_field=DurationField())
    return stamp


def _of_reported_move(rule: AlertRule) -> Q:
    """An incident that speaks for a route: a move fires once, and again only when a cool-down has passed."""
    of_move = Q(move=OuterRef("move"))
    if not rule.cools_down_s:
        return of_move
    return of_move & (Q(state=Alert.State.FIRING) | Q(resolved_at__gte=OuterRef("closed_at")))


def _cooling(rule: AlertRule, now: datetime.datetime) -> Q:
    """An incident for whose coin the cool-down goes on, or went on when the opportunity was over.

    One that fired later than now was written before the clock was set back; it holds nothing up.
    """
    if not rule.cools_down_s:
        return Q(pk=None)
    until = Least(Value(now), OuterRef("ended_at"))  # PostgreSQL leaves a null out
    cool_down = datetime.timedelta(seconds=rule.cools_down_s)
    return Q(coin=OuterRef("coin"), began_at__gt=until - cool_down, fired_at__lte=now)


def routes_lately(moves: Collection[UUID], now: datetime.datetime, jumps: Jumps) -> list[OpportunityEpisode]:
    """The routes of moves that are open or were until just now; the best row of each filter and route."""
    return _best(moves, Q(closed_at__gt=ago(now, LATE, jumps)))


def routes_of_firing(alerts: Collection[Alert]) -> list[OpportunityEpisode]:
    """The same since shortly before incidents fired."""
    firing = Alert.objects.filter(pk__in=[alert.pk for alert in alerts], move=OuterRef("move"))
    moves = {alert.move for alert in alerts if alert.move is not None}
    return _best(moves, Q(Exists(firing.filter(fired_at__lt=OuterRef("closed_at") + LATE))))


def _best(moves: Collection[UUID], lately: Q) -> list[OpportunityEpisode]:
    """Select at most two per filter and route, one of them open: however long it trembles, these are few."""
    if not moves:
        return []
    over = ExpressionWrapper(Q(closed_at__isnull=False), output_field=BooleanField())
    rows = OpportunityEpisode.objects.filter(Q(closed_at=None) | lately, move__in=moves).annotate(over=over)
    each = ("move", "filter_id", "filter_name", "symbol", "buy_on", "sell_on", "over")
    best = rows.order_by(*each, "-peak_edge_bps", "pk").distinct(*each)
    return list(best.defer("at_open", "at_close"))


def watched(rule: AlertRule, rows: Iterable[OpportunityEpisode]) -> list[OpportunityEpisode]:
    """The rows of the rule's filter."""
    return [row for row in rows if rule.filter_id is None or row.filter_id == rule.filter_id]


def last_of_move(rule: AlertRule, move: UUID) -> OpportunityEpisode | None:
    """Opportunity that closed last of a move that is over, under the rule's filter."""
    rows = OpportunityEpisode.objects.filter(move=move, closed_at__isnull=False)
    if rule.filter_id is not None:
        rows = rows.filter(filter=rule.filter_id)
    return rows.order_by("-closed_at").first()


def _us(at: datetime.datetime) -> int:
    return (at - moment(0)) // datetime.timedelta(microseconds=1)

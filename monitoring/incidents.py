"""Incidents as rows: what a finding or an opportunity becomes when a rule fires, and how it ends.

Each function may be called again after a crash in the middle: what is there already stays as it is.
"""

import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Q
from django.utils.translation import gettext

from monitoring.findings import Finding
from monitoring.links import chart_path
from monitoring.models import Alert, AlertRule, Delivery, What
from realtime import wording
from realtime.models import OpportunityEpisode

_EPOCH: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)
DELETE_AT_ONCE: Final = 1_000
KEY_CHARS, SUBJECT_CHARS, TITLE_CHARS = 255, 200, 200


def moment(ts_us: int) -> datetime.datetime:
    """A wall-clock time in µs as the database keeps it."""
    return _EPOCH + datetime.timedelta(microseconds=ts_us)


def key_of(finding: Finding) -> str:
    """What its incident is known by."""
    return finding.key[:KEY_CHARS]


def of_finding(rule: AlertRule, finding: Finding, since_us: int, now_us: int) -> Alert:
    """The incident a finding makes, not saved yet."""
    return Alert(
        rule=rule,
        rule_name=rule.name,
        key=key_of(finding),
        subject=finding.subject[:SUBJECT_CHARS],
        severity=rule.severity,
        since=moment(since_us),
        fired_at=moment(now_us),
        title=f"{finding.subject}: {What(finding.kind).label}"[:TITLE_CHARS],
        words=finding.words,
        remedy=finding.remedy,
        value=finding.value,
        limit=finding.limit if rule.threshold is None else rule.threshold,
        path="/health/",
    )


def subject_of(row: OpportunityEpisode) -> str:
    """The direction of a pair: one incident per rule and direction at a time."""
    return f"{row.symbol} {row.buy_on} → {row.sell_on}"


def of_opportunity(rule: AlertRule, row: OpportunityEpisode, now: datetime.datetime) -> Alert:
    """The incident an opportunity makes, not saved yet; resolved already where it is over."""
    subject = subject_of(row)
    edge = wording.bps(row.peak_edge_bps)
    return Alert(
        rule=rule,
        rule_name=rule.name,
        key=f"opportunity:{subject}"[:KEY_CHARS],
        subject=subject[:SUBJECT_CHARS],
        episode=row.pk,
        state=Alert.State.FIRING if row.is_open else Alert.State.RESOLVED,
        severity=rule.severity,
        since=row.started_at,
        fired_at=now,
        resolved_at=row.closed_at,
        resolved_why="" if row.is_open else why_closed(row),
        title=f"{row.symbol}: {edge}, {row.buy_on} → {row.sell_on}"[:TITLE_CHARS],
        words=gettext("Buy on %(buy)s, sell on %(sell)s: %(edge)s after both taker fees.")
        % {"buy": row.buy_on, "sell": row.sell_on, "edge": edge},
        value=row.peak_edge_bps,
        limit=rule.min_edge_bps,
        facts=_facts(row),
        path=chart_path(row) or _explain_path(row),
    )


def why_closed(row: OpportunityEpisode) -> str:
    """Why an opportunity is over, in words."""
    return gettext("Over: %(reason)s.") % {"reason": row.reason or gettext("it closed")}


def _facts(row: OpportunityEpisode) -> list[tuple[str, str]]:
    """What a trader decides by, as of the peak so far."""
    peak, currency = row.peak, row.symbol.partition(":")[0].rpartition("/")[2]
    buy, sell = peak.buy, peak.sell
    gates = ", ".join(row.gates) or gettext("all pass")
    return [
        (gettext("Symbol"), row.symbol),
        (gettext("Buy"), f"{buy.exchange} {wording.price(buy.ask)} × {wording.amount(buy.ask_size)}"),
        (gettext("Sell"), f"{sell.exchange} {wording.price(sell.bid)} × {wording.amount(sell.bid_size)}"),
        (gettext("Edge after fees"), wording.bps(peak.edge_bps)),
        (gettext("Executable"), f"{wording.amount(peak.size)} {currency}"),
        (gettext("Quote ages"), f"{buy.exchange} {wording.age(buy.age_ms)}, "
                                f"{sell.exchange} {wording.age(sell.age_ms)}"),
        (gettext("Gates"), gates),
        (gettext("Filter"), row.filter_name),
    ]  # fmt: skip


def _explain_path(row: OpportunityEpisode) -> str:
    """Where the pair is explained; that page leads to the chart if any filter draws it."""
    asked = {"symbol": row.symbol, "exchange1": row.exchange1, "exchange2": row.exchange2}
    return f"/opportunities/explain?{urlencode(asked)}"


def open_incident(alert: Alert) -> None:
    """Save a new incident, unless it is there already."""
    Alert.objects.bulk_create([alert], ignore_conflicts=True)


def resolve(alerts: Any, at: datetime.datetime, why: str) -> int:
    """End those of a queryset that fire; returns how many did."""
    firing = alerts.filter(state=Alert.State.FIRING)
    return int(firing.update(state=Alert.State.RESOLVED, resolved_at=at, resolved_why=why))


def resolve_abandoned(now: datetime.datetime) -> int:
    """End what fires under a rule that was deleted, switched off, or looks at something else now."""
    opportunities = Q(rule__what=What.OPPORTUNITY)
    abandoned = Alert.objects.filter(
        Q(rule=None)
        | Q(rule__enabled=False)
        | Q(opportunities, episode=None)
        | Q(~opportunities, episode__isnull=False),
        state=Alert.State.FIRING,
    )
    why = gettext("Nobody watches it any more: its rule was changed, switched off or deleted.")
    return resolve(Alert.objects.filter(pk__in=abandoned.values("pk")), now, why)


def delete_alerts(before: datetime.datetime) -> int:
    """Delete what was resolved before a time, with what was sent of it, a batch per transaction, and
    messages of no incident that were queued before it; returns how many incidents that were.
    """
    deleted = 0
    while True:
        old = Alert.objects.filter(resolved_at__lt=before).order_by("resolved_at")
        ids = list(old.values_list("pk", flat=True)[:DELETE_AT_ONCE])
        Alert.objects.filter(pk__in=ids).delete()
        deleted += len(ids)
        if len(ids) < DELETE_AT_ONCE:
            break
    Delivery.objects.filter(alert=None, created_at__lt=before).delete()
    return deleted

"""Who is told of which incident now: quiet hours, digests, reminders; into the outbox, in one transaction.

What is to be told stands in the incidents themselves (`Alert.told`), so a crash forgets nothing.
"""

import datetime
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, cast

from django.db import transaction
from django.db.models import F, Q, QuerySet

from monitoring import outbox, rendering
from monitoring.messages import AlertSeverity
from monitoring.models import Alert, AlertChannel, AlertRule, Delivery
from monitoring.rules import QuietHours

TOLD_AT_ONCE: Final = 500
"""Incidents of a rule that are told in one transaction; the rest in the next."""

_FIRING, _RESOLVED = Alert.State.FIRING, Alert.State.RESOLVED
_NEWS: Final = Q(told=Alert.Told.NOTHING) | Q(told=Alert.Told.FIRING, state=_RESOLVED)


@transaction.atomic
def tell(now: datetime.datetime) -> None:
    """Queue what is due: what fires, what is resolved, digests that are full, reminders."""
    news = Alert.objects.filter(_NEWS)
    rules = AlertRule.objects.filter(
        Q(pk__in=news.order_by().values("rule")) | Q(remind_minutes__gt=0)
    ).prefetch_related("channels")
    for rule in rules:
        _tell_of_rule(rule, now)
    _tell_of_deleted_rules(now)


def quiet_hours(rule: AlertRule) -> QuietHours | None:
    """A rule's quiet hours; None when it has none."""
    if rule.quiet_from is None or rule.quiet_until is None:
        return None
    return QuietHours(rule.quiet_from, rule.quiet_until, rule.quiet_zone, rule.quiet_critical)


def _tell_of_rule(rule: AlertRule, now: datetime.datetime) -> None:
    channels = [channel for channel in rule.channels.all() if channel.enabled]
    quiet = quiet_hours(rule)
    if not channels:
        _mark(_news(rule), Alert.Told.SILENT, now)
    elif quiet is not None and quiet.hold(cast(AlertSeverity, rule.severity), now):
        _mark(_news(rule).filter(state=_RESOLVED, told=Alert.Told.NOTHING), Alert.Told.SILENT, now)
    else:
        news = list(_locked(_news(rule)))
        if not rule.digest_minutes:
            _tell_each(news, channels, now)
        elif news and _digest_full(rule, news, now):
            _tell_together(rule, news, channels, now)
        _remind(rule, channels, now)


def _tell_of_deleted_rules(now: datetime.datetime) -> None:
    """Whoever was told that it fires is told that it is over; nobody else is left to be told."""
    for alert in _locked(_news(None)):
        told = AlertChannel.objects.filter(deliveries__alert=alert, enabled=True).distinct()
        _tell_each([alert], list(told), now)


def _news(rule: AlertRule | None) -> QuerySet[Alert]:
    return Alert.objects.filter(_NEWS, rule=rule)


def _locked(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """The oldest; what another monitor is just telling is left to it."""
    return alerts.select_for_update(skip_locked=True).order_by("fired_at", "pk")[:TOLD_AT_ONCE]


def _mark(alerts: QuerySet[Alert], told: Alert.Told, now: datetime.datetime) -> None:
    alerts.update(told=told, told_at=now)


# --- one message each --------------------------------------------------------------------------------


def _tell_each(alerts: list[Alert], channels: list[AlertChannel], now: datetime.datetime) -> None:
    outbox.put(row for alert in alerts for channel in channels for row in _deliveries(alert, channel, now))
    _mark_told(alerts, now)


def _deliveries(alert: Alert, channel: AlertChannel, now: datetime.datetime) -> Iterator[Delivery]:
    """An opportunity that is over already is told of once: nobody can take it any more."""
    over = alert.state == _RESOLVED
    if alert.told == Alert.Told.NOTHING and not (over and alert.episode):
        yield outbox.delivery(channel, Delivery.Kind.FIRING, rendering.firing(alert), now, alert)
    if over:
        yield outbox.delivery(channel, Delivery.Kind.RESOLVED, rendering.resolved(alert), now, alert)


def _mark_told(alerts: Iterable[Alert], now: datetime.datetime) -> None:
    for state, rows in groupby(sorted(alerts, key=lambda row: row.state), key=lambda row: row.state):
        told = Alert.Told.FIRING if state == _FIRING else Alert.Told.RESOLVED
        _mark(Alert.objects.filter(pk__in=[row.pk for row in rows]), told, now)


# --- several in one, and again -----------------------------------------------------------------------


def _digest_full(rule: AlertRule, news: list[Alert], now: datetime.datetime) -> bool:
    """Whether the oldest has waited for as long as the rule collects."""
    oldest = min(row.fired_at if row.told == Alert.Told.NOTHING else row.resolved_at or now for row in news)
    return now - oldest >= datetime.timedelta(minutes=rule.digest_minutes)


def _tell_together(
    rule: AlertRule, news: list[Alert], channels: list[AlertChannel], now: datetime.datetime
) -> None:
    message = rendering.digest(rule.name, news, now)
    outbox.put(outbox.delivery(channel, Delivery.Kind.DIGEST, message, now) for channel in channels)
    _mark_told(news, now)


def _remind(rule: AlertRule, channels: list[AlertChannel], now: datetime.datetime) -> None:
    if not rule.remind_minutes:
        return
    before = now - datetime.timedelta(minutes=rule.remind_minutes)
    due = Alert.objects.filter(rule=rule, state=_FIRING, told=Alert.Told.FIRING, told_at__lte=before)
    alerts = list(_locked(due))
    outbox.put(
        outbox.delivery(channel, Delivery.Kind.REMINDER, rendering.reminder(alert, now), now, alert)
        for alert in alerts
        for channel in channels
    )
    told = Alert.objects.filter(pk__in=[row.pk for row in alerts])
    told.update(told_at=now, reminders=F("reminders") + 1)

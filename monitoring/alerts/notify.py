"""Recipients of an incident's alerts now: quiet hours, digests, reminders; into the outbox, in one
transaction.

What is to be sent stands in the incidents themselves, so a crash forgets nothing.
"""

import datetime
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, cast

from django.db import transaction
from django.db.models import F, Q, QuerySet

from core.clock.moments import is_over, lately
from monitoring.alerts import outbox, rendering
from monitoring.alerts.messages import AlertSeverity
from monitoring.alerts.rules import QuietHours
from monitoring.models import Alert, AlertChannel, AlertRule, Delivery

QUEUED_AT_ONCE: Final = 500
"""Incidents of a rule that are reported in one transaction; the rest in the next."""

_FIRING, _RESOLVED = Alert.State.FIRING, Alert.State.RESOLVED
_NEWS: Final = Q(told=Alert.Told.NOTHING) | Q(told=Alert.Told.FIRING, state=_RESOLVED)


@transaction.atomic
def queue_due(now: datetime.datetime) -> None:
    """Queue what is due: what fires, what is resolved, digests that are full, reminders."""
    news = Alert.objects.filter(_NEWS)
    rules = AlertRule.objects.filter(
        Q(pk__in=news.order_by().values("rule")) | Q(remind_minutes__gt=0)
    ).prefetch_related("channels")
    for rule in rules:
        _queue_of_rule(rule, now)
    _queue_of_deleted_rules(now)


def quiet_hours(rule: AlertRule) -> QuietHours | None:
    """A rule's quiet hours; None when it has none."""
    if rule.quiet_from is None or rule.quiet_until is None:
        return None
    return QuietHours(rule.quiet_from, rule.quiet_until, rule.quiet_zone, rule.quiet_critical)


def _queue_of_rule(rule: AlertRule, now: datetime.datetime) -> None:
    channels = [channel for channel in rule.channels.all() if channel.enabled]
    quiet = quiet_hours(rule)
    _close_where_it_was_opened(rule, channels, now)
    if not channels:
        _mark(_news(rule), Alert.Told.SILENT, now)
    elif quiet is not None and quiet.hold(cast(AlertSeverity, rule.severity), now):
        _mark(_news(rule).filter(state=_RESOLVED, told=Alert.Told.NOTHING), Alert.Told.SILENT, now)
    else:
        news = list(_locked(_news(rule)))
        if not rule.digest_minutes:
            _queue_each(news, channels, rule.tells_resolved, now)
        else:
            _queue_together(rule, news, channels, now)
        _remind(rule, channels, now)


def _close_where_it_was_opened(rule: AlertRule, channels: list[AlertChannel], now: datetime.datetime) -> None:
    """An incident is closed, too, where it was opened before its channel was taken off the rule.

    At any hour: that it is over wakes nobody. What is queued already is not queued again.
    """
    over = Delivery.objects.filter(alert__rule=rule, alert__state=_RESOLVED, alert__told=Alert.Told.FIRING)
    elsewhere = over.filter(channel__enabled=True).exclude(channel__in=channels)
    opened = elsewhere.filter(kind=Delivery.Kind.FIRING).select_related("alert", "channel")[:QUEUED_AT_ONCE]
    outbox.put(
        outbox.delivery(row.channel, Delivery.Kind.RESOLVED, rendering.resolved(row.alert), now, row.alert)
        for row in opened
        if row.alert is not None and row.channel.keeps_incidents
    )


def _queue_of_deleted_rules(now: datetime.datetime) -> None:
    """Send that it is over to each channel that got that it fires; nobody else is left."""
    for alert in _locked(_news(None)):
        channels = AlertChannel.objects.filter(deliveries__alert=alert, enabled=True).distinct()
        _queue_each([alert], list(channels), alert.episode is None, now)


def _news(rule: AlertRule | None) -> QuerySet[Alert]:
    return Alert.objects.filter(_NEWS, rule=rule)


def _locked(alerts: QuerySet[Alert]) -> QuerySet[Alert]:
    """Lock the oldest; those another monitor is just sending are left to it."""
    return alerts.select_for_update(skip_locked=True).order_by("fired_at", "pk")[:QUEUED_AT_ONCE]


def _mark(alerts: QuerySet[Alert], state: Alert.Told, now: datetime.datetime) -> None:
    alerts.update(told=state, told_at=now)


# --- one message each --------------------------------------------------------------------------------


def _queue_each(
    alerts: list[Alert], channels: list[AlertChannel], with_resolved: bool, now: datetime.datetime
) -> None:
    outbox.put(
        row
        for alert in alerts
        for channel in channels
        for row in _deliveries(alert, channel, with_resolved or channel.keeps_incidents, now)
    )
    _mark_queued(alerts, with_resolved or any(channel.keeps_incidents for channel in channels), now)


def _deliveries(
    alert: Alert, channel: AlertChannel, with_resolved: bool, now: datetime.datetime
) -> Iterator[Delivery]:
    """Deliveries of an alert; one that is over before anything was sent is one message, as over, at last.

    An opportunity is so in any case: nobody can take it any more.
    """
    over, first = alert.state == _RESOLVED, alert.told == Alert.Told.NOTHING
    if first and not (over and (alert.episode or not with_resolved)):
        yield outbox.delivery(channel, Delivery.Kind.FIRING, rendering.firing(alert), now, alert)
    if over and (first or with_resolved):
        yield outbox.delivery(channel, Delivery.Kind.RESOLVED, rendering.resolved(alert), now, alert)


def _mark_queued(alerts: Iterable[Alert], with_resolved: bool, now: datetime.datetime) -> None:
    def state_of(alert: Alert) -> Alert.Told:
        if alert.state == _FIRING:
            return Alert.Told.FIRING
        first = alert.told == Alert.Told.NOTHING
        return Alert.Told.RESOLVED if first or with_resolved else Alert.Told.FIRED

    for state, rows in groupby(sorted(alerts, key=state_of), key=state_of):
        _mark(Alert.objects.filter(pk__in=[row.pk for row in rows]), state, now)


# --- several in one, and again -----------------------------------------------------------------------


def _digest_full(rule: AlertRule, news: list[Alert], now: datetime.datetime) -> bool:
    """Whether the oldest has waited for as long as the rule collects."""
    oldest = min(row.fired_at if row.told == Alert.Told.NOTHING else row.resolved_at or now for row in news)
    return is_over((now - oldest).total_seconds(), 60 * rule.digest_minutes)


def _queue_together(
    rule: AlertRule, news: list[Alert], channels: list[AlertChannel], now: datetime.datetime
) -> None:
    if not rule.tells_resolved:
        _mark_queued([alert for alert in news if alert.told == Alert.Told.FIRING], False, now)
        news = [alert for alert in news if alert.told == Alert.Told.NOTHING]
    if not news or not _digest_full(rule, news, now):
        return
    message = rendering.digest(rule.name, news, now)
    outbox.put(outbox.delivery(channel, Delivery.Kind.DIGEST, message, now) for channel in channels)
    _mark_queued(news, True, now)


def _remind(rule: AlertRule, channels: list[AlertChannel], now: datetime.datetime) -> None:
    if not rule.remind_minutes:
        return
    reminded = lately(now, datetime.timedelta(minutes=rule.remind_minutes))
    reported = Alert.objects.filter(rule=rule, state=_FIRING, told=Alert.Told.FIRING, told_at__isnull=False)
    alerts = list(_locked(reported.exclude(told_at__range=reminded)))
    outbox.put(
        outbox.delivery(channel, Delivery.Kind.REMINDER, rendering.reminder(alert, now), now, alert)
        for alert in alerts
        for channel in channels
    )
    reminded_of = Alert.objects.filter(pk__in=[row.pk for row in alerts])
    reminded_of.update(told_at=now, reminders=F("reminders") + 1)

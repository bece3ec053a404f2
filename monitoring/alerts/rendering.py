"""Incidents as messages, in the words and units of the desk's pages; the channels only change the form."""

import datetime
from collections.abc import Iterable, Sequence
from typing import Final, cast
from urllib.parse import urljoin

from django.conf import settings
from django.utils.translation import gettext, ngettext

from core.names import formats as wording
from core.names.plain_names import isolated
from monitoring.alerts.messages import AlertSeverity, Message, MessageState
from monitoring.models import Alert

LISTED: Final = 20
"""So many incidents a digest names; a phone shows no more."""

Facts = tuple[tuple[str, str], ...]


def firing(alert: Alert) -> Message:
    """Message that it fires."""
    return _message(alert, "firing", alert.words, _facts(alert), alert.fired_at)


def reminder(alert: Alert, now: datetime.datetime) -> Message:
    """Message that it goes on."""
    lasting = (gettext("Lasting"), _span(alert.since, now))
    return _message(alert, "firing", alert.words, (lasting, *_facts(alert)), now)


def resolved(alert: Alert) -> Message:
    """Message that it is over, after how long and why."""
    at = alert.resolved_at or alert.fired_at
    lasted = (gettext("Lasted"), _span(alert.since, at))
    return _message(alert, "resolved", alert.resolved_why or alert.words, (lasted, *_facts(alert)), at)


def digest(rule_name: str, alerts: Sequence[Alert], now: datetime.datetime) -> Message:
    """Several at once: each with its state, and when."""
    going_on = sum(alert.state == Alert.State.FIRING for alert in alerts)
    title = ngettext("%(count)d incident: %(rule)s", "%(count)d incidents: %(rule)s", len(alerts))
    words = gettext("%(firing)d firing, %(resolved)d resolved") % {
        "firing": going_on, "resolved": len(alerts) - going_on,
    }  # fmt: skip
    first = alerts[0]
    return Message(
        title=title % {"count": len(alerts), "rule": isolated(rule_name)},
        words=words,
        severity=cast(AlertSeverity, first.severity),
        state="digest",
        facts=tuple(_lines(alerts)),
        url=_address("/health/" if first.episode is None else "/opportunities"),
        key=f"digest-{first.pk}-{_stamp(now)}",
        at_us=_us(now),
    )


def test_message(channel: str, by: str, now: datetime.datetime) -> Message:
    """Message that a channel works."""
    return Message(
        title=gettext("Test of %(channel)s") % {"channel": isolated(channel)},
        words=gettext("This is a test: the arbitrage desk can deliver messages here."),
        severity="info",
        state="test",
        facts=((gettext("Requested by"), isolated(by)), (gettext("At"), _moment(now))),
        url=_address("/health/"),
        key=f"test-{_stamp(now)}",
        at_us=_us(now),
    )


def _message(alert: Alert, state: MessageState, words: str, facts: Facts, at: datetime.datetime) -> Message:
    return Message(
        title=alert.title,
        words=words,
        severity=cast(AlertSeverity, alert.severity),
        state=state,
        facts=facts,
        url=_address(alert.path),
        key=f"incident-{alert.pk}-{_stamp(alert.fired_at)}",
        at_us=_us(at),
    )


def _facts(alert: Alert) -> Facts:
    facts = [(str(label), str(value)) for label, value in alert.facts]
    facts.append((gettext("Since"), _moment(alert.since)))
    if alert.remedy:
        facts.append((gettext("What to do"), alert.remedy))
    facts.append((gettext("Rule"), isolated(alert.rule_name)))
    return tuple(facts)


def _lines(alerts: Iterable[Alert]) -> Iterable[tuple[str, str]]:
    listed = list(alerts)
    for alert in listed[:LISTED]:
        if alert.resolved_at is None:
            yield alert.title, gettext("firing since %(time)s") % {"time": _moment(alert.since)}
        else:
            lasted = _span(alert.since, alert.resolved_at)
            yield alert.title, gettext("resolved after %(span)s") % {"span": lasted}
    if len(listed) > LISTED:
        yield gettext("and more"), f"{len(listed) - LISTED:,}"


def _address(path: str) -> str:
    """Empty where there is no page."""
    return urljoin(settings.PUBLIC_URL, path) if path else ""


def _span(start: datetime.datetime, end: datetime.datetime) -> str:
    return wording.age(max(0.0, (end - start) / datetime.timedelta(milliseconds=1)))


def _moment(at: datetime.datetime) -> str:
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _stamp(at: datetime.datetime) -> str:
    return str(_us(at))


def _us(at: datetime.datetime) -> int:
    return (at - datetime.datetime.fromtimestamp(0, datetime.UTC)) // datetime.timedelta(microseconds=1)

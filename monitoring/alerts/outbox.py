"""Into the outbox: what is put in with a transaction leaves when, and only when, that is committed."""

import datetime
from collections.abc import Iterable
from typing import Final

import msgspec
from django.db import connection
from django.utils import timezone

from monitoring.alerts.messages import Message
from monitoring.models import Alert, AlertChannel, Delivery

OUTBOX: Final = "alert_outbox"
"""The PostgreSQL channel that is notified when something was put in. The sender polls anyway."""


def delivery(
    channel: AlertChannel,
    kind: Delivery.Kind,
    message: Message,
    now: datetime.datetime,
    alert: Alert | None = None,
) -> Delivery:
    """One message for one channel, not saved yet.

    The same message of the same kind makes the same idempotency key, so putting it in twice, after a
    crash, makes one; only reminders are many.
    """
    number = f"-{alert.reminders}" if alert is not None and kind == Delivery.Kind.REMINDER else ""
    return Delivery(
        alert=alert,
        channel=channel,
        kind=kind,
        message=msgspec.to_builtins(message),
        idempotency_key=f"{message.key}-{kind}{number}-{channel.pk}",
        next_try_at=now,
    )


def put(deliveries: Iterable[Delivery]) -> None:
    """Queue them in the caller's transaction, and wake who sends once it is committed."""
    rows = list(deliveries)
    if not rows:
        return
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {OUTBOX}")


def put_test(channel: AlertChannel, by: str) -> Delivery:
    """Queue a test message; returns its row, by which its way can be followed."""
    from monitoring.alerts.rendering import test_message

    now = timezone.now()
    row = delivery(channel, Delivery.Kind.TEST, test_message(channel.name, by, now), now)
    row.save()
    with connection.cursor() as cursor:
        cursor.execute(f"NOTIFY {OUTBOX}")
    return row

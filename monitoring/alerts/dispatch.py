"""Queue of the outbox: which message goes next, and the outcome of each. Each step is one transaction.

A message is claimed before it is sent, for `LEASE`: a process that claims and dies leaves it to the next one,
who sends it under the same key. What was tried once is never put into a group, as that would have another.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import transaction
from django.db.models import Case, Exists, IntegerField, OuterRef, Q, QuerySet, When
from msgspec import Struct, structs

import audit
from core.clock.moments import AHEAD_S, lately
from monitoring.alerts.attempts import attempts
from monitoring.alerts.budget import DEAD_AFTER
from monitoring.alerts.channels.parcels import LONGEST_WAIT_S, Answer, Parcel, Target
from monitoring.alerts.channels.sending import NEVER_GROUPED, SEND_TIMEOUT_S
from monitoring.alerts.channels.wording import grouped
from monitoring.alerts.messages import Message
from monitoring.health.observed import ChannelTrouble
from monitoring.models import AlertChannel, Delivery, DeliveryAttempt

LEASE: Final = timedelta(seconds=3 * SEND_TIMEOUT_S)
"""Longer than any sending takes; a claim that is older is a dead process's."""

KEPT_FOR: Final = timedelta(hours=24)
"""What was not taken for so long is given up: nobody needs it any more."""

TEST_KEPT_FOR: Final = timedelta(minutes=1)
"""Somebody waits for the result of a test."""

TAKEN_AT_ONCE: Final = 500
ATTEMPTS_KEPT: Final = 50
LATE: Final = timedelta(minutes=2)
"""What waits for longer is reported, even when nothing failed: its channel is over its budget."""

_Kind, _State = Delivery.Kind, Delivery.State
OPEN: Final = (_State.QUEUED, _State.SENDING)


class Destination(Struct, frozen=True):
    """A channel something waits for, as its row is now; `due`, `test_due`: anything, a test may be sent."""

    id: int
    name: str
    kind: str
    settings: dict[str, Any]
    sealed_secret: str
    per_second: float
    per_minute: int
    due: bool
    test_due: bool = False

    def target(self) -> Target:
        """Raises: monitoring.alerts.secrets.UnreadableSecret."""
        row = AlertChannel(kind=self.kind, settings=self.settings, sealed_secret=self.sealed_secret)
        return Target(self.kind, self.settings, row.secret)


class Taken(Struct, frozen=True):
    """A message that is ours to send, until the lease of `claimed_at` is over."""

    id: int
    parcel: Parcel
    tries: int
    claimed_at: datetime
    give_up_at: datetime


# --- what is due ---------------------------------------------------------------------------------------


def destinations(now: datetime) -> list[Destination]:
    """The channels something waits for; what waits for one that is switched off is given up."""
    _give_up_switched_off()
    waiting = Delivery.objects.filter(channel=OuterRef("pk"), state__in=OPEN)
    due = _due(now).filter(channel=OuterRef("pk"))
    test = Exists(due.filter(kind=_Kind.TEST))
    channels = AlertChannel.objects.filter(Exists(waiting)).annotate(due=Exists(due), test_due=test)
    return [Destination(**row) for row in channels.values(*Destination.__struct_fields__)]


def recently_sent(channel: int, now: datetime) -> list[float]:
    """Ages in seconds of its tries in the last minute, the longest ago first."""
    last_minute = lately(now, timedelta(minutes=1))
    tried = DeliveryAttempt.objects.filter(delivery__channel=channel, at__range=last_minute)
    times = tried.order_by("at").values_list("at", flat=True)
    return [max(0.0, (now - at).total_seconds()) for at in times]


def _give_up_switched_off() -> None:
    waiting = Delivery.objects.filter(state=_State.QUEUED, channel__enabled=False)
    waiting.update(state=_State.GIVEN_UP, last_error="its channel is disabled")


def _due(now: datetime) -> QuerySet[Delivery]:
    """Due, and not behind something of the same incident: that it is over never comes before that it is."""
    abandoned = Q(state=_State.SENDING) & ~Q(claimed_at__range=lately(now, LEASE))
    due = (Q(state=_State.QUEUED) & ~_put_off(now)) | abandoned
    not_yet_through = (
        Q(state__in=OPEN) & (Q(tries__gt=0) | _put_off(now))
    ) | Q(state=_State.GROUPED, grouped_into__state__in=OPEN)  # fmt: skip
    before = Delivery.objects.filter(
        not_yet_through, alert=OuterRef("alert"), channel=OuterRef("channel"), pk__lt=OuterRef("pk")
    )
    return Delivery.objects.filter(due).exclude(Exists(before))


def _put_off(now: datetime) -> Q:
    """Messages that were tried in vain and have their next try ahead of them, as planned by the clock as it
    is now.

    What was claimed later than now was put off before the clock was set back: it is due.
    """
    ahead = now + timedelta(seconds=AHEAD_S)
    planned = Q(next_try_at__gt=now, next_try_at__lte=ahead + timedelta(seconds=LONGEST_WAIT_S))
    return Q(tries__gt=0) & planned & (Q(claimed_at=None) | Q(claimed_at__lte=ahead))


# --- taking --------------------------------------------------------------------------------------------


@transaction.atomic
def take(
    channel: Destination, now: datetime, free: int, *, least_tried: bool = False, only_tests: bool = False
) -> Taken | None:
    """Claim what is to be sent next: one message, or, when there are more than `free`, several in one.

    Tests go first, as somebody waits for them; then the oldest, or with `least_tried` what was tried least.
    None when nothing is due, or another monitor has just claimed it.
    """
    # One that fails again and again goes behind those that may fare better.
    failing = When(tries__gte=0 if least_tried else DEAD_AFTER, then="tries")
    often = Case(When(kind=_Kind.TEST, then=-1), failing, default=0, output_field=IntegerField())
    due = _due(now).filter(channel=channel.id).order_by(often, "pk")
    if only_tests:
        due = due.filter(kind=_Kind.TEST)
    rows = list(due.select_for_update(skip_locked=True, of=("self",))[:TAKEN_AT_ONCE])
    if not rows:
        return None
    if channel.sealed_secret:
        audit.used(AlertChannel(pk=channel.id, name=channel.name), "its secret, to send messages")
    fresh = [row for row in rows if _may_be_grouped(row)]
    if channel.kind not in NEVER_GROUPED and len(fresh) > max(1, free) and rows[0] is fresh[0]:
        return _claim(_grouped(channel.id, fresh, now), now, [_message(row) for row in fresh])
    parts = Delivery.objects.filter(grouped_into=rows[0]).order_by("pk")
    return _claim(rows[0], now, [_message(row) for row in parts])


def _may_be_grouped(row: Delivery) -> bool:
    return row.tries == 0 and row.kind != _Kind.TEST


def _grouped(channel: int, rows: Sequence[Delivery], now: datetime) -> Delivery:
    """A row for all of them, which they go with."""
    message = grouped([_message(row) for row in rows])
    group = Delivery.objects.create(
        channel_id=channel,
        kind=_Kind.DIGEST,
        message=msgspec.to_builtins(message),
        idempotency_key=f"group-{uuid.uuid4().hex}",
        next_try_at=now,
    )
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(state=_State.GROUPED, grouped_into=group)
    return group


def _claim(row: Delivery, now: datetime, parts: Sequence[Message]) -> Taken:
    row.state, row.claimed_at, row.tries = _State.SENDING, now, row.tries + 1
    row.save(update_fields=["state", "claimed_at", "tries"])
    kept_for = TEST_KEPT_FOR if row.kind == _Kind.TEST else KEPT_FOR
    parcel = Parcel(row.idempotency_key, _message(row), tuple(parts))
    return Taken(row.pk, parcel, row.tries, now, row.created_at + kept_for)


def _message(row: Delivery) -> Message:
    return msgspec.convert(row.message, Message)


# --- what became of it -----------------------------------------------------------------------------------


@transaction.atomic
def settle(taken: Taken, answer: Answer, at: datetime, took_ms: float, next_try_at: datetime) -> None:
    """Record the attempt, and what follows from it.

    When the lease was over and somebody else has it, the attempt is recorded and the row left alone.
    """
    channel = Delivery.objects.filter(pk=taken.id).values_list("channel__name", flat=True).first()
    if channel is None:
        return  # its channel was deleted meanwhile
    attempts.add(channel, answer.outcome, took_ms / 1000)
    DeliveryAttempt.objects.create(
        delivery_id=taken.id,
        at=at,
        took_ms=took_ms,
        ok=answer.outcome == "sent",
        code=answer.code,
        words=answer.words,
    )
    _forget_old_attempts(taken.id)
    ours = _ours(taken).update(**_outcome(taken, answer, at, next_try_at))
    if ours and answer.outcome == "refused":
        _take_apart(taken, answer, at)


def _take_apart(group: Taken, answer: Answer, at: datetime) -> None:
    """Send each of several that were refused together by itself: one of them is to blame, not all."""
    parts = Delivery.objects.filter(grouped_into=group.id, state=_State.GROUPED)
    parts.update(
        state=_State.QUEUED,
        grouped_into=None,
        tries=1,
        next_try_at=at,
        last_error=f"in a group: {answer.words}",
    )


@transaction.atomic
def follow(channel: Destination, moved_to: str) -> Destination | None:
    """Keep where a channel's chat has moved to; None when it was followed before, or is another by now.

    The chat it had stays in its settings, until an operator saves the channel.
    """
    row = AlertChannel.objects.select_for_update().filter(pk=channel.id).first()
    was = str((row.settings if row else {}).get("chat_id", ""))
    if row is None or was != str(channel.settings.get("chat_id", "")) or "moved_from" in row.settings:
        return None
    row.settings = row.settings | {"chat_id": moved_to, "moved_from": was}
    row.save(update_fields=["settings"])
    return structs.replace(channel, settings=row.settings)


def release(taken: Taken, now: datetime) -> None:
    """Give back what could not be brought to an end: it is sent again, under the same key."""
    _ours(taken).update(state=_State.QUEUED, next_try_at=now)


def hurry(channel: int, now: datetime) -> None:
    """The channel is back, or was mended: what was put off for its sake is due."""
    waiting = Delivery.objects.filter(channel=channel, state=_State.QUEUED, next_try_at__gt=now)
    waiting.update(next_try_at=now)


def _ours(taken: Taken) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk=taken.id, state=_State.SENDING, claimed_at=taken.claimed_at)


def _outcome(taken: Taken, answer: Answer, at: datetime, next_try_at: datetime) -> dict[str, Any]:
    if answer.outcome == "sent":
        return {"state": _State.SENT, "sent_at": at, "receipt": answer.receipt, "last_error": ""}
    if answer.outcome == "refused":
        return {"state": _State.GIVEN_UP, "last_error": answer.words}
    if next_try_at > taken.give_up_at:
        return {"state": _State.GIVEN_UP, "last_error": f"not taken in time; at last: {answer.words}"}
    return {"state": _State.QUEUED, "next_try_at": next_try_at, "last_error": answer.words}


def _forget_old_attempts(delivery: int) -> None:
    newest = DeliveryAttempt.objects.filter(delivery=delivery).order_by("-pk")
    if oldest_kept := newest.values_list("pk", flat=True)[ATTEMPTS_KEPT - 1 : ATTEMPTS_KEPT].first():
        DeliveryAttempt.objects.filter(delivery=delivery, pk__lt=oldest_kept).delete()


# --- what is wrong ---------------------------------------------------------------------------------------


def troubles(now: datetime) -> list[ChannelTrouble]:
    """The channels that do not take messages: tried twice in vain, late, or given up at last."""
    found = (_trouble(channel, now) for channel in AlertChannel.objects.filter(enabled=True))
    return [trouble for trouble in found if trouble]


def _trouble(channel: AlertChannel, now: datetime) -> ChannelTrouble | None:
    waiting = Delivery.objects.filter(channel=channel, state__in=OPEN)
    late = ~Q(created_at__range=lately(now, LATE))
    stuck = waiting.filter(Q(tries__gt=1) | late).order_by("pk").first()
    if stuck is not None:
        words = stuck.last_error or "messages wait unsent"
        return ChannelTrouble(channel.name, _us(stuck.created_at), words, waiting.count())
    last = _last_settled(channel)
    if last is None or last.state != _State.GIVEN_UP or last.claimed_at is None:
        return None
    # What lies ahead of now is reported as well: silence would say that the channel works.
    if last.claimed_at <= now - KEPT_FOR:
        return None
    return ChannelTrouble(channel.name, _us(last.created_at), last.last_error)


def _last_settled(channel: AlertChannel) -> Delivery | None:
    """Last delivery that was tried and is over, tests apart: by the order of attempts, not by their times."""
    settled = DeliveryAttempt.objects.filter(delivery__channel=channel).exclude(delivery__state__in=OPEN)
    last = settled.exclude(delivery__kind=_Kind.TEST).select_related("delivery").order_by("-pk").first()
    return None if last is None else last.delivery


def _us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)

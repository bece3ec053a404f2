"""From the outbox to the channels: nothing lost, nothing twice, and no channel waits for another."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from channels.db import database_sync_to_async
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from monitoring.alerts import delivery, dispatch, outbox
from monitoring.alerts.channels.parcels import Answer
from monitoring.alerts.channels.sending import sender
from monitoring.alerts.delivery import Delivering
from monitoring.alerts.messages import Message
from monitoring.models import Alert, AlertChannel, Delivery, DeliveryAttempt
from tests.support.desk.alert_servers import PagerDuty, Receiver, Slack, Telegram, serving
from tests.support.live import eventually

pytestmark = pytest.mark.django_db
in_the_open = pytest.mark.usefixtures("transactional_db")  # the delivery has connections of its own

FIRING, RESOLVED, TEST = Delivery.Kind.FIRING, Delivery.Kind.RESOLVED, Delivery.Kind.TEST
SENT, QUEUED, GIVEN_UP = Delivery.State.SENT, Delivery.State.QUEUED, Delivery.State.GIVEN_UP
NOBODY = "http://127.0.0.1:1/x"
FAST = {"per_second": 100.0, "per_minute": 6000}


def channel(kind: str, secret: str, /, name: str = "", **fields: Any) -> AlertChannel:
    """One an operator has set up."""
    settings = fields.pop("settings", {})
    row = AlertChannel(name=name or kind, kind=kind, settings=settings, **{**FAST, **fields})
    row.secret = secret
    row.save()
    return row


def webhook(server: Receiver, **fields: Any) -> AlertChannel:
    """Our own JSON."""
    return channel("webhook", server.secret, settings={"url": server.url}, **fields)


def slack(server: Slack, **fields: Any) -> AlertChannel:
    """Slack's."""
    return channel("slack", server.url + server.path, **fields)


def incident(name: str = "okx is silent") -> Alert:
    """Something was unhealthy; the rules are done with it, so they queue nothing of their own."""
    now = timezone.now()
    return Alert.objects.create(
        rule_name="silence", key=f"exchange_silent:{name}", subject=name, severity="critical",
        since=now, fired_at=now, title=name, words="Nothing arrives.",
        state=Alert.State.RESOLVED, resolved_at=now, told=Alert.Told.RESOLVED, told_at=now,
    )  # fmt: skip


def put(to: AlertChannel, alert: Alert | None = None, kind: Delivery.Kind = FIRING) -> Delivery:
    """Queue one message; returns its row."""
    alert = alert or incident()
    now = timezone.now()
    state: Any = {FIRING: "firing", RESOLVED: "resolved", TEST: "test"}[kind]
    url, at_us = "https://desk.example/", int(now.timestamp() * 1e6)
    message = Message(alert.title, alert.words, "critical", state, (), url, f"incident-{alert.pk}", at_us)
    with transaction.atomic():
        row = outbox.delivery(to, kind, message, now, alert)
        outbox.put([row])
    return Delivery.objects.get(idempotency_key=row.idempotency_key)


async def db(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """In the database."""
    return await database_sync_to_async(work)(*args, **kwargs)


@asynccontextmanager
async def delivering(timeout_s: float = 5.0) -> AsyncIterator[asyncio.Event]:
    """The delivery as the monitor runs it; yields its stop."""
    stop = asyncio.Event()
    async with sender(timeout_s) as sending:
        task = asyncio.create_task(Delivering(sending).run(stop))
        try:
            yield stop
        finally:
            stop.set()
            await task


async def until(row: Delivery, *states: str) -> Delivery:
    """Wait until the row is in one of the states."""
    async with asyncio.timeout(15):
        while True:
            await db(row.refresh_from_db)
            if row.state in states:
                return row
            await asyncio.sleep(0.02)


async def tried(row: Delivery, times: int = 1) -> Delivery:
    """Wait until it was tried so often, and waits again or is done."""
    async with asyncio.timeout(15):
        while True:
            if await db(DeliveryAttempt.objects.filter(delivery=row).count) >= times:
                await db(row.refresh_from_db)
                return row
            await asyncio.sleep(0.02)


async def never() -> web.Response:
    """A server that takes the request and says nothing."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture(autouse=True)
def _short_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what hangs."""
    monkeypatch.setattr(delivery, "DRAIN_S", 0.1)


# --- delivered -----------------------------------------------------------------------------------------


@in_the_open
async def test_a_message_is_delivered_and_its_attempt_recorded() -> None:
    async with serving(Receiver()) as server, delivering():
        row = await until(await db(put, await db(webhook, server)), SENT)
        assert server.ids == [row.idempotency_key]
        attempt = await db(DeliveryAttempt.objects.get, delivery=row)
        assert (attempt.ok, attempt.code, attempt.words, row.tries) == (True, 204, "204", 1)
        assert 0 < attempt.took_ms < 5000
        assert row.sent_at is not None


@in_the_open
async def test_every_channel_gets_its_own_and_the_end_of_it() -> None:
    async with serving(Telegram()) as chat, serving(PagerDuty()) as pager, delivering():
        settings = {"base_url": chat.url, "chat_id": chat.chat}
        to_chat = await db(channel, "telegram", chat.token, settings=settings)
        to_pager = await db(channel, "pagerduty", pager.routing_key, settings={"base_url": pager.url})
        alert = await db(incident)
        rows = [await db(put, to, alert, kind) for kind in (FIRING, RESOLVED) for to in (to_chat, to_pager)]
        for row in rows:
            await until(row, SENT)
        assert [each["shown"].split(":")[0] for each in chat.taken] == ["⛔ CRITICAL", "✅ RESOLVED"]
        assert (pager.open, pager.resolved) == ({}, [f"incident-{alert.pk}"])
        assert rows[0].receipt == "message 1"


@in_the_open
async def test_a_dead_channel_delays_no_other() -> None:
    async with serving(Slack()) as dead, serving(Receiver()) as alive, delivering():
        dead.replies.extend([never] * 20)
        stuck = await db(put, await db(slack, dead))
        await until(stuck, Delivery.State.SENDING)
        to_alive = await db(webhook, alive)
        for _ in range(5):
            await until(await db(put, to_alive), SENT)
        assert (await until(stuck, Delivery.State.SENDING)).tries == 1


# --- over the budget -----------------------------------------------------------------------------------


@in_the_open
async def test_what_is_over_the_budget_goes_in_one_message() -> None:
    async with serving(Receiver()) as server:
        to = await db(webhook, server, per_second=1.0, per_minute=20)
        rows = [await db(put, to, await db(incident, f"exchange {n} is silent")) for n in range(7)]
        async with delivering():
            for row in rows:
                await until(row, Delivery.State.GROUPED)
            group = await db(lambda: rows[0].grouped_into)
            await until(group, SENT)
        assert server.asked == 1
        assert server.taken[0]["message"]["title"].startswith("7 alerts: exchange 0 is silent, exchange 1")
        assert [part["title"][:10] for part in server.taken[0]["parts"]] == [
            f"exchange {n}" for n in range(7)
        ]


def test_an_incident_is_never_hidden_in_a_group_from_pagerduty() -> None:
    to = channel("pagerduty", PagerDuty.routing_key)
    rows = [put(to, incident(f"exchange {n}")) for n in range(3)]
    taken = dispatch.take(destination(to), timezone.now(), free=1)
    assert taken is not None
    assert (taken.id, taken.parcel.parts) == (rows[0].pk, ())


def test_what_was_tried_once_keeps_its_key() -> None:
    """It may have arrived: in a group, under another key, it would arrive twice."""
    to = channel("slack", NOBODY)
    first, *others = [put(to, incident(f"exchange {n}")) for n in range(4)]
    now = timezone.now()
    taken = dispatch.take(destination(to), now, free=4)
    assert taken is not None
    assert taken.id == first.pk
    dispatch.settle(taken, Answer("later", "503"), now, 1.0, now)
    again = dispatch.take(destination(to), now, free=1)
    assert again is not None
    assert (again.parcel.key, again.parcel.parts) == (first.idempotency_key, ())
    group = dispatch.take(destination(to), now, free=1)
    assert group is not None
    assert [part.title for part in group.parcel.parts] == ["exchange 1", "exchange 2", "exchange 3"]
    assert {row.state for row in Delivery.objects.filter(pk__in=[row.pk for row in others])} == {"grouped"}


def destination(row: AlertChannel) -> dispatch.Destination:
    """Destination as the delivery finds it."""
    (found,) = [each for each in dispatch.destinations(timezone.now()) if each.id == row.pk]
    return found


# --- failing -------------------------------------------------------------------------------------------


@in_the_open
async def test_a_flood_is_waited_out_by_the_whole_chat() -> None:
    async with serving(Telegram()) as server, delivering():
        server.replies.append(server.flood(35))
        settings = {"base_url": server.url, "chat_id": server.chat}
        to = await db(channel, "telegram", server.token, settings=settings)
        row = await tried(await db(put, to))
        attempt = await db(DeliveryAttempt.objects.get, delivery=row)
        assert (row.state, attempt.code) == (QUEUED, 429)
        assert row.next_try_at - attempt.at >= datetime.timedelta(seconds=35)
        other = await db(put, to, await db(incident, "bybit is silent"))
        await tried(await db(put, await db(channel, "slack", NOBODY)))  # it has looked since
        await db(other.refresh_from_db)
        assert (other.state, other.tries, server.asked) == (QUEUED, 0, 1)


@in_the_open
async def test_the_end_never_overtakes_the_beginning() -> None:
    async with serving(PagerDuty()) as server, delivering():
        server.replies.append(web.Response(status=500))
        to = await db(channel, "pagerduty", server.routing_key, settings={"base_url": server.url})
        alert = await db(incident)
        first = await tried(await db(put, to, alert))
        assert first.state == QUEUED
        last = await db(put, to, alert, RESOLVED)
        await until(last, SENT)
        assert [event["event_action"] for event in server.taken] == ["trigger", "resolve"]
        assert server.open == {}


@in_the_open
async def test_a_message_that_is_refused_is_given_up_and_the_next_one_goes() -> None:
    async with serving(Slack()) as server, delivering():
        server.replies.append(web.Response(status=400, text="invalid_payload"))
        to = await db(slack, server)
        row = await until(await db(put, to), GIVEN_UP)
        assert (row.last_error, row.tries) == ("400: invalid_payload", 1)
        (trouble,) = await db(dispatch.troubles, timezone.now())
        assert (trouble.channel, trouble.words) == ("slack", "400: invalid_payload")
        await until(await db(put, to, await db(incident, "bybit")), SENT)
        assert await db(dispatch.troubles, timezone.now()) == []


@in_the_open
async def test_a_channel_that_was_mended_gets_what_waits_at_once() -> None:
    async with serving(Slack()) as server, delivering():
        to = await db(slack, server)
        to.secret = server.url + "/services/revoked"
        await db(to.save)
        row = await tried(await db(put, to))
        assert (row.state, row.last_error) == (QUEUED, "404: no_service")
        to.secret = server.url + server.path
        await db(to.save)
        await until(row, SENT)


def test_after_a_day_it_is_given_up_and_a_test_after_a_minute() -> None:
    to = channel("slack", NOBODY)
    old, test = put(to), put(to, incident("test"), TEST)
    now = timezone.now()
    Delivery.objects.filter(pk=old.pk).update(created_at=now - datetime.timedelta(hours=24))
    Delivery.objects.filter(pk=test.pk).update(created_at=now - datetime.timedelta(seconds=50))
    for row in (test, old):
        taken = dispatch.take(destination(to), now, free=9)
        assert taken is not None
        assert taken.id == row.pk
        dispatch.settle(taken, Answer("later", "503"), now, 1.0, now + datetime.timedelta(seconds=11))
        row.refresh_from_db()
        assert (row.state, row.last_error) == (GIVEN_UP, "not taken in time; at last: 503")


def test_what_waits_for_a_channel_that_is_switched_off_is_given_up() -> None:
    to = channel("slack", NOBODY, enabled=False)
    row = put(to)
    assert dispatch.destinations(timezone.now()) == []
    row.refresh_from_db()
    assert (row.state, row.last_error) == (GIVEN_UP, "its channel is disabled")


def test_a_channel_that_fails_is_in_trouble_since_its_first_message() -> None:
    to = channel("slack", NOBODY)
    first = put(to)
    put(to, incident("bybit"))
    now = timezone.now()
    for number in range(2):
        assert dispatch.troubles(now) == [], number
        taken = dispatch.take(destination(to), now, free=9)
        assert taken is not None
        dispatch.settle(taken, Answer("later", "503"), now, 1.0, now)
    (trouble,) = dispatch.troubles(now)
    assert (trouble.channel, trouble.words, trouble.waiting) == ("slack", "503", 2)
    assert trouble.since_us == int(first.created_at.timestamp() * 1e6)


def test_attempts_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "ATTEMPTS_KEPT", 3)
    to = channel("slack", NOBODY)
    row, now = put(to), timezone.now()
    for number in range(5):
        taken = dispatch.take(destination(to), now, free=9)
        assert taken is not None
        dispatch.settle(taken, Answer("later", str(number)), now, 1.0, now)
    words = list(DeliveryAttempt.objects.values_list("words", flat=True))
    assert words == ["2", "3", "4"]
    row.refresh_from_db()
    assert row.tries == 5


@in_the_open
async def test_a_secret_sealed_under_another_key_says_so() -> None:
    async with serving(Slack()) as server, delivering():
        to = await db(slack, server)
        await db(AlertChannel.objects.filter(pk=to.pk).update, sealed_secret="gAAAAAB-not-ours")
        row = await tried(await db(put, to))
        assert (row.state, server.asked) == (QUEUED, 0)
        assert "enter it again" in row.last_error


# --- dying ---------------------------------------------------------------------------------------------


def test_what_a_dead_process_had_claimed_is_sent_by_the_next_under_the_same_key() -> None:
    to = channel("slack", NOBODY)
    put(to)
    now = timezone.now()
    first = dispatch.take(destination(to), now, free=9)
    assert first is not None
    assert [each.due for each in dispatch.destinations(now)] == [False]
    later = now + dispatch.LEASE + datetime.timedelta(seconds=1)
    (to_again,) = dispatch.destinations(later)
    second = dispatch.take(to_again, later, free=9)
    assert second is not None
    assert (second.parcel, second.tries) == (first.parcel, 2)
    # Should the first one only have slept, what it says now changes nothing.
    dispatch.settle(first, Answer("refused", "400"), later, 1.0, later)
    dispatch.release(first, later)
    assert Delivery.objects.get().state == Delivery.State.SENDING
    dispatch.settle(second, Answer("sent", "200"), later, 1.0, later)
    assert Delivery.objects.get().state == SENT
    assert DeliveryAttempt.objects.count() == 2


@in_the_open
async def test_a_database_that_goes_away_after_the_sending_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle, outages = dispatch.settle, [OperationalError("the server is restarting")] * 3

    def shaky(*asked: Any) -> None:
        if outages:
            raise outages.pop()
        settle(*asked)

    monkeypatch.setattr(dispatch, "settle", shaky)
    async with serving(Slack()) as server, delivering():
        row = await until(await db(put, await db(slack, server)), SENT)
        assert (server.asked, row.tries, outages) == (1, 1, [])


@in_the_open
async def test_a_database_that_restarts_costs_no_message() -> None:
    async with serving(Slack()) as server, delivering():
        to = await db(slack, server)
        await until(await db(put, to), SENT)
        assert await db(cut_all_others) >= 1
        await until(await db(put, to, await db(incident, "bybit is silent")), SENT)
        assert server.asked == 2


def cut_all_others() -> int:
    """Cut connections as a restart does; returns how many connections were cut."""
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {others}")
        return int(cursor.fetchone()[0])


@in_the_open
async def test_asked_to_stop_it_gives_back_what_hangs() -> None:
    async with serving(Slack()) as server:
        server.replies.append(never)
        row = await db(put, await db(slack, server))
        async with delivering():
            await eventually(lambda: server.asked, "the message has left")
        assert (await until(row, QUEUED)).next_try_at <= timezone.now()
        async with delivering():
            await until(row, SENT)


@in_the_open
async def test_two_deliveries_at_once_send_everything_once() -> None:
    async with serving(Receiver()) as server:
        to = await db(webhook, server)
        rows = [await db(put, to, await db(incident, f"exchange {n}")) for n in range(8)]
        async with delivering(), delivering():
            for row in rows:
                await until(row, SENT)
        assert server.asked == len(server.ids) == 8

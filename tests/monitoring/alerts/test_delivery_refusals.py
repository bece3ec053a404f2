"""The fault behind a refusal decides what waits: the message, or its channel; no message holds a channel."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from django.utils import timezone

from monitoring.alerts import dispatch
from monitoring.alerts.budget import DEAD_AFTER, Patience
from monitoring.alerts.channels import mail, pagerduty, slack, telegram
from monitoring.alerts.channels.parcels import Answer, Reply
from monitoring.alerts.channels.sending import Sender, sender
from monitoring.models import AlertChannel, Delivery
from tests.monitoring.alerts.test_channels import SILENT, mailbox, post, telegram_target
from tests.monitoring.alerts.test_delivery import (
    GIVEN_UP,
    QUEUED,
    SENT,
    channel,
    db,
    delivering,
    destination,
    in_the_open,
    incident,
    put,
    until,
)  # fmt: skip
from tests.monitoring.alerts.test_delivery import slack as slack_channel
from tests.monitoring.alerts.test_delivery import webhook as webhook_channel
from tests.support.desk.alert_servers import (
    MailServer,
    PagerDuty,
    Receiver,
    Slack,
    Telegram,
    mail_server,
    serving,
)

HTML = b"<!DOCTYPE html><html><title>Welcome to the hotel's network</title></html>"


@pytest.fixture
async def sending() -> AsyncIterator[Sender]:
    """Send as the monitor does."""
    async with sender() as one:
        yield one


# --- what the answers mean -----------------------------------------------------------------------------


@pytest.mark.parametrize("understand", [slack.answer, pagerduty.answer, telegram.answer])
@pytest.mark.parametrize("status", [200, 202, 204, 400, 403, 407, 422, 511])
@pytest.mark.parametrize(
    "body", [HTML, b"", b"[]", b'"ok"', b"{}", b'{"login": "required"}', b"OK, signed in"]
)
def test_what_is_not_the_services_answer_neither_counts_as_sent_nor_costs_the_message(
    understand: Any, status: int, body: bytes
) -> None:
    assert understand(Reply(status, {"content-type": "text/html"}, body)).outcome in ("broken", "later")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"ok", "sent"), (200, b"ok\n", "sent"), (200, b'{"ok": true}', "sent"),
        (200, b'{"success": true}', "sent"),
        (200, b'{"ok": false, "error": "invalid_blocks"}', "refused"),
        (200, b'{"ok": false, "error": "msg_too_long"}', "refused"),
        (200, b'{"ok": false, "error": "channel_not_found"}', "broken"),
        (200, b'{"ok": false, "error": "ratelimited"}', "later"),
        (400, b"invalid_payload", "refused"), (400, b"no_text", "refused"),
        (400, b"invalid_blocks", "refused"), (400, b'{"message": "Cannot send an empty message"}', "refused"),
        (400, b"too_many_attachments", "refused"), (400, b"user_not_found", "broken"),
        (413, b"", "refused"), (403, b"invalid_token", "broken"), (404, b"no_service", "broken"),
        (410, b"channel_is_archived", "broken"), (429, b"", "later"), (500, b"rollup_error", "later"),
    ],
)  # fmt: skip
def test_what_slack_means(status: int, body: bytes, outcome: str) -> None:
    assert slack.answer(Reply(status, {}, body)).outcome == outcome


@pytest.mark.parametrize(
    ("status", "description", "outcome"),
    [
        (400, "Bad Request: can't parse entities: Unsupported start tag", "refused"),
        (400, "Bad Request: message is too long", "refused"),
        (400, "Bad Request: MESSAGE_TOO_LONG", "refused"),
        (400, "Bad Request: ENTITY_TEXT_INVALID", "refused"),
        (400, "Bad Request: text must be non-empty", "refused"),
        (400, "Bad Request: BUTTON_URL_INVALID", "refused"),
        (400, "Bad Request: something new about this text", "refused"),
        (413, "Request Entity Too Large", "refused"),
        (400, "Bad Request: chat not found", "broken"),
        (400, "Bad Request: message thread not found", "broken"),
        (400, "Bad Request: TOPIC_CLOSED", "broken"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "broken"),
        (400, "Bad Request: group chat was deactivated", "broken"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "broken"),
        (403, "Forbidden: bot was blocked by the user", "broken"),
        (401, "Unauthorized", "broken"), (404, "Not Found", "broken"), (502, "Bad Gateway", "later"),
    ],
)  # fmt: skip
def test_what_telegram_means(status: int, description: str, outcome: str) -> None:
    said = web.json_response({"ok": False, "error_code": status, "description": description}, status=status)
    assert isinstance(said.body, bytes)
    assert telegram.answer(Reply(status, {}, said.body)).outcome == outcome


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (202, b'{"status": "success", "message": "Event processed", "dedup_key": "k"}', "sent"),
        (200, b'{"status": "success", "dedup_key": "k"}', "sent"),
        (202, b'{"status": "queued"}', "broken"),
        (400, b'{"status": "invalid event", "errors": ["\'payload.summary\' is missing"]}', "refused"),
        (400, b'{"status": "invalid event", "errors": ["Length of \'routing_key\' is incorrect"]}', "broken"),
        (413, b"", "refused"), (403, b"", "broken"), (429, b"", "later"), (500, b"", "later"),
    ],
)  # fmt: skip
def test_what_pagerduty_means(status: int, body: bytes, outcome: str) -> None:
    assert pagerduty.answer(Reply(status, {}, body)).outcome == outcome


@pytest.mark.parametrize(
    ("code", "about_letter", "outcome"),
    [(554, True, "refused"), (550, True, "refused"), (552, True, "refused"), (554, False, "broken"),
     (501, False, "broken"), (535, False, "broken"), (451, True, "later"), (421, False, "later")],
)  # fmt: skip
def test_what_a_mail_server_means_depends_on_when_it_says_it(
    code: int, about_letter: bool, outcome: str
) -> None:
    assert mail.answer(code, "5.7.1 no", about_letter=about_letter).outcome == outcome


async def test_a_letter_refused_for_its_content_is_no_fault_of_the_mailbox(sending: Sender) -> None:
    async with mail_server() as server:
        server.refusals.extend(["554 5.7.1 Message rejected as spam", "550 5.6.0 Headers too ugly"])
        for code in (554, 550):
            answer = await post(sending, mailbox(server, "none"), SILENT)
            assert (answer.outcome, answer.code) == ("refused", code)
        assert (await post(sending, mailbox(server, "none"), SILENT)).outcome == "sent"
        assert len(server.letters) == 1


async def test_a_topic_is_written_into_and_one_that_is_not_there_is_the_channels_fault(
    sending: Sender,
) -> None:
    async with serving(Telegram()) as server:
        for topic, outcome in (("17", "sent"), ("99", "broken"), ("general", "broken"), ("", "sent")):
            target = telegram_target(server, message_thread_id=topic)
            assert (await post(sending, target, SILENT)).outcome == outcome, topic
        assert [taken.get("message_thread_id") for taken in server.taken] == [17, None]


# --- what waits ----------------------------------------------------------------------------------------


class Picky(Slack):
    """Answers 500 to whatever names one coin, as servers do that fall over a text."""

    def answer(self, request: web.Request, body: bytes) -> web.Response:
        if b"POISON" in body:
            return web.Response(status=500, text="internal_error")
        return super().answer(request, body)


@in_the_open
async def test_a_message_that_a_server_falls_over_holds_no_other() -> None:
    async with serving(Picky()) as server, delivering():
        to = await db(slack_channel, server)
        poison = await db(put, to, await db(incident, "POISON"))
        await db(Delivery.objects.filter(pk=poison.pk).update, tries=DEAD_AFTER)
        for name in ("bybit", "okx", "gate"):
            await until(await db(put, to, await db(incident, name)), SENT)
        await db(poison.refresh_from_db)
        assert poison.state in (QUEUED, Delivery.State.SENDING), "it is tried again and again"


@in_the_open
@pytest.mark.parametrize("kind", ["telegram", "slack", "webhook", "pagerduty", "email"])
async def test_one_that_is_refused_for_its_content_is_given_up_and_the_next_one_goes(kind: str) -> None:
    async with (
        serving(Telegram()) as chat, serving(Slack()) as hook, serving(Receiver()) as receiver,
        serving(PagerDuty()) as pager, mail_server() as post_office, delivering(),
    ):  # fmt: skip
        to = await db(_channel, kind, chat, hook, receiver, pager, post_office)
        said = {"ok": False, "description": "Bad Request: can't parse entities: x"}
        chat.replies.append(web.json_response(said, status=400))
        hook.replies.append(web.Response(status=400, text="invalid_blocks"))
        receiver.replies.append(web.Response(status=422))
        pager.replies.append(web.json_response({"status": "invalid event", "errors": ["x"]}, status=400))
        post_office.refusals.append("554 5.6.0 What a letter")
        refused = await until(await db(put, to), GIVEN_UP)
        assert refused.tries == 1
        await until(await db(put, to, await db(incident, "bybit")), SENT)


def _channel(
    kind: str, chat: Telegram, hook: Slack, receiver: Receiver, pager: PagerDuty, post_office: MailServer
) -> AlertChannel:
    if kind == "slack":
        return slack_channel(hook)
    if kind == "webhook":
        return webhook_channel(receiver)
    if kind == "telegram":
        return channel("telegram", chat.token, settings={"chat_id": chat.chat, "base_url": chat.url})
    if kind == "pagerduty":
        return channel("pagerduty", pager.routing_key, settings={"base_url": pager.url})
    return channel("email", post_office.password, settings=mailbox(post_office, "none").settings)


@pytest.mark.django_db
def test_a_group_that_is_refused_is_taken_apart() -> None:
    """One of them is to blame: the others go by themselves, and are not put together again."""
    to = channel("slack", "http://127.0.0.1:1/x")
    rows = [put(to, incident(name)) for name in ("a", "b", "c")]
    now = timezone.now()
    group = dispatch.take(destination(to), now, free=1)
    assert group is not None
    assert len(group.parcel.parts) == 3
    dispatch.settle(group, Answer("refused", "400: invalid_payload", 400), now, 1.0, now)
    for row in rows:
        taken = dispatch.take(destination(to), now, free=1)
        assert taken is not None
        assert (taken.parcel.key, taken.parcel.parts) == (row.idempotency_key, ())
        row.refresh_from_db()
        assert row.last_error == "in a group: 400: invalid_payload"


@pytest.mark.django_db
def test_what_fails_again_and_again_goes_behind_what_may_fare_better() -> None:
    to = channel("slack", "http://127.0.0.1:1/x")
    poison, other = put(to, incident("a")), put(to, incident("b"))
    Delivery.objects.filter(pk=poison.pk).update(tries=DEAD_AFTER)
    taken = dispatch.take(destination(to), timezone.now(), free=9)
    assert taken is not None
    assert taken.parcel.key == other.idempotency_key


def test_one_message_that_fails_does_not_make_its_channel_wait_and_two_do() -> None:
    patience, later = Patience(), Answer("later", "500")
    for tries in range(10):
        patience.failed(later, 100.0, tries, message=1)
    assert (patience.dead, patience.asked_again_s) == (False, 0.0)
    patience.failed(later, 100.0, 1, message=2)
    assert patience.dead
    assert patience.asked_again_s > 100


# --- a chat that moves ---------------------------------------------------------------------------------


@in_the_open
async def test_a_group_that_moved_is_followed_once_and_its_channel_says_so() -> None:
    async with serving(Telegram()) as server, delivering():
        server.moved = {"-42": int(server.chat)}
        settings = {"chat_id": "-42", "base_url": server.url}
        to = await db(channel, "telegram", server.token, settings=settings)
        row = await until(await db(put, to), SENT)
        await db(to.refresh_from_db)
        assert to.settings == settings | {"chat_id": server.chat, "moved_from": "-42"}
        words = await db(lambda: [attempt.words for attempt in row.attempts.order_by("pk")])
        assert words == [f"the group has moved: its chat is {server.chat} from now on", "200"]


@in_the_open
async def test_a_chat_that_is_said_to_move_for_ever_is_followed_once() -> None:
    async with serving(Telegram()) as server, delivering():
        server.moved = {"-1": -2, "-2": -1}
        to = await db(channel, "telegram", server.token, settings={"chat_id": "-1", "base_url": server.url})
        row = await db(put, to)
        await until_said(row, "the group has moved: enter -1 as the chat's id")
        await db(to.refresh_from_db)
        assert to.settings["chat_id"] == "-2"


async def until_said(row: Delivery, words: str) -> None:
    """Wait until the last try was answered so."""
    async with asyncio.timeout(15):
        while row.last_error != words:
            await asyncio.sleep(0.02)
            await db(row.refresh_from_db)

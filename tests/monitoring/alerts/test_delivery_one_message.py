"""One message that its server refuses, for ever and in whatever way, holds no other of the same channel."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.utils import timezone

from monitoring.alerts import dispatch
from monitoring.alerts.budget import MEND_S, Patience
from monitoring.alerts.channels import telegram
from monitoring.alerts.channels.parcels import Answer, Reply
from monitoring.models import AlertChannel, Delivery
from tests.monitoring.alerts.test_channels import mailbox
from tests.monitoring.alerts.test_delivery import (
    SENT,
    TEST,
    channel,
    db,
    delivering,
    destination,
    in_the_open,
    incident,
    put,
    tried,
    until,
)  # fmt: skip
from tests.support.desk.alert_servers import (
    HttpServer,
    MailServer,
    PagerDuty,
    Receiver,
    Slack,
    Telegram,
    mail_server,
    serving,
)

SOON_S = 5.0
HTML = "<!DOCTYPE html><title>Blocked</title><p>The firewall does not like this text."


async def _hangs() -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


def _says(status: int, text: str = "", **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, text=text, headers=headers)


def _bomb() -> web.Response:
    """A megabyte on the wire, a gigabyte when it is unpacked."""
    body = gzip.compress(bytes(1 << 20), 9) * 1024
    return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "text/html"})


REFUSALS: dict[str, Callable[[], Any]] = {
    **{f"{status}": _says(status) for status in (400, 401, 403, 404, 405, 409, 410, 413, 422, 451, 500, 503)},
    **{f"{status} as a page": _says(status, HTML) for status in (400, 403, 404, 500)},
    "not ok": lambda: web.json_response(
        {"ok": False, "error_code": 403, "description": "Forbidden"}, status=403
    ),
    "elsewhere": _says(302, Location="https://login.example/"),
    "unpacks to a gigabyte": _bomb,
    "never ends": _says(500, "x" * 10_000_000),
    "hangs": _hangs,
}


class Grudge:
    """Answers a message that names a refusal with it, each time; every other one as the real server does."""

    taken: list[dict[str, Any]]
    asked: int

    async def handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        for name, refusal in REFUSALS.items():
            if f"POISON {name}." in body:
                made = refusal()
                return made if isinstance(made, web.Response) else await made
        if "POISON closes." in body:
            assert request.transport is not None
            request.transport.abort()
        reply: web.Response = await super().handle(request)  # type: ignore[misc]
        return reply


class GrudgingMail(MailServer):
    """Refuses letters in whichever way their text names."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        for code in ("451 4.7.1", "452 4.3.1", "554 5.7.1", "550 5.6.0", "421 4.3.0"):
            if f"POISON {code}.".encode() in envelope.content:
                return f"{code} not this one"
        return await super().handle_DATA(server, session, envelope)


def _of_kind(kind: str) -> tuple[HttpServer, Callable[[Any], AlertChannel]]:
    def plain(name: str, like: type[HttpServer]) -> HttpServer:
        made: HttpServer = type(name, (Grudge, like), {})()
        return made

    if kind == "slack":
        return plain(kind, Slack), lambda it: channel(kind, it.url + it.path)
    if kind == "webhook":
        return plain(kind, Receiver), lambda it: channel(kind, it.secret, settings={"url": it.url})
    if kind == "telegram":
        return plain(kind, Telegram), lambda it: channel(
            kind, it.token, settings={"chat_id": it.chat, "base_url": it.url}
        )
    return plain(kind, PagerDuty), lambda it: channel(kind, it.routing_key, settings={"base_url": it.url})


async def _between_good_ones(to: AlertChannel, refusals: list[str]) -> None:
    """Each refused message is followed by one that is sent soon, though those before are refused again."""
    for number, refusal in enumerate(refusals):
        poison = await db(put, to, await db(incident, f"POISON {refusal}."))
        await tried(poison)
        good = await db(put, to, await db(incident, f"good {number}"))
        try:
            async with asyncio.timeout(SOON_S):
                await until(good, SENT)
        except TimeoutError:
            pytest.fail(f"behind one that is answered {refusal!r} the next one waits: {good.last_error}")


@in_the_open
@pytest.mark.parametrize("kind", ["webhook", "slack", "telegram", "pagerduty"])
async def test_the_next_message_goes_whatever_the_server_says_of_one(kind: str) -> None:
    server, make = _of_kind(kind)
    async with serving(server), delivering(timeout_s=1.0):
        to = await db(make, server)
        await until(await db(put, to, await db(incident, "the first")), SENT)
        passing = {"webhook": {"unpacks to a gigabyte"}}.get(kind, set())  # 2xx is taken
        await _between_good_ones(to, [name for name in (*REFUSALS, "closes") if name not in passing])


@asynccontextmanager
async def _grudging_mail() -> AsyncIterator[MailServer]:
    async with mail_server(kind=GrudgingMail) as server:
        yield server


@in_the_open
async def test_the_next_letter_goes_whatever_the_mail_server_says_of_one() -> None:
    async with _grudging_mail() as server, delivering(timeout_s=1.0):
        to = await db(channel, "email", server.password, settings=mailbox(server, "none").settings)
        await _between_good_ones(to, ["451 4.7.1", "452 4.3.1", "554 5.7.1", "550 5.6.0", "421 4.3.0"])


# --- whose fault it is -----------------------------------------------------------------------------------


def test_two_that_fail_while_others_go_make_nobody_wait() -> None:
    patience, broken = Patience(), Answer("broken", "403", 403)
    for answer in (Answer("later", "500", 500), broken):
        patience = Patience()
        patience.failed(answer, 100.0, 1, message=1)
        patience.worked(7)
        patience.failed(answer, 100.0, 1, message=2)
        patience.worked(8)
        for tries in range(2, 9):
            for poison in (1, 2):
                patience.failed(answer, 100.0, tries, message=poison)
        assert (patience.dead, patience.asked_again_s) == (False, 0.0)
        patience.failed(answer, 100.0, 1, message=3)
        assert patience.asked_again_s == 0.0


def test_one_that_is_refused_alone_waits_alone_and_with_a_second_the_channel_does() -> None:
    patience, broken = Patience(), Answer("broken", "403", 403)
    assert patience.failed(broken, 100.0, 1, message=1) == MEND_S
    assert patience.asked_again_s == 0.0
    patience.failed(broken, 100.0, 1, message=2)
    assert patience.asked_again_s == 100.0 + MEND_S


def test_settings_that_cannot_work_are_no_fault_of_a_message() -> None:
    patience = Patience()
    patience.failed(Answer("broken", "enter the bot's token"), 100.0, 1, message=1)
    assert patience.asked_again_s == 100.0 + MEND_S


def test_a_flood_is_the_channels_whichever_message_meets_it() -> None:
    patience = Patience()
    patience.failed(Answer("later", "500", 500), 100.0, 1, message=1)
    patience.worked(2)
    patience.failed(Answer("later", "503", 503, retry_after_s=3600.0), 100.0, 2, message=1)
    assert patience.asked_again_s == 0.0
    patience.failed(Answer("later", "429", 429, retry_after_s=60.0), 100.0, 3, message=1)
    assert patience.asked_again_s == 160.0


def test_what_is_remembered_of_messages_is_bounded() -> None:
    patience = Patience()
    for message in range(2000):
        patience.failed(Answer("later", "500", 500), 100.0, 1, message=message)
        patience.worked()
    assert not patience.is_own_fault(0)
    assert patience.is_own_fault(1999)


@pytest.mark.django_db
def test_after_a_wait_what_was_tried_least_is_tried() -> None:
    to = channel("slack", "http://127.0.0.1:1/x")
    failed, other = put(to, incident("a")), put(to, incident("b"))
    Delivery.objects.filter(pk=failed.pk).update(tries=1)
    taken = dispatch.take(destination(to), timezone.now(), free=9, least_tried=True)
    assert taken is not None
    assert taken.id == other.pk


@in_the_open
async def test_a_group_with_one_that_is_refused_is_taken_apart_once_others_go() -> None:
    server, make = _of_kind("webhook")
    async with serving(server):
        to = await db(make, server)
        to.per_second = 1
        await db(to.save)
        rows = [await db(put, to, await db(incident, name)) for name in ("a", "POISON 500.", "b")]
        async with delivering(timeout_s=1.0):
            await until(rows[0], Delivery.State.GROUPED)
            await tried(await db(lambda: Delivery.objects.get(kind=Delivery.Kind.DIGEST)))
            await until(await db(put, to, await db(incident, "later")), SENT)
            for row in (rows[0], rows[2]):
                await until(row, SENT)


# --- tests ---------------------------------------------------------------------------------------------


@in_the_open
async def test_a_test_does_not_wait_for_a_channel_that_is_down_and_brings_it_back() -> None:
    """An operator who has mended the other side presses “Send a test”, and sees at once that it works."""
    server, make = _of_kind("slack")
    async with serving(server), delivering(timeout_s=1.0):
        to = await db(make, server)
        server.replies.extend(web.Response(status=404, text="no_service") for _ in range(2))
        waiting = [await db(put, to, await db(incident, name)) for name in ("a", "b")]
        for row in waiting:
            await tried(row)
        async with asyncio.timeout(SOON_S):
            await until(await db(put, to, await db(incident, "test"), TEST), SENT)
            for row in waiting:
                await until(row, SENT)


def test_what_telegram_quotes_of_a_text_is_not_about_the_chat() -> None:
    said = b'{"ok": false, "error_code": 400, "description": "Bad Request: can\'t parse entities: unsupported start tag \\"topic\\" at byte offset 7"}'  # noqa: E501
    assert telegram.answer(Reply(400, {}, said)).outcome == "refused"

"""Requests of each alert channel, and its reading of the answers; the servers check like the real ones."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitoring.alerts.channels import pagerduty, slack, telegram, webhook
from monitoring.alerts.channels.parcels import Answer, Parcel, Reply, Target, by_status
from monitoring.alerts.channels.sending import OVER_HTTP, Sender, sender, unusable
from monitoring.alerts.channels.wording import grouped, headline
from monitoring.alerts.messages import Message
from tests.support.desk.alert_servers import (
    MailServer,
    PagerDuty,
    Receiver,
    Slack,
    Telegram,
    certificate,
    mail_server,
    serving,
    shown,
)

SILENT = Message(
    title="okx is silent <since 14:03>",
    words="Nothing has arrived for 7 s & more.",
    severity="critical",
    state="firing",
    facts=(("Value", "7.0 s"), ("Limit", "5.0 s")),
    url="https://desk.example/health/?kind=exchange_silent&subject=okx",
    key="incident-7-1700000000000000",
    at_us=1_700_000_000_000_000,
)
OVER = replace(SILENT, state="resolved", words="It talks again.")
NOBODY_SUCH_S = 0.3


@pytest.fixture
async def sending() -> AsyncIterator[Sender]:
    """Send as the monitor does."""
    async with sender() as one:
        yield one


async def post(sending: Sender, target: Target, message: Message, key: str = "k-1") -> Answer:
    """Send one message."""
    return await sending.send(target, Parcel(key, message))


def telegram_target(server: Telegram, **settings: str) -> Target:
    """The chat its bot is in."""
    return Target("telegram", {"chat_id": server.chat, "base_url": server.url, **settings}, server.token)


def slack_target(server: Slack) -> Target:
    """Slack target, whose address is its secret."""
    return Target("slack", {}, server.url + server.path)


def webhook_target(server: Receiver) -> Target:
    """Signed with its key."""
    return Target("webhook", {"url": f"{server.url}/alerts"}, server.secret)


def pagerduty_target(server: PagerDuty) -> Target:
    """PagerDuty target with its one service."""
    return Target("pagerduty", {"base_url": server.url}, server.routing_key)


# --- Telegram ------------------------------------------------------------------------------------------


async def test_telegram_shows_everything_a_reader_needs(sending: Sender) -> None:
    async with serving(Telegram()) as server:
        answer = await post(sending, telegram_target(server), SILENT)
        assert (answer.outcome, answer.code, answer.receipt) == ("sent", 200, "message 1")
        assert server.taken[0]["shown"].splitlines() == [
            "⛔ CRITICAL: okx is silent <since 14:03>",
            "Nothing has arrived for 7 s & more.",
            "Value: 7.0 s",
            "Limit: 5.0 s",
            "2023-11-14 22:13:20 UTC",
            "Open the desk",
        ]
        assert (
            'href="https://desk.example/health/?kind=exchange_silent&amp;subject=okx"'
            in server.taken[0]["text"]
        )


pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

texts = st.text(max_size=6000)


@settings(max_examples=60)
@given(texts, texts, st.lists(st.tuples(texts, texts), max_size=4))
def test_whatever_a_message_holds_telegram_can_read_it_within_its_limit(
    title: str, words: str, facts: list[tuple[str, str]]
) -> None:
    message = replace(SILENT, title=title, words=words, facts=tuple(facts))
    seen = shown(telegram.text(message))
    assert len(seen.encode("utf-16-le", "replace")) <= 2 * 4096
    assert "2023-11-14 22:13:20 UTC\nOpen the desk" in seen


async def test_telegram_says_how_long_to_wait(sending: Sender) -> None:
    async with serving(Telegram()) as server:
        server.replies.append(server.flood(35))
        answer = await post(sending, telegram_target(server), SILENT)
        assert (answer.outcome, answer.code, answer.retry_after_s) == ("later", 429, 35)
        assert "retry after 35" in answer.words


async def test_telegram_whose_chat_or_token_is_wrong_is_broken(sending: Sender) -> None:
    async with serving(Telegram()) as server:
        elsewhere = await post(sending, telegram_target(server, chat_id="42"), SILENT)
        assert (elsewhere.outcome, elsewhere.words) == ("broken", "400: Bad Request: chat not found")
        stranger = replace(telegram_target(server), secret="999:nobody")
        assert await post(sending, stranger, SILENT) == Answer("broken", "401: Unauthorized", 401)
        misread = replace(telegram_target(server), secret="no-token")
        assert (await post(sending, misread, SILENT)).outcome == "broken"
        server.replies.append(
            web.json_response(
                {"ok": False, "description": "upgraded", "parameters": {"migrate_to_chat_id": -1002}},
                status=400,
            )
        )
        moved = await post(sending, telegram_target(server), SILENT)
        assert (moved.outcome, moved.words) == (
            "broken", "the group has moved: enter -1002 as the chat's id",
        )  # fmt: skip


async def test_a_text_telegram_cannot_read_is_refused_and_nothing_else(sending: Sender) -> None:
    async with serving(Telegram()) as server:
        said = {"ok": False, "error_code": 400, "description": "Bad Request: can't parse entities: x"}
        server.replies.append(web.json_response(said, status=400))
        assert (await post(sending, telegram_target(server), SILENT)).outcome == "refused"


async def test_a_page_that_is_not_telegram_is_no_success(sending: Sender) -> None:
    async with serving(Telegram()) as server:
        server.replies.append(web.Response(text="<html>welcome to the hotel's network</html>"))
        assert (await post(sending, telegram_target(server), SILENT)).outcome == "broken"


# --- Slack ---------------------------------------------------------------------------------------------


async def test_slack_shows_it_with_its_markup_escaped(sending: Sender) -> None:
    async with serving(Slack()) as server:
        assert (await post(sending, slack_target(server), SILENT)).outcome == "sent"
        lines = server.taken[0]["text"].splitlines()
        assert lines[0] == "*⛔ CRITICAL: okx is silent &lt;since 14:03&gt;*"
        assert lines[1] == "Nothing has arrived for 7 s &amp; more."
        assert lines[-1].endswith("kind=exchange_silent&amp;subject=okx|Open the desk>")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, "invalid_payload", "refused"),
        (403, "action_prohibited", "broken"),
        (404, "channel_not_found", "broken"),
        (410, "channel_is_archived", "broken"),
        (500, "rollup_error", "later"),
    ],
)
async def test_slack_s_errors(sending: Sender, status: int, body: str, outcome: str) -> None:
    async with serving(Slack()) as server:
        server.replies.append(web.Response(status=status, text=body))
        answer = await post(sending, slack_target(server), SILENT)
        assert (answer.outcome, answer.words) == (outcome, f"{status}: {body}")


def test_slack_may_name_seconds_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    for text, least, most in (("30", 30, 30), (soon, 85, 90), ("-3", 0, 0), ("99999999", 3600, 3600)):
        answer = slack.answer(Reply(429, {"retry-after": text}, b"rate_limited"))
        assert answer.outcome == "later"
        assert answer.retry_after_s is not None
        assert least <= answer.retry_after_s <= most
    for text in ("", "soon", "nan"):
        assert slack.answer(Reply(429, {"retry-after": text}, b"")).retry_after_s is None


# --- our own webhook -----------------------------------------------------------------------------------


async def test_a_webhook_is_signed_and_recognised_when_it_comes_again(sending: Sender) -> None:
    async with serving(Receiver()) as server:
        target = webhook_target(server)
        for _ in range(2):
            assert (await post(sending, target, SILENT, key="incident-7-firing-3")).outcome == "sent"
        assert server.asked == 2
        assert server.ids == ["incident-7-firing-3"]
        assert server.taken[0]["message"]["key"] == SILENT.key
        assert server.taken[0]["message"]["facts"] == [["Value", "7.0 s"], ["Limit", "5.0 s"]]
        other = replace(target, secret="another key")
        assert (await post(sending, other, SILENT)).outcome == "broken"


def test_the_signature_is_the_standard_s() -> None:
    """The example its libraries are tested with."""
    key = webhook.key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_webhook_gets_the_parts_of_what_is_several_in_one(sending: Sender) -> None:
    async with serving(Receiver()) as server:
        parcel = Parcel("group-1", grouped([SILENT, OVER]), (SILENT, OVER))
        assert (await sending.send(webhook_target(server), parcel)).outcome == "sent"
        assert [part["state"] for part in server.taken[0]["parts"]] == ["firing", "resolved"]


async def test_a_redirect_is_not_followed(sending: Sender) -> None:
    async with serving(Receiver()) as thief, serving(Receiver()) as server:
        server.replies.append(web.Response(status=307, headers={"Location": thief.url}))
        answer = await post(sending, webhook_target(server), SILENT)
        assert answer.outcome == "broken"
        assert "redirected" in answer.words
        assert thief.asked == 0


# --- PagerDuty -----------------------------------------------------------------------------------------


async def test_pagerduty_opens_one_incident_and_closes_it(sending: Sender) -> None:
    async with serving(PagerDuty()) as server:
        target = pagerduty_target(server)
        for key in ("firing", "reminder"):
            assert (await post(sending, target, SILENT, key)).receipt == SILENT.key
        (alerts,) = server.open.values()
        assert [alert["severity"] for alert in alerts] == ["critical", "critical"]
        assert alerts[0]["custom_details"]["Value"] == "7.0 s"
        assert (await post(sending, target, OVER, "resolved")).outcome == "sent"
        assert (server.open, server.resolved) == ({}, [SILENT.key])


async def test_pagerduty_whose_key_is_wrong_is_broken_and_an_event_of_ours_refused(sending: Sender) -> None:
    async with serving(PagerDuty()) as server:
        short = replace(pagerduty_target(server), secret="too-short")
        assert (await post(sending, short, SILENT)).outcome == "broken"
        nameless = await post(sending, pagerduty_target(server), replace(SILENT, title=""))
        assert (nameless.outcome, nameless.code) == ("refused", 400)
        server.replies.append(web.Response(status=429))
        assert (await post(sending, pagerduty_target(server), SILENT)).outcome == "later"


@given(st.text(max_size=3000), st.text(min_size=1, max_size=600))
def test_whatever_a_message_holds_pagerduty_takes_it(words: str, key: str) -> None:
    message = replace(SILENT, title=words + "x", words=words, key=key)
    target = Target("pagerduty", {}, PagerDuty.routing_key)
    made = pagerduty.request(target, Parcel("k", message))
    assert not list(PagerDuty()._wrong(json.loads(made.body)))


# --- e-mail --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mail server's certificate."""
    return certificate(tmp_path_factory.mktemp("mail"))


def mailbox(server: MailServer, security: str, **settings: Any) -> Target:
    """Two operators'."""
    known: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": security,
        "username": server.username,
        "sender": "desk@example.com",
        "recipients": ["ann@example.com", "bob@example.com"],
    }
    return Target("email", known | settings, server.password)


@pytest.mark.parametrize("security", ["starttls", "ssl"])
async def test_a_letter_goes_encrypted_and_signed_in(
    sending: Sender, trusted: Path, monkeypatch: pytest.MonkeyPatch, security: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with mail_server(trusted, from_the_first_byte=security == "ssl") as server:
        answer = await post(sending, mailbox(server, security), SILENT)
        assert (answer.outcome, answer.code) == ("sent", 250)
        (letter,) = server.letters
        assert server.encrypted == [True]
        assert letter["Subject"] == "⛔ CRITICAL: okx is silent <since 14:03>"
        assert letter["To"] == "ann@example.com, bob@example.com"
        assert letter["Auto-Submitted"] == "auto-generated"
        assert "Limit: 5.0 s" in letter.get_content()


async def test_the_same_letter_has_the_same_id_and_an_incident_is_one_thread(sending: Sender) -> None:
    async with mail_server() as server:
        target = mailbox(server, "none")
        for message, key in ((SILENT, "firing"), (SILENT, "firing"), (OVER, "resolved")):
            assert (await post(sending, target, message, key)).outcome == "sent"
        first, again, over = server.letters
        assert first["Message-ID"] == again["Message-ID"] != over["Message-ID"]
        assert first["References"] == over["References"]


async def test_a_certificate_nobody_vouches_for_gets_no_password(sending: Sender, trusted: Path) -> None:
    for security in ("starttls", "ssl"):
        async with mail_server(trusted, from_the_first_byte=security == "ssl") as server:
            answer = await post(sending, mailbox(server, security), SILENT)
            assert (answer.outcome, answer.words) == ("broken", "its certificate is not trusted")
            assert server.letters == []


async def test_nothing_goes_in_the_clear_where_encryption_was_asked_for(sending: Sender) -> None:
    async with mail_server() as server:
        answer = await post(sending, mailbox(server, "starttls"), SILENT)
        assert answer.outcome == "broken"
        assert "STARTTLS" in answer.words


async def test_what_a_mail_server_answers(sending: Sender) -> None:
    async with mail_server() as server:
        target = mailbox(server, "none")
        wrong = await post(sending, replace(target, secret="wrong"), SILENT)
        assert (wrong.outcome, wrong.code) == ("broken", 535)
        server.refusals.extend(["451 4.3.0 Try again later", "552 5.3.4 Message too big"])
        assert (await post(sending, target, SILENT)).outcome == "later"
        assert (await post(sending, target, SILENT)).outcome == "refused"
        server.unknown = {"bob@example.com"}
        partly = await post(sending, target, SILENT)
        assert (partly.outcome, partly.words) == ("sent", "250, but not for bob@example.com (550)")
        server.unknown = {"ann@example.com", "bob@example.com"}
        assert (await post(sending, target, SILENT)).outcome == "broken"


# --- whatever the channel ------------------------------------------------------------------------------


async def test_who_does_not_answer_is_asked_again(sending: Sender) -> None:
    async with serving(Slack()) as server:
        target = slack_target(server)
        server.down = True
        assert (await post(sending, target, SILENT)).outcome == "later"
    assert await post(sending, target, SILENT) == Answer("later", "nobody answers there")
    async with sender(NOBODY_SUCH_S) as impatient, serving(Slack()) as server:
        server.replies.append(_never)
        assert await post(impatient, slack_target(server), SILENT) == Answer("later", "no answer in time")


async def _never() -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@given(st.integers(100, 599), st.sampled_from(sorted(OVER_HTTP)), st.binary(max_size=300))
def test_any_reply_is_understood(status: int, kind: str, body: bytes) -> None:
    answer = OVER_HTTP[kind][1](Reply(status, {}, body))
    if answer.outcome == "sent":
        assert 200 <= status < 300
    if status >= 500 or status == 429:
        assert answer.outcome == "later"
    assert len(answer.words) <= 300 + 60


@pytest.mark.parametrize(
    ("kind", "settings", "secret", "words"),
    [
        ("telegram", {"chat_id": "1"}, "", "token"),
        ("telegram", {}, "1:a", "chat"),
        ("telegram", {"chat_id": "1"}, "1:a/../x", "token"),
        ("slack", {}, "ftp://hooks.example/x", "https://"),
        ("slack", {}, "file:///etc/passwd", "https://"),
        ("slack", {}, "", "address"),
        ("webhook", {"url": "gopher://127.0.0.1:6379/_"}, "k", "https://"),
        ("webhook", {"url": "https://me:word@example.com/"}, "k", "no user name or password"),
        ("webhook", {"url": "https://"}, "k", "no host"),
        ("webhook", {"url": "https://example.com:99999/"}, "k", "cannot be read"),
        ("webhook", {"url": "https://example.com/"}, "", "key"),
        ("webhook", {"url": "https://example.com/"}, "whsec_%%%", "base64"),
        ("pagerduty", {}, "", "integration key"),
        ("email", {"sender": "a@b.c", "recipients": ["d@e.f"]}, "", "host"),
        ("email", {"host": "m", "sender": "a@b.c"}, "", "recipient"),
        ("email", {"host": "m", "sender": "nobody", "recipients": ["d@e.f"]}, "", "no e-mail address"),
        ("email", {"host": "m", "sender": "a@b.c", "recipients": ["d@e.f"], "security": "?"}, "", "security"),
        ("email", {"host": "m", "sender": "a@b.c", "recipients": ["d@e.f"], "port": "x"}, "", "port"),
        ("email", {"host": "m", "sender": "a@b.c", "recipients": ["d@e.f"]}, "word", "user name"),
    ],
)
async def test_settings_that_cannot_work_say_why(
    sending: Sender, kind: str, settings: dict[str, Any], secret: str, words: str
) -> None:
    target = Target(kind, settings, secret)
    answer = await post(sending, target, SILENT)
    assert answer.outcome == "broken"
    assert words in answer.words == unusable(target)


async def test_no_secret_is_shown(sending: Sender, trusted: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even by the other side's error, which may repeat what it was sent."""
    caplog.set_level(logging.DEBUG)
    async with serving(Telegram()) as telegram_, serving(Slack()) as slack_, mail_server() as mail_:
        targets = [telegram_target(telegram_), slack_target(slack_), mailbox(mail_, "none")]
        parrot = {"ok": False, "description": f"no bot {telegram_.token} here"}
        telegram_.replies.append(web.json_response(parrot, status=400))
        slack_.replies.append(web.Response(status=404, text=f"no {slack_.url}{slack_.path} here"))
        mail_.refusals.append(f"554 5.7.1 {mail_.password} is no good password")
        answers = [await post(sending, target, SILENT) for target in targets]
    answers += [await post(sending, target, SILENT) for target in targets]  # nobody there any more
    answers += [await post(sending, Target("slack", {}, "http://secret-host:port/secret"), SILENT)]
    logged = [record.getMessage() for record in caplog.records if record.name != "mail.log"]  # its own
    texts = "\n".join([*(answer.words for answer in answers), repr(targets), *logged])
    for secret in (telegram_.token, slack_.path, mail_.password, "secret-host"):
        assert secret not in texts


# --- several in one ------------------------------------------------------------------------------------


def test_several_in_one_name_each_and_are_as_grave_as_the_gravest() -> None:
    mild = replace(SILENT, severity="warning", title="bybit is slow")
    one = grouped([mild, SILENT, OVER])
    assert one.title.startswith("3 alerts: bybit is slow, okx is silent")
    assert one.severity == "critical"
    assert one.words.splitlines() == [headline(mild), headline(SILENT), headline(OVER)]
    assert grouped([mild] * 1000).words.splitlines()[-1] == "… and 980 more"


def test_http_s_own_words() -> None:
    statuses = (204, 301, 401, 409, 422, 503)
    outcomes = {status: by_status(Reply(status, {}, b"")).outcome for status in statuses}
    assert outcomes == {
        204: "sent", 301: "broken", 401: "broken", 409: "later", 422: "refused", 503: "later",
    }  # fmt: skip

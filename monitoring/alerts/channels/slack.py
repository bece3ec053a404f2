"""Slack's incoming webhooks, and what speaks like them: Mattermost, Rocket.Chat, Discord's `/slack`.

Text alone and no blocks, because only Slack itself knows those.
"""

import re
from typing import Final

from monitoring.alerts.channels.parcels import (
    Answer,
    Parcel,
    Reply,
    Request,
    Target,
    Unusable,
    by_status,
    json_request,
    object_of,
    retry_after,
    stranger,
)
from monitoring.alerts.channels.wording import fitting, headline, shorten, when
from monitoring.alerts.messages import Message

MOST: Final = 4000  # what the smallest of them takes
TITLE: Final = 300
FACTS: Final = 1500
WORDS: Final = 1200

CHANNELS: Final = frozenset({
    "no_service", "no_service_id", "no_active_hooks", "no_team", "team_disabled", "invalid_token",
    "not_authed",
    "invalid_auth", "account_inactive", "token_revoked", "action_prohibited", "channel_not_found",
    "channel_is_archived", "is_archived", "not_in_channel", "user_not_found", "restricted_action",
    "posting_to_general_channel_denied", "posting_to_channel_denied",
})  # fmt: skip
"""Errors that every message meets: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

MOMENTS: Final = frozenset({
    "rate_limited", "ratelimited", "rollup_error", "internal_error", "fatal_error", "service_unavailable",
    "request_timeout", "team_added_to_org",
})  # fmt: skip
"""Errors that pass."""

_AN_ERROR: Final = re.compile(r"[a-z_ ]{2,60}")
"""`invalid_payload`, `no_service` …: any other body is not repeated, it may be a page of anything."""

_ESCAPED: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def request(target: Target, parcel: Parcel) -> Request:
    """Raises: Unusable."""
    if not target.secret:
        raise Unusable("enter the webhook's address")
    return json_request(target.secret.strip(), {"text": text(parcel.message)})


def text(message: Message) -> str:
    """Text as Slack's mrkdwn."""
    facts = fitting([f"{label}: {value}" for label, value in message.facts], FACTS)
    plain = [shorten(message.words, WORDS), *facts, when(message)]
    lines = [f"*{_escape(shorten(headline(message), TITLE))}*", *(_escape(line) for line in plain if line)]
    if message.url:
        lines.append(f"<{_escape(message.url)}|Open the desk>")
    return "\n".join(fitting(lines, MOST))


def _escape(plain: str) -> str:
    return plain.translate(_ESCAPED)


def answer(reply: Reply) -> Answer:
    """Taken is `ok`, or JSON that says so; its errors are words.

    403, 404 and 410 are about the webhook or its channel, 400 about the text but for a few words. Where the
    body is none of these, it is not Slack that speaks.
    """
    said = object_of(reply)
    word = str(said.get("error", "")) if said else reply.body[:100].decode(errors="replace").strip()
    known = _AN_ERROR.fullmatch(word) is not None
    if 200 <= reply.status < 300:
        if word == "ok" or said.get("ok") is True or said.get("success") is True:
            return Answer("sent", str(reply.status), reply.status)
        return _refusal(reply, word) if said and known else stranger(reply, "Slack")
    if reply.status in (400, 415, 422) and known:
        return _refusal(reply, word)
    if reply.status in (400, 415, 422) and not (isinstance(said.get("message"), str) or (word and said)):
        return stranger(reply, "Slack")  # Mattermost and Discord say in JSON what is wrong with a text
    return by_status(reply, word if known else "")


def _refusal(reply: Reply, word: str) -> Answer:
    """Party that an error's word is about: the channel, the moment, or the text."""
    said = f"{reply.status}: {word}"
    if word in CHANNELS:
        return Answer("broken", said, reply.status)
    if word in MOMENTS:
        return Answer("later", said, reply.status, retry_after_s=retry_after(reply.headers))
    return Answer("refused", said, reply.status)

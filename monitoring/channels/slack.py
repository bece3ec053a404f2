"""Slack's incoming webhooks, and what speaks like them: Mattermost, Rocket.Chat, Discord's `/slack`.

Text alone and no blocks, because only Slack itself knows those.
"""

import re
from typing import Final

from monitoring.channels.parcels import Answer, Parcel, Reply, Request, Target, Unusable

from monitoring.channels.parcels import by_status, json_request  # isort: skip
from monitoring.channels.wording import fitting, headline, shorten, when
from monitoring.messages import Message

MOST: Final = 4000  # what the smallest of them takes
TITLE: Final = 300
FACTS: Final = 1500
WORDS: Final = 1200

_AN_ERROR: Final = re.compile(r"[a-z_ ]{2,60}")
"""`invalid_payload`, `no_service` …: any other body is not repeated, it may be a page of anything."""

_ESCAPED: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def request(target: Target, parcel: Parcel) -> Request:
    """Raises: Unusable."""
    if not target.secret:
        raise Unusable("enter the webhook's address")
    return json_request(target.secret.strip(), {"text": text(parcel.message)})


def text(message: Message) -> str:
    """As Slack's mrkdwn."""
    facts = fitting([f"{label}: {value}" for label, value in message.facts], FACTS)
    plain = [shorten(message.words, WORDS), *facts, when(message)]
    lines = [f"*{_escape(shorten(headline(message), TITLE))}*", *(_escape(line) for line in plain if line)]
    if message.url:
        lines.append(f"<{_escape(message.url)}|Open the desk>")
    return "\n".join(fitting(lines, MOST))


def _escape(plain: str) -> str:
    return plain.translate(_ESCAPED)


def answer(reply: Reply) -> Answer:
    """Its errors are words: 403, 404 and 410 are about the webhook or its channel, 400 about the text."""
    body = reply.body[:100].decode(errors="replace").strip()
    return by_status(reply, body if _AN_ERROR.fullmatch(body) else "")

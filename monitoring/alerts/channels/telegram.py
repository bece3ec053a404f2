"""Telegram's Bot API: https://core.telegram.org/bots/api#sendmessage."""

from html import escape
from typing import Any, Final

from msgspec import structs

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
    stranger,
    wait,
)
from monitoring.alerts.channels.wording import fitting, headline, length, shorten, when
from monitoring.alerts.messages import Message

API: Final = "https://api.telegram.org"
MOST: Final = 4096  # UTF-16 units of what is shown, markup not counted
TITLE: Final = 300
FACTS: Final = 1500

THEIRS: Final = (
    "chat not found", "chat_id", "peer_id", "group chat was", "chat was upgraded", "chat was deactivated",
    "thread not found", "topic", "rights", "not a member", "kicked", "blocked", "deactivated",
    "channel_private",
    "chat_write_forbidden", "chat_restricted", "chat_admin_required", "chat_forbidden", "user not found",
    "administrator",
)  # fmt: skip
"""Of the 400s, those the chat is to blame for, whatever we say; the others are about the message."""


def request(target: Target, parcel: Parcel) -> Request:
    """Raises: Unusable."""
    if not target.secret or any(c.isspace() or c in "/?#" for c in target.secret):
        raise Unusable("enter the bot's token, like 123456:ABC-DEF")
    chat = target.text("chat_id")
    if not chat:
        raise Unusable("enter the chat's id: a number, or @name of a public channel")
    url = f"{target.text('base_url') or API}/bot{target.secret}/sendMessage"
    body: dict[str, Any] = {
        "chat_id": chat,
        "text": text(parcel.message),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
    }
    if topic := target.text("message_thread_id"):
        if not topic.isascii() or not topic.isdigit():
            raise Unusable("its topic must be a number, the message_thread_id")
        body["message_thread_id"] = int(topic)
    return json_request(url, body)


def text(message: Message) -> str:
    """Text as HTML, of which Telegram understands a little; within its limit whatever the message holds."""
    title = shorten(headline(message), TITLE)
    facts = fitting([f"{label}: {value}" for label, value in message.facts], FACTS)
    below = [*facts, when(message)]
    link = "Open the desk" if message.url else ""
    rest = sum(length(line) + 1 for line in (title, *below, link))
    words = shorten(message.words, MOST - rest - 1)
    lines = [f"<b>{escape(title)}</b>", escape(words), *(escape(line) for line in below)]
    if link:
        lines.append(f'<a href="{escape(message.url)}">{link}</a>')
    return "\n".join(line for line in lines if line)


def answer(reply: Reply) -> Answer:
    """Answer by the Bot API's `ok`, `description` and `parameters`."""
    said = object_of(reply)
    description = str(said.get("description", ""))
    parameters = _object(said, "parameters")
    if reply.status == 429:
        found = by_status(reply, description)
        asked = parameters.get("retry_after")
        return structs.replace(found, retry_after_s=wait(asked)) if isinstance(asked, int) else found
    if said.get("ok") is not (200 <= reply.status < 300):
        return stranger(reply, "Telegram")
    if 200 <= reply.status < 300:
        number = _object(said, "result").get("message_id", "")
        return Answer("sent", str(reply.status), reply.status, f"message {number}")
    moved = parameters.get("migrate_to_chat_id")
    if isinstance(moved, int) and not isinstance(moved, bool):
        words = f"the group has moved: enter {moved} as the chat's id"
        return Answer("broken", words, reply.status, moved_to=str(moved))
    quotes = "can't parse" in description.lower()  # then it repeats pieces of our text
    if reply.status == 400 and not quotes and any(phrase in description.lower() for phrase in THEIRS):
        return Answer("broken", by_status(reply, description).words, 400)
    return by_status(reply, description)


def _object(said: dict[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}

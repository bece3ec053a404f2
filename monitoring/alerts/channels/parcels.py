"""Parcels that a channel is handed, and its answers.

A channel module is pure: it makes a request of a parcel and an answer of a reply. Plain Python, no Django.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from monitoring.alerts.messages import Message

Outcome = Literal["sent", "later", "broken", "refused"]
"""`later`: a try again may help. `broken`: nothing gets through until somebody mends the channel's
settings, so the message waits. `refused`: this message never gets through; others do."""

BUSY: Final = frozenset({408, 409, 425, 429})
"""Besides 5xx, the answers after which HTTP wants to be asked again."""

LONGEST_WAIT_S: Final = 3600.0
"""A server that asks us to wait for longer is asked again after an hour."""

LONGEST_WORDS: Final = 300


class Unusable(Exception):
    """The channel's settings cannot work; the text says which and why, and never the secret."""


class Target(Struct, frozen=True):
    """Destination: a channel's kind, settings and secret, see `monitoring.models.AlertChannel`."""

    kind: str
    settings: dict[str, Any]
    secret: str

    def __repr__(self) -> str:
        return f"Target(kind={self.kind!r})"  # whatever prints or logs it must not reveal the secret

    def text(self, name: str) -> str:
        """A setting without blanks around it; empty where it is not set."""
        return str(self.settings.get(name) or "").strip()


class Parcel(Struct, frozen=True):
    """One message under the key a channel may know it by when it comes twice.

    `parts` are the messages it stands for when it is several in one.
    """

    key: str
    message: Message
    parts: tuple[Message, ...] = ()


class Answer(Struct, frozen=True):
    """Outcome of a parcel, in a channel's own code and in words; `receipt` is its name over there.

    `moved_to` is where the other side says that the chat is now.
    """

    outcome: Outcome
    words: str
    code: int | None = None
    receipt: str = ""
    retry_after_s: float | None = None
    moved_to: str = ""


class Request(Struct, frozen=True):
    """An HTTP POST."""

    url: str
    body: bytes
    headers: dict[str, str]


class Reply(Struct, frozen=True):
    """Reply of the server; header names in lower case, the body cut where it is long."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def json_request(url: str, body: object, headers: Mapping[str, str] | None = None) -> Request:
    """A POST of JSON.

    Raises:
        Unusable: not an address we post to.
    """
    content = {"Content-Type": "application/json; charset=utf-8"}
    return Request(web_address(url), msgspec.json.encode(body), {**content, **(headers or {})})


def web_address(text: str) -> str:
    """The address, if it is one of HTTP.

    Raises:
        Unusable: it is not. The text is not repeated: of some channels the address is the secret.
    """
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise Unusable("its address cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise Unusable("its address must begin with https:// or http://")
    if not named or any(character.isspace() for character in text):
        raise Unusable("its address names no host")
    if parts.username is not None or parts.password is not None:
        raise Unusable("its address must hold no user name or password")
    return text


def by_status(reply: Reply, words: str = "") -> Answer:
    """Answer by the HTTP status alone; `words` are what the channel added.

    Redirects are not followed: they would carry the secret to wherever somebody points.
    """
    status = reply.status
    said = f"{status}: {words}"[:LONGEST_WORDS] if words else str(status)
    if 200 <= status < 300:
        return Answer("sent", said, status)
    if status in BUSY or status >= 500:
        return Answer("later", said, status, retry_after_s=retry_after(reply.headers))
    if 300 <= status < 400:
        return Answer("broken", f"{said}: redirected elsewhere, which is not followed", status)
    if status in (400, 413, 415, 422):
        return Answer("refused", said, status)
    return Answer("broken", said, status)


def stranger(reply: Reply, name: str) -> Answer:
    """An answer that is not the service's: a proxy's or a hotel's page says nothing of the message."""
    if reply.status >= 400:
        found = by_status(reply)
        if found.outcome != "refused" or reply.status == 413:
            return found
    return Answer("broken", f"{reply.status}: this is not {name}", reply.status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the other side asks us to wait, whether it names a number or a date."""
    text = headers.get("retry-after", "").strip()
    try:
        wait_s = float(text)
    except ValueError:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        wait_s = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return wait(wait_s)


def wait(seconds: float) -> float | None:
    """A wait that was asked for, within reason; None where it is no number of seconds."""
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else None  # noqa: PLR0124 - NaN


def object_of(reply: Reply) -> dict[str, Any]:
    """The reply's JSON object; empty where there is none."""
    try:
        found = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}

"""PagerDuty's Events API v2: https://developer.pagerduty.com/docs/events-api-v2/overview/."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

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
)
from monitoring.alerts.channels.wording import shorten
from monitoring.alerts.messages import Message

API: Final = "https://events.pagerduty.com"
CLIENT: Final = "arbitrage desk"
MOST_SUMMARY: Final = 1024
MOST_DETAIL: Final = 4000  # an event may have 512 KB
MOST_KEY: Final = 255


def request(target: Target, parcel: Parcel) -> Request:
    """Raises: Unusable."""
    if not target.secret:
        raise Unusable("enter the integration key")
    url = f"{target.text('base_url') or API}/v2/enqueue"
    message = parcel.message
    event = {"routing_key": target.secret.strip(), "dedup_key": dedup_key(message)}
    if message.state == "resolved":
        return json_request(url, {**event, "event_action": "resolve"})
    return json_request(url, {**event, "event_action": "trigger", **_details(message)})


def dedup_key(message: Message) -> str:
    """The incident's, so that a repetition adds to it and its end resolves it."""
    if len(message.key) <= MOST_KEY:
        return message.key
    return hashlib.sha256(message.key.encode()).hexdigest()


def _details(message: Message) -> dict[str, Any]:
    facts = {label: shorten(value, MOST_DETAIL) for label, value in message.facts}
    details: dict[str, Any] = {
        "client": CLIENT,
        "payload": {
            "summary": shorten(message.title, MOST_SUMMARY),
            "source": CLIENT,
            "severity": message.severity,
            "timestamp": datetime.fromtimestamp(message.at_us / 1e6, UTC).isoformat(),
            "custom_details": {"what": shorten(message.words, MOST_DETAIL), **facts},
        },
    }
    if message.url:
        details |= {"client_url": message.url, "links": [{"href": message.url, "text": "Open the desk"}]}
    return details


def answer(reply: Reply) -> Answer:
    """202 with `success` is taken. 400 is final: our event is at fault, or the integration key."""
    said = object_of(reply)
    if reply.status in (400, 415, 422) and not isinstance(said.get("status"), str):
        return stranger(reply, "PagerDuty")
    if 200 <= reply.status < 300 and said.get("status") != "success":
        return stranger(reply, "PagerDuty")
    errors = said.get("errors")
    listed = [str(error) for error in errors] if isinstance(errors, list) else []
    words = "; ".join(listed) or str(said.get("message", ""))
    found = by_status(reply, words)
    if found.outcome == "sent":
        return Answer("sent", found.words, reply.status, str(said.get("dedup_key", "")))
    if reply.status == 400 and "routing_key" in words.replace(" ", "_").lower():
        return Answer("broken", found.words, reply.status)
    return found

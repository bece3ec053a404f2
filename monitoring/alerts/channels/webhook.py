"""Our own JSON to any address, signed as https://www.standardwebhooks.com has it (docs/alert_channels.md)."""

import base64
import binascii
import hashlib
import hmac
import time
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
)

PREFIX: Final = "whsec_"


def request(target: Target, parcel: Parcel, now_s: float | None = None) -> Request:
    """Raises: Unusable."""
    if not target.text("url"):
        raise Unusable("enter the address it posts to")
    body = {"id": parcel.key, "message": parcel.message, "parts": parcel.parts}
    unsigned = json_request(target.text("url"), body)
    at = str(int(time.time() if now_s is None else now_s))
    headers = {
        "webhook-id": parcel.key,
        "webhook-timestamp": at,
        "webhook-signature": signature(key_of(target.secret), parcel.key, at, unsigned.body),
    }
    return Request(unsigned.url, unsigned.body, {**unsigned.headers, **headers})


def signature(key: bytes, id: str, at: str, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body, so that neither can be exchanged or sent again much later."""
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    """The key: base64 behind `whsec_`, as the standard writes it, or any text as it stands.

    Raises:
        Unusable: there is none, or it is not base64.
    """
    if not secret:
        raise Unusable("enter the key it is signed with")
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise Unusable("behind whsec_ its key must be base64") from None


def answer(reply: Reply) -> Answer:
    """Answer by status alone. The body is not repeated: it may come from any address somebody entered."""
    return by_status(reply)

"""Secrets of alert channels at rest: sealed with a key made from SECRET_KEY, opened only to send.

Whoever changes SECRET_KEY keeps the old one in SECRET_KEY_FALLBACKS, or enters the secrets anew.
"""

import base64
import hashlib
from typing import TYPE_CHECKING, Final

from django.conf import settings

from markets.redaction import keep_secret

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet  # 8 MB, which only who seals or opens a secret takes

_PURPOSE: Final = b"arbitrage desk: secrets of alert channels\0"


class UnreadableSecret(Exception):
    """The sealed text was sealed under another SECRET_KEY, or is damaged."""


def seal(secret: str) -> str:
    """The text as it may lie in the database; empty stays empty."""
    return _box().encrypt(secret.encode()).decode() if secret else ""


def unseal(sealed: str) -> str:
    """The text again.

    Raises:
        UnreadableSecret: no key we have opens it.
    """
    if not sealed:
        return ""
    from cryptography.fernet import InvalidToken

    try:
        secret = _box().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise UnreadableSecret("its secret was sealed under another SECRET_KEY: enter it again") from None
    keep_secret(secret)  # from here on it may get into an error, and must not get into the log
    return secret


def _box() -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key(str(key))) for key in keys])


def _key(secret_key: str) -> bytes:
    """SECRET_KEY is long and random, so one hash is enough; the purpose keeps it apart from other uses."""
    return base64.urlsafe_b64encode(hashlib.sha256(_PURPOSE + secret_key.encode()).digest())

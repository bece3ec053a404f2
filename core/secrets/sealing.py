"""Secrets at rest: sealed with a key made from SECRET_KEY, each bound to the one place it may be sent to.

What is sealed holds the destination it was entered for. The reader says where it is about to go, and gets
it for that place only: whatever changed the destination, a form, a command or SQL, the secret is asked for
again. A purpose keeps the secrets of different parts apart: its key is derived from SECRET_KEY, and a process
that was given only that key (SEALING_KEY_…) opens those secrets and nothing else. When SECRET_KEY changes,
the old one stays in SECRET_KEY_FALLBACKS, or secrets are entered again.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from core.secrets.redaction import keep_secret

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet  # 8 MB, only for processes that seal or open secrets

OTHER_KEY: Final = "its secret was sealed under another SECRET_KEY: enter it again"
NO_KEY: Final = "this process was given no key to open it: `manage.py sealing_keys` makes one"
ELSEWHERE: Final = "its secret was entered for another destination: enter it again"


class UnreadableSecret(Exception):
    """The sealed text is not to be opened here: another SECRET_KEY, another destination, or damage."""


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    destination: str
    secret: str


def seal(secret: str, purpose: str, destination: str) -> str:
    """The text as it may lie in the database, to be opened for `destination` only; empty stays empty."""
    if not secret:
        return ""
    return _box(purpose).encrypt(msgspec.json.encode(_Sealed(destination, secret))).decode()


def unseal(sealed: str, purpose: str, destination: str) -> str:
    """The text again.

    Raises:
        UnreadableSecret: no key we have opens it, or it was sealed for another destination.
    """
    if not sealed:
        return ""
    try:
        found = msgspec.json.decode(opened(sealed, purpose), type=_Sealed)
    except msgspec.MsgspecError:
        raise UnreadableSecret(ELSEWHERE) from None  # sealed before secrets were bound
    if found.destination != destination:
        raise UnreadableSecret(ELSEWHERE)
    keep_secret(found.secret)  # from here on it may get into an error, and must not get into the log
    return found.secret


def opened(sealed: str, purpose: str) -> bytes:
    """Open a sealed text, wherever it may go: for migrations, and for nothing that sends.

    Raises:
        UnreadableSecret: no key we have opens it.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _box(purpose).decrypt(sealed.encode())
    except InvalidToken:
        raise UnreadableSecret(OTHER_KEY) from None


def is_current(sealed: str, purpose: str) -> bool:
    """Whether it lies under the SECRET_KEY of now, not under a former one."""
    from cryptography.fernet import Fernet, InvalidToken

    try:
        Fernet(_key(str(settings.SECRET_KEY), purpose)).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def resealed(sealed: str, purpose: str) -> str:
    """The same secret, for the same destination, under the SECRET_KEY of now.

    Raises:
        UnreadableSecret: no key we have opens it.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _box(purpose).rotate(sealed.encode()).decode()
    except InvalidToken:
        raise UnreadableSecret(OTHER_KEY) from None


def sealed_plainly(secret: str, purpose: str) -> str:
    """Seal as it was done before secrets were bound: for migrations."""
    return _box(purpose).encrypt(secret.encode()).decode()


def _box(purpose: str) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet

    return MultiFernet([Fernet(key) for key in _keys(purpose)])


def _keys(purpose: str) -> list[str]:
    """Keys this process was given for the purpose, else those of its SECRET_KEY.

    Raises:
        UnreadableSecret: it has neither.
    """
    if given := settings.SEALING_KEYS.get(purpose):
        return list(given)
    try:
        return derived_keys(purpose, str(settings.SECRET_KEY), settings.SECRET_KEY_FALLBACKS)
    except ImproperlyConfigured:
        raise UnreadableSecret(NO_KEY) from None


def derived_keys(purpose: str, secret_key: str, fallbacks: Iterable[str]) -> list[str]:
    """The keys of a purpose: that of SECRET_KEY, with which is sealed, then those of SECRET_KEY_FALLBACKS."""
    return [_key(key, purpose) for key in (secret_key, *fallbacks)]


def _key(secret_key: str, purpose: str) -> str:
    """SECRET_KEY is long and random, so one hash is enough; the purpose keeps it apart from other uses."""
    text = f"arbitrage desk: {purpose}\0{secret_key}"
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()

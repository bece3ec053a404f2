"""Settings a desk must not start with outside `make run`: tracebacks for all, or a guessable key."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

from django.core.exceptions import ImproperlyConfigured

KEY_LENGTH: Final = 50
DISTINCT: Final = 8
# A random key of that length cannot be packed into fewer bytes, digits alone included; repeated or counted up
# letters can. (The shortest of 20,000 random ones: 41.)
PACKED_BYTES: Final = 40
# What stands in examples, tutorials and keys that were meant to be replaced.
KNOWN: Final = (
    "insecure", "changeme", "change-me", "change_me", "secret-key", "secret_key", "secretkey", "your-secret",
    "your_secret", "yoursecret", "password", "placeholder", "example", "replace-me", "replaceme",
)  # fmt: skip
REMEDY: Final = "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(50))'"


@contextmanager
def in_words() -> Iterator[None]:
    """End a server that is wrongly configured with the reason alone, without a traceback."""
    try:
        yield
    except ImproperlyConfigured as error:
        raise SystemExit(f"Wrong configuration: {error}") from None


def problem(secret_key: str, *, debug: bool) -> str:
    """Why no process may start with these settings, in words without the key; empty when nothing is wrong.

    Without a key at all nothing is wrong: whatever signs asks for it, and says that it is missing.
    """
    if debug:
        return (
            "DEBUG is true: every error would show its traceback and settings to the visitor who caused it. "
            "Set DEBUG=false; only `make run` takes it"
        )
    if secret_key and (weakness := _weakness(secret_key)):
        return f"SECRET_KEY {weakness}; {REMEDY}"
    return ""


def _weakness(key: str) -> str:
    if len(key) < KEY_LENGTH:
        return f"has {len(key)} characters, of at least {KEY_LENGTH}: it can be guessed"
    if any(word in key.lower() for word in KNOWN):
        return "is one from an example, or made of words: it can be guessed"
    if len(set(key)) < DISTINCT or min(map(_packed, (key.encode(), _steps(key)))) < PACKED_BYTES:
        return "repeats itself or counts up: it can be guessed"
    return ""


def _packed(text: bytes) -> int:
    return len(zlib.compress(text, 9))


def _steps(key: str) -> bytes:
    """Steps from each character to the next: alike, where a key goes through the alphabet."""
    return bytes((after - before) % 256 for before, after in pairwise(key.encode()))

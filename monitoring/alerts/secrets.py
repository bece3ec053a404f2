"""The secrets of alert channels: each is sealed for its channel's destination (`core.secrets.sealing`)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from core.secrets.sealing import UnreadableSecret, opened
from core.secrets.sealing import seal as _seal
from core.secrets.sealing import unseal as _unseal

__all__ = ["PURPOSE", "UnreadableSecret", "destination", "meaning", "seal", "unseal"]

PURPOSE: Final = "secrets of alert channels"
PLACE: Final = ("url", "base_url", "host", "port", "security", "username")
"""The settings of a channel that say where its secret goes, how, and as whose."""
USUAL: Final = {"security": "starttls"}
"""What is used where a setting is left out."""


def destination(kind: str, settings: Mapping[str, Any]) -> str:
    """Destination to which a channel of this kind, with these settings, sends its secret."""
    place = [str(settings.get(name) or USUAL.get(name, "")).strip() for name in PLACE]
    return msgspec.json.encode([kind, *place]).decode()


def seal(secret: str, to: str = "") -> str:
    """The text as it may lie in the database, to be opened for the destination `to` only."""
    return _seal(secret, PURPOSE, to)


def unseal(sealed: str, to: str = "") -> str:
    """The text again.

    Raises:
        UnreadableSecret: no key we have opens it, or it was sealed for another destination.
    """
    return _unseal(sealed, PURPOSE, to)


def meaning(sealed: str) -> str:
    """Meaning of a sealed text, under any key, only to compare; unopened where no key opens it."""
    try:
        return opened(sealed, PURPOSE).decode() if sealed else ""
    except UnreadableSecret:
        return sealed

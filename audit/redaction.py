"""Redaction of the audit: secrets, by the name of their field and by the shape of the text."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

HIDDEN: Final = "•••"

MOST_TEXT: Final = 10_000
"""Characters of a value, which is what the longest field takes."""

MOST_ITEMS: Final = 1_000
MOST_DEPTH: Final = 6

_SECRET_NAME: Final = re.compile(
    r"(?i)passw|passphrase|secret|token|api_?key|private|credential|authori[sz]ation|cookie|session_?key"
    r"|signature|digest|fingerprint|recovery|(^|_)(otp|totp|pin|code|key|seed)s?$"
)
_IN_TEXT: Final = (
    (re.compile(r"(?<=://)[^/\s@?#]*@"), f"{HIDDEN}@"),  # user and password of an address
    (re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s?#]*)[?#]\S+"), rf"\1?{HIDDEN}"),  # keys travel in queries
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[\w.~+/=:-]{6,}"), rf"\1 {HIDDEN}"),
)

_redactors: list[Callable[[str], str]] = []


def redact_with(redactor: Callable[[str], str]) -> None:
    """Register a function that every text goes through, too, from an app that knows secrets."""
    _redactors.append(redactor)


def plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON keeps it, bounded and without secrets."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):  # JSON knows no others
        return value
    if isinstance(value, date):
        return (value.astimezone(UTC) if isinstance(value, datetime) else value).isoformat()
    if isinstance(value, Mapping) and depth < MOST_DEPTH:
        return named(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset) and depth < MOST_DEPTH:
        return _bounded([plain(each, depth + 1) for each in list(value)[: MOST_ITEMS + 1]])
    return text(str(value))


def named(values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Values by name; those whose name says that they are secret are hidden."""
    kept = {_storable(str(name)[:100]): value for name, value in list(values.items())[:MOST_ITEMS]}
    return {name: _of_name(name, value, depth) for name, value in kept.items()}


def _of_name(name: str, value: Any, depth: int) -> Any:
    is_said = value is None or value == "" or isinstance(value, bool)
    return HIDDEN if not is_said and _SECRET_NAME.search(name) else plain(value, depth)


def text(value: str, most: int = MOST_TEXT) -> str:
    """A text without secrets and more than anybody reads."""
    value = _storable(value[: 2 * most])
    for redactor in _redactors:
        value = redactor(value)
    for pattern, shown in _IN_TEXT:
        value = pattern.sub(shown, value)
    return value if len(value) <= most else f"{value[: most - 1]}…"


def _storable(value: str) -> str:
    """Remove what PostgreSQL does not keep: NUL, and halves of characters."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _bounded(items: list[Any]) -> list[Any]:
    return items if len(items) <= MOST_ITEMS else [*items[:MOST_ITEMS], "…"]

"""Redaction of logs: secrets that are known, and text that looks like one.

Code that opens a secret registers it with `keep_secret`; the log then shows `•••` in its place.
"""

import re
from typing import Final

HIDDEN: Final = "•••"
SHORTEST: Final = 6
"""Shorter ones would black out ordinary words; nobody should have such a secret."""

_known: set[str] = set()

_PATTERNS: Final = (
    (re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@"), rf"\1:{HIDDEN}@"),  # the password of a URL
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=:-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?<=/bot)\d{5,}:[\w-]{20,}"), HIDDEN),  # Telegram's API has the token in its path
    (re.compile(r"(?<=hooks\.slack\.com/)\S+"), HIDDEN),  # the whole path is the secret
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|api_?key|signature|sessionid)(['\"]?\s*[=:]\s*['\"]?)[^\s'\"&,;)]+"
        ),
        rf"\1\2{HIDDEN}",
    ),
)


def keep_secret(*values: str) -> None:
    """Keep these out of every log of this process."""
    _known.update(value for value in values if len(value) >= SHORTEST)


def redacted(text: str) -> str:
    """The text without secrets."""
    for value in sorted(_known, key=len, reverse=True):  # one may be a part of another
        if value in text:
            text = text.replace(value, HIDDEN)
    for pattern, shown in _PATTERNS:
        text = pattern.sub(shown, text)
    return text

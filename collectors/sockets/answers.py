"""Words of an HTTP answer that is not the expected one: the exchange's own words, short and printable."""

import html
import io
import json
import re
import time
import unicodedata
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any, Final

from core.secrets.redaction import redacted

LONGEST_WORDS: Final = 200
LONGEST_BODY: Final = 64 * 1024
LONGEST_SAID: Final = 300
LOOKED_AT: Final = 20
"""Characters that are read for each one that is shown."""
BUSY_STATUS: Final = frozenset({403, 418, 429, 503})
"""What Retry-After counts with. 403: a lock-out of Bybit and Bitget; 418: of Binance after too many 429."""

MAX_RETRY_AFTER_S: Final = 3 * 86400.0  # Binance's longest ban

_MEANING: Final = {
    403: "refuses this address",
    418: "has banned this address for a while",
    429: "was asked too often",
    451: "does not serve this location",
    500: "has a trouble of its own",
    502: "is not available now",
    503: "is not available now",
    504: "is not available now",
}
_CODES: Final = ("code", "retCode", "ret_code", "errorCode", "error_code", "label")
_MESSAGES: Final = ("msg", "message", "retMsg", "ret_msg", "errorMsg", "error", "detail", "reason")
_SECONDS: Final = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})", re.ASCII)
_HTML: Final = re.compile(r"<!doctype html|<html|<head|<title|<body", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_NO_WORDS: Final = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


def plain(text: str, longest: int = LONGEST_WORDS) -> str:
    """One printable line: control and direction characters gone, white space collapsed, cut."""
    text = text[: LOOKED_AT * longest]  # a megabyte of words is not searched for a line of them
    line = " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def foreign(words: str) -> str:
    """Words of a server over a WebSocket, as they may be logged and shown: one short line without secrets."""
    return plain(redacted(words[: LOOKED_AT * LONGEST_SAID]), LONGEST_SAID)


def said(body: bytes) -> str:
    """Words of a body: code and message of JSON, the title of an HTML page, or how it begins."""
    text = body[:LONGEST_BODY].decode("utf-8", "replace")
    try:
        words = _of_json(json.loads(text))
    except (ValueError, RecursionError):
        words = ""
    return words or (_of_html(text) if _HTML.search(text[:2000]) else plain(text))


def refusal(name: str, status: int, body: bytes) -> str:
    """Why an exchange does not do what was asked, in words an operator understands."""
    words = said(body)
    status_words = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    meaning = _MEANING.get(status)
    if status < 400:
        meaning = "answers with something else"
    return f"{name} {meaning} ({status_words})" if meaning else status_words


def retry_after(status: int, value: str | None) -> float | None:
    """Seconds to stay away, from a Retry-After header (seconds or an HTTP date); None if not asked to.

    Bounded to three days; a time in the past is 0, and nonsense is nothing.
    """
    if status not in BUSY_STATUS or not value:
        return None
    text = value.strip()
    try:
        if _SECONDS.fullmatch(text):
            seconds = float(text)
        else:
            then = parsedate_to_datetime(text)
            seconds = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def read_answer(raw: bytes) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and as much of the body as there is, of any HTTP/1.x answer. Raises ValueError."""
    answer = HTTPResponse(_Canned(raw))  # type: ignore[arg-type]
    try:
        answer.begin()
    except (HTTPException, OSError, ValueError) as error:
        raise ValueError(f"not an HTTP answer: {plain(raw.decode('utf-8', 'replace'))}") from error
    try:
        body = answer.read(LONGEST_BODY)
    except (HTTPException, OSError, ValueError):  # cut short or badly framed: as it came
        body = raw.partition(b"\r\n\r\n")[2][:LONGEST_BODY]
    return answer.status, answer.headers, body


class _Canned:
    """The part of a socket that HTTPResponse reads."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _of_json(value: Any) -> str:
    if isinstance(value, str):
        return plain(value)
    if not isinstance(value, dict):
        return ""
    code = next((value[name] for name in _CODES if value.get(name) not in (None, "")), None)
    message = next((value[name] for name in _MESSAGES if value.get(name)), None)
    if message is None and isinstance(value.get("data"), str):
        message = value["data"]
    if isinstance(message, dict):
        return _of_json(message) or plain(json.dumps(value, ensure_ascii=False))
    if message is None:
        return plain(json.dumps(value, ensure_ascii=False)) if value else ""
    return plain(f"{code}: {message}" if code not in (None, 0, "0") else str(message))


def _of_html(text: str) -> str:
    title = _TITLE.search(text)
    words = plain(html.unescape(title[1])) if title else ""
    words = words or plain(html.unescape(_NO_WORDS.sub(" ", text)))
    return f"an HTML page, “{words}”" if words else "an HTML page without words"

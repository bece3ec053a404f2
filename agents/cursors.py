"""Cursors: where the next page of an answer begins, as a text that its tool alone understands."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from mcp.server.mcpserver.exceptions import ToolError

MOST_ROWS: Final = 500
"""Rows of one answer."""


class Place(msgspec.Struct, array_like=True, frozen=True):
    """A place in the answer to one question: `at` is the tool's own, `question` what was asked."""

    question: str
    at: Any


def cursor_at(at: Any, *question: Any) -> str:
    """The cursor of a place in the answer to a question."""
    return base64.urlsafe_b64encode(msgspec.json.encode(Place(_digest(question), at))).decode()


def place_of(cursor: str, *question: Any) -> Any:
    """The place that a cursor means, None for an empty one. Raises ToolError for one of another question."""
    if not cursor:
        return None
    try:
        place = msgspec.json.decode(base64.b64decode(cursor, altchars=b"-_", validate=True), type=Place)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise ToolError("cursor: give `next` of the last answer as it came, or nothing to begin") from None
    if place.question != _digest(question):
        raise ToolError("cursor: it is of another question; go on with the parameters it was given for")
    return place.at


def place_number(cursor: str, *question: Any) -> int:
    """How many rows came before; 0 at the beginning. Raises ToolError."""
    at = place_of(cursor, *question) or 0
    if not isinstance(at, int) or not 0 <= at <= 10_000_000:
        raise ToolError("cursor: give `next` of the last answer as it came, or nothing to begin")
    return at


def page(name: str, rows: Sequence[Any], following: str | None, **more: Any) -> dict[str, Any]:
    """An answer of rows; `next` is null at the end."""
    return {name: rows, "next": following, **more}


def _digest(question: tuple[Any, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]

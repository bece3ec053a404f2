"""Recorded frames: one JSON object per line, `{"dir": "recv", "channel": "…", "payload": …}`.

A payload is a JSON value (the frame, parsed), a string (the exact wire text) or `{"b64": "…"}` (a
binary frame). A JSON value is kept as its own text, so that no number is changed on the way.
"""

import re
from base64 import b64decode
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

_ANSWER = re.compile("(?:uta_)?rest_(.+)")


class Binary(Struct, forbid_unknown_fields=True):
    """A binary frame in base64."""

    b64: str


class Line(Struct):
    """One recorded frame, or with a `channel` like `rest_funding` an answer; the rest is for people."""

    payload: Raw
    dir: Literal["recv", "sent"] = "recv"
    channel: Any = ""

    @property
    def answers(self) -> str:
        """Name of what REST was asked for, `funding` where the channel is `rest_funding`; else empty."""
        answer = _ANSWER.fullmatch(self.channel) if isinstance(self.channel, str) else None
        return answer.group(1) if answer else ""

    @property
    def is_depth(self) -> bool:
        """Whether it is of a channel of order books, as `depth` or `depth_partial`."""
        return isinstance(self.channel, str) and "depth" in self.channel

    def frame(self) -> bytes | str:
        """The frame as the socket gave it; raises ValueError for bad base64."""
        text = bytes(self.payload)
        if text.startswith(b'"'):
            return msgspec.json.decode(text, type=str)
        try:
            binary = msgspec.json.decode(text, type=Binary)
        except msgspec.ValidationError:
            return text
        return b64decode(binary.b64, validate=True)


def as_received(frame: bytes | str, *, binary: bool) -> bytes | str:
    """A recorded frame in the form the socket would give it: compact, and text where pushes are text.

    White space and the type are all that changes; what is no JSON stays as it is.
    """
    try:
        compact = msgspec.json.format(frame, indent=-1)
    except (msgspec.MsgspecError, ValueError):
        return frame
    if binary:
        return compact if isinstance(compact, bytes) else compact.encode()
    return compact if isinstance(compact, str) else compact.decode()


_decoder = msgspec.json.Decoder(Line)


def parse_line(text: bytes) -> Line:
    """Read one line; raises ValueError saying what is wrong with it."""
    return _decoder.decode(text)

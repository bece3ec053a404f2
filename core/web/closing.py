"""Closing of a browser's socket: codes (docs/messages.md) and reasons."""

from typing import Final

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""The longest message a browser may send."""
CLOSE_REASON_BYTES: Final = 123

CLOSE_BAD_MESSAGE: Final = 4400
CLOSE_NOT_SIGNED_IN: Final = 4401
CLOSE_NO_ACK: Final = 4408
CLOSE_TOO_MANY: Final = 4409
CLOSE_TOO_LARGE: Final = 1009
CLOSE_RESTART: Final = 1012


class Closed(Exception):
    """The socket is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def close_reason(text: str) -> str:
    """The text cut to what a close frame can carry (123 bytes of UTF-8)."""
    return text.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")

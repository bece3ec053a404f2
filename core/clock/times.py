"""Times as people write them."""

import datetime
import math
from typing import Final

LATEST_S: Final = 4_102_444_800
"""The year 2100: larger numbers are no seconds."""


def parse_time(text: str) -> int:
    """An ISO time or date as µs since the epoch; without a zone it is UTC.

    Raises ValueError saying how a time is written; one before 1970 or after 2100 is none that was recorded.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write it like 2026-11-20T12:30 (UTC), 2026-11-20T13:30+01:00 or 2026-11-20"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    ts_us = (moment - _EPOCH) // _US
    if not 0 <= ts_us < LATEST_S * 1_000_000:
        raise ValueError(f"{text} is not between 1970 and 2100")
    return ts_us


def asked_time(text: str) -> int:
    """A time in a request, in seconds since 1970 or as `parse_time` reads it, as µs since the epoch.

    Raises ValueError saying what is wrong.
    """
    try:
        seconds = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        try:
            return parse_time(text.replace(" ", "+") if "T" in text else text)  # a + not encoded in the URL
        except ValueError as problem:
            raise ValueError(f"{problem}, or as seconds since 1970") from None
    if not (math.isfinite(seconds) and 0 <= seconds < LATEST_S):
        raise ValueError(f"{text} is not seconds since 1970 (milliseconds, perhaps?)")
    return round(seconds * 1e6)


def shown_time(ts_us: int) -> str:
    """A time in µs as `parse_time` reads it, UTC, to the second or as exact as it is."""
    return (_EPOCH + ts_us * _US).isoformat().removesuffix("+00:00") + "Z"


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)

"""Times as people write them."""

import datetime


def parse_time(text: str) -> int:
    """An ISO time or date as µs since the epoch; without a zone it is UTC.

    Raises ValueError saying how a time is written.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write it like 2026-11-20T12:30 (UTC), 2026-11-20T13:30+01:00 or 2026-11-20"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return (moment - _EPOCH) // _US


def shown_time(ts_us: int) -> str:
    """A time in µs as `parse_time` reads it, UTC, to the second or as exact as it is."""
    return (_EPOCH + ts_us * _US).isoformat().removesuffix("+00:00") + "Z"


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)

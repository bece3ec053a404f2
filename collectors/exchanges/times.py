"""An exchange's time, in whatever unit and form it comes: the unit is recognized by the magnitude.

Between 2009 and 2050 seconds, milliseconds, microseconds and nanoseconds do not overlap, so a number says
its own unit, and what is in none of the four ranges (0, -1, 1e30) is no time. Nor is one that is far from
what the time can be: a counter or a field of another meaning may well look like one.
"""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec

FIRST_S: Final = 1_230_768_000
"""2009: no exchange is older."""

LAST_S: Final = 2_524_608_000
"""2050."""

FIRST_US: Final = FIRST_S * 10**6
FIRST_MS: Final = FIRST_S * 10**3
LAST_MS: Final = LAST_S * 10**3

Millis = Annotated[int, msgspec.Meta(ge=FIRST_MS, lt=LAST_MS)]
"""A time in ms on the fast path, number or text: checked while it is decoded."""

Nanos = Annotated[int, msgspec.Meta(ge=FIRST_S * 10**9, lt=LAST_S * 10**9)]
"""The same in ns."""

FAR_US: Final = 30 * 86_400 * 10**6
"""No two times of one moment are further apart, and nothing is late by so much: one of them is none."""

FAR_MS: Final = FAR_US // 1000

DECADE_US: Final = 5 * 365 * FAR_US // 30
"""No clock is further from ours. One that is off by years, as where a recording is played, is a clock as long
as it goes on; what is off by decades is none."""

DIGITS: Final = 40
"""A text longer than this is no time."""

_DIVISORS: Final = (10**6, 10**3, 1, Decimal("0.001"))
"""From µs to each unit: ns last."""


def moment_us(value: Any) -> int | None:
    """µs since the epoch, cut and never rounded; None for what is no time between 2009 and 2050.

    Takes numbers and numeric text of any of the four units, with a fraction or without, and ISO 8601 text
    with `Z` or an offset.
    """
    if type(value) is int and FIRST_MS <= value < LAST_MS:  # as nearly all are
        return value * 1000
    number = _number(value)
    if number is None:
        return _iso_us(value) if isinstance(value, str) else None
    for factor in _DIVISORS:
        us = number * factor
        if FIRST_S * 10**6 <= us < LAST_S * 10**6:
            return int(us)
    return None


def is_near(time_us: int, received_us: int, within_us: int = FAR_US) -> bool:
    """Whether a time is near enough to when it was received; by a clock before 2009 it is unknown."""
    return received_us < FIRST_US or abs(received_us - time_us) < within_us


def _number(value: Any) -> Decimal | None:
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, str):
        if len(value) > DIGITS or not value.isascii() or "_" in value:
            return None
    elif isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < DIGITS else None


def _iso_us(text: str) -> int | None:
    if len(text) > DIGITS:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or not FIRST_S <= moment.timestamp() < LAST_S:
        return None
    return int(moment.replace(microsecond=0).timestamp()) * 10**6 + moment.microsecond

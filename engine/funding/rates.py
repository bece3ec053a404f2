"""Funding rates of different intervals in the same unit.

Rates are fractions of the notional, intervals seconds; numbers, numpy arrays or polars expressions. Nothing
compounds: what is paid does not stay in the position.
"""

from typing import Any, Final

HOUR_S: Final = 3_600
DAY_S: Final = 24 * HOUR_S
YEAR_DAYS: Final = 365


def per_hour(rate: Any, interval_s: Any) -> Any:
    """Funding per hour at this rate per interval."""
    return rate * (HOUR_S / interval_s)


def per_8h(rate: Any, interval_s: Any) -> Any:
    """Funding per 8 h at this rate per interval: the unit in which exchanges are compared."""
    return rate * (8 * HOUR_S / interval_s)


def per_day(rate: Any, interval_s: Any) -> Any:
    """Funding per day at this rate per interval."""
    return rate * (DAY_S / interval_s)


def per_year(rate: Any, interval_s: Any) -> Any:
    """Funding per year of 365 days at this rate per interval: simple, not compounded."""
    return per_day(rate, interval_s) * YEAR_DAYS

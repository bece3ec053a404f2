"""Numbers as people read them on the desk; static/js/shared/format.js writes them alike."""

from decimal import Decimal
from math import isfinite


def counted(count: float, noun: str) -> str:
    """How many there are of something whose plural takes an s: `1 event`, `1,240 events`."""
    many = f"{count:,.0f}"
    return f"{many} {noun}" if many == "1" else f"{many} {noun}s"


def age(ms: float) -> str:
    """`87 ms`, `2.4 s`, `3 min`, `5 h`; a dash where there is none."""
    if not isfinite(ms):
        return "–"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1_000:.1f} s"
    return f"{ms // 60_000:.0f} min" if ms < 3_600_000 else f"{ms // 3_600_000:.0f} h"


def seconds(ms: float) -> str:
    """An age that is held against a limit, in one unit: `75 s`, `0.25 s`."""
    return f"{round(ms / 1_000, 2):,.10g} s"


def amount(value: float) -> str:
    """A size or volume with thousands separators; cents only where they matter, and of less the digits."""
    if not isfinite(value):
        return "unknown"
    if 0 < abs(value) < 1:
        return figures(value, 3)
    return f"{value + 0.0:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def figures(value: float, significant: int) -> str:
    """A number with so many significant figures and thousands separators, never with an exponent."""
    return f"{Decimal(f'{value + 0.0:.{significant}g}'):,f}" if isfinite(value) else "–"


def share(value: float) -> str:
    """A threshold as it was entered: `10`, `0.5`, `1.5`."""
    return figures(value, 10)


def signed(value: float, digits: int) -> str:
    """A number with its sign, `+18.7`; zero, and what rounds to it, has none."""
    rounded = round(value, digits)
    return f"{rounded:+,.{digits}f}" if rounded else f"{0:.{digits}f}"


def bps(value: float | None) -> str:
    """An edge, `-18.7 bps`; a dash where there is none."""
    return "–" if value is None or not isfinite(value) else f"{signed(value, 1)} bps"


def percent(value: float | None) -> str:
    """A spread, `+0.124 %`; a dash where there is none."""
    return "–" if value is None or not isfinite(value) else f"{signed(value, 3)} %"


def price(value: float | None) -> str:
    """Price with enough digits to see it move, `64,210.5`, `0.00001234`, large ones whole."""
    return "–" if value is None else figures(value, max(8, len(f"{abs(value):.0f}")))


def ratio(value: float) -> str:
    """One price over another, `0.9998`, `14.29`."""
    return f"{value:.4f}" if 0.1 <= value < 10 else figures(value, 4)

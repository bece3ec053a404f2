"""Numbers as people read them on the desk; the pages' JavaScript (static/js/format.js) says them alike."""

from math import isfinite


def age(ms: float) -> str:
    """`87 ms`, `2.4 s`, `3.2 min`; a dash where there is none."""
    if not isfinite(ms):
        return "–"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    return f"{ms / 1_000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.1f} min"


def amount(value: float) -> str:
    """A size or volume with thousands separators, with cents below ten."""
    if not isfinite(value):
        return "unknown"
    return f"{value:,.2f}" if abs(value) < 10 else f"{value:,.0f}"


def share(value: float) -> str:
    """A threshold as it was entered: `10`, `0.5`, `1.5`."""
    return f"{value:g}"

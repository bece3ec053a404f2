"""Fewer points, same picture: extremes and gaps stay, and with them every spike a trader looks for."""

from typing import Final

import numpy as np

from realtime.points import Points

SPREAD: Final = 1
GAPS_KEPT: Final = 4


def second_extremes(rows: Points) -> Points:
    """First, lowest, highest and last point of the rows, and up to 4 gaps, in their order."""
    if len(rows) <= 4:
        return rows
    spread = rows[:, SPREAD]
    lowest = int(spread.argmin())
    if spread[lowest] == spread[lowest]:  # no gap at all, as nearly always: NaN would have come out lowest
        return rows[sorted({0, lowest, int(spread.argmax()), len(rows) - 1})]
    gaps = np.flatnonzero(np.isnan(spread))
    keep = {0, len(rows) - 1, *gaps[:GAPS_KEPT].tolist()}
    if len(gaps) < len(rows):
        keep |= {int(np.nanargmin(spread)), int(np.nanargmax(spread))}
    return rows[sorted(keep)]


def thin(rows: Points, cap: int) -> Points:
    """At most `cap` (>= 8) rows: the newest half as it is, of the older half the extremes and gaps.

    The older rows are cut into `cap // 8` runs; each leaves its lowest, its highest and its first gap.
    """
    if len(rows) <= cap:
        return rows
    recent = cap // 2
    older = np.array_split(rows[:-recent], cap // 8)
    return np.concatenate([*map(_extremes, older), rows[-recent:]])


def _extremes(run: Points) -> Points:
    spread = run[:, SPREAD]
    gaps = np.flatnonzero(np.isnan(spread))
    keep = {int(gaps[0])} if len(gaps) else set()
    if len(gaps) < len(run):
        keep |= {int(np.nanargmin(spread)), int(np.nanargmax(spread))}
    return run[sorted(keep)]

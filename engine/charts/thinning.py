"""Fewer points, same picture: extremes and gaps stay, and with them every spike a trader looks for.

What money hangs on keeps its extremes: the spread and both edges. Rows stay whole, so the sizes are those
of the moment.
"""

from typing import Final

import numpy as np

from engine.charts.points import POINT_COLUMNS, Points

VALUES: Final = [POINT_COLUMNS.index(name) for name in ("spread", "edge12", "edge21")]
"""The columns whose lowest and highest values are kept."""

GAPS_KEPT: Final = 4
MIN_CAP: Final = 12

_ROWS_A_RUN: Final = 8  # at most: the lowest and highest of each value, and a gap


def second_extremes(rows: Points) -> Points:
    """First and last point of the rows, the extremes of their values, and up to 4 gaps, in their order."""
    if len(rows) <= 4:
        return rows
    return rows[sorted({0, len(rows) - 1, *_extremes(rows, GAPS_KEPT)})]


def thin(rows: Points, cap: int) -> Points:
    """Thin to at most `cap` (>= MIN_CAP) rows: about the newest half as it is, of the older half extremes and
    gaps.

    The older rows are cut into `cap // 16` runs; each leaves the extremes of its values and its first gap.
    """
    if len(rows) <= cap:
        return rows
    runs = max(1, cap // (2 * _ROWS_A_RUN))
    recent = cap - runs * _ROWS_A_RUN
    older = np.array_split(rows[:-recent], runs)
    return np.concatenate([*(run[sorted(_extremes(run, 1))] for run in older), rows[-recent:]])


def _extremes(rows: Points, gaps_kept: int) -> set[int]:
    """The rows with the lowest and highest value of each column, and the first gaps."""
    values = rows[:, VALUES]
    lowest = values.argmin(axis=0)
    if not np.isnan(values[lowest[0], 0]):  # no gap at all, as nearly always: NaN would have come out lowest
        return {*lowest.tolist(), *values.argmax(axis=0).tolist()}
    gaps = np.isnan(values)
    lowest, highest = (
        np.where(gaps, np.inf, values).argmin(axis=0),
        np.where(gaps, -np.inf, values).argmax(axis=0),
    )
    broken = np.flatnonzero(gaps[:, 0])
    kept = set(broken[:gaps_kept].tolist())
    return kept if len(broken) == len(rows) else {*kept, *lowest.tolist(), *highest.tolist()}

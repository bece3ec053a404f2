"""The chart point: its columns, and what the engine hands on per chart.

Plain Python, no Django: the engine writes these, the sink, the recent store and the hub read them.
"""

from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.clock.clocks import JUMP_S

Points = NDArray[np.float64]
ChartState = Literal["live", "stale", "down"]

POINT_COLUMNS: Final = (
    "ts_us",  # wall clock of the quote that made the point, µs since the epoch, strictly increasing
    "spread",  # (bid1 / bid2 - 1) * 100, percent
    "upper",  # rolling 97 % quantile of the spread, percent
    "lower",  # rolling 3 % quantile of the spread, percent
    "edge12",  # sell on exchange1, buy on exchange2, after both taker fees, bps
    "edge21",  # the other way
    "size12",  # what both best levels can execute for edge12, quote currency
    "size21",  # the other way
    "age1_ms",  # age of exchange1's quote when the point was made
    "age2_ms",  # age of exchange2's quote when the point was made
)
"""Column names of a points array, in order. float64 holds µs since the epoch exactly until 2255.

A gap is a row whose values other than `ts_us` are NaN: the line is broken there.
"""


SET_BACK_US: Final = int(JUMP_S * 1e6)
"""What is so much earlier than what was made before it was stamped by a clock that was set back. It goes on
from there: held at the newest time, a line would stand still for as long as the clock was set back by."""


class ChartDelta(Struct, eq=False):
    """Changes of one chart since the last collect.

    `points` has shape (n, len(POINT_COLUMNS)), oldest first; n is 0 when only the state changed.
    `reason` says in words which leg is not live and why; it is empty while the chart is live.
    `quoted1_us` and `quoted2_us` are when each leg last quoted (wall clock; 0: not known): a leg that is
    silent makes no points, and neither does the other one with it. `ahead_s` is by how much the clock that
    stamped all this is ahead of the web process's, as far as that knows.
    """

    id: str
    symbol: str
    exchange1: str
    exchange2: str
    state: ChartState
    reason: str
    points: Points
    quoted1_us: int = 0
    quoted2_us: int = 0
    ahead_s: float = 0.0


def no_points() -> Points:
    """An empty points array."""
    return np.empty((0, len(POINT_COLUMNS)))


def later_us(known_us: int, said_us: int) -> int:
    """The later of two times, or the one said now by a clock that was set back; 0: nothing is said."""
    return said_us if 0 < said_us < known_us - SET_BACK_US else max(known_us, said_us)


def going_on(rows: Points) -> Points:
    """A line in the order it was made, as it goes on: what lies after the new time of a clock set back goes.

    The line is broken there, unless the same rows merely come again. The first column is the time; the last
    ones of rows that are longer than a point stay as they are.
    """
    times = rows[:, 0]
    begins = np.flatnonzero(times[1:] < times[:-1] - SET_BACK_US) + 1
    if not len(begins):
        return rows
    kept = rows[: begins[0]]
    for part in np.split(rows, begins)[1:]:
        first_us = part[0, 0]
        comes_again = bool(np.any(kept[:, 0] == first_us))
        kept = kept[kept[:, 0] < first_us - 1]
        if len(kept) and not comes_again:
            gap = part[:1].copy()
            gap[0, 0], gap[0, 1 : len(POINT_COLUMNS)] = first_us - 1, np.nan
            kept = np.concatenate((kept, gap))
        kept = np.concatenate((kept, part))
    return kept

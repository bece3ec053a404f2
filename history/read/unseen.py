"""Breaks of a line where nobody was collecting, whichever collector wrote the points before and after.

A collector that is killed writes no gap. The next one says when the last was alive (`stream_states`: a `gap`
row with `since_us`, then its own start), as is said of events that were dropped and of damaged files: between
those moments nothing was seen, and a value before them does not hold until the one after.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.charts.batch import POINT_SCHEMA, Terms
from history.lake.schema import started_shard
from history.read.reader import LakeReader

Ints = npt.NDArray[np.int64]
Unseen = tuple[int, int]
"""From when on nothing was seen, and until when, µs; from 0 where only the end is known."""

_DAY_US = 86_400_000_000


def unseen(reader: LakeReader, terms: Terms, start_us: int, end_us: int) -> list[Unseen]:
    """The stretches of a range in which nobody saw a chart's legs, as the lake has it, oldest first."""
    legs = [(leg.exchange, leg.symbol) for leg in terms.legs]
    return unseen_of(reader, terms.symbol, legs, start_us, end_us)


def unseen_of(
    reader: LakeReader, coin: str, legs: Iterable[tuple[str, str]], start_us: int, end_us: int
) -> list[Unseen]:
    """The same of instruments by exchange and symbol; `coin` is what they are compared under."""
    exchanges, symbols = zip(*legs, strict=True)
    states = reader.scan(
        "stream_states",
        columns=["state", "reason", "since_us", "received_ts_us"],
        symbol=[*symbols, coin, ""],
        exchange=[*exchanges, ""],
        start_us=start_us,
        end_us=end_us + _DAY_US,  # a gap is written down at its end
    ).collect()
    found: list[Unseen] = []
    starts: set[int] = set()
    for state, reason, since_us, until_us in states.iter_rows():
        shard = started_shard(reason)
        if shard is not None and shard.owns(coin):
            starts.add(until_us)
        elif state == "gap" and since_us is not None:
            # Last alive later than the next one began, by a clock set back since: only the end is known.
            found.append((since_us if since_us <= until_us else 0, until_us))
    found += [(0, until_us) for until_us in starts - {until_us for _, until_us in found}]
    return sorted(found)


def broken(frames: Iterable[pl.DataFrame], stretches: list[Unseen]) -> Iterator[pl.DataFrame]:
    """The points of a chart, oldest first, with a gap wherever a line leads over an unseen stretch."""
    since = np.array([first for first, _ in stretches], np.int64)
    until = np.array([last for _, last in stretches], np.int64)
    before_us, held = 0, False  # the newest point, and whether it has a value that holds on
    for frame in frames:
        if not len(frame):
            continue
        times = np.concatenate(([before_us], frame["ts_us"].to_numpy()))
        holds = np.concatenate(([held], frame["spread"].is_not_null().to_numpy()))
        gaps = _gaps(times, holds, since, until)
        before_us, held = int(times[-1]), bool(holds[-1])
        if len(gaps):
            rows = pl.DataFrame({"ts_us": gaps}, schema={"ts_us": pl.Int64})
            joined = pl.concat([frame, rows], how="diagonal").sort("ts_us").select(POINT_SCHEMA.keys())
            yield joined
        else:
            yield frame


def _gaps(times: Ints, holds: npt.NDArray[np.bool_], since: Ints, until: Ints) -> Ints:
    """Gaps after points that hold on over an unseen stretch, at most one after each."""
    if not len(since):
        return since
    after = np.searchsorted(times, until)  # the first point that was seen again; the row before it held on
    inside = (after > 0) & (after < len(times))
    after, since = after[inside], since[inside]
    led = holds[after - 1]
    after, since = after[led], since[led]
    at = np.maximum(since, times[after - 1] + 1)
    fits = at < times[after]
    _, first = np.unique(after[fits], return_index=True)
    begins: Ints = at[fits][first]
    return begins

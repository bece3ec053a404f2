"""How a pair's price ratio swings about its mean: crossings, events, complete cycles, and a verdict.

Plain Python over numpy columns, no Django. The deviation is that of bid1 / bid2 from its mean, in
percent of the mean. A NaN is a gap: nothing crosses it, no event and no cycle spans it, and its
time counts for nothing.

An event is one stay of |deviation| at or above `event_pct`; its peak is the largest |deviation| in
it. A cycle is complete when the deviation went from the neutral zone (below `neutral_pct`) beyond
`cycle_pct` and came back to the neutral zone: trembling about a threshold completes none.
"""

from itertools import pairwise
from typing import Final, Literal

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Verdict = Literal["trending", "never closes", "biased", "excellent", "ordinary", "too little data"]

PEAK_EDGES_PCT: Final = (0.3, 0.5, 1.0)
"""Peaks are counted from each of these to the next, and from the last one up."""

LEAST_POINTS: Final = 100
LEAST_MINUTES: Final = 1.0

_US_PER_MINUTE: Final = 60_000_000


class DeviationTerms(Struct, frozen=True):
    """Terms of deviation events; all editable. Percent unless the name says otherwise."""

    neutral_pct: float = 0.1
    cycle_pct: float = 0.4
    event_pct: float = 0.3
    trending_below_crossings_per_minute: float = 1.0
    never_closes_above_time_pct: float = 50.0
    biased_above_asymmetry: float = 1.0
    excellent_above_crossings_per_minute: float = 5.0
    excellent_above_events_per_hour: float = 100.0
    excellent_above_mean_peak_pct: float = 0.5
    excellent_above_big_peaks_pct: float = 20.0  # share of the peaks above `big_peak_pct`
    big_peak_pct: float = 0.5


class DeviationStatistics(Struct, frozen=True):
    """Statistics of a range of one pair. Rates are per minute or hour of observed time, gaps left out.

    `asymmetry` is (max + min) / (max - min) of the deviation, between -1 and 1 by construction;
    `spread_asymmetry` the same of the spread itself, beyond ±1 when it never changes its sign.
    None stands for what is not defined: nothing observed, no event, no movement at all.
    """

    points: int
    minutes: float
    mean_ratio: float | None
    crossings_per_minute: float | None
    events: int
    events_per_hour: float | None
    cycles: int
    cycles_per_hour: float | None
    mean_duration_s: float | None
    mean_peak_pct: float | None
    peaks: tuple[int, ...]  # counts from each of PEAK_EDGES_PCT on
    big_peaks_pct: float | None
    time_above_pct: float | None
    asymmetry: float | None
    spread_asymmetry: float | None
    verdicts: tuple[Verdict, ...]


def deviations(ratio: Floats) -> Floats:
    """The deviation of a ratio from its mean, percent of the mean; NaN where the ratio is."""
    if np.isnan(ratio).all():
        return np.full(len(ratio), np.nan)
    mean = float(np.nanmean(ratio))
    return (ratio / mean - 1) * 100


def statistics(ts_us: Floats, ratio: Floats, terms: DeviationTerms | None = None) -> DeviationStatistics:
    """Judge one pair over one range.

    `ts_us` (n,) rises; `ratio` (n,) is bid1 / bid2, NaN for a gap. A value holds until the next one.
    """
    terms = terms or DeviationTerms()
    deviation = deviations(ratio)
    valid = ~np.isnan(deviation)
    held_us = np.where(valid, np.append(np.diff(ts_us), 0.0), 0.0)
    minutes = float(held_us.sum()) / _US_PER_MINUTE
    starts, ends = _stays(np.abs(deviation) >= terms.event_pct)
    peaks = np.array([np.abs(deviation[a:b]).max() for a, b in zip(starts, ends, strict=True)])
    elapsed = np.append(0.0, np.cumsum(held_us))
    durations_s = (elapsed[ends] - elapsed[starts]) / 1e6
    cycles = complete_cycles(deviation, terms.neutral_pct, terms.cycle_pct)
    found = DeviationStatistics(
        points=int(valid.sum()),
        minutes=minutes,
        mean_ratio=float(np.nanmean(ratio)) if valid.any() else None,
        crossings_per_minute=_per(zero_crossings(deviation), minutes),
        events=len(peaks),
        events_per_hour=_per(len(peaks), minutes / 60),
        cycles=cycles,
        cycles_per_hour=_per(cycles, minutes / 60),
        mean_duration_s=float(durations_s.mean()) if len(peaks) else None,
        mean_peak_pct=float(peaks.mean()) if len(peaks) else None,
        peaks=_peak_counts(peaks),
        big_peaks_pct=float((peaks > terms.big_peak_pct).mean() * 100) if len(peaks) else None,
        time_above_pct=_time_above_pct(deviation, held_us, terms.event_pct),
        asymmetry=_asymmetry(deviation),
        spread_asymmetry=_asymmetry((ratio - 1) * 100),
        verdicts=(),
    )
    return _judged(found, terms)


def zero_crossings(deviation: Floats) -> int:
    """How often the sign changed; a zero in between is no change by itself, a gap is crossed by nothing."""
    crossings = 0
    for part in _parts(deviation):
        signs = np.sign(part)
        signs = signs[signs != 0]
        crossings += int((np.diff(signs) != 0).sum())
    return crossings


def complete_cycles(deviation: Floats, neutral_pct: float, cycle_pct: float) -> int:
    """How often the deviation went from the neutral zone beyond `cycle_pct` and back."""
    cycles = 0
    for part in _parts(deviation):
        size = np.abs(part)
        zone = np.where(size < neutral_pct, 0, np.where(size > cycle_pct, 1, -1))
        visited = zone[zone >= 0]  # between the zones nothing is decided
        returns = int((np.diff(visited) == -1).sum())
        began_outside = len(visited) > 0 and visited[0] == 1
        cycles += returns - int(began_outside and returns > 0)
    return cycles


def _parts(values: Floats) -> list[Floats]:
    """The stretches between gaps."""
    starts, ends = _stays(~np.isnan(values))
    return [values[a:b] for a, b in zip(starts, ends, strict=True)]


def _stays(inside: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Bounds of each run of True: its beginning, and the index after its end."""
    edges = np.diff(np.concatenate(([False], inside, [False])).astype(np.int8))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _per(count: int, time: float) -> float | None:
    return count / time if time > 0 else None


def _peak_counts(peaks: Floats) -> tuple[int, ...]:
    bounds = (*PEAK_EDGES_PCT, np.inf)
    return tuple(int(((peaks >= low) & (peaks < high)).sum()) for low, high in pairwise(bounds))


def _time_above_pct(deviation: Floats, held_us: Floats, event_pct: float) -> float | None:
    total = float(held_us.sum())
    return float(held_us[np.abs(deviation) >= event_pct].sum()) / total * 100 if total > 0 else None


def _asymmetry(values: Floats) -> float | None:
    if np.isnan(values).all():
        return None
    high, low = float(np.nanmax(values)), float(np.nanmin(values))
    return (high + low) / (high - low) if high > low else None


def _judged(found: DeviationStatistics, terms: DeviationTerms) -> DeviationStatistics:
    if found.points < LEAST_POINTS or found.minutes < LEAST_MINUTES:
        return _with(found, "too little data")
    crossings, above = found.crossings_per_minute or 0.0, found.time_above_pct or 0.0
    lean = max(abs(found.asymmetry or 0.0), abs(found.spread_asymmetry or 0.0))
    verdicts: list[Verdict] = []
    if crossings < terms.trending_below_crossings_per_minute:
        verdicts.append("trending")
    if above > terms.never_closes_above_time_pct:
        verdicts.append("never closes")
    if lean > terms.biased_above_asymmetry:
        verdicts.append("biased")
    if not verdicts and _is_excellent(found, terms):
        verdicts.append("excellent")
    return _with(found, *(verdicts or ["ordinary"]))


def _is_excellent(found: DeviationStatistics, terms: DeviationTerms) -> bool:
    return (
        (found.crossings_per_minute or 0) > terms.excellent_above_crossings_per_minute
        and (found.events_per_hour or 0) > terms.excellent_above_events_per_hour
        and (found.mean_peak_pct or 0) > terms.excellent_above_mean_peak_pct
        and (found.big_peaks_pct or 0) > terms.excellent_above_big_peaks_pct
    )


def _with(found: DeviationStatistics, *verdicts: Verdict) -> DeviationStatistics:
    return structs.replace(found, verdicts=verdicts)

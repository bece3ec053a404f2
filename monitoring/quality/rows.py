"""Report of a shard on its data: rows of its instruments and exchanges. Pure.

What the numbers mean is in docs/quality.md.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.counts import (
    BAD_TERMS,
    BAD_TIMES,
    CROSSED,
    EMPTY,
    LATE,
    MALFORMED,
    OUT_OF_ORDER,
    RECONNECTS,
    UNKNOWN,
    ZERO,
)
from monitoring.quality.feeds import Feeds
from monitoring.quality.instruments import NS_PER_MS, Instruments
from monitoring.quality.latency import latency
from monitoring.quality.wire import (
    MINUTE_ROW,
    NO_SPREAD,
    SYMBOL_ROW,
    SYMBOL_STATES,
    ExchangeQuality,
    Rows,
)

_MINUTE_S, _HOUR_S = 60.0, 3_600.0


def symbol_rows(instruments: Instruments, now_ns: int) -> Rows:
    """A `SYMBOL_ROW` of every instrument, as of the last `assess`."""
    each, windows = instruments.each, instruments.windows
    rows = np.zeros(len(each), SYMBOL_ROW)
    for name in ("state", "up", "since_us", "gap_ms", "spread_bps"):
        rows[name] = each[name]
    rows["age_ms"] = instruments.age_ms(now_ns)
    born_ns = each["born_ns"]
    rows["quotes_per_min"] = windows["quotes"].rate(_MINUTE_S, born_ns, now_ns)
    rows["trades_per_min"] = windows["trades"].rate(_MINUTE_S, born_ns, now_ns)
    rows["updates_per_hour"] = windows["hour"].rate(_HOUR_S, born_ns, now_ns)
    rows["crossed_per_min"] = windows["crossed"].total()
    rows["zero_per_min"] = windows["zero"].total()
    rows["refused_per_min"] = windows["refused"].total()
    rows["gaps_per_hour"] = windows["gaps_hour"].total()
    return rows


def take_minute(instruments: Instruments, now_ns: int) -> Rows:
    """A `MINUTE_ROW` of every instrument, of the time since the last call."""
    each = instruments.each
    silent_ms = np.nan_to_num(instruments.age_ms(now_ns), nan=_MINUTE_S * 1_000)
    longest_ms = np.maximum(each["minute_longest_ms"], silent_ms)
    spread = np.clip(np.nan_to_num(each["spread_bps"], nan=np.inf) * 10, 0, NO_SPREAD)
    rows = np.zeros(len(each), MINUTE_ROW)
    rows["quotes"] = np.minimum(each["minute_quotes"], 65_535)
    rows["spread"] = np.where(each["minute_quotes"] > 0, spread, NO_SPREAD)
    rows["longest_gap"] = np.minimum(longest_ms / 100, 65_535)
    rows["rejected"] = np.minimum(each["minute_rejected"], 255)
    each["minute_quotes"] = each["minute_rejected"] = 0
    each["minute_longest_ms"] = 0.0
    return rows


def exchange_rows(feeds: Feeds, instruments: Instruments, now_ns: int) -> list[ExchangeQuality]:
    """Every exchange that is collected here, as of the last `assess`."""
    counts, longest_ms = feeds.latencies.counts(), feeds.latencies.longest_ms()
    offsets_ms = feeds.latencies.clock_offset_ms()
    unusable, age_ms = instruments.unusable(), instruments.age_ms(now_ns)
    sums = _sums(feeds, instruments, now_ns)
    rows = []
    for number, key in enumerate(feeds.exchanges):
        connections = feeds.connections.get(key)
        if connections is None:
            continue
        report, spoke_ns = connections.report, int(feeds.spoke_ns[number])
        offset_ms = float(offsets_ms[number])
        here = instruments.each["exchange"] == number
        rows.append(
            ExchangeQuality(
                exchange=key,
                state=report.state,
                since_us=connections.since_us,
                reason=report.reason,
                connections=report.connections,
                topics=report.topics,
                refused=report.refused,
                symbols=_state_counts(instruments, number),
                heard_ms=_ms_since(report.last_frame_mono_ns, now_ns),
                age_ms=_ms_since(spoke_ns, now_ns),
                quote_age_ms=_least(age_ms[here]),
                excused_ms=_ms_since(int(instruments.each["excused_ns"][here].max(initial=0)), now_ns),
                unusable=int(unusable[here].sum()),
                unusable_reason=feeds.refusals.get(key, "") if unusable[here].any() else "",
                latency=latency(counts[number], float(longest_ms[number])),
                clock_offset_ms=None if offset_ms != offset_ms else offset_ms,  # noqa: PLR0124 - NaN
                reconnects_per_min=connections.per_min(RECONNECTS),
                malformed_per_min=connections.per_min(MALFORMED),
                unknown_per_min=connections.per_min(UNKNOWN),
                crossed_per_min=connections.per_min(CROSSED),
                zero_per_min=connections.per_min(ZERO),
                empty_per_min=connections.per_min(EMPTY),
                late_per_min=connections.per_min(LATE),
                out_of_order_per_min=connections.per_min(OUT_OF_ORDER),
                bad_times_per_min=connections.per_min(BAD_TIMES),
                bad_terms_per_min=connections.per_min(BAD_TERMS),
                latencies=counts[number].tobytes(),
                **{name: float(values[number]) for name, values in sums.items()},
            )
        )
    return rows


def _sums(feeds: Feeds, instruments: Instruments, now_ns: int) -> dict[str, NDArray[Any]]:
    """The rates of all instruments of each exchange together."""
    each, windows = instruments.each, instruments.windows
    rates = {
        "quotes_per_min": windows["quotes"].rate(_MINUTE_S, each["born_ns"], now_ns),
        "trades_per_min": windows["trades"].rate(_MINUTE_S, each["born_ns"], now_ns),
        "updates_per_hour": windows["hour"].rate(_HOUR_S, each["born_ns"], now_ns),
        "gaps_per_min": windows["gaps"].total(),
    }
    many = len(feeds.exchanges)
    return {
        name: np.bincount(each["exchange"], weights=values, minlength=many) for name, values in rates.items()
    }


def _state_counts(instruments: Instruments, exchange: int) -> dict[Any, int]:
    here = instruments.each["state"][instruments.each["exchange"] == exchange]
    counts = np.bincount(here, minlength=len(SYMBOL_STATES))
    return {name: int(count) for name, count in zip(SYMBOL_STATES, counts, strict=True)}


def _least(ages_ms: NDArray[np.float64]) -> float | None:
    known = ages_ms[~np.isnan(ages_ms)]
    return float(known.min()) if len(known) else None


def _ms_since(then_ns: int, now_ns: int) -> float | None:
    return max(0, now_ns - then_ns) / NS_PER_MS if then_ns else None

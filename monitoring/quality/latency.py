"""Latency of an exchange's data, and the error of its clock, in bounded memory.

Latencies are counted in buckets over the last minute. Buckets grow by 15 %, so a percentile is right to
7 %, whatever it is; the longest is kept as it was. What comes before it was sent, by the exchange's
clock, shows that this clock is ahead: of what was received together the quickest then counts as on time.
Plain Python and numpy, no Django.
"""

from math import ceil, log, sqrt
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Counts = NDArray[np.int32]
Floats = NDArray[np.float64]
Places = NDArray[np.intp]

SHORTEST_MS: Final = 0.25
LONGEST_MS: Final = 120_000.0
GROWTH: Final = 1.15
BUCKETS: Final = ceil(log(LONGEST_MS / SHORTEST_MS) / log(GROWTH)) + 2
EDGES_MS: Final = np.append(
    np.geomspace(SHORTEST_MS, SHORTEST_MS * GROWTH ** (BUCKETS - 3), BUCKETS - 2), LONGEST_MS
)
"""A latency belongs to the first bucket whose edge is not below it; the last bucket has none."""


SLOTS: Final = 12
SLOT_S: Final = 5.0
CLOCK_SLOTS: Final = 2
CLOCK_SLOT_S: Final = 2.0
"""The quickest way here is that of the last 4 to 6 s: no longer, or a clock that falls behind, or is put
right again, would show late."""

_NS_PER_S: Final = 1_000_000_000


class Latency(Struct, frozen=True):
    """Percentiles of one exchange over a minute, ms, and of how many events.

    A percentile of LONGEST_MS means that or more (`in_words`).
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    events: int


def in_words(latency_ms: float) -> str:
    """A percentile as it may be said: where the buckets end it is only known to be longer."""
    if latency_ms >= LONGEST_MS:
        return f"over {LONGEST_MS / 1000:.0f} s"
    return f"{latency_ms:,.0f} ms"


def is_beyond(latency_ms: float, limit_ms: float) -> bool:
    """Whether a percentile is above a limit, which is LONGEST_MS at most."""
    return latency_ms > limit_ms or latency_ms >= LONGEST_MS


def bucket_of(latency_ms: Floats) -> NDArray[np.intp]:
    """The bucket of each latency."""
    return np.searchsorted(EDGES_MS, latency_ms)


def latency(counts: Counts, longest_ms: float) -> Latency | None:
    """Latency from bucket counts; None when they are of nothing."""
    events = int(counts.sum())
    if not events:
        return None
    p50, p95, p99 = (min(_percentile(counts, events, share), longest_ms) for share in (0.5, 0.95, 0.99))
    return Latency(p50, p95, p99, longest_ms, events)


def _percentile(counts: Counts, events: int, share: float) -> float:
    bucket = int(np.searchsorted(np.cumsum(counts), ceil(events * share)))
    if bucket == 0:
        return SHORTEST_MS / 2
    if bucket == BUCKETS - 1:  # beyond the last edge nothing is known but that it was longer
        return LONGEST_MS
    return float(EDGES_MS[bucket - 1] * sqrt(GROWTH))


class Latencies:
    """The last minute of several exchanges, by their number."""

    def __init__(self, exchanges: int, now_ns: int) -> None:
        self.totals: Counts = np.zeros((exchanges, BUCKETS), np.int64)  # since the start
        self._exchanges = exchanges
        self._counts: Counts = np.zeros((SLOTS + 1, exchanges, BUCKETS), np.int32)
        self._longest_ms = np.zeros((SLOTS + 1, exchanges))
        self._quickest_ms = np.full((CLOCK_SLOTS + 1, exchanges), np.inf)
        self._slot = _slot(now_ns, SLOT_S)
        self._clock_slot = _slot(now_ns, CLOCK_SLOT_S)

    def turn(self, now_ns: int) -> None:
        """Go on to this moment."""
        slot, clock_slot = _slot(now_ns, SLOT_S), _slot(now_ns, CLOCK_SLOT_S)
        passed = _passed(self._slot, slot, SLOTS + 1)
        self._counts[passed] = 0
        self._longest_ms[passed] = 0.0
        self._quickest_ms[_passed(self._clock_slot, clock_slot, CLOCK_SLOTS + 1)] = np.inf
        self._slot, self._clock_slot = slot, clock_slot

    def take(self, exchange: Places, delay_ms: Floats) -> None:
        """Count events received together: ours is `delay_ms` after the exchange's own time, NaN unknown."""
        timed = ~np.isnan(delay_ms)
        if not timed.all():
            exchange, delay_ms = exchange[timed], delay_ms[timed]
        if not len(delay_ms):
            return
        quickest = np.full(self._exchanges, np.inf)
        np.minimum.at(quickest, exchange, delay_ms)
        known = self._quickest_ms[self._clock_slot % (CLOCK_SLOTS + 1)]
        np.minimum(known, quickest, out=known)
        latency_ms = delay_ms - np.minimum(quickest, 0.0)[exchange]
        longest = self._longest_ms[self._slot % (SLOTS + 1)]
        np.maximum.at(longest, exchange, latency_ms)
        buckets = exchange * BUCKETS + bucket_of(latency_ms)
        counts = np.bincount(buckets, minlength=self._exchanges * BUCKETS).reshape(-1, BUCKETS)
        self._counts[self._slot % (SLOTS + 1)] += counts.astype(np.int32)
        self.totals += counts

    def forget(self) -> None:
        """Count the last minute again from zero: we were late, not the exchanges. Totals and clocks stay."""
        self._counts[:], self._longest_ms[:] = 0, 0.0

    def counts(self) -> Counts:
        """Per exchange and bucket, the last minute."""
        return np.asarray(self._counts.sum(axis=0, dtype=np.int32))

    def longest_ms(self) -> Floats:
        """Per exchange, the last minute; 0 where there is nothing."""
        return np.asarray(self._longest_ms.max(axis=0))

    def clock_offset_ms(self) -> Floats:
        """Lead of each exchange's clock over ours, less the quickest way here; NaN: unknown."""
        quickest = self._quickest_ms.min(axis=0)
        return np.where(np.isinf(quickest), np.nan, -quickest)


def _slot(now_ns: int, slot_s: float) -> int:
    return now_ns // int(slot_s * _NS_PER_S)


def _passed(slot: int, now: int, slots: int) -> list[int]:
    """The places of a ring that are used again when the slot of now begins."""
    return [passed % slots for passed in range(max(slot + 1, now - slots + 1), now + 1)]

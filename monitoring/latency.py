"""How late an exchange's data comes, in bounded memory: counts per bucket over the last minute.

Buckets grow by 15 %, so a percentile is right to 7 %, whatever it is; the longest is kept as it was.
Plain Python and numpy, no Django.
"""

from math import ceil, log, sqrt
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Counts = NDArray[np.int32]
Floats = NDArray[np.float64]

SHORTEST_MS: Final = 0.25
LONGEST_MS: Final = 120_000.0
GROWTH: Final = 1.15
BUCKETS: Final = ceil(log(LONGEST_MS / SHORTEST_MS) / log(GROWTH)) + 2
EDGES_MS: Final = np.geomspace(SHORTEST_MS, SHORTEST_MS * GROWTH ** (BUCKETS - 2), BUCKETS - 1)
"""A latency belongs to the first bucket whose edge is not below it; the last bucket has none."""


class Latency(Struct, frozen=True):
    """Percentiles of one exchange over a minute, ms, and of how many events."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    events: int


def bucket_of(latency_ms: Floats) -> NDArray[np.intp]:
    """The bucket of each latency."""
    return np.searchsorted(EDGES_MS, latency_ms)


def latency(counts: Counts, longest_ms: float) -> Latency | None:
    """What bucket counts say; None when they are of nothing."""
    events = int(counts.sum())
    if not events:
        return None
    p50, p95, p99 = (min(_percentile(counts, events, share), longest_ms) for share in (0.5, 0.95, 0.99))
    return Latency(p50, p95, p99, longest_ms, events)


def _percentile(counts: Counts, events: int, share: float) -> float:
    bucket = int(np.searchsorted(np.cumsum(counts), ceil(events * share)))
    if bucket == 0:
        return SHORTEST_MS / 2
    return float(EDGES_MS[min(bucket, BUCKETS - 2) - 1] * sqrt(GROWTH))

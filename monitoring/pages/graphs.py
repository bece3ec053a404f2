"""Several lines through the same time, thin enough to draw: what the health page's graphs show."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextvars import Context
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from core.process.per_loop import PerLoop
from core.redis_client import async_redis
from monitoring.pages.series import WORST, Resolution, read_series, series_names

Range = Literal["1h", "6h", "7d"]
Graph = Literal["memory", "queues", "throughput", "latency", "gc", "lag", "cpu", "stores"]
Points = tuple[Sequence[int], Sequence[float]]

MEASURES: Final[dict[Graph, tuple[str, str]]] = {
    "memory": ("process", "rss_mb"),
    "queues": ("queue", "length"),
    "throughput": ("exchange", "quotes_per_min"),
    "latency": ("exchange", "latency_p95_ms"),
    "gc": ("process", "gc_pause_ms"),
    "lag": ("process", "loop_lag_ms"),
    "cpu": ("process", "cpu_pct"),
    "stores": ("store", "mb"),
}
MAX_LINES: Final = 24
"""Those with the highest values; more of them nobody can distinguish."""

KEPT_S: Final = 10.0

_WINDOWS: Final[dict[Range, tuple[int, int, Resolution]]] = {
    "1h": (3_600, 10, "10s"),
    "6h": (6 * 3_600, 60, "10s"),
    "7d": (7 * 86_400, 1_800, "1m"),
}
"""Of each range its length and step, s, and of which resolution it is made."""


class Line(Struct, frozen=True):
    """Line of one process, queue, exchange or store; null where it was not observed."""

    name: str
    values: list[float | None]


class Lines(Struct, frozen=True):
    """A graph. `times` are the beginnings of its steps, s since the epoch."""

    times: list[int]
    lines: list[Line]
    left_out: int = 0


def thinned(points: dict[str, Points], window: Range, now_s: float) -> Lines:
    """Lines on a common grid: of measures whose mean says nothing the highest of a step, else the mean."""
    length_s, step_s, _ = _WINDOWS[window]
    end = int(now_s) // step_s + 1
    begin = end - length_s // step_s
    found = sorted(points, key=lambda name: -max(points[name][1], default=0.0))
    lines = [
        Line(name.split("|")[1], _on_grid(points[name], step_s, begin, end, name.endswith(_OF_WORST)))
        for name in found[:MAX_LINES]
    ]
    times = list(range(begin * step_s, end * step_s, step_s))
    return Lines(times, sorted(lines, key=lambda line: line.name), max(0, len(found) - MAX_LINES))


_OF_WORST: Final = tuple(f"|{measure}" for measure in WORST)


def _on_grid(points: Points, step_s: int, begin: int, end: int, worst: bool) -> list[float | None]:
    places = np.array(points[0], np.int64) // step_s - begin
    inside = (places >= 0) & (places < end - begin)
    places, values = places[inside], np.array(points[1], float)[inside]
    if worst:
        grid = np.full(end - begin, -np.inf)
        np.maximum.at(grid, places, values)
        grid[np.isneginf(grid)] = np.nan
    else:
        counts = np.bincount(places, minlength=end - begin)
        sums = np.bincount(places, values, minlength=end - begin)
        grid = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return [None if np.isnan(value) else round(float(value), 2) for value in grid]


class GraphShelf:
    """The graphs somebody asked for lately, as JSON: a hundred viewers cost what one costs."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Graph, Range], tuple[float, bytes]] = {}
        self._asking: dict[tuple[Graph, Range], asyncio.Task[bytes]] = {}

    async def graph(self, graph: Graph, window: Range) -> bytes:
        """A graph, at most `KEPT_S` old. Raises RedisError, for all who wait for the same."""
        key = graph, window
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < KEPT_S:
            return kept[1]
        if key not in self._asking:
            # Of its own context: that of the request that happened to come first ends with it.
            self._asking[key] = asyncio.create_task(self._ask(graph, window), name="graph", context=Context())
        return await asyncio.shield(self._asking[key])

    async def _ask(self, graph: Graph, window: Range) -> bytes:
        try:
            text = msgspec.json.encode(await _read(graph, window))
            self._kept[graph, window] = time.monotonic(), text
            return text
        finally:
            del self._asking[graph, window]


async def _read(graph: Graph, window: Range) -> Lines:
    now_s = time.time()
    length_s, _, resolution = _WINDOWS[window]
    async with async_redis() as redis:
        wanted = list(_of_graph(await series_names(redis), graph))
        points: dict[str, Any] = await read_series(redis, wanted, resolution, now_s - length_s)
    return await asyncio.to_thread(
        thinned, {name: each for name, each in points.items() if each[0]}, window, now_s
    )


def _of_graph(names: Iterable[str], graph: Graph) -> Iterable[str]:
    kind, measure = MEASURES[graph]
    return (name for name in names if name.startswith(f"{kind}|") and name.endswith(f"|{measure}"))


process_shelf = PerLoop(GraphShelf)
"""This process's graphs."""

"""The last 15 minutes of every chart, in Redis: what a browser gets first, also after a web restart.

| key | what |
|---|---|
| `rt:recent:{chart}` | list, one entry per closed second, oldest first, at most 900: raw float64 rows |
| `rt:tails` | hash chart -> `Tail`: its newest state and the points of the second still open |
| `rt:flushed` | hash shard -> µs of its newest flush |

A row is a chart point plus one column: the flush that published it, so that a client that names
the flush it has seen gets exactly the rest. A second keeps its first and last point, the lowest and
highest of spread and both edges (and up to 4 gaps), so a chart takes at most 900 × 12 rows × 88 B, in
practice half of it.
Everything expires 15 minutes after the last write.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from redis.asyncio import Redis

from engine.charts.points import POINT_COLUMNS, ChartDelta, ChartState, Points, going_on
from engine.charts.thinning import second_extremes

WINDOW_S: Final = 15 * 60
EXPIRY_S: Final = WINDOW_S + 60
TAILS: Final = "rt:tails"
FLUSHED: Final = "rt:flushed"
_WIDTH: Final = len(POINT_COLUMNS) + 1
_STAMP: Final = len(POINT_COLUMNS)


class Tail(Struct, array_like=True):
    """A chart's newest state and the rows of its open second."""

    symbol: str
    exchange1: str
    exchange2: str
    state: ChartState
    reason: str
    shard: str
    rows: bytes
    quoted1_us: int = 0
    quoted2_us: int = 0


class Stored(Struct, eq=False):
    """Stored state of one chart; `rows` are points plus the flush stamp column."""

    tail: Tail
    rows: Points

    def points(self, after_flush_us: int = 0) -> Points:
        """The points that later flushes than this one brought (0: all)."""
        return self.rows[self.rows[:, _STAMP] > after_flush_us, :_STAMP]

    def until(self, flush_us: int) -> Points:
        """The rows that this flush and earlier ones brought."""
        return self.rows[self.rows[:, _STAMP] <= flush_us]


class Snapshot(Struct, eq=False):
    """One consistent read: charts by id, and every shard's newest flush, µs."""

    charts: dict[str, Stored]
    flushed: dict[str, int]


_encode = msgspec.msgpack.Encoder().encode
_tail_decoder = msgspec.msgpack.Decoder(Tail)


def recent_key(chart_id: str) -> str:
    """The list that holds a chart's closed seconds."""
    return f"rt:recent:{chart_id}"


class RecentWriter:
    """Turns the deltas of one shard into store commands. Keeps only each chart's open second."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._open: dict[str, Points] = {}
        self._opening: dict[str, Points] = {}

    def write(self, pipe: Any, deltas: Sequence[ChartDelta], flush_ts_us: int) -> None:
        """Queue on the pipeline everything one flush changes; call `commit` once it is executed.

        Without the commit the next write starts from where this one did.
        """
        self._opening = {}
        tails = {}
        for delta in deltas:
            closed = self._take_over(delta, flush_ts_us)
            if closed:
                key = recent_key(delta.id)
                pipe.rpush(key, *closed)
                pipe.ltrim(key, -WINDOW_S, -1)
                pipe.expire(key, EXPIRY_S)
            tails[delta.id] = _encode(self._tail(delta))
        if tails:
            pipe.hset(TAILS, mapping=tails)
        pipe.expire(TAILS, EXPIRY_S)
        pipe.hset(FLUSHED, self._shard, flush_ts_us)
        pipe.expire(FLUSHED, EXPIRY_S)

    def commit(self) -> None:
        """The pipeline was executed."""
        self._open |= self._opening

    def adopt(self, chart_id: str, rows: Points) -> None:
        """Go on with the open second that an earlier process left."""
        if len(rows):
            self._open[chart_id] = rows

    def forget(self, pipe: Any, chart_ids: Iterable[str]) -> None:
        """Queue the removal of charts."""
        for chart_id in chart_ids:
            self._open.pop(chart_id, None)
            self._opening.pop(chart_id, None)
            pipe.delete(recent_key(chart_id))
            pipe.hdel(TAILS, chart_id)

    def _take_over(self, delta: ChartDelta, flush_ts_us: int) -> list[bytes]:
        """Add the delta's points to the open second; returns the seconds that closed."""
        if not len(delta.points):
            return []
        rows = _joined(self._open.get(delta.id), delta.points, flush_ts_us)
        seconds = [rows] if rows[0, 0] // 1e6 == rows[-1, 0] // 1e6 else _by_second(rows)
        self._opening[delta.id] = second_extremes(seconds.pop())
        return [second_extremes(second).tobytes() for second in seconds]

    def _tail(self, delta: ChartDelta) -> Tail:
        rows = self._opening.get(delta.id, self._open.get(delta.id))
        return Tail(
            delta.symbol,
            delta.exchange1,
            delta.exchange2,
            delta.state,
            delta.reason,
            self._shard,
            b"" if rows is None else rows.tobytes(),
            delta.quoted1_us,
            delta.quoted2_us,
        )


async def read(redis: "Redis", chart_ids: Sequence[str], now_us: int) -> Snapshot:
    """Read these charts from the store, no point older than 15 minutes before `now_us`.

    A chart whose newest point is older than the store keeps anything was made by a clock that is behind: then
    its own newest time counts. Charts it does not know are missing in the answer. Raises redis.RedisError.
    """
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(FLUSHED)
        if chart_ids:
            pipe.hmget(TAILS, chart_ids)
        for chart_id in chart_ids:
            pipe.lrange(recent_key(chart_id), 0, -1)
        flushed, *answers = await pipe.execute()
    tails, *seconds = answers or [[]]
    charts = {
        chart_id: _stored(_tail_decoder.decode(tail), entries, now_us)
        for chart_id, tail, entries in zip(chart_ids, tails, seconds, strict=True)
        if tail is not None
    }
    stamps = {shard.decode(): int(stamp) for shard, stamp in flushed.items()}
    oldest_us = now_us - WINDOW_S * 1_000_000
    return Snapshot(charts, {shard: stamp for shard, stamp in stamps.items() if stamp >= oldest_us})


async def open_seconds(redis: "Redis") -> dict[str, Points]:
    """The rows of the open second of every chart in the store."""
    tails: dict[bytes, bytes] = await redis.hgetall(TAILS)  # type: ignore[assignment]
    return {key.decode(): _rows(_tail_decoder.decode(tail).rows) for key, tail in tails.items()}


def stamped(points: Points, flush_ts_us: int) -> Points:
    """Points as the store's rows: with the flush that published them."""
    return _joined(None, points, flush_ts_us)


def _joined(rows: Points | None, points: Points, flush_ts_us: int) -> Points:
    """Rows, if any, and behind them points with the flush that published them."""
    before = 0 if rows is None else len(rows)
    joined = np.empty((before + len(points), _WIDTH))
    if rows is not None:
        joined[:before] = rows
    joined[before:, :_STAMP] = points
    joined[before:, _STAMP] = flush_ts_us
    return joined


def _by_second(rows: Points) -> list[Points]:
    return np.split(rows, np.flatnonzero(np.diff(rows[:, 0] // 1_000_000)) + 1)


def _stored(tail: Tail, entries: list[bytes], now_us: int) -> Stored:
    rows = going_on(_rows(b"".join([*entries, tail.rows])))
    if len(rows) and rows[-1, 0] < now_us - EXPIRY_S * 1_000_000:
        now_us = int(rows[-1, 0])
    rows = rows[rows[:, 0] >= now_us - WINDOW_S * 1_000_000]
    return Stored(tail, rows[_rising(rows[:, 0])])


def _rows(raw: bytes) -> Points:
    return np.frombuffer(raw).reshape(-1, _WIDTH)


def _rising(stamps: Points) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Mask of rows that come after all before them: a write repeated after a lost reply is dropped."""
    highest = np.maximum.accumulate(stamps) if len(stamps) else stamps
    return np.concatenate([np.ones(min(1, len(stamps)), bool), stamps[1:] > highest[:-1]])

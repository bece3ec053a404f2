"""Messages from a collector shard's scanner to web processes: the legs, as columns, through Redis.

| where | what |
|---|---|
| `rt:scans` | hash shard -> µs of its newest write, so that nobody scans the keyspace |
| `rt:scan:{shard}` | hash: `directory` (what there is), `state` (all legs), `evidence` (all pairs) |
| `rt:scan:frames` | Redis channel: a `Frame` with the legs that changed, 1 to 5 a second |
| `rt:rates` | hash `USDC/USDT` -> a `Rate`, for shards that do not collect that symbol |

Numbers travel as raw rows of numpy records. `layout` ties state, evidence and frames to the directory
they belong to. The state is written every 2 s and on every new layout, the rest every 10 s; a hash
expires 10 s after its shard fell silent. Rows are never made of more than the configuration holds.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from redis.asyncio import Redis

from core.clock.moments import AHEAD_S
from realtime.scanner.births import Births

SCANS: Final = "rt:scans"
FRAMES: Final = "rt:scan:frames"
RATES: Final = "rt:rates"
EXPIRY_S: Final = 10

UNKNOWN, PASS, FAIL = 0, 1, 2
"""The identity verdict of a pair, in `PAIR_ROW`."""

Rows = NDArray[np.void]
"""Records of `LEG_ROW` or `PAIR_ROW`; `rows["bid"]` is a column."""

LEG_ROW: Final = np.dtype(
    [
        ("bid", "<f8"),  # NaN while there is no usable quote; in the terms of the symbol it counts as
        ("ask", "<f8"),
        ("bid_size", "<f8"),  # coins of that symbol
        ("ask_size", "<f8"),
        ("scale", "<f8"),  # what the exchange's prices were multiplied with; NaN: the rate is unknown
        ("moved_bps", "<f8"),  # how far the symbol's other legs moved since its quote came; NaN: not known
        ("worth", "<f8"),  # of the symbol's quote currency, see markets.worth.reference; 0 and NaN: not known
        ("received_ts_us", "<i8"),  # wall clock of the collector; 0: never
        ("age_ms", "<f4"),  # of the quote, when the row was made; NaN: never received
        ("gap_ms", "<f4"),  # its usual time between two quotes; NaN before the second
        ("up", "?"),
        ("jumped", "?"),
        # Of swaps alone; ages are by how much older than the quote it was said, ms: negative is younger.
        ("mark", "<f8"),  # mark price in the exchange's own terms; NaN: not known
        ("mark_late_ms", "<f4"),
        ("mark_moved_bps", "<f4"),  # how far the coin's other legs moved since it changed; NaN: not known
        ("rate", "<f8"),  # funding at the next settlement, within cap and floor; NaN: not known
        ("next_ts_us", "<i8"),  # 0: not known
        ("interval_s", "<i4"),  # 0: not known
        ("rate_late_ms", "<f4"),
        ("problem", "u1"),  # of engine.scan.swaps.PROBLEMS
    ]
)

PAIR_ROW: Final = np.dtype(
    [
        ("ratio", "<f4"),  # price on exchange1 / price on exchange2, median; NaN: not known yet
        ("correlation", "<f4"),  # of returns; NaN: too few samples
        ("identity", "u1"),  # UNKNOWN, PASS or FAIL
        ("proven", "?"),  # known to be the same coin, see engine.scan.identity
    ]
)


class LegName(Struct, array_like=True, frozen=True):
    """An instrument, and the symbol it counts as."""

    exchange: str
    symbol: str
    counts_as: str


class Directory(Struct, array_like=True):
    """Legs and pairs that the rows are of, in their order; pairs as int32 numbers of their two legs."""

    shard: str
    layout: int  # µs since the epoch when it was made, or one more than the last: rises
    revision: int  # of the configuration
    legs: list[LegName]
    pairs: bytes


class State(Struct, array_like=True):
    """All legs (or pairs, as evidence) at one moment."""

    layout: int
    seq: int
    ts_us: int
    rows: bytes


class Frame(Struct, array_like=True):
    """Changes since `previous`; without rows a sign of life.

    `seq` rises with every frame and every state, and a state holds all that frames up to its `seq` said. A
    frame's rows are whole: whatever was missed before it, they are the newest of their legs.
    """

    shard: str
    layout: int
    seq: int
    previous: int
    ts_us: int
    indices: bytes  # uint32, of the legs
    rows: bytes


class Rate(Struct, array_like=True):
    """A currency's price in another, when that was said, µs since the epoch, and how old it was then."""

    rate: float
    ts_us: int
    age_ms: float = 0.0


encode = msgspec.msgpack.Encoder().encode
_directory = msgspec.msgpack.Decoder(Directory)
_state = msgspec.msgpack.Decoder(State)
_frame = msgspec.msgpack.Decoder(Frame)
_rate = msgspec.msgpack.Decoder(Rate)


def state_key(shard: str) -> str:
    """The hash that holds what a shard knows."""
    return f"rt:scan:{shard}"


def decode_frame(data: bytes) -> Frame:
    """Read one frame; raises msgspec.DecodeError when it is not one."""
    return _frame.decode(data)


class ShardScan:
    """One shard's legs as a reader follows them: of each leg the newest row that a state or a frame brought.

    States and frames come by two ways, so either may be late: `seq` says of every row which is newer.
    `legs` and `pairs` are columns of `LEG_ROW` and `PAIR_ROW`, `pair_legs` int32 of shape (n, 2).
    Ages count on by the reader's own monotonic clock, so they hold whatever the wall clocks say.
    """

    def __init__(
        self, directory: Directory, state: State, evidence: State | None, now_us: int, now_s: float
    ) -> None:
        self.directory = directory
        self.shard = directory.shard
        self.layout = directory.layout
        self.seq = state.seq
        self.ts_us = state.ts_us
        self.received_s = now_s
        self.pair_legs = np.frombuffer(directory.pairs, "<i4").reshape(-1, 2)
        self.legs: Rows = np.frombuffer(state.rows, LEG_ROW).copy()
        self.pairs: Rows = np.zeros(len(self.pair_legs), PAIR_ROW)
        self.pairs["ratio"] = self.pairs["correlation"] = np.nan
        self._evidence_seq = 0
        if evidence is not None and evidence.layout == directory.layout:
            self.pairs, self._evidence_seq = np.frombuffer(evidence.rows, PAIR_ROW), evidence.seq
        self._seqs = np.full(len(self.legs), state.seq)
        self._gap = (state.seq, state.seq)  # frames after the one, up to the other, may be missing
        self._births = Births(len(self.legs))
        self._births.note(slice(None), self.legs, state.ts_us, now_s - on_the_way_s(state.ts_us, now_us))

    @property
    def is_behind(self) -> bool:
        """Whether a frame is missing that no state has made up for yet."""
        return self._gap[0] < self._gap[1]

    def apply(self, frame: Frame, now_s: float) -> bool:
        """Apply a frame received at `now_s` (monotonic); false when one is missing: read a state."""
        if frame.layout != self.layout:
            return False
        self.received_s = max(self.received_s, now_s)
        if frame.previous > self.seq:
            self._gap = (self._gap[0] if self.is_behind else self.seq, frame.previous)
        elif frame.previous <= self._gap[0]:
            self._has_until(frame.seq)
        if frame.seq > self.seq:
            self.seq, self.ts_us = frame.seq, frame.ts_us
        indices = np.frombuffer(frame.indices, "<u4")
        rows = np.frombuffer(frame.rows, LEG_ROW)
        newer = self._seqs[indices] < frame.seq
        self._put(indices[newer], rows[newer], frame.seq)
        self._births.note(indices[newer], rows[newer], frame.ts_us, now_s)
        return not self.is_behind

    def merge(self, read: "ShardScan") -> None:
        """Take over what a state of the same layout knows better, and nothing that frames said since."""
        older = np.flatnonzero(self._seqs < read.seq)
        self._put(older, read.legs[older], read.seq)
        self._births.succeed(older, read._births, older)
        if read.seq > self.seq:
            self.seq, self.ts_us = read.seq, read.ts_us
        self._has_until(read.seq)
        if read._evidence_seq > self._evidence_seq:
            self.pairs, self._evidence_seq = read.pairs, read._evidence_seq

    def succeed(self, earlier: "ShardScan") -> None:
        """Go on from another layout of this shard: no quote of a leg is older than the one shown so far."""
        place = {(leg.exchange, leg.symbol): number for number, leg in enumerate(earlier.directory.legs)}
        places = [place.get((leg.exchange, leg.symbol), -1) for leg in self.directory.legs]
        before = np.array(places, np.int64)
        here = np.flatnonzero(before >= 0)
        births = Births(len(self.legs))
        births.copy(here, earlier._births, before[here])
        births.succeed(slice(None), self._births, slice(None))
        self._births = births

    @property
    def born_s(self) -> NDArray[np.float64]:
        """Times when every leg's quote came, s of the reader's monotonic clock; NaN: never."""
        return self._births.born_s

    def ages_ms(self, now_s: float) -> NDArray[np.float64]:
        """The age of every leg's quote at a moment of the reader's monotonic clock, s; NaN: never."""
        ages: NDArray[np.float64] = (now_s - self.born_s) * 1e3
        return ages

    def _put(self, where: NDArray[Any], rows: Rows, seq: int) -> None:
        self.legs[where] = rows
        self._seqs[where] = seq

    def _has_until(self, seq: int) -> None:
        """Whether nothing is missing of what was published up to `seq`."""
        self._gap = (max(self._gap[0], seq), self._gap[1])


def on_the_way_s(ts_us: int, now_us: int) -> float:
    """Age of a state; 0 where another clock stamped it: one so old is not there any more."""
    passed_s = max(0, now_us - ts_us) / 1e6
    return passed_s if passed_s <= EXPIRY_S + AHEAD_S else 0.0


async def read_scan(redis: "Redis", shards: Iterable[str] | None = None) -> dict[str, ShardScan]:
    """Read the last states of the shards (None: all), by shard; those silent for long are missing.

    Raises redis.RedisError.
    """
    if shards is None:
        known: list[bytes] = await redis.hkeys(SCANS)  # type: ignore[assignment]
        shards = [shard.decode() for shard in known]
    shards = list(shards)
    async with redis.pipeline(transaction=True) as pipe:
        for shard in shards:
            pipe.hgetall(state_key(shard))
        answers = await pipe.execute()
    found = {shard: _shard_scan(fields) for shard, fields in zip(shards, answers, strict=True)}
    return {shard: scan for shard, scan in found.items() if scan is not None}


async def read_seq(redis: "Redis", shard: str) -> int:
    """The newest `seq` a shard's state in Redis has; 0 when there is none. Raises redis.RedisError."""
    data: bytes | None = await redis.hget(state_key(shard), "state")  # type: ignore[assignment]
    return 0 if data is None else _state.decode(data).seq


def _shard_scan(fields: dict[bytes, bytes]) -> ShardScan | None:
    if b"directory" not in fields or b"state" not in fields:
        return None
    directory, state = _directory.decode(fields[b"directory"]), _state.decode(fields[b"state"])
    if state.layout != directory.layout:
        return None
    evidence = _state.decode(fields[b"evidence"]) if b"evidence" in fields else None
    return ShardScan(directory, state, evidence, time.time_ns() // 1000, time.monotonic())


async def read_rates(redis: "Redis") -> dict[str, Rate]:
    """The newest rates any shard wrote, by symbol (`USDC/USDT`). Raises redis.RedisError."""
    answer: dict[Any, bytes] = await redis.hgetall(RATES)  # type: ignore[assignment]
    return {symbol.decode(): _rate.decode(data) for symbol, data in answer.items()}

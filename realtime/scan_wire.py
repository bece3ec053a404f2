"""What the scanner of a collector shard tells web processes: the legs, as columns, through Redis.

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
        ("mark", "<f8"),  # twice the median price of the symbol's other legs when its quote came; or NaN
        ("worth", "<f8"),  # of the symbol's quote currency, see markets.reference; 0 and NaN: not known
        ("received_ts_us", "<i8"),  # wall clock of the collector; 0: never
        ("age_ms", "<f4"),  # of the quote, when the row was made; NaN: never received
        ("gap_ms", "<f4"),  # its usual time between two quotes; NaN before the second
        ("up", "?"),
        ("jumped", "?"),
    ]
)

PAIR_ROW: Final = np.dtype(
    [
        ("ratio", "<f4"),  # price on exchange1 / price on exchange2, median; NaN: not known yet
        ("correlation", "<f4"),  # of returns; NaN: too few samples
        ("identity", "u1"),  # UNKNOWN, PASS or FAIL
        ("proven", "?"),  # known to be the same coin, see realtime.identity
    ]
)


class LegName(Struct, array_like=True, frozen=True):
    """An instrument, and the symbol it counts as."""

    exchange: str
    symbol: str
    counts_as: str


class Directory(Struct, array_like=True):
    """Which legs and pairs the rows are of, in their order; pairs as int32 numbers of their two legs."""

    shard: str
    layout: int  # µs since the epoch when it was made: rises
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
    """What changed since `previous`; without rows a sign of life.

    `seq` rises with every frame and every state, and a state holds all that frames up to its `seq` said.
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
    """One shard's legs as a reader follows them: the newest state, then frame by frame.

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
        self.heard_s = now_s
        self.pair_legs = np.frombuffer(directory.pairs, "<i4").reshape(-1, 2)
        self.legs: Rows = np.frombuffer(state.rows, LEG_ROW).copy()
        self.pairs: Rows = np.zeros(len(self.pair_legs), PAIR_ROW)
        self.pairs["ratio"] = self.pairs["correlation"] = np.nan
        if evidence is not None and evidence.layout == directory.layout:
            self.pairs = np.frombuffer(evidence.rows, PAIR_ROW)
        on_the_way_s = max(0, now_us - state.ts_us) / 1e6
        self._born_s = now_s - on_the_way_s - self.legs["age_ms"].astype(float) / 1e3

    def apply(self, frame: Frame, now_s: float) -> bool:
        """Take over a frame heard at `now_s` (monotonic); false when one is missing: read anew."""
        if frame.layout != self.layout or frame.previous > self.seq:
            return False
        self.heard_s = max(self.heard_s, now_s)
        if frame.seq <= self.seq:
            return True  # the state had it already
        indices = np.frombuffer(frame.indices, "<u4")
        rows = np.frombuffer(frame.rows, LEG_ROW)
        self.legs[indices] = rows
        self._born_s[indices] = now_s - rows["age_ms"].astype(float) / 1e3
        self.seq, self.ts_us = frame.seq, frame.ts_us
        return True

    def ages_ms(self, now_s: float) -> NDArray[np.float64]:
        """The age of every leg's quote at a moment of the reader's monotonic clock, s; NaN: never."""
        ages: NDArray[np.float64] = (now_s - self._born_s) * 1e3
        return ages


async def read_scan(redis: "Redis", shards: Iterable[str] | None = None) -> dict[str, ShardScan]:
    """What the shards (None: all) last said, by shard; those silent for long are missing.

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

"""Ladders of a collector shard's followed books, on their way to web processes through Redis.

| where | what |
|---|---|
| `rt:depths` | hash shard -> µs of its newest state, so that nobody scans the keyspace |
| `rt:depth:{shard}` | the shard's `State`: all its ladders, every 2 s; it expires 10 s after the shard fell
silent |
| `rt:depth:frames` | channel of `Frame`s: the ladders that changed, 5 times a second at most; without any, a
sign of life every second |

A ladder is at most 100 levels, 1.6 KB. Plain Python and numpy, no Django.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from redis.asyncio import Redis

SHARDS: Final = "rt:depths"
FRAMES: Final = "rt:depth:frames"
EXPIRY_S: Final = 10
LEVELS: Final = 50
"""Levels of a side that are published, the best."""

Key = tuple[str, str]
"""A market's key, and the symbol as its exchange's events have it."""

Levels = NDArray[np.float64]
"""Rows of price and size in coins, the best first, as the exchange says them."""

NO_LEVELS: Final = b""


class Ladder(Struct, array_like=True, frozen=True):
    """Best levels of one book, or why it is unknown (`problem`, in words): then it has none.

    `age_ms` is of its newest update when the message was made, None: none came. `epoch` counts connections,
    `last_seq` is the exchange's own id of what was applied last.
    """

    exchange: str
    symbol: str
    epoch: int
    last_seq: int | None
    exchange_ts_us: int | None
    age_ms: float | None
    problem: str
    bids: bytes = NO_LEVELS
    asks: bytes = NO_LEVELS

    @property
    def key(self) -> Key:
        """Key of the book it is of."""
        return self.exchange, self.symbol


class State(Struct, array_like=True, frozen=True):
    """All ladders of a shard at one moment, µs since the epoch by its own clock."""

    shard: str
    seq: int
    ts_us: int
    ladders: list[Ladder]


class Frame(Struct, array_like=True, frozen=True):
    """Changes since the message `previous`; `gone` are books that are no longer followed.

    `seq` rises with every frame and every state, over restarts, too; a state holds all that frames up to its
    `seq` said.
    """

    shard: str
    seq: int
    previous: int
    ts_us: int
    ladders: list[Ladder]
    gone: list[Key]


encode = msgspec.msgpack.Encoder().encode
_state = msgspec.msgpack.Decoder(State)
_frame = msgspec.msgpack.Decoder(Frame)


def state_key(shard: str) -> str:
    """Key under which a shard's state is."""
    return f"rt:depth:{shard}"


def packed(levels: Iterable[tuple[float, float]]) -> bytes:
    """Levels as a ladder has them."""
    return np.array(list(levels), "<f8").tobytes()


def unpacked(levels: bytes) -> Levels:
    """Levels of one side of a ladder."""
    return np.frombuffer(levels, "<f8").reshape(-1, 2)


def decode_frame(data: bytes) -> Frame:
    """Read one frame; raises msgspec.DecodeError when it is not one."""
    return _frame.decode(data)


async def read_states(redis: "Redis", shards: Iterable[str] | None = None) -> dict[str, State]:
    """Read the states of the shards (None: all) that are not silent. Raises redis.RedisError."""
    if shards is None:
        known: list[bytes] = await redis.hkeys(SHARDS)  # type: ignore[assignment]
        shards = [shard.decode() for shard in known]
    names = list(shards)
    if not names:
        return {}
    found: list[bytes | None] = await redis.mget(state_key(shard) for shard in names)  # type: ignore[assignment]
    return {shard: _state.decode(data) for shard, data in zip(names, found, strict=True) if data is not None}

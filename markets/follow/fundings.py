"""Funding of a collector shard's swaps, on its way to web processes and the monitor through Redis.

| where | what |
|---|---|
| `rt:fundings` | hash shard -> µs of its newest write, so that nobody scans the keyspace |
| `rt:funding:{shard}` | the shard's `Snapshot`, whole, every 2 s; it expires 10 s after its shard fell
silent |

A snapshot has a row per swap the shard follows of which anything was said, about 100 bytes each.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

SHARDS: Final = "rt:fundings"
EVERY_S: Final = 2.0
EXPIRY_S: Final = 10


class SwapRow(Struct, array_like=True, frozen=True):
    """Known funding of one swap; None: unknown. Rates are fractions, positive: longs pay shorts.

    `coin` is the symbol it is compared under, `problem` why nothing may be computed with `rate`, in words;
    `age_ms` is since a rate was said last, None: never.
    """

    exchange: str
    symbol: str
    coin: str
    rate: float | None
    next_ts_us: int | None
    interval_s: int | None
    is_derived: bool
    cap: float | None
    floor: float | None
    settled_rate: float | None
    settled_ts_us: int | None
    age_ms: float | None
    problem: str


class Snapshot(Struct, array_like=True, frozen=True):
    """All of a shard at one moment, µs since the epoch by its own clock."""

    shard: str
    ts_us: int
    rows: list[SwapRow]


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def key_of_shard(shard: str) -> str:
    """The key under which a shard's snapshot is."""
    return f"rt:funding:{shard}"


async def read_snapshots(redis: "Redis") -> list[Snapshot]:
    """Snapshots of the shards that are not silent. Raises redis.RedisError."""
    shards: list[bytes] = await redis.hkeys(SHARDS)  # type: ignore[assignment]
    if not shards:
        return []
    found: list[Any] = await redis.mget(key_of_shard(shard.decode()) for shard in shards)
    return [_decode(each) for each in found if each is not None]

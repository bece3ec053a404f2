"""Where the funding page finds what collectors publish: `markets.follow.fundings`."""

from markets.follow.fundings import (
    EVERY_S,
    EXPIRY_S,
    SHARDS,
    Snapshot,
    SwapRow,
    encode,
    key_of_shard,
    read_snapshots,
)

__all__ = ["EVERY_S", "EXPIRY_S", "SHARDS", "Snapshot", "SwapRow", "encode", "key_of_shard", "read_snapshots"]

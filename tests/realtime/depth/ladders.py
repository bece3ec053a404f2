"""Ladders as a collector publishes them, without a collector."""

import time
from collections.abc import Sequence

from redis import Redis

from markets.events import Level
from realtime.depth import wire
from realtime.depth.wire import Frame, Key, Ladder, State


def ladder(
    key: Key, bids: Sequence[Level], asks: Sequence[Level], problem: str = "", age_ms: float = 20.0
) -> Ladder:
    """A ladder as its collector makes it; one with a problem has no levels."""
    if problem:
        return Ladder(*key, 1, None, None, age_ms, problem)
    return Ladder(*key, 1, 7, time.time_ns() // 1000, age_ms, "", wire.packed(bids), wire.packed(asks))


class DepthShard:
    """One shard's ladders in Redis, as its collector would write them."""

    def __init__(self, redis: Redis, *ladders: Ladder, shard: str = "1/1") -> None:
        self.redis = redis
        self.shard = shard
        self.seq = time.time_ns() // 1000
        self.ladders = {each.key: each for each in ladders}
        self.say()

    def say(self, *changed: Ladder, gone: Sequence[Key] = ()) -> None:
        """Write a state, and a frame with what changed; none is a sign of life."""
        self.ladders.update({each.key: each for each in changed})
        for key in gone:
            del self.ladders[key]
        previous, self.seq = self.seq, self.seq + 1
        now_us = time.time_ns() // 1000
        state = State(self.shard, self.seq, now_us, list(self.ladders.values()))
        self.redis.set(wire.state_key(self.shard), wire.encode(state), ex=600)
        self.redis.hset(wire.SHARDS, self.shard, now_us)
        frame = Frame(self.shard, self.seq, previous, now_us, list(changed), list(gone))
        self.redis.publish(wire.FRAMES, wire.encode(frame))

"""Frames of a collector reach a web process, whatever else comes over the channel."""

import asyncio
from collections import Counter

import pytest
from redis import Redis

from core.redis_client import async_redis
from realtime.depth import wire
from realtime.depth.book import DepthBook
from realtime.depth.wire import Key
from realtime.scanner.hub import LADDERS
from realtime.shard_reader import ShardReader
from tests.realtime.depth.ladders import DepthShard, ladder
from tests.support.live import DEADLINE_S

KEY: Key = ("okx", "BTC/USDT")
OTHER: Key = ("bybit", "BTC/USDT")


async def test_frames_that_cannot_be_read_are_counted_and_those_after_them_applied(
    empty_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    shard = DepthShard(empty_redis, ladder(KEY, [(100.0, 1.0)], [(101.0, 1.0)]))
    book, counters, redis = DepthBook(), Counter[str](), async_redis()
    reader = ShardReader(book, LADDERS, counters)
    tasks = [asyncio.create_task(each) for each in (reader.listen(redis), reader.read(redis))]
    async with asyncio.timeout(DEADLINE_S):
        await reader.known.wait()
        assert book.get(KEY) is not None
        while empty_redis.pubsub_numsub(wire.FRAMES)[0][1] == 0:  # noqa: ASYNC110 - Redis says no more
            await asyncio.sleep(0.02)
        for garbage in (b"", b"\xc1", b"\x93\x01\x02\x03"):
            empty_redis.publish(wire.FRAMES, garbage)
        shard.say(ladder(OTHER, [(99.0, 1.0)], [(100.0, 1.0)]))
        while book.get(OTHER) is None:  # noqa: ASYNC110 - it comes through Redis
            await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await redis.aclose()
    assert counters == {"unreadable_depth_frames": 3}
    assert [record.getMessage().split(":", 3)[:3] for record in caplog.records] == [["rt", "depth", "frames"]]

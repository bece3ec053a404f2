"""Tasks that keep a web process' ladders fresh: by the frames of all shards, and their states."""

import asyncio
import logging
import time
from collections import Counter
from typing import Final

import msgspec
from redis.asyncio import Redis

from realtime.depth.book import DepthBook
from realtime.depth.wire import FRAMES, decode_frame, read_states

logger = logging.getLogger(__name__)

READ_EVERY_S: Final = 10.0
LOOK_EVERY_S: Final = 0.25
LISTEN_S: Final = 1.0  # shorter than the connection's own patience, which is for answers


class DepthReader:
    """Two tasks that run while somebody looks."""

    def __init__(self, book: DepthBook, counters: Counter[str]) -> None:
        self._book = book
        self._counters = counters

    async def listen(self, redis: "Redis") -> None:
        """Apply what collectors publish."""
        async with redis.pubsub() as frames:
            await frames.subscribe(FRAMES)
            while True:
                message = await frames.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
                if message is not None:
                    self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            frame = decode_frame(data)
        except msgspec.MsgspecError as problem:
            self._counters["unreadable_depth_frames"] += 1
            if self._counters["unreadable_depth_frames"] == 1:
                logger.error(
                    "a frame of depth this version cannot read (a collector of another version?): %s", problem
                )
            return
        self._book.apply(frame)

    async def read(self, redis: "Redis") -> None:
        """Read everything now and then; a shard with missed frames at once."""
        due = float("-inf")
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + READ_EVERY_S
                self._book.learn(await read_states(redis))
                self._book.drop_gone()
            elif self._book.stale:
                stale, self._book.stale = self._book.stale, set()
                self._book.learn(await read_states(redis, stale))
            await asyncio.sleep(LOOK_EVERY_S)

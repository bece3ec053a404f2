"""Reader of what collector shards publish in Redis: frames of what changed, and states of all of it.

The scanner's legs and the ladders of depth come this way, each into a book of its own, which decides what of
both is newer.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

logger = logging.getLogger(__name__)

READ_EVERY_S: Final = 10.0
LOOK_EVERY_S: Final = 0.25
LISTEN_S: Final = 1.0  # shorter than the connection's own patience, which is for answers

FrameT = TypeVar("FrameT")
StateT = TypeVar("StateT")
FrameT_contra = TypeVar("FrameT_contra", contravariant=True)
StateT_contra = TypeVar("StateT_contra", contravariant=True)


class Book(Protocol[FrameT_contra, StateT_contra]):
    """Knowledge of all shards; `stale` are those that frames were missed of, whose states are to be read."""

    stale: set[str]

    def apply(self, frame: FrameT_contra) -> None:
        """Apply a frame, or note that its shard is stale."""

    def learn(self, states: Mapping[str, StateT_contra]) -> None:
        """Take over from states what no frame has said better."""

    def drop_gone(self) -> None:
        """Forget shards that have been silent for long."""


class Source(Struct, Generic[FrameT, StateT], frozen=True):
    """Channel of frames, and how they and the states of some shards (None: all) are read.

    `unreadable` is the name under which frames are counted that cannot be read.
    """

    channel: str
    unreadable: str
    decode: Callable[[bytes], FrameT]
    read: Callable[[Redis, Iterable[str] | None], Awaitable[dict[str, StateT]]]


class ShardReader(Generic[FrameT, StateT]):
    """Two tasks that run while somebody looks. `known` is set once all states were read."""

    def __init__(
        self, book: Book[FrameT, StateT], source: Source[FrameT, StateT], counters: Counter[str]
    ) -> None:
        self.known = asyncio.Event()
        self._book = book
        self._source = source
        self._counters = counters

    async def listen(self, redis: "Redis") -> None:
        """Apply what collectors publish."""
        async with redis.pubsub() as frames:
            await frames.subscribe(self._source.channel)
            while True:
                message = await frames.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
                if message is not None:
                    self._take(message["data"])

    def _take(self, data: bytes) -> None:
        try:
            frame = self._source.decode(data)
        except msgspec.MsgspecError as problem:
            self._counters[self._source.unreadable] += 1
            if self._counters[self._source.unreadable] == 1:
                logger.error(
                    "%s: a frame this version cannot read (a collector of another version?): %s",
                    self._source.channel,
                    problem,
                )
            return
        self._book.apply(frame)

    async def read(self, redis: "Redis") -> None:
        """Read everything now and then, for what no frame carries; a shard with missed frames at once."""
        due = float("-inf")
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + READ_EVERY_S
                self._book.learn(await self._source.read(redis, None))
                self._book.drop_gone()
                self.known.set()
            elif self._book.stale:
                stale, self._book.stale = self._book.stale, set()
                self._book.learn(await self._source.read(redis, stale))
            await asyncio.sleep(LOOK_EVERY_S)

"""Publisher of a shard's books to Redis: frames of the ladders that changed, and all of them now and then."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Final

from redis.exceptions import RedisError

from collectors.lease import guard, why_not_written
from core.outage import Outage
from core.redis_client import ASYNC_TIMEOUT_S, async_redis
from engine.books.book import Book
from markets.config import Shard
from realtime.depth import wire
from realtime.depth.wire import Frame, Key, Ladder, State

logger = logging.getLogger(__name__)

FLUSH_EVERY_S: Final = 0.2
HEARTBEAT_EVERY_S: Final = 1.0
STATE_EVERY_S: Final = 2.0
LADDERS_PER_TURN: Final = 50
"""Ladders made before the loop gets its turn: about 1 ms."""

Look = tuple[int, int, str]

_NEVER: Final = float("-inf")


class DepthPublisher:
    """Writes what the books hold. A Redis that fails costs a counter, never an exception or memory: what
    changed meanwhile is in the next state.

    Bounded by the books that are followed. Nobody says when a book changed: it is looked at five times a
    second, so what is published is the newest there is, and nothing waits. Ladders are made only while a web
    process listens, or a state is due.
    """

    def __init__(self, shard: Shard, books: Iterable[tuple[Key, Book]]) -> None:
        self.frames = 0
        self.failed = 0
        self._owner = shard
        self._shard = str(shard)
        self.books = books
        self._redis = async_redis()
        self._said: dict[Key, Look] = {}  # of every book that is followed, when it was last published
        self._seq = time.time_ns() // 1000
        self._knows_earlier = False
        self._sent_s = self._state_s = _NEVER
        self._outage = Outage(logger)

    def __len__(self) -> int:
        return len(self._said)

    async def flush(self) -> None:
        """Publish what changed, and the state when it is due."""
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                await self._go_on_from_earlier()
                await self._write()
        except (RedisError, OSError, TimeoutError) as problem:
            self._state_s = _NEVER
            self.failed += 1
            why = why_not_written(problem, self._owner)
            self._outage.begins("shard %s: depth is not published: %s", self._shard, why)
        else:
            self._outage.ends("shard %s: depth is published again", self._shard)

    async def aclose(self) -> None:
        """Release the connection."""
        await self._redis.aclose()

    async def _go_on_from_earlier(self) -> None:
        """Make what this process writes newer than an earlier one's, even if the clock was set back since."""
        if self._knows_earlier:
            return
        found = await wire.read_states(self._redis, [self._shard])
        self._knows_earlier = True
        if self._shard in found:
            self._seq = max(self._seq, found[self._shard].seq + 1)

    async def _write(self) -> None:
        ((_, listeners),) = await self._redis.pubsub_numsub(wire.FRAMES)
        now_s = time.monotonic()
        is_state_due = now_s - self._state_s >= STATE_EVERY_S
        if not (listeners or is_state_due):
            return
        books, now_ns = dict(self.books), time.monotonic_ns()
        looks = {key: _look(book, now_ns) for key, book in books.items()}
        changed = [key for key, look in looks.items() if look != self._said.get(key)]
        gone = [key for key in self._said if key not in looks]
        if not (changed or gone or is_state_due) and now_s - self._sent_s < HEARTBEAT_EVERY_S:
            return
        self._sent_s = now_s
        self._said = looks
        previous, self._seq = self._seq, self._seq + 1
        made = await _ladders({key: books[key] for key in (books if is_state_due else changed)})
        now_us = time.time_ns() // 1000
        async with self._redis.pipeline(transaction=True) as pipe:
            await guard(pipe, self._owner)
            if is_state_due:
                self._state_s = now_s
                state = State(self._shard, self._seq, now_us, list(made.values()))
                pipe.set(wire.state_key(self._shard), wire.encode(state), ex=wire.EXPIRY_S)
                pipe.hset(wire.SHARDS, self._shard, now_us)
            if listeners:
                self.frames += 1
                ladders = [made[key] for key in changed]
                frame = Frame(self._shard, self._seq, previous, now_us, ladders, gone)
                pipe.publish(wire.FRAMES, wire.encode(frame))
            await pipe.execute()


async def _ladders(books: Mapping[Key, Book]) -> dict[Key, Ladder]:
    made: dict[Key, Ladder] = {}
    for number, (key, book) in enumerate(books.items(), 1):
        made[key] = ladder_of(key, book, time.monotonic_ns())
        if number % LADDERS_PER_TURN == 0:
            await asyncio.sleep(0)
    return made


def _look(book: Book, now_mono_ns: int) -> Look:
    """Mark that differs whenever a book's ladder does."""
    silent = not book.resyncing and book.is_silent(now_mono_ns)
    return book.epoch, book.updated_mono_ns, "silent" if silent else book.resyncing


def ladder_of(key: Key, book: Book, now_mono_ns: int) -> Ladder:
    """Make the ladder of a book as it is now."""
    problem = book.resyncing
    if not problem and book.is_silent(now_mono_ns):
        problem = f"nothing came for {(now_mono_ns - book.updated_mono_ns) / 1e9:.0f} s"
    age_ms = (now_mono_ns - book.updated_mono_ns) / 1e6 if book.updated_mono_ns else None
    about = (*key, book.epoch, book.last_seq, book.exchange_ts_us, age_ms, problem)
    if problem:
        return Ladder(*about)
    bids, asks = (wire.packed(side.top(wire.LEVELS)) for side in (book.bids, book.asks))
    return Ladder(*about, bids, asks)

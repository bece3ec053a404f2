"""Books of a collector to the ladders of a web process, through a real Redis."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest
from redis import Redis

from collectors.books.live import LiveBooks
from core.channel import Channel
from core.redis_client import async_redis
from engine.books.book import Book
from engine.books.sequences import COUNTED
from markets.config import Shard
from markets.events import BookUpdate, Level, SinkEvent
from realtime.depth import wire
from realtime.depth.book import DepthBook
from realtime.depth.publisher import DepthPublisher
from realtime.depth.sink import DepthSink
from realtime.depth.wire import Key
from realtime.scanner.hub import LADDERS
from realtime.shard_reader import ShardReader
from tests.support.live import DEADLINE_S

pytestmark = pytest.mark.usefixtures("empty_redis")

KEY: Key = ("gate:swap", "BTC/USDT:USDT")
OTHER: Key = ("okx", "BTC/USDT")
SHARD = Shard(1, 1)


def put(books: LiveBooks, key: Key, bids: list[Level], asks: list[Level]) -> None:
    """A snapshot comes, as a connection takes it over."""
    book = books.get(*key)
    if book is None:
        books.put(key, book := Book(COUNTED))
    update = BookUpdate(*key, "snapshot", bids, asks, last_seq=(book.last_seq or 0) + 1)
    update.received_mono_ns = time.monotonic_ns()
    book.apply(update)


async def shown(publisher: DepthPublisher, book: DepthBook) -> None:
    """Give a late joiner everything: it reads the states."""
    await publisher.flush()
    redis = async_redis()
    book.learn(await wire.read_states(redis))
    await redis.aclose()


async def test_a_late_joiner_gets_all_books_with_their_age_and_why_one_is_unknown() -> None:
    books, book = LiveBooks(), DepthBook()
    levels = [(100.0 - n, 1.0 + n) for n in range(60)]
    put(books, KEY, levels, [(101.0, 2.0)])
    books.put(OTHER, Book(COUNTED))
    publisher = DepthPublisher(SHARD, books)
    await shown(publisher, book)
    depth, unknown = book.get(KEY), book.get(OTHER)
    assert depth is not None
    assert depth.problem == ""
    assert depth.born_s is not None
    assert -1 < time.monotonic() - depth.born_s < DEADLINE_S
    assert wire.unpacked(depth.ladder.bids).tolist() == [list(level) for level in levels[: wire.LEVELS]]
    assert wire.unpacked(depth.ladder.asks).tolist() == [[101.0, 2.0]]
    assert unknown is not None
    assert (unknown.problem, unknown.ladder.bids) == ("there was no snapshot yet", b"")
    assert book.get(("okx", "ETH/USDT")) is None
    await publisher.aclose()


async def test_frames_have_what_changed_and_what_is_followed_no_more(
    empty_redis: Redis,
) -> None:
    books = LiveBooks()
    put(books, KEY, [(100.0, 1.0)], [(101.0, 2.0)])
    put(books, OTHER, [(100.0, 1.0)], [(101.0, 2.0)])
    publisher = DepthPublisher(SHARD, books)
    with empty_redis.pubsub() as listener:  # type: ignore[no-untyped-call]
        listener.subscribe(wire.FRAMES)
        assert listener.get_message(timeout=DEADLINE_S)
        await publisher.flush()
        frames = [_frame(listener)]
        await publisher.flush()  # nothing changed: no frame
        put(books, KEY, [(100.5, 1.0)], [(101.0, 2.0)])
        await publisher.flush()
        frames.append(_frame(listener))
        lost = books.get(*OTHER)
        assert lost is not None
        lost.apply(BookUpdate(*OTHER, "gap", [], []))
        books.drop(KEY)
        await publisher.flush()
        frames.append(_frame(listener))
    await publisher.aclose()
    assert [sorted(each.key for each in frame.ladders) for frame in frames] == [[KEY, OTHER], [KEY], [OTHER]]
    assert frames[2].gone == [KEY]
    assert frames[2].ladders[0].problem == "a frame could not be read"
    assert [frame.previous for frame in frames[1:]] == [frame.seq for frame in frames[:2]]


def _frame(listener: object) -> wire.Frame:
    message = listener.get_message(timeout=DEADLINE_S)  # type: ignore[attr-defined]
    return wire.decode_frame(message["data"])


async def test_a_restart_goes_on_after_what_the_process_before_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    books, book = LiveBooks(), DepthBook()
    put(books, KEY, [(100.0, 1.0)], [(101.0, 2.0)])
    before = DepthPublisher(SHARD, books)
    await shown(before, book)
    monkeypatch.setattr(time, "time_ns", lambda: 10**15)  # its clock was set back
    put(books, KEY, [(100.5, 1.0)], [(101.0, 2.0)])
    after = DepthPublisher(SHARD, books)
    monkeypatch.undo()
    await shown(after, book)
    depth = book.get(KEY)
    assert depth is not None
    assert wire.unpacked(depth.ladder.bids).tolist() == [[100.5, 1.0]]
    await before.aclose()
    await after.aclose()


async def test_the_sink_publishes_the_books_of_its_process_until_its_channel_is_finished() -> None:
    books, book = LiveBooks(), DepthBook()
    put(books, KEY, [(100.0, 1.0)], [(101.0, 2.0)])
    channel = Channel[SinkEvent]("depth")
    sink = DepthSink(channel, SHARD, lambda _event: None)
    sink.use_books(books)
    redis = async_redis()
    reader = ShardReader(book, LADDERS, Counter())
    running = asyncio.create_task(sink.run())
    reading = [asyncio.create_task(each) for each in (reader.listen(redis), reader.read(redis))]
    await until(lambda: book.get(KEY) is not None)
    put(books, KEY, [(100.5, 1.0)], [(101.0, 2.0)])
    await until(lambda: best(book) == [100.5, 1.0])
    channel.close()
    await running
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    await redis.aclose()
    assert sink.stats()["depth_books"] == 1


def best(book: DepthBook) -> list[float]:
    depth = book.get(KEY)
    assert depth is not None
    best: list[float] = wire.unpacked(depth.ladder.bids)[0].tolist()
    return best


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - what is waited for comes through Redis
            await asyncio.sleep(0.02)

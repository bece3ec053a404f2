"""The collector's sink: what is wanted is in the store once it is due, by one process for each shard."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from msgspec import structs
from pytest_django import Settings

from collectors.books import LiveBooks
from collectors.exchanges import CODECS
from collectors.lease import Lease
from core.channel import Channel
from core.connections import own_connection
from engine.books.book import Book
from markets.config import MarketConfig, Shard
from markets.events import BookUpdate, SinkEvent
from orderbook.ingest import sink as module
from orderbook.ingest import wanted
from orderbook.ingest.delivery import MOST_ROWS
from orderbook.ingest.sink import IngestSink, StoreSink
from orderbook.models import StoreSettings
from tests.orderbook.test_store import NOON_US, quote, rows, trade
from tests.support.live import DEADLINE_S

pytestmark = pytest.mark.django_db(transaction=True)

Store = psycopg.Connection[Any]
NOTHING = MarketConfig(1, (), frozenset(), ())


class Writing:
    """A sink that runs."""

    def __init__(self, kind: type[StoreSink]) -> None:
        self.channel: Channel[SinkEvent] = Channel("store", 100_000)
        self.books = LiveBooks()
        self.sink = kind(self.channel, Shard(), lambda _event: None)
        self.sink.use_books(self.books)
        self.sink.configure(NOTHING)
        self.running = asyncio.create_task(self.sink.run())

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until its counters are so."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition(self.sink.stats()):
                assert not self.running.done()
                await asyncio.sleep(0.01)

    async def set(self, **values: Any) -> None:
        """Save settings as the admin does: the revision moves, and every process configures its sinks."""
        await save(**values)
        self.sink.configure(NOTHING)

    async def finish(self) -> None:
        """End as a collector does that was asked to stop."""
        self.channel.close()
        await self.running


async def save(**values: Any) -> None:
    row = await StoreSettings.objects.afirst() or StoreSettings()
    for name, value in values.items():
        setattr(row, name, value)
    await sync_to_async(row.save)()


@asynccontextmanager
async def writing(kind: type[StoreSink] = IngestSink, **settings: Any) -> AsyncIterator[Writing]:
    """A sink that begins with these settings."""
    await save(**settings)
    found = Writing(kind)
    try:
        yield found
    finally:
        found.running.cancel()
        await asyncio.wait({found.running})


@pytest.fixture(autouse=True)
def spill(tmp_path: Path, settings: Settings) -> Path:
    settings.STORE_SPILL_DIR = str(tmp_path / "spill")
    return tmp_path / "spill"


async def test_a_batch_is_written_when_it_is_large_enough(store: Store) -> None:
    async with writing(IngestSink, batch_rows=3, batch_s=60) as it:
        await it.until(lambda stats: stats["active"])
        it.channel.put_many([quote(1), quote(2), trade(3, 1, 1)])
        await it.until(lambda stats: stats["rows"] == 3)
        it.channel.put(quote(4))
        await it.until(lambda stats: stats["waiting"] == 1)
        assert len(rows(store, "book_ticker")) == 2
        await it.finish()
        assert len(rows(store, "book_ticker")) == 3


async def test_a_batch_is_written_when_it_is_old_enough(store: Store) -> None:
    async with writing(IngestSink, batch_rows=500, batch_s=0.1) as it:
        await it.until(lambda stats: stats["active"])
        it.channel.put(structs.replace(quote(1), received_ts_us=time.time_ns() // 1000))
        await it.until(lambda stats: stats["rows"] == 1)
        assert it.sink.stats()["lag_s"] == 0.0


async def test_what_waits_when_it_is_asked_to_stop_is_written(store: Store) -> None:
    async with writing() as it:
        await it.until(lambda stats: stats["active"])
        it.channel.put_many([quote(at) for at in range(7)])
        await it.finish()
    assert len(rows(store, "book_ticker")) == 7


async def test_what_there_is_no_time_for_any_more_is_kept_on_disk_for_the_next(
    store: Store, spill: Path
) -> None:
    """A database that hangs when the collector is asked to stop."""
    async with writing() as it:
        await it.until(lambda stats: stats["active"])
        with store.transaction():
            store.execute("LOCK TABLE marketdata.symbols")
            it.channel.put_many([quote(at) for at in range(7)])
            it.channel.close()
            await it.until(lambda stats: stats["waiting"] == 7)
            it.running.cancel()
            await asyncio.wait({it.running})
        assert await asyncio.to_thread(lambda: list(spill.glob("*.spill")))
    async with writing() as it:
        await it.until(lambda stats: stats["spilled_events"] == 0 and stats["rows"] + stats["repeated"] == 7)
    assert len(rows(store, "book_ticker")) == 7


async def test_collectors_write_once_that_is_enabled_and_no_longer_than_it_is(store: Store) -> None:
    async with writing(StoreSink) as it:
        it.channel.put(quote(1))
        await it.until(lambda _stats: not it.channel)
        await it.set(enabled=True, batch_s=0.1)
        await it.until(lambda stats: stats["active"])
        it.channel.put(quote(2))
        await it.until(lambda stats: stats["rows"] == 1)
        await it.set(enabled=False)
        await it.until(lambda stats: not stats["active"])
        it.channel.put(quote(3))
        await it.finish()
    assert len(rows(store, "book_ticker")) == 1


async def test_what_waits_on_disk_is_written_also_when_the_store_is_no_longer_enabled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [True]

    def connect(*arguments: Any) -> Store:
        if gone[0]:
            raise psycopg.OperationalError("nobody is there")
        return own_connection(*arguments)

    monkeypatch.setattr(module, "own_connection", connect)
    async with writing(StoreSink, enabled=True, batch_s=0.1) as it:
        await it.until(lambda stats: stats["active"])
        it.channel.put(quote(1))
        await it.until(lambda stats: stats["spilled_events"] == 1)
        await it.set(enabled=False)
        await it.until(lambda stats: not stats["active"])
        gone[0] = False
        await it.until(lambda stats: stats["rows"] == 1)
    assert len(rows(store, "book_ticker")) == 1


async def test_only_chosen_symbols_and_kinds_are_stored_and_the_admin_is_followed(store: Store) -> None:
    async with writing(IngestSink, symbols="ETH/* !ETH/BTC", trades=False, batch_s=0.1) as it:
        await it.until(lambda stats: stats["active"])
        names = ("ETH/USDT", "ETH/BTC", "BTC/USDT", "ETH/USDT:USDT")
        it.channel.put_many([quote(at, symbol=name) for at, name in enumerate(names)])
        it.channel.put(structs.replace(trade(1, 1, 1), symbol="ETH/USDT"))
        await it.until(lambda stats: stats["rows"] == 2)
        await it.set(symbols="", trades=True)
        async with asyncio.timeout(DEADLINE_S):
            while not rows(store, "trades"):
                it.channel.put(trade(2, 1, 1))
                await asyncio.sleep(0.05)
    assert [name for (name,) in store.execute("SELECT symbol FROM marketdata.symbols ORDER BY id")] == [
        "ETH/USDT", "ETH/USDT:USDT", "BTC/USDT",
    ]  # fmt: skip


async def test_while_it_is_disabled_only_a_revision_makes_it_look(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    read = wanted.read

    def counted() -> wanted.Wanted:
        nonlocal looks
        looks += 1
        return read()

    monkeypatch.setattr(wanted, "read", counted)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    async with writing(StoreSink, enabled=False) as it:
        await it.until(lambda _stats: looks == 1)
        await asyncio.sleep(0.5)  # fifty looks of a sink that writes
        assert looks == 1
        await it.set(enabled=True)
        await it.until(lambda stats: stats["active"] and looks > 4)


async def test_a_second_process_of_a_shard_stands_by_until_the_first_one_ends(store: Store) -> None:
    first = Lease(Shard(), role="ingest")
    assert await asyncio.to_thread(first.take) == ""
    first.keep()
    # The lease of another process: this one does not know that it is held here.
    from collectors import lease as leases

    leases._held.clear()
    async with writing() as it:
        await it.until(lambda stats: bool(stats["stands_by"]))
        assert "writes into the store shard 1/1" in it.sink.stats()["stands_by"]
        it.channel.put(quote(1))
        await it.until(lambda _stats: not it.channel)
        await asyncio.to_thread(first.release)
        it.sink.configure(NOTHING)
        await it.until(lambda stats: stats["active"])
        it.channel.put(quote(2))
        await it.finish()
    assert len(rows(store, "book_ticker")) == 1


async def test_a_collector_does_not_keep_a_process_from_writing_its_shard(store: Store) -> None:
    collector = Lease(Shard())
    assert await asyncio.to_thread(collector.take) == ""
    async with writing() as it:
        await it.until(lambda stats: stats["active"])
    await asyncio.to_thread(collector.release)


def update(at: int, kind: Any, bids: Any, asks: Any, first: int, last: int) -> BookUpdate:
    return BookUpdate(
        "binance", "BTC/USDT", kind, bids, asks, first, last, None, None, None, None, NOON_US + at, at
    )


async def test_books_are_stored_as_they_change_and_their_best_levels_when_those_do(store: Store) -> None:
    async with writing(IngestSink, batch_s=0.1) as it:
        await it.until(lambda stats: stats["active"])
        book = Book(CODECS["binance"].book_rule)
        it.books.put(("binance", "BTC/USDT"), book)
        levels = [(float(price), 1.0) for price in range(10, 3, -1)], [(float(p), 2.0) for p in range(11, 18)]
        updates = [
            update(1, "snapshot", *levels, 1, 1),
            update(2, "delta", [(4.0, 9.0)], [], 2, 2),  # beyond the best five
            update(3, "delta", [(9.0, 7.0)], [(11.0, 0.0)], 3, 3),
        ]
        for number, each in enumerate(updates, 1):
            assert book.apply(each) == "applied"
            it.channel.put(each)
            await it.until(lambda _stats: not it.channel)
            await it.until(lambda stats, number=number: stats["rows"] >= number)  # type: ignore[misc]
        it.channel.put(BookUpdate("binance", "BTC/USDT", "gap", [], [], received_ts_us=NOON_US + 4))
        await it.until(lambda stats: stats["rows"] == 6)
    kinds = [kind for _at, kind in rows(store, "depth_events", "received_at, kind")]
    assert kinds == ["snapshot", "delta", "delta", "gap"]
    found = rows(store, "orderbook_top5", "received_at, bids, bid_sizes, asks, ask_sizes")
    assert [each[1:] for each in found] == [
        ([10, 9, 8, 7, 6], [1] * 5, [11, 12, 13, 14, 15], [2] * 5),
        ([10, 9, 8, 7, 6], [1, 7, 1, 1, 1], [12, 13, 14, 15, 16], [2] * 5),
    ]


async def test_best_levels_never_say_what_was_received_later(store: Store) -> None:
    """The book may have taken over more than what came through the channel so far."""
    async with writing(IngestSink, batch_s=0.1, depth=False) as it:
        await it.until(lambda stats: stats["active"])
        book = Book(CODECS["binance"].book_rule)
        it.books.put(("binance", "BTC/USDT"), book)
        first = update(1, "snapshot", [(10.0, 1.0)], [(11.0, 1.0)], 1, 1)
        second = update(2, "delta", [(10.5, 1.0)], [], 2, 2)
        book.apply(first)
        book.apply(second)
        it.channel.put(first)
        await it.until(lambda _stats: not it.channel)
        it.channel.put(second)
        await it.until(lambda stats: stats["rows"] == 1)
    assert [bids for (_at, bids) in rows(store, "orderbook_top5", "received_at, bids")] == [[10.5, 10.0]]


async def test_while_it_is_behind_batches_become_larger_and_what_waits_stays_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3_000)
    async with writing() as it:
        await it.until(lambda stats: stats["active"])
        it.channel.put_many([quote(at) for at in range(30_000)])
        most = 0
        async with asyncio.timeout(2 * DEADLINE_S):
            while it.sink.stats()["rows"] < 30_000:
                most = max(most, it.sink.stats()["waiting"])
                await asyncio.sleep(0.01)
        assert it.sink.stats()["batches"] < 30_000 / 500
    assert most <= 3_000 + module.EVENTS_PER_TURN + MOST_ROWS

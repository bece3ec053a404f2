"""Books of sinks that lose events, or are built again: unknown first, then whole."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest

from collectors.sinks import EmitDerived
from collectors.supervisor import Outlet, Supervisor
from core.channel import Channel
from markets.config import DepthConfig, MarketConfig, Shard
from markets.events import BookUpdate, Quote, SinkEvent, StreamState
from tests.support.exchanges.tiny_books import Applied, BookExchange, book_codec
from tests.support.exchanges.tiny_exchange import TIMING, instruments, symbol, symbols, until

CAPACITY = 10


class BookSink:
    """Applies every event it gets; may be made to wait, or to crash."""

    wants: ClassVar[frozenset[type]] = frozenset({BookUpdate})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None:
        self.channel = channel
        self.applied = Applied()
        self.kinds: Counter[str] = Counter()
        self.crash = False
        self.go = asyncio.Event()
        self.go.set()

    def configure(self, config: MarketConfig) -> None:
        pass

    async def run(self) -> None:
        while not self.channel.finished:
            await self.channel.wait()
            await self.go.wait()
            if self.crash:
                raise RuntimeError("the sink has a bug")
            events = self.channel.take(100)
            self.applied(events)
            self.kinds.update(event.kind for event in events if isinstance(event, BookUpdate))
            self.kinds.update(event.state for event in events if isinstance(event, StreamState))

    def stats(self) -> dict[str, float]:
        return {}


class StoringSink(BookSink):
    """Wants what exchanges say beside their books, as the store does."""

    wants = frozenset({Quote, BookUpdate})


sinks = pytest.mark.parametrize("sink_type", [BookSink, StoringSink])


@asynccontextmanager
async def running(exchange: BookExchange, *outlets: Outlet) -> AsyncIterator[Supervisor]:
    """A supervisor that follows two books."""
    supervisor = Supervisor({"tiny": book_codec()}, outlets, Shard(), timing=TIMING)
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stop))
    try:
        keys = tuple(("tiny", symbol(each)) for each in "ab")
        supervisor.apply(
            MarketConfig(
                revision=1,
                exchanges=(exchange.config,),
                instruments=instruments(*"ab"),
                opportunities=(),
                depth=DepthConfig(keys),
            )
        )
        yield supervisor
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


def has_all(outlet: Outlet, exchange: BookExchange) -> bool:
    """Whether the books of its sink are the exchange's."""
    true = {symbol(each): (exchange.books[each].bids, exchange.books[each].asks) for each in "ab"}
    return kept(outlet).applied.books == true


def kept(outlet: Outlet) -> BookSink:
    assert isinstance(outlet.sink, BookSink)
    return outlet.sink


@sinks
async def test_a_slow_sink_loses_updates_and_has_whole_books_after_the_gap(
    sink_type: type[BookSink],
) -> None:
    async with BookExchange() as exchange:
        slow, quick = Outlet(sink_type, Shard(), CAPACITY), Outlet(BookSink, Shard(), 1000)
        async with running(exchange, slow, quick):
            await until(lambda: has_all(slow, exchange) and has_all(quick, exchange))
            kept(slow).go.clear()
            await exchange.change("a", 3 * CAPACITY)
            await exchange.change("b")
            await until(lambda: has_all(quick, exchange) and slow.status()["dropped"] > 0)
            kept(slow).go.set()
            await until(lambda: kept(slow).kinds["gap"] and has_all(slow, exchange))
            assert kept(slow).applied.books.keys() == symbols("ab")
            await exchange.change("a", 3)
            await until(lambda: has_all(slow, exchange))
            assert kept(quick).kinds["gap"] == 0


@sinks
async def test_a_sink_that_is_built_again_has_the_books_without_asking_the_exchange(
    sink_type: type[BookSink],
) -> None:
    async with BookExchange() as exchange:
        outlet = Outlet(sink_type, Shard(), 1000)
        async with running(exchange, outlet):
            await until(lambda: has_all(outlet, exchange))
            first, asked = kept(outlet), len(exchange.requests)
            first.crash = True
            await exchange.change("a")
            await until(lambda: kept(outlet) is not first)
            await until(lambda: has_all(outlet, exchange))
            assert len(exchange.requests) == asked


async def test_a_book_that_is_not_live_is_not_said_again() -> None:
    async with BookExchange() as exchange:
        outlet = Outlet(BookSink, Shard(), 1000)
        async with running(exchange, outlet) as supervisor:
            await until(lambda: has_all(outlet, exchange))
            exchange.answer = lambda _native_id: {}
            exchange.books["a"].change()  # lost on the way
            await exchange.change("a")
            await until(lambda: kept(outlet).applied.books[symbol("a")] is None)
            first = kept(outlet)
            first.crash = True
            await exchange.change("b")
            await until(lambda: kept(outlet) is not first)
            await until(lambda: symbol("b") in kept(outlet).applied.books)
            assert kept(outlet).applied.books.keys() == {symbol("b")}
            assert [book.resyncing != "" for _key, book in supervisor.books] == [True, False]

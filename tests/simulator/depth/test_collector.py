"""The collectors' own feed keeps the simulator's books, on all sixteen wires and through faults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from collectors.books import LiveBooks
from collectors.exchanges import CODECS
from collectors.feed import Feed
from collectors.sockets.turns import Turns
from engine.books.book import Book
from markets.config import ExchangeConfig, InstrumentConfig
from simulator.catalogue import MARKETS
from simulator.server import Simulator
from tests.simulator.depth.follower import WIRES
from tests.support.exchanges.tiny_exchange import TIMING, Recorder, until

COINS = ("BTC", "ETH")
SHOWN = 20


class Desk(NamedTuple):
    """Collectors' books of one market, beside the simulator's."""

    sim: Simulator
    key: str
    live: LiveBooks
    recorder: Recorder

    def book(self, symbol: str) -> Book | None:
        return self.live.get(self.key, symbol)

    def equal(self, symbol: str) -> bool:
        exchange = self.sim.exchanges[self.key]
        ladder, book = exchange.source.ladder(exchange, exchange.listings[symbol]), self.book(symbol)
        if ladder is None or book is None or book.resyncing:
            return False
        view, coins = ladder.view(SHOWN), float(exchange.listings[symbol].contract)
        return book.top(SHOWN) == tuple(
            [(float(price), float(size) * coins) for price, size in side] for side in (view.bids, view.asks)
        )

    async def equals(self, seconds: float = 30) -> None:
        await until(lambda: all(self.equal(symbol) for symbol in self.symbols), seconds)

    @property
    def symbols(self) -> list[str]:
        return list(self.sim.exchanges[self.key].listings)

    def count(self, kind: str) -> int:
        return sum(book.counts[kind] for _, book in self.live)


@asynccontextmanager
async def desk(key: str, rate: float = 20) -> AsyncIterator[Desk]:
    async with Simulator(exchanges=[key], symbols=2, rate=rate) as sim:
        exchange = sim.exchanges[key]
        config = ExchangeConfig(key, key, True, 1.0, 1.0, sim.rest_url(key), sim.ws_url(key))
        live, recorder = LiveBooks(), Recorder()
        feed = Feed(CODECS[key], config, recorder, TIMING, Turns(), live)
        wanted = frozenset(
            InstrumentConfig(
                key, listing.symbol, exchange.native(listing), contract_size=float(listing.contract)
            )
            for listing in exchange.listings.values()
        )
        feed.apply(wanted)
        feed.follow_books(wanted)
        running = asyncio.create_task(feed.run())
        try:
            yield Desk(sim, key, live, recorder)
        finally:
            feed.stop("test over")
            async with asyncio.timeout(10):
                await running


@pytest.mark.parametrize("key", MARKETS)
async def test_the_collectors_books_are_the_simulators(key: str) -> None:
    async with desk(key) as running:
        await running.equals()
        running.sim.inject(f"{key}:drop")
        await until(lambda: running.count("connection") == 2, 30)
        await running.equals()
        faults = running.sim.inject(f"{key}:depth-crossed=1")
        await until(lambda: running.count("crossed") >= 2, 30)
        running.sim.heal(faults)
        await running.equals()
        faults = running.sim.inject(f"{key}:depth-gap=0.5")
        await until(lambda: running.count("gap") + running.count("crossed") >= 4, 60)
        running.sim.heal(faults)
        await running.equals()


@pytest.mark.parametrize("key", [key for key in MARKETS if WIRES[key].rest])
async def test_requests_that_fail_are_asked_again_until_the_book_is_right(key: str) -> None:
    async with desk(key) as running:
        await running.equals()
        for spec in ("depth-refuse=429+1", "depth-slow=300ms", "depth-stale"):
            faults = running.sim.inject(f"{key}:{spec}")
            before = running.count("gap")
            lost = running.sim.inject(f"{key}:depth-gap=0.5")
            await until(lambda: running.count("gap") >= before + 2, 30)  # noqa: B023 - awaited here
            running.sim.heal(lost)
            if spec != "depth-stale":
                await running.equals()
            running.sim.heal(faults)
            await running.equals()

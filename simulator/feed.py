"""Paces the seeded market: quotes and trades for every instrument somebody is subscribed to."""

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from core.names.market_keys import SPOT, SWAP, market_of
from simulator.catalogue import Listing
from simulator.exchanges.base import Book, Deal, SimulatedExchange
from simulator.ladder import Change, Ladder
from simulator.market import Market

TRADE_SHARE = 0.2
BATCH = 500
QuoteSink = Callable[[SimulatedExchange, Listing, Book], None]
TradeSink = Callable[[SimulatedExchange, Listing, Deal], None]
DepthSink = Callable[[SimulatedExchange, Listing, Ladder, Change], None]


class Instrument:
    """One listing on one market: its row among those of its kind, its own dice, its running number."""

    def __init__(
        self, exchange: SimulatedExchange, listing: Listing, row: int, column: int, seed: int
    ) -> None:
        self.exchange = exchange
        self.listing = listing
        self.swap = market_of(exchange.key) == SWAP
        self.row = row
        self.column = column
        self.rng = random.Random(f"{seed}/{exchange.key}/{listing.symbol}")  # noqa: S311 - market data, no secret  # nosec B311 # no secret
        self.number = self.rng.randrange(10**9, 9 * 10**9)
        self.running = False
        self.book: Book | None = None
        self.ladder: Ladder | None = None
        self.sequence = self.number
        self.contract = ""


class MarketFeed:
    """A `Source` of invented quotes: `rate` per second and instrument, evenly jittered.

    Spacing stays within half and one and a half of 1/rate, so a quote is never stale by chance.
    """

    def __init__(self, rate: float, seed: int) -> None:
        self._interval = 1 / rate
        self._seed = seed
        self._instruments: dict[tuple[str, str], Instrument] = {}
        self._due: list[tuple[float, int, Instrument]] = []
        self._wake = asyncio.Event()
        self._started = time.monotonic()
        self.market: Market

    def attach(
        self,
        exchanges: Mapping[str, SimulatedExchange],
        quote: QuoteSink,
        trade: TradeSink,
        depth: DepthSink,
    ) -> None:
        """Take the exchanges to feed and where quotes, trades and changes of books go."""
        self._quote, self._trade, self._depth = quote, trade, depth
        listed = [listing for exchange in exchanges.values() for listing in exchange.listings.values()]
        paths = {path: column for column, path in enumerate(dict.fromkeys(row.of or row for row in listed))}
        spot, swaps = ([key for key in exchanges if market_of(key) == kind] for kind in (SPOT, SWAP))
        self.market = Market(spot, list(paths), self._seed, swaps)
        for row, key in [*enumerate(spot), *enumerate(swaps)]:
            exchange = exchanges[key]
            for listing in exchange.listings.values():
                instrument = Instrument(exchange, listing, row, paths[listing.of or listing], self._seed)
                self._instruments[key, listing.symbol] = instrument

    def wake(self, exchange: SimulatedExchange, symbol: str) -> None:
        """Somebody subscribed: start the instrument if it rests."""
        instrument = self._instruments[exchange.key, symbol]
        if not instrument.running:
            instrument.running = True
            first = time.monotonic() + instrument.rng.random() * self._interval
            heapq.heappush(self._due, (first, id(instrument), instrument))
            self._wake.set()

    def latest(self, exchange: SimulatedExchange, listing: Listing) -> Book | None:
        """Return what the exchange quotes now."""
        return self.snapshot(exchange, listing)

    def snapshot(self, exchange: SimulatedExchange, listing: Listing) -> Book:
        """Return what the exchange quotes now."""
        instrument = self._instruments[exchange.key, listing.symbol]
        if instrument.book is None or not instrument.running:
            self.market.advance(time.monotonic() - self._started)
            instrument.book = self._book(instrument)
        return instrument.book

    def ladder(self, exchange: SimulatedExchange, listing: Listing) -> Ladder:
        """Return the book behind the quote; one that nobody follows is made for the occasion."""
        instrument = self._instruments[exchange.key, listing.symbol]
        ladder = instrument.ladder or self._ladder(instrument)
        book = exchange.as_quoted(listing, self.snapshot(exchange, listing))
        ladder.move((book.bid, book.bid_size, book.ask, book.ask_size), book.ts_ms)
        instrument.sequence = ladder.last
        instrument.ladder = ladder if exchange.follows(listing.symbol) else None
        return ladder

    def _ladder(self, instrument: Instrument) -> Ladder:
        exchange, listing = instrument.exchange, instrument.listing
        instrument.contract = exchange.contract_size(listing)
        return Ladder(
            random.Random(f"{self._seed}/{exchange.key}/{listing.symbol}/{instrument.sequence}"),  # noqa: S311 - market data, no secret  # nosec B311 # no secret
            listing.tick,
            lambda ticks: exchange.number(ticks * listing.tick, listing.price_decimals),
            partial(_size, exchange, listing, listing.price),
            exchange.depth.gone,
            instrument.sequence,
        )

    def prices(self, exchange: SimulatedExchange, listing: Listing) -> tuple[float, float]:
        """Mark and index price of a swap now."""
        instrument = self._instruments[exchange.key, listing.symbol]
        self.market.advance(time.monotonic() - self._started)
        mark = self.market.marks[instrument.row][instrument.column]
        return mark * listing.unit, self.market.index[instrument.column] * listing.unit

    async def run(self) -> None:
        """Quote until cancelled; behind its pace it slows down instead of bursting."""
        while True:
            if not self._due:
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(max(0.0, self._due[0][0] - time.monotonic()))
            self.market.advance(time.monotonic() - self._started)
            self._quote_due(time.monotonic())

    def _quote_due(self, now: float) -> None:
        for _ in range(BATCH):
            if not self._due or self._due[0][0] > now:
                return
            due, order, instrument = heapq.heappop(self._due)
            if not instrument.exchange.wanted(instrument.listing.symbol):
                instrument.running, instrument.ladder = False, None
                continue
            self._publish(instrument)
            following = max(due + self._interval * instrument.rng.uniform(0.5, 1.5), now)
            heapq.heappush(self._due, (following, order, instrument))

    def _publish(self, instrument: Instrument) -> None:
        exchange, listing = instrument.exchange, instrument.listing
        instrument.book = book = self._book(instrument)
        self._quote(exchange, listing, book)
        self._move(instrument, book)
        if instrument.rng.random() < TRADE_SHARE and ("trade", listing.symbol) in exchange.subscribers:
            self._trade(exchange, listing, self._deal(instrument, book))

    def _move(self, instrument: Instrument, book: Book) -> None:
        """Let the followed book keep up with its quote; one that nobody follows any more is dropped."""
        exchange, listing = instrument.exchange, instrument.listing
        if not exchange.follows(listing.symbol):
            instrument.ladder = None
        elif instrument.ladder is None:
            self.ladder(exchange, listing)
        else:
            ladder, shown = instrument.ladder, exchange.as_quoted(listing, book)
            if (contract := exchange.contract_size(listing)) != instrument.contract:
                instrument.contract = contract
                ladder.resize()
            best = (shown.bid, shown.bid_size, shown.ask, shown.ask_size)
            if change := ladder.move(best, shown.ts_ms):
                self._depth(exchange, listing, ladder, change)
                instrument.sequence = ladder.last

    def _book(self, instrument: Instrument) -> Book:
        """Half a spread around the exchange's price, rounded outwards to the tick."""
        exchange, listing, rng = instrument.exchange, instrument.listing, instrument.rng
        shown = self.market.swaps_shown if instrument.swap else self.market.shown
        price = shown[instrument.row][instrument.column] * listing.unit
        half = price * 0.6e-4 * rng.uniform(0.5, 1.5)
        bid = int((price - half) / listing.tick)
        ask = max(bid + 1, int((price + half) / listing.tick))
        instrument.number += 1
        return Book(
            bid=exchange.number(bid * listing.tick, listing.price_decimals),
            bid_size=_size(exchange, listing, price, rng),
            ask=exchange.number(ask * listing.tick, listing.price_decimals),
            ask_size=_size(exchange, listing, price, rng),
            ts_ms=exchange.now_ms(),
            n=instrument.number,
        )

    def _deal(self, instrument: Instrument, book: Book) -> Deal:
        """A taker lifts the ask or hits the bid for part of what is there."""
        rng, listing = instrument.rng, instrument.listing
        side = "buy" if rng.random() < 0.5 else "sell"
        price, there = (book.ask, book.ask_size) if side == "buy" else (book.bid, book.bid_size)
        size = max(float(there) * rng.random(), 10.0**-listing.size_decimals)
        text = instrument.exchange.number(size, listing.size_decimals)
        return Deal(price=price, size=text, side=side, ts_ms=book.ts_ms, n=instrument.number)


def _size(exchange: SimulatedExchange, listing: Listing, price: float, rng: random.Random) -> str:
    """Log-normal around a hundred-thousandth of the day's volume, 200 to 40,000 in quote currency."""
    typical = min(40_000.0, max(200.0, listing.volume * 1e-5))
    return exchange.size_text(listing, typical / price * rng.lognormvariate(0, 0.8))

"""Puts quotes and trades on the wire, through whatever faults are active."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from simulator.catalogue import Listing
from simulator.exchanges.base import Book, Deal, SimulatedExchange
from simulator.exchanges.perpetual import Perpetuals
from simulator.faults import Fault, FaultBoard
from simulator.ladder import Change, Ladder
from simulator.session import Channel, Frame

FrameMaker = Callable[[str, str], Sequence[Frame]]
SHORTEST_BEAT_S = 0.02
COUNTED: dict[Channel, str] = {
    "quote": "quotes",
    "trade": "trades",
    "depth": "changes",
    "status": "statuses",
}


class Delivery:
    """Encodes an event once per topic name and variant, and hands the frame to every subscriber."""

    def __init__(self, board: FaultBoard, seed: int) -> None:
        self._board = board
        self._rng = random.Random(f"{seed}/faults")  # noqa: S311 - fault dice, no secret  # nosec B311 # no secret
        self._held: dict[tuple[str, str], Book] = {}

    def quote(self, exchange: SimulatedExchange, listing: Listing, book: Book) -> None:
        """Push a quote, broken as the active faults say."""
        if listing.symbol in exchange.delisted:
            return
        book = exchange.as_quoted(listing, book)
        if exchange.resend_s:
            exchange.quoted[listing.symbol] = (time.monotonic(), book)
        faults = self._board.active[exchange.key]
        if not faults:
            self._push_book(exchange, listing, book, faults)
            return
        for sent in self._in_order(exchange, listing, self._spoilt(listing, book, faults), faults):
            self._push_book(exchange, listing, sent, faults)

    async def resend(self, exchange: SimulatedExchange, seconds: float) -> None:
        """Send quotes again that have not changed for so long."""
        while True:
            await asyncio.sleep(seconds / 4)
            for symbol, (moment, book) in list(exchange.quoted.items()):
                if time.monotonic() - moment >= seconds and ("quote", symbol) in exchange.subscribers:
                    self.quote(exchange, exchange.listings[symbol], book)

    def trade(self, exchange: SimulatedExchange, listing: Listing, deal: Deal) -> None:
        """Push a trade, broken as the active faults say."""
        if listing.symbol in exchange.delisted:
            return
        faults = self._board.active[exchange.key]
        self._push(
            exchange,
            listing,
            "trade",
            faults,
            lambda name, variant: (exchange.deal_frame(name, variant, listing, deal),),
        )

    def depth(self, exchange: SimulatedExchange, listing: Listing, ladder: Ladder, change: Change) -> None:
        """Push a change of a book, or lose it, as the active faults say."""
        if listing.symbol in exchange.delisted:
            return
        exchange.depth.changed_s[listing.symbol] = time.monotonic()
        faults = self._board.active[exchange.key]
        if faults:
            if self._dice("depth-silence", listing, faults) or self._dice("depth-gap", listing, faults):
                return
            if self._dice("depth-crossed", listing, faults):
                change = ladder.crossed(change)
        self._push(
            exchange,
            listing,
            "depth",
            faults,
            lambda name, variant: exchange.depth.frames(name, variant, listing, ladder, change),
        )

    async def idle(self, exchange: SimulatedExchange, seconds: float) -> None:
        """Say of books that have not changed for so long that they have not."""
        changed_s = exchange.depth.changed_s
        while True:
            await asyncio.sleep(seconds / 4)
            now = time.monotonic()
            for symbol in [symbol for symbol in changed_s if not exchange.follows(symbol)]:
                del changed_s[symbol]
            for symbol, moment in list(changed_s.items()):
                if now - moment >= seconds:
                    changed_s[symbol] = now
                    self._push_idle(exchange, exchange.listings[symbol])

    def _push_idle(self, exchange: SimulatedExchange, listing: Listing) -> None:
        ladder, faults = exchange.source.ladder(exchange, listing), self._board.active[exchange.key]
        silent = listing.symbol in exchange.delisted or self._dice("depth-silence", listing, faults)
        if ladder is None or silent:
            return
        self._push(
            exchange,
            listing,
            "depth",
            faults,
            lambda name, variant: exchange.depth.idle(name, variant, listing, ladder),
        )

    async def beat(self, exchange: Perpetuals, seconds: float) -> None:
        """Push mark prices, index prices and funding to their subscribers, every so many seconds."""
        beat = 0
        while True:
            await asyncio.sleep(max(seconds, SHORTEST_BEAT_S))
            beat += 1
            exchange.tick(beat)
            for symbol in [symbol for channel, symbol in exchange.subscribers if channel == "status"]:
                if symbol not in exchange.delisted:
                    self._push_status(exchange, exchange.listings[symbol], beat)

    def _push_status(self, exchange: Perpetuals, listing: Listing, beat: int) -> None:
        self._push(
            exchange,
            listing,
            "status",
            self._board.active[exchange.key],
            lambda name, variant: exchange.status_frames(name, variant, listing, beat),
        )

    def _push_book(
        self, exchange: SimulatedExchange, listing: Listing, book: Book, faults: tuple[Fault, ...]
    ) -> None:
        self._push(
            exchange,
            listing,
            "quote",
            faults,
            lambda name, variant: (exchange.book_frame(name, variant, listing, book),),
        )

    def _push(
        self,
        exchange: SimulatedExchange,
        listing: Listing,
        channel: Channel,
        faults: tuple[Fault, ...],
        make: FrameMaker,
    ) -> None:
        variants = exchange.subscribers.get((channel, listing.symbol))
        if not variants or exchange.quiet or self._dice("silence", listing, faults):
            return
        exchange.counts[COUNTED[channel]] += 1
        for (name, variant), sessions in variants.items():
            for made in make(name, variant):
                frame = made
                if faults and self._dice("malformed", listing, faults):
                    frame = frame[: len(frame) // 2]
                twice = bool(faults) and self._dice("duplicate", listing, faults)
                for session in tuple(sessions):
                    session.push(frame)
                    if twice:
                        session.push(frame)

    def _spoilt(self, listing: Listing, book: Book, faults: tuple[Fault, ...]) -> Book:
        if self._dice("crossed", listing, faults):
            return Book(book.ask, book.bid_size, book.bid, book.ask_size, book.ts_ms, book.n)
        if self._dice("zero", listing, faults):
            return Book("0", "0", book.ask, book.ask_size, book.ts_ms, book.n)
        if self._dice("one-sided", listing, faults):
            return Book("", "", book.ask, book.ask_size, book.ts_ms, book.n)
        for fault in faults:
            if fault.kind == "frozen" and fault.concerns(listing.symbol):
                lag = int(fault.value * 1000)
                return Book(book.bid, book.bid_size, book.ask, book.ask_size, book.ts_ms - lag, book.n, lag)
        return book

    def _in_order(
        self, exchange: SimulatedExchange, listing: Listing, book: Book, faults: tuple[Fault, ...]
    ) -> list[Book]:
        """Hold a book back until its successor has gone."""
        key = (exchange.key, listing.symbol)
        held = self._held.pop(key, None)
        if held is not None:
            return [book, held]
        if self._dice("out-of-order", listing, faults):
            self._held[key] = book
            return []
        return [book]

    def _dice(self, kind: str, listing: Listing, faults: tuple[Fault, ...]) -> bool:
        """Whether an active fault of this kind strikes now; one without a share always does."""
        return any(
            fault.kind == kind
            and fault.concerns(listing.symbol)
            and self._rng.random() < (fault.value or 1.0)
            for fault in faults
        )

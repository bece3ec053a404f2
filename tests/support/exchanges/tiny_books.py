"""Order books at the tiny exchange: the true one with its history, its dialect, and its server."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from random import Random
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection

from collectors.exchanges.base import Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.sheet import Depth
from engine.books.book import Book
from engine.books.sequences import COUNTED, Chained, Consecutive, Rule
from markets.config import ExchangeConfig
from markets.events import BookUpdate
from tests.support.exchanges.exchange_rest import Reply, answering
from tests.support.exchanges.tiny_exchange import SHEET, TinyCodec, TinyExchange

Levels = dict[float, float]
Sides = tuple[Levels, Levels]

ASKED: Rule = COUNTED
PUSHED: Rule = Consecutive(waits=False)
RULES: dict[str, Rule] = {
    "counted, asked for": ASKED,
    "counted, pushed": PUSHED,
    "overlapping, asked for": Consecutive(overlaps=True),
    "chained, asked for": Chained(straddles=True, waits=True),
    "chained, pushed": Chained(straddles=False, waits=False),
}


class TrueBook:
    """The book of one symbol as its exchange has it, with what it was after every change."""

    def __init__(self, seed: int = 7) -> None:
        self._chance = Random(seed)
        self.bids: Levels = {99.0: 1.0, 98.0: 2.0}
        self.asks: Levels = {101.0: 1.0, 102.0: 2.0}
        self.seq = 10
        self.was: dict[int, Sides] = {}
        self._remember()

    def change(self) -> dict[str, Any]:
        """Change a few levels; returns the frame that says so."""
        return self.set(*(self._few(*prices) for prices in ((90, 99), (101, 110))))

    def _few(self, low: int, high: int) -> Levels:
        prices = {float(self._chance.randint(low, high)) for _ in range(2)}
        return {price: float(self._chance.choice((0, 0, 1, 2, 3))) for price in prices}

    def set(self, bids: Levels, asks: Levels) -> dict[str, Any]:
        """Set sizes of levels, 0 for none; returns the frame that says so."""
        first, previous = self.seq + 1, self.seq
        self.seq += self._chance.randint(1, 3)
        for levels, changes in ((self.bids, bids), (self.asks, asks)):
            levels.update(changes)
            for price in [price for price, size in levels.items() if not size]:
                del levels[price]
        self._remember()
        said = ([[price, size] for price, size in side.items()] for side in (bids, asks))
        return {
            "first": first,
            "last": self.seq,
            "prev": previous,
            **dict(zip(("bids", "asks"), said, strict=True)),
        }

    def whole(self, seq: int | None = None) -> dict[str, Any]:
        """The frame or answer with all of it, as it is or was."""
        seq = self.seq if seq is None else seq
        bids, asks = ([[price, size] for price, size in side.items()] for side in self.was[seq])
        return {"kind": "snapshot", "last": seq, "bids": bids, "asks": asks}

    def _remember(self) -> None:
        self.was[self.seq] = dict(self.bids), dict(self.asks)


class BookCodec(TinyCodec):
    """The tiny dialect with `{"d": native id, …}`, a change or a whole book."""

    sheet = replace(SHEET, depth=Depth("d:{id}", "/depth?id={id}", 1000, snapshots_per_second=200))
    book_rule = ASKED

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        message = json.loads(frame)
        if "d" in message:
            return self.book(message["d"], message, received_ts_us, received_mono_ns)
        return super().push(frame, received_ts_us, received_mono_ns)

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        return self.book(native_id, answer, received_ts_us, received_mono_ns)

    def book(
        self, native_id: str, said: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> tuple[BookUpdate, ...]:
        return book_update(
            self, said.get("kind", "delta"), native_id, said.get("bids"), said.get("asks"), None,
            received_ts_us, received_mono_ns,
            first=said.get("first"), last=said.get("last"), prev=said.get("prev"),
        )  # fmt: skip


def book_codec(rule: Rule = ASKED, **sheet: object) -> type[BookCodec]:
    """The codec of an exchange whose updates follow each other by another rule."""
    return type("RuledCodec", (BookCodec,), {"book_rule": rule, "sheet": replace(BookCodec.sheet, **sheet)})  # type: ignore[arg-type]


def held(book: Book) -> Sides:
    """Return both sides of a book."""
    return dict(book.bids.top()), dict(book.asks.top())


class Applied:
    """The books of a sink that applies every event it gets, and knows nothing else; None: unknown."""

    def __init__(self) -> None:
        self.books: dict[str, Sides | None] = {}

    def __call__(self, events: Sequence[object]) -> None:
        for event in events:
            if isinstance(event, BookUpdate):
                self._apply(event)

    def _apply(self, event: BookUpdate) -> None:
        if event.kind == "gap":
            assert self.books.get(event.symbol) is not None, "a gap is said once"
            self.books[event.symbol] = None
            return
        if event.kind == "snapshot":
            self.books[event.symbol] = dict(event.bids), dict(event.asks)
            return
        sides = self.books[event.symbol]
        assert sides is not None, "no delta before a snapshot"
        for levels, changes in zip(sides, (event.bids, event.asks), strict=True):
            for price, size in changes:
                levels.pop(price, None)
                if size:
                    levels[price] = size


class BookExchange(TinyExchange):
    """A tiny exchange with books: subscribed they are pushed whole (`pushes`), or can be asked for (REST).

    `refusals` are replies that requests get first; `requests` is when each came, and for what.
    """

    def __init__(self, *, pushes: bool = False) -> None:
        super().__init__()
        self.books = {"a": TrueBook(1), "b": TrueBook(2), "c": TrueBook(3)}
        self.pushes = pushes
        self.refusals: list[Reply] = []
        self.requests: list[tuple[float, str]] = []
        self.answer: Callable[[str], dict[str, Any]] = lambda native_id: self.books[native_id].whole()
        self._rest = ExitStack()

    async def __aenter__(self) -> Self:
        self.rest_url = self._rest.enter_context(answering(self._whole))
        return await super().__aenter__()

    async def __aexit__(self, *problem: object) -> None:
        await super().__aexit__(*problem)
        self._rest.close()

    @property
    def config(self) -> ExchangeConfig:
        base = super().config
        return ExchangeConfig("tiny", "Tiny", True, 10.0, 10.0, self.rest_url, base.ws_url)

    async def change(self, native_id: str, times: int = 1) -> None:
        """Change a book and push it to its subscribers."""
        for _ in range(times):
            await self.push(native_id, self.books[native_id].change())

    async def push(self, native_id: str, said: dict[str, Any]) -> None:
        """Push a frame of a book to its subscribers."""
        for socket, topics in list(self.sockets.items()):
            if f"d:{native_id}" in topics:
                await self.send({"d": native_id, **said}, to=socket)

    async def _answer(self, socket: ServerConnection, request: dict[str, object]) -> None:
        before = set(self.sockets[socket])
        await super()._answer(socket, request)
        if self.pushes and request["op"] == "sub":
            for topic in sorted(self.sockets[socket] - before):
                if topic.startswith("d:"):
                    await self.send({"d": topic[2:], **self.books[topic[2:]].whole()}, to=socket)

    def _whole(self, path: str) -> Reply:
        native_id = parse_qs(urlsplit(path).query)["id"][0]
        self.requests.append((time.monotonic(), native_id))
        if self.refusals:
            return self.refusals.pop(0)
        return Reply(json.dumps(self.answer(native_id)))

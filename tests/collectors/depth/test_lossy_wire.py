"""Whatever happens on the way, a book that is known is the exchange's, and so is one kept from the events."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from collectors.books import LiveBooks
from collectors.sockets.exchange import FollowedExchange
from collectors.sockets.turns import Turns
from engine.books.book import Book
from engine.books.sequences import Rule
from markets.config import ExchangeConfig
from tests.support.exchanges.tiny_books import RULES, Applied, TrueBook, book_codec, held
from tests.support.exchanges.tiny_exchange import TIMING, instruments, symbol

STEPS = st.lists(
    st.sampled_from(
        ("change", "change", "change", "lose", "twice", "delay", "arrive", "answer", "late answer",
         "reconnect", "resubscribe", "unreadable")
    ),
    max_size=60,
)  # fmt: skip


class Wire:
    """One followed book, its exchange, and a wire between them that a test may harm."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self.pushes = not rule.waits
        codec = book_codec(rule)({"a": symbol("a")})
        config = ExchangeConfig("tiny", "Tiny", True, 10.0, 10.0)
        self.live, self.sink, self.true = LiveBooks(), Applied(), TrueBook(seed)
        self.exchange = FollowedExchange(config, codec, self.sink, TIMING, Turns(), self.live)
        self.books = self.exchange.books
        (instrument,) = instruments("a")
        self.books.follow(instrument)
        self.topic = codec.depth_topic("a")
        self.delayed: deque[bytes] = deque()
        self.stamp = 10**9
        self.epoch = self.books.opened(lambda: None)
        self.subscribe()

    def subscribe(self) -> None:
        """The exchange takes the subscription; where it is its way, it pushes the whole book."""
        self.books.subscribed([self.topic], self.epoch)
        if self.pushes:
            self.push(json.encode({"d": "a", **self.true.whole()}))

    def push(self, frame: bytes) -> None:
        self.stamp += 10**6
        codec = self.exchange.codec
        said = codec.push(frame, self.stamp // 1000, self.stamp)
        self.books.take(said, self.epoch)  # type: ignore[arg-type]

    def step(self, name: str) -> None:
        if name == "reconnect":
            self.books.ended(self.epoch, "cut")
            self.delayed.clear()
            self.epoch = self.books.opened(lambda: None)
            self.subscribe()
        elif name == "resubscribe":
            if self.pushes and self.live_book().resyncing:
                self.subscribe()
        elif name == "unreadable":
            self.push(json.encode({"d": "a", "bids": [["x", 1]], "asks": []}))
        elif name == "arrive":
            while self.delayed:
                self.push(self.delayed.pop())
        elif name in ("answer", "late answer"):
            if not self.pushes:
                seqs = sorted(self.true.was)
                seq = seqs[-1] if name == "answer" else seqs[-min(4, len(seqs))]
                self.books.snapshots._take("a", json.encode(self.true.whole(seq)))
        else:
            self.send(name, json.encode({"d": "a", **self.true.change()}))

    def send(self, fate: str, frame: bytes) -> None:
        if fate == "delay":
            self.delayed.append(frame)
        elif fate != "lose":
            for _ in range(2 if fate == "twice" else 1):
                self.push(frame)

    def live_book(self) -> Book:
        book = self.live.get("tiny", symbol("a"))
        assert book is not None
        return book

    def check(self) -> None:
        """A known book is what the exchange's was at its id; the sink's is the same, and known as long."""
        book, applied = self.live_book(), self.sink.books.get(symbol("a"))
        if book.resyncing:
            assert applied is None
        else:
            assert held(book) == self.true.was[book.last_seq or 0]
            assert applied == held(book)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1000), steps=STEPS)
def test_a_known_book_is_the_exchanges(name: str, seed: int, steps: list[str]) -> None:
    wire = Wire(RULES[name], seed)
    wire.check()
    for step in steps:
        wire.step(step)
        wire.check()


@pytest.mark.parametrize("name", RULES)
def test_after_all_that_it_is_known_again(name: str) -> None:
    wire = Wire(RULES[name], 3)
    for step in (
        "answer",
        "change",
        "lose",
        "change",
        "unreadable",
        "reconnect",
        "change",
        "answer",
        "change",
    ):
        wire.step(step)
    assert not wire.live_book().resyncing
    assert held(wire.live_book()) == (wire.true.bids, wire.true.asks)
    wire.check()

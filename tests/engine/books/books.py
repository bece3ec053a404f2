"""Books and updates of tests, and a book as a dictionary: what all are compared with."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from engine.books.book import Book
from engine.books.sequences import COUNTED
from markets.events import BookKind, BookUpdate, Level

PRICES = [round(99.0 + n / 20, 2) for n in range(41)]


def update(kind: BookKind, bids: Iterable[Level] = (), asks: Iterable[Level] = (), **said: Any) -> BookUpdate:
    return BookUpdate("gate", "BTC/USDT", kind, list(bids), list(asks), **said)


def snapshot(last: int | None = 10, bids: Iterable[Level] = ((100.0, 2.0),),
             asks: Iterable[Level] = ((101.0, 3.0),), **said: Any) -> BookUpdate:  # fmt: skip
    return update("snapshot", bids, asks, last_seq=last, **said)


def delta(first: int, last: int | None = None, bids: Iterable[Level] = (), asks: Iterable[Level] = (),
          **said: Any) -> BookUpdate:  # fmt: skip
    return update("delta", bids, asks, first_seq=first, last_seq=first if last is None else last, **said)


def live(bids: Iterable[Level], asks: Iterable[Level], *, at_ns: int = 0) -> Book:
    book = Book(COUNTED)
    assert book.apply(snapshot(1, bids, asks, received_mono_ns=at_ns)) == "applied"
    return book


@dataclass
class NaiveBook:
    """Two dictionaries, sorted whenever they are read."""

    bids: dict[float, float] = field(default_factory=dict)
    asks: dict[float, float] = field(default_factory=dict)

    def change(self, side: str, price: float, size: float) -> None:
        levels = self.bids if side == "bid" else self.asks
        levels[price] = size
        if not size:
            del levels[price]

    @property
    def is_crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(self.bids) > min(self.asks)

    @property
    def sorted(self) -> tuple[list[Level], list[Level]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


Change = tuple[str, float, float]

changes = st.lists(
    st.tuples(
        st.sampled_from(("bid", "ask")),
        st.sampled_from(PRICES),
        st.sampled_from((0.0, 0.0, 0.5, 1.25, 3.0)),
    ),
    max_size=60,
)


def possible(wanted: list[Change]) -> list[Change]:
    """Those of the changes after which no bid is above an ask."""
    book, taken = NaiveBook(), []
    for side, price, size in wanted:
        if not size and price not in (book.bids if side == "bid" else book.asks):
            continue
        trial = NaiveBook(dict(book.bids), dict(book.asks))
        trial.change(side, price, size)
        if not trial.is_crossed:
            book = trial
            taken.append((side, price, size))
    return taken

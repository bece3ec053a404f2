"""The five best levels of books that are followed, a row whenever they have changed."""

from collections.abc import Iterable
from typing import Final, Protocol

from engine.books.book import Book
from markets.events import BookUpdate
from orderbook.ingest.events import Top5

LEVELS: Final = 5

_Levels = tuple[tuple[float, ...], ...]


class Books(Protocol):
    """The books of this process, each as fresh as it can be."""

    def get(self, market: str, symbol: str) -> Book | None:
        """Return a book; None where it is not followed."""


class Tops:
    """Best levels as the store has them last. Bounded by the books that are followed."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._newest: dict[tuple[str, str], BookUpdate] = {}
        self._said: dict[tuple[str, str], _Levels] = {}

    def after(self, updates: Iterable[BookUpdate]) -> list[Top5]:
        """Rows of the books that stand at these updates, where their best levels are others than before.

        A book that has taken over more than was taken from the channel is read when its newest update is:
        a row never says what was not received by its time.
        """
        changed: dict[tuple[str, str], BookUpdate] = {}
        for update in updates:
            key = update.exchange, update.symbol
            if update.kind == "gap":
                self._newest.pop(key, None)
                self._said.pop(key, None)
                changed.pop(key, None)
                continue
            before = self._newest.get(key)
            if before is None or update.received_mono_ns >= before.received_mono_ns:
                self._newest[key] = update
            changed[key] = self._newest[key]
        return [top for key, newest in changed.items() if (top := self._top(key, newest))]

    def _top(self, key: tuple[str, str], newest: BookUpdate) -> Top5 | None:
        book = self._books.get(*key)
        if book is None:
            self._newest.pop(key, None)
            self._said.pop(key, None)
            return None
        top = book.top(LEVELS)
        if top is None or book.updated_mono_ns != newest.received_mono_ns:
            return None
        bids, asks = top
        levels = (*_sides(bids), *_sides(asks))
        if self._said.get(key) == levels:
            return None
        self._said[key] = levels
        return Top5(*key, *levels, newest.exchange_ts_us, newest.received_ts_us)


def _sides(levels: Iterable[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    prices, sizes = [], []
    for price, size in levels:
        prices.append(price)
        sizes.append(size)
    return tuple(prices), tuple(sizes)

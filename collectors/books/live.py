"""The order books that this process follows, for sinks to read: always the freshest, applied once."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from engine.books.book import Book

BookKey = tuple[str, str]
"""Key of a market (`gate:swap`) and symbol as events carry it."""


class LiveBooks:
    """Books by market and symbol; written by the connections, on the event loop that the sinks run on.

    Whether a book may be read is `Book.is_known(now_mono_ns)`; one that is not says nothing.
    `ranked` are the legs of the scanner's best routes, the best first, as a sink last said.
    """

    def __init__(self) -> None:
        self.ranked: tuple[BookKey, ...] = ()
        self._books: dict[BookKey, Book] = {}

    def get(self, market: str, symbol: str) -> Book | None:
        """Return a book; None where it is not followed."""
        return self._books.get((market, symbol))

    def __iter__(self) -> Iterator[tuple[BookKey, Book]]:
        return iter(self._books.items())

    def __len__(self) -> int:
        return len(self._books)

    def put(self, key: BookKey, book: Book) -> None:
        """Follow a book from now on."""
        self._books[key] = book

    def drop(self, key: BookKey) -> None:
        """Follow a book no more."""
        self._books.pop(key, None)

    def rank(self, best_first: Sequence[BookKey]) -> None:
        """Take over the legs of the best routes: the rule "top of the scanner" chooses among them."""
        self.ranked = tuple(best_first)


@runtime_checkable
class ReadsBooks(Protocol):
    """A sink that reads books: it gets them once, when it is built."""

    def use_books(self, books: LiveBooks) -> None:
        """Take over the books of this process."""

"""Protocol of the order books that a process follows."""

from typing import Protocol

from engine.books.walk import Levels


class Books(Protocol):
    """Order books by market and symbol: those of a collector, or what one published."""

    def get(self, market: str, symbol: str) -> Levels | None:
        """Return the book of a symbol, as events call it, on a market (`gate:swap`); None: not followed."""

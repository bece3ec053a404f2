"""Checksum of a book as OKX (until 2026-06) and Bitget (until 2026-04) made it; both send 0 since, or none.

CRC32 of the best 25 levels as they were spelled, `bid:size:ask:size:…`, read as a signed number; where one
side is shorter, the rest of the other follows. Recordings have it, and it finds what no update id shows.
"""

from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Final
from zlib import crc32

from engine.books.side import Side

LEVELS: Final = 25

Spelled = tuple[str, str]
"""Price and size of a level as they were on the wire."""


def checksum(bids: Iterable[Spelled], asks: Iterable[Spelled]) -> int:
    """Return the checksum of the best levels, the best first."""
    pairs = chain.from_iterable(zip_longest(bids, asks))
    number = crc32(":".join(f"{price}:{size}" for price, size in filter(None, pairs)).encode())
    return number - 2**32 if number >= 2**31 else number


class Spelling:
    """How the levels of a side were spelled."""

    __slots__ = ("_levels", "_side")

    def __init__(self, side: Side) -> None:
        self._side = side
        self._levels: dict[float, Spelled] = {}

    def apply(self, levels: Iterable[Spelled]) -> None:
        """Take over what an update said, after the side has."""
        for price, size in levels:
            self._levels[float(price)] = (price, size)
        if len(self._levels) > 2 * len(self._side.keys) + LEVELS:
            self._levels = {price: self._levels[price] for price, _ in self._side.top()}

    def best(self) -> list[Spelled]:
        """Return the best levels; raises KeyError for one that was never spelled."""
        return [self._levels[price] for price, _ in self._side.top(LEVELS)]

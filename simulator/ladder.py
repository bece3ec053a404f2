"""The order book behind a simulated quote: its best levels are the quote, those behind are drawn. Pure.

A ladder moves when its quote does: levels that the price has passed are gone, those it has left behind are
filled, and some others change. It has dice of its own, so that nobody's quotes depend on who looks at depth.

A level is known by its key: its price in ticks, negated on the bid side, so that the best is the least.
"""

from bisect import bisect_left
from collections.abc import Callable
from itertools import chain, zip_longest
from random import Random
from typing import Final
from zlib import crc32

from msgspec import Struct, structs

LEVELS: Final = 220
"""A side, at least, as far as there are prices above zero."""
SLACK: Final = 30
"""So many more may be there before the worst are taken away."""
SPACING: Final = 0.2e-4
"""Of levels, about, as a share of the price; never less than a tick or two."""
CHURN: Final = 4
"""Levels behind the best that change with every quote, at most, on a side."""
SIGNED: Final = 25
"""Levels of a side that a checksum is of."""
NEAR: Final = 3
"""The higher, the nearer to the best most of them are."""
RESIZED, REMOVED = 0.6, 0.85
"""Where on the dice a level gets another size, and where it goes away; beyond that one is added."""

Rows = list[tuple[str, str]]
"""Price and size as the exchange prints them."""


class View(Struct, frozen=True):
    """A whole book, the best levels first, and what the exchange had counted by then."""

    bids: Rows
    asks: Rows
    number: int
    last: int
    ts_ms: int


class Change(Struct, frozen=True):
    """Changes of one move. Update ids count changed levels, `number` counts moves.

    Levels by their keys, with the sizes they have now. `were` are the keys of both sides before.
    `restarted`: the exchange began to count again with this one.
    """

    number: int
    previous: int
    first: int
    last: int
    ts_ms: int
    bids: dict[int, str]
    asks: dict[int, str]
    were: tuple[list[int], list[int]]
    restarted: bool = False


class Ladder:
    """Both sides of one instrument. `gone` is the size that the exchange prints of a level that is gone."""

    __slots__ = (
        "_best", "_gone", "_price", "_resizes", "_restarts", "_rng", "_size", "_spacing", "_tick", "asks",
        "bids", "last", "number", "ts_ms",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917
        self,
        rng: Random,
        tick: float,
        price: Callable[[int], str],
        size: Callable[[Random], str],
        gone: str,
        start: int,
    ) -> None:
        self._rng = rng
        self._tick = tick
        self._price = price
        self._size = size
        self._gone = gone
        self._best: tuple[str, ...] = ()
        self._spacing = 1.0
        self._restarts = self._resizes = False
        self.bids: _Side = _Side()
        self.asks: _Side = _Side()
        self.number = self.last = start
        self.ts_ms = 0

    def move(self, best: tuple[str, str, str, str], ts_ms: int) -> Change | None:
        """Follow a quote: bid, bid size, ask, ask size. None where it has not moved."""
        if best == self._best:
            return None
        bid, bid_size, ask, ask_size = best
        self._best, self.ts_ms = best, ts_ms
        self._spacing = max(1.0, 2 * float(bid) * SPACING / self._tick)
        were = self.bids.keys.copy(), self.asks.keys.copy()
        bids = self._settle(self.bids, -round(float(bid) / self._tick), bid_size)
        asks = self._settle(self.asks, round(float(ask) / self._tick), ask_size)
        previous = self.last
        if self._restarts:
            self.number = self.last = 0
        first = self.last + 1
        self.number += 1
        self.last += max(1, len(bids) + len(asks))
        restarted, self._restarts, self._resizes = self._restarts, False, False
        return Change(self.number, previous, first, self.last, ts_ms, bids, asks, were, restarted)

    def restart(self) -> None:
        """Begin to count again with the next change."""
        self._restarts = True

    def resize(self) -> None:
        """Draw all sizes again with the next change."""
        self._resizes = True

    def view(self, levels: int | None = None) -> View:
        """Return the best levels of both sides."""
        bids, asks = (
            [(self._price(abs(key)), side.sizes[key]) for key in side.keys[:levels]]
            for side in (self.bids, self.asks)
        )
        return View(bids, asks, self.number, self.last, self.ts_ms)

    def rows(self, change: Change, levels: int = LEVELS + SLACK) -> tuple[Rows, Rows]:
        """Return the last change as one who is shown so many levels sees it: what leaves them is gone."""
        bids, asks = (
            [(self._price(abs(key)), size) for key, size in self._seen(side, changed, were, levels).items()]
            for side, changed, were in (
                (self.bids, change.bids, change.were[0]),
                (self.asks, change.asks, change.were[1]),
            )
        )
        return bids, asks

    def steps(self, change: Change) -> list[tuple[str, str, bool]]:
        """Return a change level by level, price, size and whether it is a bid, never crossed on the way."""
        bids, asks = self.rows(change)
        levels = [(*row, is_bid) for rows, is_bid in ((bids, True), (asks, False)) for row in rows]
        return sorted(levels, key=lambda level: level[1] != self._gone)

    def checksum(self) -> int:
        """Return the CRC32 of the best levels of both sides by turns, as a signed number."""
        view = self.view(SIGNED)
        turns = chain.from_iterable(zip_longest(view.bids, view.asks))
        number = crc32(":".join(f"{price}:{size}" for price, size in filter(None, turns)).encode())
        return number - 2**32 if number >= 2**31 else number

    def crossed(self, change: Change) -> Change:
        """Return the last change with a bid above the best ask, which is not there and takes an id."""
        self.last += 1
        key = self.asks.keys[0]
        return structs.replace(change, last=self.last, bids={**change.bids, -(key + 1): self.asks.sizes[key]})

    def _seen(self, side: "_Side", changed: dict[int, str], were: list[int], levels: int) -> dict[int, str]:
        if len(side.keys) <= levels and len(were) <= levels:
            return changed
        now, before = side.keys[:levels], were[:levels]
        shown, known = set(now), set(before)
        seen = {key: size for key, size in changed.items() if key <= now[-1]}
        for key in now:
            if key not in known:
                seen.setdefault(key, side.sizes[key])
        for key in before:
            if key not in shown:
                seen[key] = self._gone
        return seen

    def _settle(self, side: "_Side", best: int, size: str) -> dict[int, str]:
        """Make `best` the best level of a side; return what has changed."""
        changed: dict[int, str] = {}
        keys = side.keys
        passed = bisect_left(keys, best)
        for key in keys[:passed]:
            self._drop(side, key, changed)
        del keys[:passed]
        for key in keys if self._resizes else ():
            side.sizes[key] = changed[key] = self._size(self._rng)
        if not keys or keys[0] != best:
            keys.insert(0, best)
        side.sizes[best] = changed[best] = size
        self._churn(side, changed)
        self._fill(side, changed)
        for key in keys[LEVELS + SLACK :]:
            self._drop(side, key, changed)
        del keys[LEVELS + SLACK :]
        return changed

    def _fill(self, side: "_Side", changed: dict[int, str]) -> None:
        """Put levels between the best and the next one, and behind the last."""
        keys = side.keys
        beyond = keys[1] if len(keys) > 1 else None
        between = self._drawn(keys[0], beyond)
        keys[1:1] = between
        behind = self._drawn(keys[-1], None, LEVELS - len(keys)) if len(keys) < LEVELS else []
        keys += behind
        for key in (*between, *behind):
            side.sizes[key] = changed[key] = self._size(self._rng)

    def _drawn(self, key: int, beyond: int | None, most: int = LEVELS) -> list[int]:
        """Keys after this one, up to `beyond`, prices above zero."""
        drawn: list[int] = []
        start, spacing, dice = key, self._spacing, self._rng.random
        while len(drawn) < most:
            key += 1 + int(dice() * spacing + 0.5)
            if (beyond is not None and key >= beyond) or start < 0 <= key:
                break
            drawn.append(key)
        return drawn

    def _churn(self, side: "_Side", changed: dict[int, str]) -> None:
        rng, keys = self._rng, side.keys
        for _ in range(rng.randrange(CHURN + 1)):
            at = 1 + int(rng.random() ** NEAR * (len(keys) - 1))
            if at >= len(keys):
                continue
            key, dice = keys[at], rng.random()
            if RESIZED <= dice < REMOVED:
                self._drop(side, key, changed)
                del keys[at]
                continue
            if dice >= REMOVED:
                key += 1
                if key == 0 or key in side.sizes:
                    continue
                keys.insert(at + 1, key)
            side.sizes[key] = changed[key] = self._size(rng)

    def _drop(self, side: "_Side", key: int, changed: dict[int, str]) -> None:
        del side.sizes[key]
        changed[key] = self._gone


class _Side:
    """Levels of one side: their keys in order, the best first, and their sizes."""

    __slots__ = ("keys", "sizes")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.sizes: dict[int, str] = {}

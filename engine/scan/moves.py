"""Moves, the routes that opened because one exchange moved: one move, however many pairs see it.

When an exchange's price jumps, every pair it is part of opens on one and the same book level. An opening
route is evidence of two sides: the one where one buys has become cheap, or the one where one sells dear.
Routes that open soon after one another and share a side are of one move, and what they share is what moved.

Pure: no clock, no Django. The same openings give the same moves, live and in a replay.
"""

from typing import Any, Final, Literal

from msgspec import Struct

JOIN_NS: Final = 10_000_000_000
"""A route that opens this long after the newest one of a move is another move's."""

Side = tuple[str, Literal["buy", "sell"]]
"""An exchange, and whether one buys or sells there."""


class Opening(Struct, frozen=True):
    """A route that opens: both its sides, and the one whose quote came last; None: at the same time."""

    id: str
    coin: str
    buy_on: str
    sell_on: str
    trigger: Literal["buy", "sell"] | None

    @property
    def sides(self) -> frozenset[Side]:
        """Sides that may have moved."""
        return frozenset({(self.buy_on, "buy"), (self.sell_on, "sell")})

    @property
    def guess(self) -> Side | None:
        """Side that moved as far as one route can show."""
        if self.trigger is None:
            return None
        return (self.buy_on, "buy") if self.trigger == "buy" else (self.sell_on, "sell")


class Move:
    """Routes that opened together. `runs` are those of its routes that go on."""

    __slots__ = ("_guess", "id", "newest_ns", "published", "runs", "sides")

    def __init__(self, opening: Opening, now_mono_ns: int) -> None:
        self.id = opening.id
        self.sides = opening.sides
        self._guess = opening.guess
        self.newest_ns = now_mono_ns
        self.runs: list[Any] = []
        self.published = self.mover  # as its routes have it

    @property
    def mover(self) -> Side | None:
        """The side that moved; None while one route alone cannot show it."""
        return next(iter(self.sides)) if len(self.sides) == 1 else self._guess

    def takes(self, opening: Opening, now_mono_ns: int) -> bool:
        """Whether this is why a route opens."""
        return now_mono_ns - self.newest_ns <= JOIN_NS and not self.sides.isdisjoint(opening.sides)

    def add(self, opening: Opening, now_mono_ns: int) -> None:
        """Count a route in; what it does not share did not move."""
        self.sides &= opening.sides
        self.newest_ns = max(self.newest_ns, now_mono_ns)


class Moves:
    """The moves of the last JOIN_NS and those that go on, by coin."""

    def __init__(self) -> None:
        self._of_coin: dict[str, list[Move]] = {}

    def join(self, opening: Opening, now_mono_ns: int) -> Move:
        """The move a route opens with: one it shares a side with, or a new one."""
        known = [
            move
            for move in self._of_coin.get(opening.coin, ())
            if move.runs or now_mono_ns - move.newest_ns <= JOIN_NS
        ]
        fitting = [move for move in known if move.takes(opening, now_mono_ns)]
        if fitting:
            # Of several the one in which the quote that opened this route moved, else the newest.
            move = max(fitting, key=lambda each: (opening.guess in each.sides, each.newest_ns))
            move.add(opening, now_mono_ns)
        else:
            move = Move(opening, now_mono_ns)
            known.append(move)
        self._of_coin[opening.coin] = known
        return move

"""How late an exchange's books come, beyond what is usual for it.

A book's delay is when we received it less when the exchange says it was so. Two clocks are in that, and a
constant difference between them says nothing: what counts is the delay beyond the exchange's usual one.
"""

from typing import Final

ALLOWED_US: Final = 250_000
"""Delays vary: one that is longer than usual by no more than this makes no quote older."""

TOLERATED_US: Final = 5_000_000
"""A book that is later than this beyond the usual delay does not speak for the present."""

RECKON_NS: Final = 10**9
WINDOW_NS: Final = 60 * 10**9
AGREEING: Final = 3
"""So many symbols have to show a longer delay before it is the usual one: one frozen book is not a clock."""

NEVER: Final = 2**63


class Lateness:
    """What delay is usual at one exchange, from the shortest one of each symbol in this minute and the last.

    The usual delay is a low one of those: not the lowest, which a single nonsense time would be, but the
    second of a few and the tenth part of many. Quotes and trades both count, so books that stand still beside
    trades that do not are late. A clock of the exchange that jumps back is believed once a minute or two of
    all its symbols agree; one that jumps ahead at once.

    Delays contain our monotonic clock, so a step of our own wall clock makes nothing late.
    Memory: two numbers a symbol.
    """

    __slots__ = ("_before", "_rotate_ns", "due_ns", "late_us", "lows")

    def __init__(self) -> None:
        self.lows: dict[str, int] = {}  # symbol -> shortest delay of this window, µs
        self.late_us = NEVER  # a delay above this is late
        self.due_ns = 0
        self._before: dict[str, int] = {}
        self._rotate_ns = 0

    def reckon(self, now_ns: int) -> None:
        """Find the usual delay; to be called when `due_ns` has come."""
        self.due_ns = now_ns + RECKON_NS
        lows = self.lows
        if not lows:
            return
        if not self._rotate_ns:
            self._rotate_ns = now_ns + WINDOW_NS
        known = {symbol: min(low, self._before.get(symbol, low)) for symbol, low in lows.items()}
        ordered = sorted((self._before | known).values())
        place = 0 if len(ordered) < AGREEING else max(1, len(ordered) // 10)
        self.late_us = ordered[place] + ALLOWED_US
        if now_ns >= self._rotate_ns and len(lows) >= min(AGREEING, len(self._before)):
            self._before, self.lows = lows, {}
            self._rotate_ns = now_ns + WINDOW_NS

    def see(self, symbol: str, delay_us: int) -> None:
        """Take one event's delay: our monotonic clock less the exchange's time, which only compares.

        Not every event need be seen: of those that are read together one is enough.
        """
        if delay_us < self.lows.get(symbol, NEVER):
            self.lows[symbol] = delay_us

    def beyond_usual_us(self, delay_us: int) -> int:
        """How much longer than usual a delay is, µs."""
        return delay_us - self.late_us + ALLOWED_US

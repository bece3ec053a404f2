"""Lateness of an exchange's books, beyond what is usual for it.

A book's delay is when we received it less when the exchange says it was so. Two clocks are in that, and a
constant difference between them says nothing: what counts is the delay beyond the exchange's usual one.
"""

from typing import Final

from collectors.exchanges.times import FAR_US

ALLOWED_US: Final = 250_000
"""Delays vary: one that is longer than usual by no more than this makes no quote older."""

TOLERATED_US: Final = 5_000_000
"""A book that is later than this beyond the usual delay does not speak for the present."""

RECKON_NS: Final = 10**9
WINDOW_NS: Final = 60 * 10**9
AGREEING: Final = 3
"""So many have to agree before a longer delay, or a far shorter one, is the usual one: one frozen book is not
a clock, nor is one nonsense time."""

CLOCK_NS: Final = 5 * 10**9
"""For so long trades have to show that the exchange's clock was set back."""

CLOCK_AGREES_US: Final = 1_000_000
"""The delays after a clock was set differ by no more than this, beyond what a queue can have made of them."""

NEVER: Final = 2**63


class Lateness:
    """Usual delay at one exchange, from the shortest one of each symbol in this minute and the last.

    The usual delay is a low one of those: the second of a few and the tenth part of many. Quotes and trades
    both count, so books that stand still beside trades that do not are late. Delays that are far shorter than
    usual are believed when three in a row are.

    A clock of the exchange that is set back makes longer delays. So do jams, but what is jammed cannot come
    later than the time since something was punctual: where trades do, by the same of several symbols and for
    5 s, it was the clock. Without trades it is believed when a minute or two of all symbols agree.

    Delays contain our monotonic clock, so a step of our own wall clock makes nothing late.
    Memory: three numbers a symbol.
    """

    __slots__ = ("_ahead", "_before", "_jumped", "_jumped_ns", "_punctual_ns", "_rotate_ns", "due_ns",
                 "late_us", "lows")  # fmt: skip

    def __init__(self) -> None:
        self.lows: dict[str, int] = {}  # symbol -> shortest delay of this window, µs
        self.late_us = NEVER  # a delay above this is late
        self.due_ns = 0
        self._before: dict[str, int] = {}
        self._rotate_ns = 0
        self._ahead: list[tuple[int, str]] = []  # delays far shorter than usual, not believed yet
        self._punctual_ns = 0  # when anything last was not late
        self._jumped: dict[str, int] = {}  # symbol -> its trades' delay since the clock seems to be set
        self._jumped_ns = 0

    def reckon(self, now_ns: int) -> None:
        """Find the usual delay; to be called when `due_ns` has come."""
        lows = self.lows
        if not lows:
            return
        self.due_ns = now_ns + RECKON_NS
        if not self._rotate_ns:
            self._rotate_ns = now_ns + WINDOW_NS
        known = {symbol: min(low, self._before.get(symbol, low)) for symbol, low in lows.items()}
        ordered = sorted((self._before | known).values())
        place = 0 if len(ordered) < AGREEING else max(1, len(ordered) // 10)
        self.late_us = ordered[place] + ALLOWED_US
        if now_ns >= self._rotate_ns and len(lows) >= min(AGREEING, len(self._before)):
            self._before, self.lows = lows, {}
            self._rotate_ns = now_ns + WINDOW_NS

    def see(self, symbol: str, delay_us: int, now_ns: int = 0, *, traded: bool = False) -> None:
        """Take one event's delay: our monotonic clock less the exchange's time, which only compares.

        Not every event need be seen: of those that are read together one is enough.
        """
        if delay_us <= self.late_us:
            self._punctual_ns = now_ns
            if self._jumped:
                self._jumped = {}
        elif traded:
            self._see_late_trade(symbol, delay_us, now_ns)
        if delay_us < self.late_us - ALLOWED_US - TOLERATED_US:
            self._see_ahead(symbol, delay_us)
            return
        if self._ahead:
            self._ahead.clear()
        if delay_us < self.lows.get(symbol, NEVER):
            self.lows[symbol] = delay_us

    def beyond_usual_us(self, delay_us: int) -> int:
        """Excess of a delay over the usual one, µs."""
        return delay_us - self.late_us + ALLOWED_US

    def is_ahead(self, time_us: int, now_ns: int) -> bool:
        """Whether a time is far ahead of the exchange's clock, as that is known: nonsense."""
        return now_ns // 1000 - time_us < self.late_us - ALLOWED_US - TOLERATED_US and self.late_us != NEVER

    @property
    def is_known(self) -> bool:
        """Whether it is known what delay is usual."""
        return self.late_us != NEVER

    def is_near(self, time_us: int, now_ns: int) -> bool:
        """Whether a time is one of the exchange's clock as that is known, or late or early by days."""
        return abs(self.beyond_usual_us(now_ns // 1000 - time_us)) < FAR_US

    def _see_ahead(self, symbol: str, delay_us: int) -> None:
        """Believe what is far ahead once there are enough; the farthest not where it stands alone."""
        self._ahead.append((delay_us, symbol))
        if len(self._ahead) < AGREEING:
            return
        ahead, self._ahead = sorted(self._ahead), []
        if ahead[1][0] - ahead[0][0] > TOLERATED_US:
            del ahead[0]
        for delay, of in ahead:
            self.lows[of] = min(delay, self.lows.get(of, NEVER))

    def _see_late_trade(self, symbol: str, delay_us: int, now_ns: int) -> None:
        if not self._jumped:
            jammed_us = (now_ns - self._punctual_ns) // 1000
            if self.beyond_usual_us(delay_us) <= jammed_us + CLOCK_AGREES_US:
                return
            self._jumped_ns = now_ns
        self._jumped[symbol] = min(delay_us, self._jumped.get(symbol, NEVER))
        delays = self._jumped.values()
        if max(delays) - min(delays) > CLOCK_AGREES_US:
            self._jumped = {}
        elif now_ns - self._jumped_ns >= CLOCK_NS and len(delays) >= min(AGREEING, len(self.lows)):
            self.lows, self._before, self._jumped = self._jumped, {}, {}
            self.reckon(now_ns)

"""Rules by which an update of a book follows the one before: one object per rule, not per exchange.

A rule has no state: the book knows the id it has applied last. Which market has which rule stands with its
codec; the facts are in the exchanges' documentation, and where live probes differ, those win.
"""

from typing import Final, Literal, NamedTuple, Protocol

from markets.events import BookUpdate

Verdict = Literal["next", "stale", "gap"]


class Rule(Protocol):
    """Judges whether an update follows the last one that was applied.

    `waits` says how a book begins: by the answer to a request, for which the deltas that come meanwhile
    wait (True), or by the first frame on the socket.
    """

    @property
    def waits(self) -> bool:
        """Whether deltas wait for a snapshot that is asked for."""

    def judge(self, update: BookUpdate, last: int, is_first: bool) -> Verdict:
        """Return how an update stands to the last id; `is_first`: nothing followed the snapshot yet."""


class Consecutive(NamedTuple):
    """Ids count every change: the first of an update is one more than the last of the one before.

    Binance spot and KuCoin spot may repeat changes (`overlaps`): sizes are absolute, so it is applied whole.
    On all of them the first update after a snapshot may begin before it, for the same reason.
    """

    overlaps: bool = False
    waits: bool = True

    def judge(self, update: BookUpdate, last: int, is_first: bool) -> Verdict:
        """Old ones are stale, a hole is a gap."""
        first, end = update.first_seq, update.last_seq
        if first is None or end is None:
            return "gap"
        if end <= last:
            return "stale"
        if first > last + 1 or (first <= last and not (self.overlaps or is_first)):
            return "gap"
        return "next"


class Chained(NamedTuple):
    """An update names the one it follows; ids skip, and may even fall where the exchange begins again (OKX).

    `straddles`: the first after a snapshot may span it instead (Binance swaps, Bitget).
    """

    straddles: bool
    waits: bool

    def judge(self, update: BookUpdate, last: int, is_first: bool) -> Verdict:
        """Every id may follow; of 0 Bitget says that something was lost."""
        previous, end = update.prev_seq, update.last_seq
        if not previous or end is None:
            return "gap"
        if previous == last:
            return "next"
        first = previous if update.first_seq is None else update.first_seq
        if is_first and self.straddles and first <= last <= end:
            return "next"
        return "stale" if end <= last else "gap"


class Rising(NamedTuple):
    """Ids rise, and skip without loss: only a crossed book shows that something is missing (Bybit, BingX).

    `falls` is what an id that does not rise means: Bybit says a book again, BingX has lost its place.
    """

    falls: Verdict
    waits: bool = False

    def judge(self, update: BookUpdate, last: int, is_first: bool) -> Verdict:
        """Any higher id is next."""
        if update.last_seq is None:
            return "gap"
        return "next" if update.last_seq > last else self.falls


COUNTED: Final = Consecutive()
OVERLAPPING: Final = Consecutive(overlaps=True)

"""The order book of one symbol on one market, kept from snapshots and deltas. Pure, without a clock.

A book is `live`, or it is resyncing and then says nothing: a hole in the update ids, a bid above an ask, a
wrong checksum, a frame that was lost, or silence that is not its own rhythm each end it, until a snapshot
begins it again. Where that has to be asked for, the deltas that come meanwhile wait.
"""

from collections import Counter, deque
from typing import Final, Literal

from engine.books.checksum import Spelling, checksum
from engine.books.sequences import Rule
from engine.books.side import Side
from markets.events import BookUpdate, Level

Outcome = Literal["applied", "ignored", "waiting", "gap"]
"""What became of an update: `ignored` is older than the book, `waiting` came while it is resyncing, `gap`
means that it is resyncing from now on, or still: a newer snapshot is needed."""

MOST_LEVELS: Final = 2000
"""A side; of Binance's busiest 1,000 were too few: in three minutes most of them were gone."""
MOST_WAITING: Final = 1000
"""Deltas that wait for a snapshot, the newest: 100 s of one every 100 ms."""

SILENT_NS: Final = 10 * 10**9
"""No book is silent sooner."""

MOST_SILENT_NS: Final = 300 * 10**9
"""Nor later, whatever its rhythm."""

SILENT_PAUSES: Final = 3
"""A book is silent when nothing came for so many times its longest pause lately."""

FORGOTTEN: Final = 256
"""How slowly the longest pause is forgotten: by its such part with every update."""


class Book:
    """Both sides of one symbol; `counts` counts outcomes, and why it had to begin again, by kind.

    Kinds: `applied`, `ignored`, `waiting`, `snapshots`; `gap` (also of a snapshot that does not reach the
    deltas that wait), `crossed`, `checksum`, `lost`, `shallow`, `silent`; `dropped` (deltas that waited too
    long); `connection`: it was live when its connection ended. `resyncing` says in words why the book is not
    live, empty while it is; `resyncing_kind` is one of these, empty before the first snapshot. A snapshot
    that was asked for has at most `most_asked` levels a side: of what is behind so many nothing is known.
    """

    __slots__ = (
        "_is_first", "_most_asked", "_pause_ns", "_rule", "_spelled", "_waiting", "asks", "bids", "counts",
        "epoch", "exchange_ts_us", "last_seq", "resyncing", "resyncing_kind", "updated_mono_ns",
    )  # fmt: skip

    def __init__(
        self,
        rule: Rule,
        most_levels: int = MOST_LEVELS,
        most_waiting: int = MOST_WAITING,
        most_asked: int | None = None,
    ) -> None:
        self._rule = rule
        self._most_asked = most_asked
        self.bids, self.asks = Side(-1.0, most_levels), Side(1.0, most_levels)
        self._waiting: deque[BookUpdate] = deque(maxlen=most_waiting)
        self.counts: Counter[str] = Counter()
        self.epoch = 0
        self._pause_ns = 0
        self._begin("there was no snapshot yet")

    def _begin(self, reason: str, kind: str = "") -> None:
        self.bids.clear()
        self.asks.clear()
        self._spelled: tuple[Spelling, Spelling] | None = None
        self._waiting.clear()
        self._is_first = True
        self.last_seq: int | None = None
        self.exchange_ts_us: int | None = None
        self.updated_mono_ns = 0
        self.resyncing, self.resyncing_kind = reason, kind

    def apply(self, update: BookUpdate, epoch: int = 0) -> Outcome:
        """Take over an update of the connection `epoch`: they are counted up, and older ones are over."""
        if epoch != self.epoch:
            if epoch < self.epoch:
                return self._count("ignored")
            self.restart(epoch)
        if update.kind == "snapshot":
            return self._snapshot(update)
        if update.kind == "gap":
            return self._resync("lost", "a frame could not be read")
        if self.resyncing:
            return self._wait(update)
        return self._delta(update)

    def restart(self, epoch: int) -> None:
        """Begin on another connection: no level survives."""
        self.end("its connection is new")
        self.epoch = epoch

    def end(self, reason: str) -> None:
        """Forget all levels: what the deltas came on is gone."""
        if not self.resyncing:
            self.counts["connection"] += 1
        self._begin(reason, "connection")

    def expire(self, now_mono_ns: int) -> bool:
        """Begin again where it was silent for too long; return whether it was."""
        if self.resyncing or not self.is_silent(now_mono_ns):
            return False
        self._pause_ns = now_mono_ns - self.updated_mono_ns  # it may be a quiet one: the next may be longer
        self._resync("silent", f"nothing came for {self._pause_ns / 1e9:.0f} s")
        return True

    def is_silent(self, now_mono_ns: int) -> bool:
        """Whether nothing came for longer than its own rhythm explains."""
        allowed_ns = max(SILENT_NS, min(SILENT_PAUSES * self._pause_ns, MOST_SILENT_NS))
        return now_mono_ns - self.updated_mono_ns > allowed_ns

    def is_known(self, now_mono_ns: int) -> bool:
        """Whether the book is what the exchange has now."""
        return not self.resyncing and not self.is_silent(now_mono_ns)

    def _wait(self, update: BookUpdate) -> Outcome:
        if self._rule.waits:
            if len(self._waiting) == self._waiting.maxlen:
                self.counts["dropped"] += 1
            self._waiting.append(update)
        return self._count("waiting")

    def _snapshot(self, update: BookUpdate) -> Outcome:
        last, end = self.last_seq, update.last_seq
        if self._rule.waits and last is not None and end is not None and end <= last:
            return self._count("ignored")  # asked for, and overtaken by the socket
        waiting = list(self._waiting)
        self._begin("")
        most = self._most_asked if self._rule.waits else None
        self.bids.replace(update.bids, most)
        self.asks.replace(update.asks, most)
        if update.texts is not None:
            self._spelled = Spelling(self.bids), Spelling(self.asks)
        self.counts["snapshots"] += 1
        outcome = self._finish(update)
        for number, delta in enumerate(waiting):
            if self._delta(delta) == "gap":  # it does not reach them: they wait for a newer one
                self._waiting.clear()
                self._waiting.extend(waiting[number:])
                return "gap"
        return outcome

    def _delta(self, update: BookUpdate) -> Outcome:
        verdict = "next"
        if self.last_seq is not None:
            verdict = self._rule.judge(update, self.last_seq, self._is_first)
        elif not update.checksum:
            verdict = "gap"  # nothing says what it follows
        if verdict == "stale":
            return self._count("ignored")
        if verdict == "gap":
            ids = f"{update.first_seq or update.prev_seq} does not follow {self.last_seq}"
            outcome = self._resync("gap", ids)
            self._wait(update)
            return outcome
        self._is_first = False
        self.bids.apply(update.bids)
        self.asks.apply(update.asks)
        return self._finish(update)

    def _finish(self, update: BookUpdate) -> Outcome:
        """Check the book after an update, which is known to follow, was taken over."""
        bids, asks = self.bids, self.asks
        if bids.keys and asks.keys and -bids.keys[0] > asks.keys[0]:
            return self._resync("crossed", f"its bid {-bids.keys[0]} is above its ask {asks.keys[0]}")
        if self._spelled is not None and not self._is_spelled_so(self._spelled, update):
            return self._resync("checksum", "its checksum is wrong")
        if bids.is_shallow or asks.is_shallow:
            return self._resync("shallow", "few of the levels that were kept are left")
        if update.last_seq is not None:
            self.last_seq = update.last_seq
        now_ns = max(update.received_mono_ns, self.updated_mono_ns)  # a delta may have waited
        pause_ns = now_ns - self.updated_mono_ns if self.updated_mono_ns else 0
        self._pause_ns = max(pause_ns, self._pause_ns - self._pause_ns // FORGOTTEN)
        self.updated_mono_ns = now_ns
        self.exchange_ts_us = update.exchange_ts_us
        return self._count("applied")

    def _is_spelled_so(self, spelled: tuple[Spelling, Spelling], update: BookUpdate) -> bool:
        if update.texts is None:  # the exchange makes none any more
            self._spelled = None
            return True
        for side, levels in zip(spelled, update.texts, strict=True):
            side.apply(levels)
        return checksum(spelled[0].best(), spelled[1].best()) == update.checksum

    def _resync(self, kind: str, reason: str) -> Outcome:
        self.counts[kind] += 1
        self._begin(reason, kind)
        return "gap"

    def _count(self, outcome: Outcome) -> Outcome:
        self.counts[outcome] += 1
        return outcome

    @property
    def cut(self) -> int:
        """How many levels were beyond the most that are kept."""
        return self.bids.cut + self.asks.cut

    def top(self, levels: int) -> tuple[list[Level], list[Level]] | None:
        """Return the best bids and asks; None while resyncing."""
        return None if self.resyncing else (self.bids.top(levels), self.asks.top(levels))

    def best(self) -> tuple[float, float, float, float] | None:
        """Return bid, bid size, ask and ask size; None while resyncing, and where a side is empty."""
        bids, asks = self.bids, self.asks
        if not bids.keys or not asks.keys:
            return None
        return -bids.keys[0], bids.sizes[0], asks.keys[0], asks.sizes[0]

    def micro_price(self) -> float | None:
        """Return the mid price weighted by the sizes of the other side: where the next trade is likelier."""
        best = self.best()
        if best is None:
            return None
        bid, bid_size, ask, ask_size = best
        return (bid * ask_size + ask * bid_size) / (bid_size + ask_size)

    def imbalance(self, levels: int = 5) -> float | None:
        """Return (bids - asks) / (bids + asks) of the sizes of the best levels; 1 where only bids are."""
        bids, asks = sum(self.bids.sizes[:levels]), sum(self.asks.sizes[:levels])
        return (bids - asks) / (bids + asks) if bids + asks else None

"""The followed books of one market: what its connections say goes in, what the books took over comes out."""

import asyncio
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from collectors.books.live import BookKey, LiveBooks
from collectors.books.snapshots import Snapshots
from collectors.exchanges.sheet import Topic
from core.backoff import Backoff
from engine.books.book import Book
from markets.config import InstrumentConfig
from markets.events import BookUpdate

if TYPE_CHECKING:
    from collectors.sockets.exchange import FollowedExchange

CHECK_S: Final = 1.0

SNAPSHOT_COMES_S: Final = 15.0
"""How long after subscribing a snapshot on the socket may take; KuCoin's have taken 6 s."""

RENEWALS_PER_MINUTE: Final = 10
"""Subscriptions of one market that are ended and begun again to get a snapshot; OKX allows 480 requests an
hour, and each takes two."""

RATE_S: Final = 5
"""Updates per second are those of the last five."""

RESYNCS: Final = ("gap", "crossed", "checksum", "lost", "shallow", "silent", "connection")
"""Why a book became unknown and began again, as `Book.counts` has it; `connection`: its own ended."""

UNKNOWN_SHOWN: Final = 20

_epochs = itertools.count(1)


class _Kept:
    """One followed book; times are monotonic seconds."""

    def __init__(self, instrument: InstrumentConfig, book: Book, renewals: Backoff) -> None:
        self.instrument = instrument
        self.book = book
        self.is_said = False  # whether sinks believe to know it
        self.epoch = 0  # of the connection that has its topic; 0: none
        self.asked_at = 0.0  # when it was subscribed last
        self.renewed_at = 0.0  # never
        self.renew_at = 0.0  # when its subscription is to be renewed; 0: not
        self.renewals = renewals
        self.unknown_since_us = time.time_ns() // 1000


class MarketBooks:
    """Books by symbol, each of one connection (`epoch`) at a time: no level survives it.

    Where the deltas of an exchange wait for a snapshot that is asked for, `snapshots` asks; elsewhere the
    subscription is ended and begun again, of that topic only, for the exchange then sends one.
    `counts`: `renewals`, `renewals_held_back` (by the limit per minute), `unfollowed` (updates of books that
    nobody follows any more).
    """

    def __init__(self, exchange: "FollowedExchange", live: LiveBooks) -> None:
        self.counts: Counter[str] = Counter()
        self.snapshots = Snapshots(exchange, self._answered)
        self._exchange = exchange
        self._market = exchange.sheet.key
        self._live = live
        self._kept: dict[str, _Kept] = {}  # by symbol
        self._symbols: dict[str, str] = {}  # native id -> symbol
        self._wakes: dict[int, Callable[[], None]] = {}  # of connections, by epoch
        self._past: Counter[str] = Counter()  # counts of books that are followed no more
        self._renewed: deque[float] = deque(maxlen=RENEWALS_PER_MINUTE)
        self._applied: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=RATE_S + 1)

    # --- what is followed ------------------------------------------------------------------------

    def follow(self, instrument: InstrumentConfig) -> None:
        """Keep a book from now on."""
        timing, sheet = self._exchange.timing, self._exchange.sheet.depth
        book = Book(self._exchange.codec.book_rule, most_asked=sheet.levels)
        renewals = Backoff(timing.refused_first_s, timing.backoff_ceiling_s, timing.healthy_s)
        self._kept[instrument.symbol] = _Kept(instrument, book, renewals)
        self._symbols[instrument.native_id] = instrument.symbol
        self._live.put(self._key(instrument), book)

    def unfollow(self, instrument: InstrumentConfig, reason: str) -> None:
        """Keep a book no more."""
        kept = self._kept.pop(instrument.symbol, None)
        if kept is None:
            return
        self._symbols.pop(instrument.native_id, None)
        self.snapshots.forget(instrument.native_id)
        self._live.drop(self._key(instrument))
        self._past.update(kept.book.counts)
        self._end([kept], reason)

    def stop(self, reason: str) -> None:
        """Keep none any more."""
        for kept in list(self._kept.values()):
            self.unfollow(kept.instrument, reason)

    def _key(self, instrument: InstrumentConfig) -> BookKey:
        return self._market, instrument.symbol

    # --- what connections say --------------------------------------------------------------------

    def opened(self, wake: Callable[[], None]) -> int:
        """Begin the epoch of a connection; `wake` makes its owner look for subscriptions to renew."""
        epoch = next(_epochs)
        self._wakes[epoch] = wake
        return epoch

    def ended(self, epoch: int, reason: str) -> None:
        """End an epoch: nothing is known of its books any more."""
        if self._wakes.pop(epoch, None) is None:
            return
        over = [kept for kept in self._kept.values() if epoch in (kept.epoch, kept.book.epoch)]
        for kept in over:
            if kept.epoch == epoch:
                self._unsubscribed(kept)
        self._end([kept for kept in over if kept.book.epoch == epoch], reason or "its connection ended")

    def refused(self, topic: Topic, epoch: int) -> None:
        """A connection has not the topic of this book, or not any more."""
        kept = self._kept.get(self._symbols.get(topic.native_id, ""))
        if kept is not None and topic.channel == "depth" and kept.epoch == epoch:
            self._unsubscribed(kept)
            self._end([kept], "the exchange does not take its subscription")

    def _unsubscribed(self, kept: _Kept) -> None:
        kept.epoch = 0
        self.snapshots.call_off(kept.instrument.native_id)

    def subscribed(self, topics: Iterable[Topic], epoch: int) -> None:
        """A connection has the topics of these books now."""
        for topic in topics:
            kept = self._kept.get(self._symbols.get(topic.native_id, ""))
            if kept is None or topic.channel != "depth" or epoch < kept.epoch:
                continue
            kept.epoch, kept.asked_at, kept.renew_at = epoch, time.monotonic(), 0.0
            if epoch > kept.book.epoch:
                self._end([kept], "its connection is new")
                kept.book.restart(epoch)
            if kept.book.resyncing:
                self._get(kept, was_known=False)

    def take(self, updates: Sequence[BookUpdate], epoch: int) -> None:
        """Apply what a connection said, and emit what the books took over."""
        taken: list[BookUpdate] = []
        for update in updates:
            kept = self._kept.get(update.symbol)
            if kept is None:
                self.counts["unfollowed"] += 1
                continue
            stamps = update.received_ts_us, update.received_mono_ns
            if epoch > kept.book.epoch and kept.is_said:
                taken.append(self._gap(kept, stamps))
            outcome = kept.book.apply(update, epoch)
            if outcome == "applied":
                taken.append(update)
                kept.is_said = True
            elif outcome == "gap":
                self._get(kept, was_known=kept.is_said)
                if kept.is_said:
                    taken.append(self._gap(kept, stamps))
        if taken:
            self._exchange.emit(taken)

    def renewals(self, native_ids: Iterable[str]) -> set[str]:
        """Those of these instruments whose subscription is to be ended and begun again now."""
        now = time.monotonic()
        books = [self._kept.get(self._symbols.get(each, "")) for each in native_ids]
        ripe = [kept for kept in books if kept is not None and 0.0 < kept.renew_at <= now]
        for number, kept in enumerate(ripe):
            if len(self._renewed) == RENEWALS_PER_MINUTE and now - self._renewed[0] < 60.0:
                self.counts["renewals_held_back"] += len(ripe) - number
                ripe = ripe[:number]
                break
            self._renewed.append(now)
            self.counts["renewals"] += 1
            kept.renew_at, kept.renewed_at, kept.asked_at = 0.0, now, now
        return {kept.instrument.native_id for kept in ripe}

    # --- what time does --------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the rhythm of every book, until this is cancelled."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.check(time.monotonic_ns())

    def check(self, now_mono_ns: int) -> None:
        """End books that are silent for longer than is theirs, and ask for those that are not known."""
        now, silent = now_mono_ns / 1e9, []
        for kept in self._kept.values():
            if kept.book.expire(now_mono_ns):
                self._get(kept, was_known=True)
                silent.append(self._gap(kept, self._exchange.turns.stamps()))
            elif kept.book.resyncing:
                self._get(kept, was_known=False)
            if 0.0 < kept.renew_at <= now:
                self._wake(kept)
        if silent:
            self._exchange.emit(silent)
        self._applied.append((now, self._count("applied")))

    def _get(self, kept: _Kept, was_known: bool) -> None:
        """See to it that a snapshot comes of a subscribed book; where it was not known one may be coming."""
        if not kept.epoch:
            return
        if self._exchange.codec.book_rule.waits:
            used_up = kept.book.resyncing_kind == "shallow"
            self.snapshots.want(kept.instrument.native_id, used_up=used_up)
            return
        now = time.monotonic()
        comes = not was_known and now - kept.asked_at < SNAPSHOT_COMES_S
        if comes or kept.renew_at:
            return
        pause_s = kept.renewals.after(now - kept.renewed_at) if kept.renewed_at else 0.0
        kept.renew_at = max(now, kept.renewed_at + pause_s)
        if kept.renew_at <= now:
            self._wake(kept)

    def _wake(self, kept: _Kept) -> None:
        if wake := self._wakes.get(kept.epoch):
            wake()

    def _answered(self, native_id: str, body: bytes) -> bool:
        """Take over the answer to a request for a whole book; return whether there was one in it."""
        exchange = self._exchange
        updates = exchange.codec.snapshot(body, native_id, *exchange.turns.stamps())
        kept = self._kept.get(self._symbols.get(native_id, ""))
        if kept is None or not kept.epoch or not updates:  # without deltas it would be the book of one moment
            return bool(updates)
        book = kept.book
        if book.apply(updates[0], book.epoch) == "applied":
            kept.is_said = True
            exchange.emit([whole(self._key(kept.instrument), book, exchange.turns.stamps())])
        elif kept.is_said and book.resyncing:
            exchange.emit([self._gap(kept, exchange.turns.stamps())])
        return True

    def _end(self, books: Sequence[_Kept], reason: str) -> None:
        said = []
        for kept in books:
            kept.book.end(reason)
            if kept.is_said:
                said.append(self._gap(kept, self._exchange.turns.stamps()))
        if said:
            self._exchange.emit(said)

    def _gap(self, kept: _Kept, stamps: tuple[int, int]) -> BookUpdate:
        kept.is_said, kept.unknown_since_us = False, stamps[0]
        return gap(self._key(kept.instrument), stamps)

    # --- what operators see ----------------------------------------------------------------------

    def status(self, now_mono_ns: int) -> dict[str, Any]:
        """Status for the operator; `unknown` names books that began again, and since when."""
        books = [kept.book for kept in self._kept.values()]
        unknown = [kept for kept in self._kept.values() if kept.book.resyncing]
        unknown.sort(key=lambda kept: (kept.unknown_since_us, kept.instrument.symbol))
        (began, before), (ended, after) = self._applied[0], self._applied[-1]
        return {
            "followed": len(books),
            "known": sum(book.is_known(now_mono_ns) for book in books),
            "levels": sum(len(book.bids.keys) + len(book.asks.keys) for book in books),
            "updates": self._count("applied"),
            "updates_per_s": round((after - before) / (ended - began), 1) if ended > began else 0.0,
            "resyncs": {kind: self._count(kind) for kind in RESYNCS},
            "snapshots_waiting": self.snapshots.waiting,
            "snapshots_failing": self.snapshots.failing,
            "counts": dict(self.counts + self.snapshots.counts),
            "unknown": [
                {
                    "symbol": kept.instrument.symbol,
                    "since_us": kept.unknown_since_us,
                    "reason": kept.book.resyncing,
                }
                for kept in unknown[:UNKNOWN_SHOWN]
            ],
        }

    def _count(self, kind: str) -> int:
        return self._past[kind] + sum(kept.book.counts[kind] for kept in self._kept.values())


def gap(key: BookKey, stamps: tuple[int, int]) -> BookUpdate:
    """Event that a book has become unknown."""
    return BookUpdate(*key, "gap", [], [], received_ts_us=stamps[0], received_mono_ns=stamps[1])


def whole(key: BookKey, book: Book, stamps: tuple[int, int]) -> BookUpdate:
    """A known book as it is now, as a snapshot."""
    return BookUpdate(
        *key, "snapshot", book.bids.top(), book.asks.top(), last_seq=book.last_seq,
        exchange_ts_us=book.exchange_ts_us, received_ts_us=stamps[0], received_mono_ns=stamps[1],
    )  # fmt: skip

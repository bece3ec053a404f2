"""One exchange: which instruments are wanted, and which line carries which."""

import asyncio
import logging
import time
from collections import Counter
from typing import Any

from collectors.books import LiveBooks
from collectors.counts import REFUSED
from collectors.exchanges.base import Codec
from collectors.exchanges.wire import ContractSize, contract_size
from collectors.sockets.exchange import Emit, FollowedExchange
from collectors.sockets.line import Line, stream_state
from collectors.sockets.polls import Polls
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from markets.config import ExchangeConfig, InstrumentConfig, diff
from markets.events import FeedReport, StreamState

logger = logging.getLogger(__name__)

NOT_SELECTED = "no longer collected"
REFUSED_SHOWN = 50  # refused topics named in the status; all of them are counted


class Feed:
    """Keeps an exchange's wanted instruments on lines within its limits; moves none that stays.

    `apply` may be called any time, before and while `run` runs. A `run` that crashed may be run again.
    """

    def __init__(  # noqa: PLR0917
        self,
        codec_type: type[Codec],
        config: ExchangeConfig,
        emit: Emit,
        timing: Timing,
        turns: Turns,
        books: LiveBooks | None = None,
    ) -> None:
        self.config = config
        self.stopped = False
        self._symbols: dict[str, str] = {}  # native id -> symbol
        self._contract_sizes: dict[str, ContractSize] = {}  # native id -> coins in a contract
        codec = codec_type(self._symbols, contract_sizes=self._contract_sizes)
        self._exchange = FollowedExchange(config, codec, emit, timing, turns, books)
        self.wanted: frozenset[InstrumentConfig] = frozenset()
        self.depth: frozenset[InstrumentConfig] = frozenset()  # those of `wanted` whose book is followed
        self._lines: dict[Line, asyncio.Task[None]] = {}
        self._next_line = 1
        self._past: Counter[str] = Counter()  # counters of lines that are gone
        self._polls = Polls(self._exchange)
        self._logged: set[str] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()

    def apply(self, instruments: frozenset[InstrumentConfig]) -> None:
        """Take over what is wanted now."""
        self.wanted = instruments
        if self._tasks is not None:
            self._follow(self._tasks)

    def follow_books(self, instruments: frozenset[InstrumentConfig]) -> None:
        """Take over whose books are wanted now; what is said of quotes and trades stays as it is."""
        self.depth = instruments
        if self._tasks is not None:
            self._follow_depth(self._tasks)

    async def run(self) -> None:
        """Collect until `stop`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._follow(tasks)
                polls = self._poll(tasks) + self._watch_books(tasks)
                await self._stop.wait()
                for task in (*polls, *self._lines.values()):
                    task.cancel()
        finally:
            self._tasks = None
            self._exchange.books.stop("collector error")
            for line in list(self._lines):
                self._forget(line, "collector error")

    def _poll(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        if not self._exchange.sheet.polled:
            return []
        return [tasks.create_task(self._polls.run(), name=f"{self.config.key} polls")]

    def _watch_books(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        books, key = self._exchange.books, self.config.key
        return [
            tasks.create_task(books.run(), name=f"{key} books"),
            tasks.create_task(books.snapshots.run(), name=f"{key} snapshots"),
        ]

    def stop(self, reason: str) -> None:
        """Announce everything down, then let `run` close the connections and return."""
        self.stopped = True
        self._exchange.books.stop(reason)
        for line in self._lines:
            line.stop(reason)
        self._symbols.clear()  # whatever still arrives while sockets close is nobody's
        self._stop.set()

    def states(self) -> list[StreamState]:
        """States of all streams now, for a reader that may have missed them."""
        lines = [line for line in self._lines if line.has_quotes]
        up = {symbol for line in lines for symbol in line.up}
        reason = next((line.reason for line in lines if line.reason), "connecting")
        refused = {symbol: why for line in lines for symbol, why in line.refused_symbols().items()}
        down: dict[str, set[str]] = {}
        for symbol in {instrument.symbol for instrument in self.wanted} - up:
            down.setdefault(f"refused: {refused[symbol]}" if symbol in refused else reason, set()).add(symbol)
        key = self.config.key
        states = [stream_state(key, up, "up", "")] if up else []
        return states + [stream_state(key, symbols, "down", why) for why, symbols in sorted(down.items())]

    def status(self) -> dict[str, Any]:
        """Status of this exchange for the operator; of lines of books only what is refused, and `books`."""
        every = list(self._lines)
        lines = [line for line in every if not line.of_books]
        refused = {name: why for line in every for name, why in line.refused.items()}
        return {
            "state": self._state(lines),
            "reason": next((line.reason for line in lines if line.reason), ""),
            "connections": sum(line.connections for line in lines),
            "topics": sum(line.topics for line in lines),
            "refused": len(refused),
            "refused_topics": [f"{name}: {why}" for name, why in sorted(refused.items())[:REFUSED_SHOWN]],
            "refusals": self._refusals(every),
            "resized": self._resized(),
            "polls_failing": [{"path": path, **each} for path, each in sorted(self._polls.failing.items())],
            "next_try_s": self._exchange.breaker.next_try_s,
            "counts": self._counts(lines),
            "books": self.books_status(),
        }

    def books_status(self) -> dict[str, Any]:
        """Status of its order books for the operator."""
        lines = [line for line in self._lines if line.of_books]
        return self._exchange.books.status(time.monotonic_ns()) | {
            "connections": sum(line.connections for line in lines),
            "topics": sum(line.topics for line in lines),
        }

    def report(self) -> FeedReport:
        """Report of its connections now, but for those of books, for sinks."""
        lines, codec = [line for line in self._lines if not line.of_books], self._exchange.codec
        self._log_refusals(codec)
        return FeedReport(
            exchange=self.config.key,
            state=self._state(lines),
            reason=next((line.reason for line in lines if line.reason), ""),
            connections=sum(line.connections for line in lines),
            topics=sum(line.topics for line in lines),
            refused=sum(len(line.refused) for line in lines),
            counts=self._counts(lines),
            rejected=dict(codec.rejects),
            last_frame_mono_ns=max((line.received_ns for line in lines), default=0),
            received_ts_us=time.time_ns() // 1000,
            received_mono_ns=time.monotonic_ns(),
        )

    def _log_refusals(self, codec: Codec) -> None:
        """Each kind once: how often it came is in the counts."""
        for kind in REFUSED.keys() & codec.counts.keys() - self._logged:
            self._logged.add(kind)
            symbol = next((symbol for symbol, each in codec.rejects if each == kind), "")
            of = f" of {symbol}" if symbol else ""
            logger.warning("%s: %s%s: %s; others are counted", self.config.key, kind, of, REFUSED[kind])

    def _counts(self, lines: list[Line]) -> dict[str, int]:
        """Counters since the start, by kind, on lines that are gone too."""
        gone = self._exchange.codec.counts + self._polls.counts + self._past
        return dict(sum((line.counts for line in lines), gone))

    def _state(self, lines: list[Line]) -> str:
        if self._exchange.breaker.waiting:
            return "breaker open"
        states = {line.state for line in lines}
        if not states:
            return "idle"
        if len(states) > 1:
            states.discard("refused")  # what others of its lines carry is there; findings name what is not
        return states.pop() if len(states) == 1 else "connecting"

    def _refusals(self, lines: list[Line]) -> list[dict[str, Any]]:
        """Subscriptions the exchange refuses, the oldest first: with symbol, age and next try."""
        every = [refusal for line in lines for refusal in line.refusals.status()]
        every.sort(key=lambda refusal: (refusal["since_us"], refusal["topic"]))
        return [
            {"symbol": self._symbols.get(refusal["native_id"], refusal["native_id"]), **refusal}
            for refusal in every[:REFUSED_SHOWN]
        ]

    def _resized(self) -> list[dict[str, Any]]:
        """Instruments whose contract the exchange has given another size than is configured."""
        resized = sorted(self._exchange.codec.resized.items())
        return [
            {"symbol": self._symbols.get(native_id, native_id), "was": each.was, "said": each.said,
             "since_us": each.since_us}
            for native_id, each in resized[:REFUSED_SHOWN]
        ]  # fmt: skip

    def _follow(self, tasks: asyncio.TaskGroup) -> None:
        lines = [line for line in self._lines if not line.of_books]
        carried = frozenset(instrument for line in lines for instrument in line.instruments)
        change = diff(carried, self.wanted)
        self._follow_depth(tasks)  # first, for the books of what is wanted no more go before it does
        for line in lines:
            line.retry_refused()
            for instrument in change.stop & line.instruments:
                self._symbols.pop(instrument.native_id, None)
                self._contract_sizes.pop(instrument.native_id, None)
                self._exchange.codec.resized.pop(instrument.native_id, None)
                line.remove(instrument, NOT_SELECTED)
        for instrument in sorted(change.start, key=lambda instrument: instrument.symbol):
            self._symbols[instrument.native_id] = instrument.symbol
            size = contract_size(instrument.contract_size)
            if size is not None:  # without one nothing of it is emitted
                self._contract_sizes[instrument.native_id] = size
            for own_url in self._exchange.sheet.urls:
                self._line_with_room(tasks, own_url, instrument).add(instrument)
        self._drop_empty()
        self._follow_depth(tasks)

    def _follow_depth(self, tasks: asyncio.TaskGroup) -> None:
        """Subscribe and unsubscribe the books that have changed, of what is collected only."""
        books, sheet = self._exchange.books, self._exchange.sheet
        lines = [line for line in self._lines if line.of_books]
        carried = frozenset(instrument for line in lines for instrument in line.instruments)
        known = {instrument for instrument in self.wanted if instrument.native_id in self._symbols}
        change = diff(carried, self.depth & known if sheet.depth.topic else ())
        for line in lines:
            for instrument in change.stop & line.instruments:
                books.unfollow(instrument, NOT_SELECTED)
                line.remove(instrument, NOT_SELECTED)
        for instrument in sorted(change.start, key=lambda instrument: instrument.symbol):
            books.follow(instrument)
            self._line_with_room(tasks, sheet.url_of("depth"), instrument, of_books=True).add(instrument)
        self._drop_empty()

    def _drop_empty(self) -> None:
        for line in [line for line in self._lines if not line.instruments]:
            self._lines[line].cancel()
            self._forget(line, NOT_SELECTED)

    def _line_with_room(
        self, tasks: asyncio.TaskGroup, own_url: str, instrument: InstrumentConfig, *, of_books: bool = False
    ) -> Line:
        for line in self._lines:
            if line.own_url == own_url and line.of_books == of_books and line.has_room(instrument):
                return line
        name = f"{self.config.key}-{self._next_line}"
        self._next_line += 1
        line = Line(name, self._exchange, own_url, of_books=of_books)
        self._lines[line] = tasks.create_task(line.run(), name=name)
        return line

    def _forget(self, line: Line, reason: str) -> None:
        line.stop(reason)
        self._past.update(line.counts)
        del self._lines[line]

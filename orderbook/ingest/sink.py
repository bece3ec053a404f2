"""The collector's door to the store: quotes, trades and books of one shard in, rows of `marketdata` out."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError

from collectors.books import LiveBooks
from collectors.sinks import EmitDerived
from core.channel import Channel
from core.connections import own_connection
from core.outage import Outage
from core.threads import in_daemon_thread
from markets.config import MarketConfig, Shard
from markets.events import BookUpdate, Quote, SinkEvent, Trade
from orderbook.ingest import wanted
from orderbook.ingest.delivery import MOST_ROWS, RETRY_FIRST_S, Delivery
from orderbook.ingest.events import StoreEvent, Top5
from orderbook.ingest.rows import good
from orderbook.ingest.spill import Spill
from orderbook.ingest.top5 import Tops
from orderbook.ingest.turn import Turn

logger = logging.getLogger(__name__)

EVENTS_PER_TURN: Final = 1000
"""Events handled before the loop gets its turn."""

GATHER_S: Final = 0.02
"""Events come one by one: to be woken by each would cost several times what it takes to keep it."""

MOST_WAITING: Final = 10_000
"""Events that wait here, beside the batch that is being written; then the channel fills."""

LOOK_S: Final = 5.0
"""How often it is seen whose turn it is. Changed settings come sooner: they move the revision."""

ANSWER_S: Final = 10


class StoreSink:
    """A `collectors.sinks.Sink` that writes into the store while that is enabled.

    A batch is due when it is large or old enough, and has all that waits, up to MOST_ROWS: while the
    store is behind, batches become larger. Two processes do not write one shard: the second one stands by.
    """

    wants = frozenset({Quote, Trade, BookUpdate})
    when_enabled = True

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self._channel = channel
        self._shard = shard
        self._wanted = wanted.DEFAULT
        self._named: dict[str, bool] = {}
        self._turn = Turn(shard)
        self._tops: Tops | None = None
        self._waiting: deque[StoreEvent] = deque()
        self._since_s = 0.0  # when the first of them came, by the monotonic clock
        self._in_flight: Sequence[StoreEvent] = ()
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._look_now = asyncio.Event()
        self._look_again_s: float | None = LOOK_S
        self._ended = False
        self._delivery = Delivery(partial(own_connection, "arbdesk store", ANSWER_S), self._spill())
        self._outage = Outage(logger, logging.WARNING)

    def configure(self, config: MarketConfig) -> None:
        """Read the store's own settings again: they move the revision, too."""
        self._look_now.set()

    def use_books(self, books: LiveBooks) -> None:
        """Take over the books of this process."""
        self._tops = Tops(books)

    async def run(self) -> None:
        """Consume until the channel is finished and everything is written, or on disk."""
        await self._look()
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(), name="store settings")
                tasks.create_task(self._keep_writing(), name="store write")
                await self._consume()
                following.cancel()
        except asyncio.CancelledError:
            self._rescue()
            raise
        finally:
            if not self._in_flight:
                self._delivery.close()
            await in_daemon_thread(self._turn.end)

    def stats(self) -> dict[str, Any]:
        """Status: rows written and waiting, and what is wrong; `rows` are new ones, `repeated` were there."""
        return self._delivery.stats() | {
            "active": self._active,
            "stands_by": self._turn.holder if self._is_wanted else "",
            "waiting": len(self._waiting) + len(self._in_flight),
            "lag_s": self._lag_s(),
        }

    @property
    def _is_wanted(self) -> bool:
        return self._wanted.enabled or not self.when_enabled

    @property
    def _active(self) -> bool:
        return self._is_wanted and self._turn.is_ours

    def _lag_s(self) -> float:
        """Age of the oldest event that is not in the database; 0 where all are."""
        oldest = next(iter(self._in_flight or self._waiting), None)
        since = [each for each in (self._delivery.spill.since_us, oldest and oldest.received_ts_us) if each]
        return round(max(0.0, time.time() - min(since) / 1e6), 3) if since else 0.0

    # --- what is wanted, and whether it is our turn ---------------------------------------------------

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_again_s):
                    await self._look_now.wait()
            await self._look()

    async def _look(self) -> None:
        """Read the settings and see whether it is our turn; while the database is away all stays as it is."""
        self._look_now.clear()  # first: what changes while they are read is read again
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await in_daemon_thread(wanted.read)
        except (DatabaseError, TimeoutError) as error:
            words = str(error).partition("\n")[0] or "PostgreSQL does not answer"
            self._outage.begins("store: its settings cannot be read: %s", words)
            self._look_again_s = LOOK_S
            return
        self._outage.ends("store: its settings are read again")
        if found != self._wanted:
            self._wanted = found
            self._named.clear()
            self._delivery.spill.most_bytes = found.spill_bytes
        self._look_again_s = LOOK_S if self._is_wanted else None  # nothing to wait for but another revision
        was_active = self._active
        await in_daemon_thread(partial(self._turn.look, self._is_wanted))
        if self._active and not was_active:
            await in_daemon_thread(self._delivery.adopt)
        self._due.set()

    # --- channel to batches ---------------------------------------------------------------------------

    async def _consume(self) -> None:
        try:
            while not self._channel.finished:
                await self._channel.wait()
                await self._room_for_more()
                self._take(self._channel.take(EVENTS_PER_TURN))
                await asyncio.sleep(0 if self._channel else GATHER_S)
        finally:
            self._ended = True
            self._due.set()

    def _take(self, events: Sequence[SinkEvent]) -> None:
        if not self._active:
            return
        kinds, there = self._wanted.kinds, len(self._waiting)
        books: list[BookUpdate] = []
        for event in events:
            if not isinstance(event, Quote | Trade | BookUpdate) or not self._is_named(event.symbol):
                continue
            if type(event) in kinds:
                self._waiting.append(event)
            if isinstance(event, BookUpdate):
                books.append(event)
        if books and self._tops is not None and Top5 in kinds:
            self._waiting.extend(self._tops.after(books))
        if not there:
            self._since_s = time.monotonic()
        if len(self._waiting) >= self._wanted.batch_rows or not there:
            self._due.set()

    def _is_named(self, symbol: str) -> bool:
        named = self._named.get(symbol)
        if named is None:
            named = self._named[symbol] = self._wanted.names(symbol)
        return named

    async def _room_for_more(self) -> None:
        while len(self._waiting) >= MOST_WAITING:
            self._due.set()
            self._room.clear()
            await self._room.wait()

    # --- batches to the database ----------------------------------------------------------------------

    async def _keep_writing(self) -> None:
        while self._waiting or not self._ended:
            await self._until_due()
            if self._waiting:
                count = min(len(self._waiting), MOST_ROWS)
                self._in_flight = [self._waiting.popleft() for _ in range(count)]
                self._since_s = time.monotonic()
                self._room.set()
                await in_daemon_thread(partial(self._delivery.put, self._in_flight))
                self._in_flight = ()
            if self._delivery.can_replay:
                await in_daemon_thread(self._delivery.replay)

    async def _until_due(self) -> None:
        while not self._ended and not self._delivery.can_replay:
            self._due.clear()
            left_s = self._left_s()
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._due.wait()

    def _left_s(self) -> float:
        """Time until a batch is due, or until it is worth looking again, s."""
        waiting, how = len(self._waiting), self._wanted
        if waiting >= how.batch_rows:
            return 0.0
        left_s = self._since_s + how.batch_s - time.monotonic() if waiting else LOOK_S
        return min(left_s, RETRY_FIRST_S) if self._delivery.spill else left_s

    def _rescue(self) -> None:
        """Keep on disk what there is no time for; whether the last batch came through, nobody knows."""
        left = good([*self._in_flight, *self._waiting], Counter())
        if not left:
            return
        spill = self._spill()
        try:
            spill.append(left)
        except OSError as error:
            logger.error("store: %d events not written: the disk does not keep them: %s", len(left), error)
        finally:
            spill.close()

    def _spill(self) -> Spill:
        return Spill(Path(settings.STORE_SPILL_DIR), self._wanted.spill_bytes)


class IngestSink(StoreSink):
    """The same in a process that was started for nothing else: it writes whether or not that is enabled."""

    when_enabled = False

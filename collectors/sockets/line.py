"""One line to an exchange: keeps a socket up for the instruments it carries, whatever happens to sockets."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Literal

from collectors.exchanges.sheet import Channel, Topic
from collectors.sockets.connection import Connection
from collectors.sockets.exchange import FollowedExchange
from collectors.sockets.refusals import Refusals
from collectors.sockets.rest import ConnectFailed
from core.outage import Outage
from markets.config import InstrumentConfig
from markets.events import Liveness, StreamState

logger = logging.getLogger(__name__)

LineState = Literal["connecting", "live", "refused", "down"]


class Line:
    """Carries instruments over one connection at a time, and over two while one replaces the other.

    It says in the event stream which of its symbols are up and down: up once the quote topic is
    acked on a living connection, down when there is none any more. A line to an address that has no quotes
    has its first channel in their place, and says nothing. Nor does a line of books (`of_books`), which
    carries these and nothing else: what happens to it touches no quote.
    """

    def __init__(
        self, name: str, exchange: FollowedExchange, own_url: str = "", *, of_books: bool = False
    ) -> None:
        self.name = name
        self.own_url = own_url or exchange.sheet.ws_url
        self.of_books = of_books
        self.has_quotes = self.own_url == exchange.sheet.ws_url and not of_books
        self.instruments: set[InstrumentConfig] = set()
        self.up: set[str] = set()
        self.refusals = Refusals(exchange.timing)
        self._reason = ""
        self._state: LineState = "connecting"
        self._outage = Outage(logger, logging.WARNING)
        self._counts: Counter[str] = Counter()
        self._exchange = exchange
        self._codec = exchange.codec
        self._breaker = exchange.books_breaker if of_books else exchange.breaker
        self._backoff = exchange.timing.backoff()
        self._wanted: dict[Topic, str] = {}  # -> symbol
        self._leading: Channel = "depth" if of_books else "quote"
        if not (of_books or self.has_quotes):
            self._leading = exchange.sheet.channels_of(self.own_url)[0]
        self._said_refused: dict[str, str] = {}  # symbol -> the reason its listeners have received
        self._connections: list[Connection] = []
        self._wake = asyncio.Event()

    @property
    def state(self) -> LineState:
        """Live: connected and symbols are up. Connecting: not yet, or only part of it again.

        Refused: connected, and the exchange takes none of its symbols.
        """
        if self._state == "live" and not self.up:
            return "refused" if self.refusals else "connecting"
        return "connecting" if self.up and self._state == "down" else self._state

    @property
    def reason(self) -> str:
        """Why it is not live; empty when it is."""
        if self.state == "refused":
            return next(iter(self.refusals.reasons().values()))
        return self._reason

    @property
    def symbols(self) -> set[str]:
        """Every symbol this line carries, up or not."""
        return {instrument.symbol for instrument in self.instruments}

    @property
    def refused(self) -> dict[str, str]:
        """Topics the exchange does not take, with its reason."""
        return {topic.name: why for topic, why in self.refusals.reasons().items()}

    def refused_symbols(self) -> dict[str, str]:
        """Symbols whose quotes the exchange does not take, with its reason."""
        return self._quoted(self.refusals.reasons())

    @property
    def connections(self) -> int:
        """Number of sockets it has: one, two while one replaces the other, none while down."""
        return len(self._connections)

    @property
    def received_ns(self) -> int:
        """Monotonic time of the last arrival; 0 while it has no socket."""
        return max((link.received_ns for link in self._connections), default=0)

    @property
    def topics(self) -> int:
        """Number of topics the exchange has acknowledged."""
        return max((len(link.acked) for link in self._connections), default=0)

    @property
    def counts(self) -> Counter[str]:
        """Counters since the start, by kind."""
        return sum((link.counts for link in self._connections), self._counts)

    def topics_of(self, instrument: InstrumentConfig) -> list[Topic]:
        """Topics of an instrument that are at this line's address."""
        if self.of_books:
            return [self._codec.depth_topic(instrument.native_id)]
        topics, url_of = self._codec.topics(instrument.native_id), self._exchange.sheet.url_of
        return [topic for topic in topics if url_of(topic.channel) == self.own_url]

    def has_room(self, instrument: InstrumentConfig) -> bool:
        """Whether the topics of one more instrument are within what one connection carries."""
        every = (len(self.instruments) + 1) * len(self.topics_of(instrument))
        return not self.instruments or every <= self._exchange.sheet.per_connection(self._leading)

    def add(self, instrument: InstrumentConfig) -> None:
        """Carry one more instrument; subscribed by `run`."""
        self.instruments.add(instrument)
        self._wanted.update(dict.fromkeys(self.topics_of(instrument), instrument.symbol))
        self._wake.set()

    def remove(self, instrument: InstrumentConfig, reason: str) -> None:
        """Carry one less: down at once, unsubscribed by `run`."""
        self.instruments.discard(instrument)
        for topic in self.topics_of(instrument):
            self._wanted.pop(topic, None)
        self.refusals.keep(self._wanted)
        self._said_refused.pop(instrument.symbol, None)
        self._announce("down", {instrument.symbol}, reason)
        self._wake.set()

    def retry_refused(self) -> None:
        """Ask again for what was refused: the configuration has changed."""
        self.refusals.ask_now()
        self._wake.set()

    def stop(self, reason: str) -> None:
        """Take everything down and publish nothing more; the owner cancels `run`."""
        self._announce("down", self.symbols, reason)
        self._wanted.clear()
        self.instruments.clear()

    async def run(self) -> None:
        """Keep a socket up until cancelled."""
        async with asyncio.TaskGroup() as sockets:
            while True:
                healthy_s = 0.0
                if (connection := await self._open(sockets)) is not None:
                    self._came_up()
                    up_at = time.monotonic()
                    connection = await self._tend(connection, sockets)
                    healthy_s = time.monotonic() - up_at
                    self._reason = connection.ended
                    self._counts["lost"] += 1
                    if healthy_s < self._exchange.timing.healthy_s:  # one cut in hours is nobody's fault
                        self._breaker.failure(self._reason)
                self._fell(self._reason)
                await asyncio.sleep(self._backoff.after(healthy_s))

    async def _tend(self, connection: Connection, sockets: asyncio.TaskGroup) -> Connection:
        """Carry changes and planned successors until the socket is lost; returns the last one."""
        while not connection.ended:
            if connection.retiring:
                connection = await self._replace(connection, sockets)
            await self._follow(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.refusals.wait_s()):
                    await self._wake.wait()
            self._wake.clear()
        return connection

    async def _open(self, sockets: asyncio.TaskGroup) -> Connection | None:
        """A connection with everything subscribed, or None (then reported, counted and logged)."""
        try:
            async with self._breaker.attempt():
                return await self._attempt(sockets)
        except ConnectFailed as failed:
            self._counts["failed_connects"] += 1
            self._exchange.failed(self._breaker, failed)
            self._reason = str(failed)
            return None

    async def _attempt(self, sockets: asyncio.TaskGroup) -> Connection:
        await self._exchange.connects.turn()
        connection = await Connection.open(
            self.name, self._exchange, self._changed, self.refusals, self.own_url
        )
        self._connections.append(connection)
        sockets.create_task(self._run(connection), name=f"{self.name} socket")
        holds_back = self.refusals.holds_back
        await connection.subscribe([topic for topic in self._wanted if not holds_back(topic)])
        if connection.ended:
            raise ConnectFailed(connection.ended)
        self._counts["connects"] += 1
        return connection

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.remove(connection)
            self._counts.update(connection.counts)
            self._changed()

    async def _replace(self, old: Connection, sockets: asyncio.TaskGroup) -> Connection:
        """A successor, up before the old one goes; the old one itself where none can be had yet."""
        if self._breaker.waiting or (new := await self._open(sockets)) is None:
            old.retire_in(self._backoff.after(0))
            return old
        self._counts["planned_reconnects"] += 1
        self._came_up()
        await old.close("replaced")
        return new

    async def _follow(self, connection: Connection) -> None:
        """Subscribe and unsubscribe what has changed since the last request on this connection."""
        gone = sorted(connection.topics - self._wanted.keys())
        if self.of_books:
            gone += self._to_renew(connection)  # what is not subscribed any more is subscribed below
        if gone:
            await connection.unsubscribe(gone)
        self.refusals.keep(self._wanted)
        acked, holds_back = connection.acked, self.refusals.holds_back
        new = [topic for topic in self._wanted if topic not in acked and not holds_back(topic)]
        new += self.refusals.due()
        if new:
            await connection.subscribe(new)
        self._settle()

    def _to_renew(self, connection: Connection) -> list[Topic]:
        """Topics whose subscription is begun again so that a snapshot of the book comes."""
        ours = {topic.native_id: topic for topic in connection.acked if topic in self._wanted}
        return [ours[native_id] for native_id in sorted(self._exchange.books.renewals(ours))]

    def _changed(self) -> None:
        self._settle()
        self._wake.set()

    def _settle(self) -> None:
        """Announce what has come up or gone down since the last time."""
        living = [connection for connection in self._connections if not connection.ended]
        live = {symbol for link in living for symbol in self._quoted(link.acked)}
        refused = self.refused_symbols()
        lost, new = self.up - live, live - self.up
        if ended := lost - refused.keys():
            self._announce("down", ended, next((link.ended for link in self._connections if link.ended), ""))
        self._announce("up", new, "")
        for symbol, why in refused.items():
            if symbol not in live and (symbol in lost or self._said_refused.get(symbol) != why):
                self._announce("down", {symbol}, f"refused: {why}")
        self._said_refused = refused
        if self._outage and self.up and self._state == "live":
            self._outage.ends("%s: up, %d symbols", self.name, len(self.up))

    def _quoted(self, topics: Mapping[Topic, str]) -> dict[str, str]:
        """The symbols whose quote topic is among these, with what the mapping says of it."""
        wanted, leading = self._wanted, self._leading
        return {wanted[t]: why for t, why in topics.items() if t.channel == leading and t in wanted}

    def _announce(self, state: Liveness, symbols: Set[str], reason: str) -> None:
        if state == "up":
            self.up |= symbols
        else:
            self.up -= symbols
        if symbols and self.has_quotes:
            turns = self._exchange.turns
            turns.hand_on()  # what was read before goes before
            event = stream_state(self._exchange.config.key, symbols, state, reason)
            turns.stamps()
            self._exchange.emit([event])

    def _came_up(self) -> None:
        was_live, self._state, self._reason = self._state == "live", "live", ""
        if not self.up:
            self._outage.begins("%s: connected, but nothing is subscribed: %s", self.name, self.reason)
        elif self._outage:
            self._outage.ends("%s: up, %d symbols", self.name, len(self.up))
        elif not was_live:
            logger.info("%s: up, %d symbols", self.name, len(self.up))

    def _fell(self, reason: str) -> None:
        if self._state == "connecting":  # never up, so nothing was published of these symbols yet
            self._announce("down", self.symbols, reason)
        if self._state != "down":
            self._outage.begins("%s: down: %s", self.name, reason)
        self._state, self._reason = "down", reason


def stream_state(exchange: str, symbols: Set[str], state: Liveness, reason: str) -> StreamState:
    """Event of what happened to these symbols just now."""
    return StreamState(
        exchange, tuple(sorted(symbols)), state, reason, time.time_ns() // 1000, time.monotonic_ns()
    )

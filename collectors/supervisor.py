"""Desired state (the configuration) against actual (feeds and sinks): starts, stops, restarts, drains."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from collectors.books import LiveBooks, ReadsBooks
from collectors.books.choice import Choice, Chosen
from collectors.books.market import gap, whole
from collectors.exchanges.base import Codec
from collectors.feed import Feed
from collectors.sinks import EmitDerived, Sink
from collectors.sockets.line import stream_state
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from core.backoff import delays
from core.channel import Channel
from core.clock.clocks import STOOD_STILL, Clocks, Tick, jump_in_words
from core.outage import Outage
from core.supervised import Part, supervise
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Shard
from markets.events import (
    BookUpdate,
    DerivedEvent,
    Event,
    FeedReport,
    Funding,
    MarkPrice,
    Quote,
    SinkEvent,
    StreamState,
)
from markets.lacks import lacks

logger = logging.getLogger(__name__)

CLOSE_S = 2.0  # for sockets to say goodbye
DRAIN_S = 2.5  # then for all sinks together to hand on what they have
LOSS_CHECK_S = 1.0
CRASH_REPORTED_S = 60.0
REPORT_S = 1.0
CHOICE_S = 1.0
OFFER_FIRST_S, OFFER_CEILING_S = 2.0, 60.0  # pauses before a sink is offered again what it refused
CLOCK_CHECK_S = 1.0
DEFAULT_TIMING = Timing()

SinkType = Callable[[Channel[SinkEvent], Shard, EmitDerived], Sink]


class Outlet:
    """One sink with its channel; a sink that crashed is built again on the same channel.

    `later` are the outlets that get what the sink emits.
    """

    def __init__(
        self, sink_type: SinkType, shard: Shard, capacity: int, later: Sequence["Outlet"] = ()
    ) -> None:
        self.name = getattr(sink_type, "__name__", str(sink_type))
        self.channel: Channel[SinkEvent] = Channel(self.name, capacity)
        self.error = ""
        self.ran = False
        self.wants: frozenset[type] | None = getattr(sink_type, "wants", None)
        self._dropped = 0
        self._crash, self._crashed_at = "", 0.0
        self._later = later
        self.books: LiveBooks | None = None
        self._sink_type = sink_type
        self._shard = shard
        self.sink = self._build()
        self._config: MarketConfig | None = None
        self._pauses = delays(OFFER_FIRST_S, OFFER_CEILING_S)
        self._offered_again_at = 0.0
        self._outage = Outage(logger)

    @classmethod
    def chain(cls, sink_types: Iterable[SinkType], shard: Shard, capacity: int) -> list["Outlet"]:
        """An outlet per sink; each emits to those after it."""
        outlets: list[Outlet] = []
        for sink_type in reversed(list(sink_types)):
            outlets.insert(0, cls(sink_type, shard, capacity, tuple(outlets)))
        return outlets

    def configure(self, config: MarketConfig) -> None:
        """Hand on a configuration; a sink that refuses it keeps its last one, and that is reported."""
        if config is not self._config:
            self._pauses = delays(OFFER_FIRST_S, OFFER_CEILING_S)
        self._config = config
        try:
            self.sink.configure(config)
        except Exception as error:
            self.error = f"sink {self.name} did not take over revision {config.revision}: {error}"
            self._outage.begins("%s", self.error, kind=self.error, problem=error)
            self._offered_again_at = time.monotonic() + next(self._pauses)
        else:
            self.error = ""
            self._outage.ends("sink %s has taken over revision %d now", self.name, config.revision)

    def offer_again(self) -> bool:
        """Hand on what was refused once more, where it is time to; returns whether it was taken now."""
        if not self.error or self._config is None or time.monotonic() < self._offered_again_at:
            return False
        self.configure(self._config)
        return not self.error

    async def run(self) -> None:
        """Consume until the channel is finished."""
        self.ran = True
        try:
            await self.sink.run()
        except Exception as error:
            self._crash, self._crashed_at = f"crashed and was restarted: {error!r}", time.monotonic()
            raise

    def rebuild(self) -> None:
        """Replace a sink that crashed."""
        self.sink = self._build()
        if self._config is not None:
            self.configure(self._config)

    def lend(self, books: LiveBooks) -> None:
        """Let a sink that reads books read these, also one that is built again."""
        self.books = books
        if isinstance(self.sink, ReadsBooks):
            self.sink.use_books(books)

    def _build(self) -> Sink:
        sink = self._sink_type(self.channel, self._shard, self._emit)
        if self.books is not None and isinstance(sink, ReadsBooks):
            sink.use_books(self.books)
        return sink

    @property
    def wants_market(self) -> bool:
        """Whether what exchanges say comes into the channel."""
        return self.wants is None or Quote in self.wants

    @property
    def wants_books(self) -> bool:
        """Whether the updates of followed books come into the channel."""
        return self.wants is not None and BookUpdate in self.wants

    @property
    def wants_terms(self) -> bool:
        """Whether mark prices and funding come into the channel."""
        return self.wants is None or Funding in self.wants

    def _emit(self, event: DerivedEvent) -> None:
        for outlet in self._later:
            if outlet.wants is None or type(event) in outlet.wants:
                outlet.channel.put(event)

    def stats(self) -> dict[str, Any]:
        """The sink's own counters; a crash of the last minute is its problem until it is over."""
        stats = self.sink.stats()
        if self._crash and time.monotonic() - self._crashed_at < CRASH_REPORTED_S:
            return stats | {"problem": stats.get("problem") or self._crash}
        return stats

    def lost(self) -> int:
        """Number of events dropped since the last call."""
        dropped, self._dropped = self.channel.dropped - self._dropped, self.channel.dropped
        return dropped

    def status(self) -> dict[str, int]:
        """The channel's fill and counters."""
        channel = self.channel
        return {
            "len": len(channel),
            "capacity": channel.capacity,
            "accepted": channel.accepted,
            "dropped": channel.dropped,
        }


class Supervisor:
    """Runs the feeds of the exchanges it was given (None: all) for one shard, into the sinks.

    `apply` may be called any time on the event loop; only what changed is touched.
    """

    def __init__(
        self,
        codecs: Mapping[str, type[Codec]],
        outlets: Sequence[Outlet],
        shard: Shard,
        *,
        exchanges: frozenset[str] | None = None,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.outlets = outlets
        self._fed = [outlet for outlet in outlets if outlet.wants_market]
        self._informed = [outlet for outlet in outlets if outlet.wants_terms]
        self._booked = [outlet for outlet in outlets if outlet.wants_books]
        self._outlets = {MarkPrice: self._informed, Funding: self._informed, BookUpdate: self._booked}
        self.feeds: dict[str, Feed] = {}
        self.shard = shard
        self._codecs = codecs
        self._exchanges = exchanges
        self._timing = timing
        self._turns = Turns()
        self.books = LiveBooks()
        for outlet in outlets:
            outlet.lend(self.books)
        self._choice = Choice()
        self.chosen = Chosen()
        for outlet in {*self._fed, *self._booked}:
            outlet.channel.fetch_from(self._turns.hand_on)
        self.lacks: tuple[str, ...] = ()
        self.counters: Counter[str] = Counter()
        self._uncollected: dict[str, str] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._feed_tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def apply(self, config: MarketConfig) -> None:
        """Apply a configuration."""
        if self._stopping:
            return
        for outlet in self.outlets:
            outlet.configure(config)
        wanted = {each.key: each for each in config.exchanges if not self._why_not(each)}
        self.lacks = lacks(config, frozenset(wanted))
        for key in self.feeds.keys() - wanted.keys():
            self._stop_feed(key, "exchange disabled")
        self._announce_uncollected(config)
        collected = {key: self._instruments(config, key) for key in wanted}
        self._choice.configure(config.depth, collected.values())
        for key, exchange in wanted.items():
            self._apply_to(exchange, collected[key])
        self.follow_books()

    def follow_books(self) -> None:
        """Follow the books that are wanted now; of those that stay nothing is touched."""
        self.chosen = self._choice.choose(self.books.ranked, time.monotonic())
        for key, feed in self.feeds.items():
            followed = frozenset(each for each in self.chosen.followed if each.exchange == key)
            if followed != feed.depth:
                feed.follow_books(followed)

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until `stop` is set, then close sockets, drain the sinks and return."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            sinks = [tasks.create_task(self._keep_sink(outlet), name=outlet.name) for outlet in self.outlets]
            side = [
                tasks.create_task(self._publish_losses(), name="losses"),
                tasks.create_task(self._offer_again(), name="refused configurations"),
                tasks.create_task(self._publish_reports(), name="reports"),
                tasks.create_task(self._watch_clocks(), name="clocks"),
                tasks.create_task(self._choose_books(), name="choice of books"),
            ]
            for feed in self.feeds.values():
                self._start(feed)
            await stop.wait()
            for task in side:
                task.cancel()
            await self._shut_down(sinks)

    def emit(self, events: Sequence[Event]) -> None:
        """Hand events, of one kind (terms, books, all others), to every sink that wants such."""
        for outlet in self._outlets.get(type(events[0]), self._fed):
            outlet.channel.put_many(events)

    @property
    def most_books(self) -> int:
        """The budget of order books of this process."""
        return self._choice.most

    def status(self) -> dict[str, dict[str, Any]]:
        """Status for the operator, per exchange."""
        return {key: feed.status() for key, feed in sorted(self.feeds.items())}

    def _instruments(self, config: MarketConfig, key: str) -> frozenset[InstrumentConfig]:
        owns = self.shard.owns
        return frozenset(each for each in config.instruments if each.exchange == key and owns(each.shard_key))

    def _apply_to(self, exchange: ExchangeConfig, instruments: frozenset[InstrumentConfig]) -> None:
        running = self.feeds.get(exchange.key)
        if running is not None and _urls(running.config) != _urls(exchange):
            self._stop_feed(exchange.key, "address changed")
            running = None
        if running is None:
            codec = self._codecs[exchange.key]
            running = Feed(codec, exchange, self.emit, self._timing, self._turns, self.books)
            self.feeds[exchange.key] = running
            self._start(running)
        running.apply(instruments)

    def _start(self, feed: Feed) -> None:
        if self._tasks is None:  # `run` starts it
            return
        task = self._tasks.create_task(self._keep_feed(feed), name=f"feed {feed.config.key}")
        self._feed_tasks.add(task)
        task.add_done_callback(self._feed_tasks.discard)

    def _stop_feed(self, key: str, reason: str) -> None:
        self.feeds.pop(key).stop(reason)

    def _announce_uncollected(self, config: MarketConfig) -> None:
        """Say once why the charts of exchanges without a feed are down: no feed is there to say it."""
        reasons = {each.key: reason for each in config.exchanges if (reason := self._why_not(each))}
        for key in reasons.keys() - self._uncollected.keys():
            logger.info("%s: not collected: %s", key, reasons[key])
            symbols = {
                chart.symbol
                for chart in config.opportunities
                if key in {chart.exchange1, chart.exchange2} and self.shard.owns(chart.symbol)
            }
            if symbols:
                self.emit([stream_state(key, symbols, "down", reasons[key])])
        self._uncollected = reasons

    def _why_not(self, exchange: ExchangeConfig) -> str:
        """Why this process does not collect an exchange; empty when it does."""
        if not exchange.enabled:
            return "exchange disabled"
        if exchange.key not in self._codecs:
            return "no connector for this exchange"
        if self._exchanges is not None and exchange.key not in self._exchanges:
            return "not among the exchanges of this collector"
        return ""

    async def _keep_feed(self, feed: Feed) -> None:
        await self._keep(f"feed {feed.config.key}", feed.run, lambda: feed.stopped)

    async def _keep_sink(self, outlet: Outlet) -> None:
        async def run() -> None:
            if outlet.ran:
                outlet.rebuild()
                self._restate(outlet)
            await outlet.run()

        await self._keep(f"sink {outlet.name}", run, lambda: outlet.channel.finished)

    async def _keep(self, name: str, part: Part, finished: Callable[[], bool]) -> None:
        """Run a part until it is finished; one that crashes is started again, the others go on."""
        backoff = self._timing.backoff()
        await supervise(name, part, logger, self.counters, over=finished, backoff=backoff)

    async def _choose_books(self) -> None:
        """Follow the scanner's best routes, where the rule asks for it."""
        while True:
            await asyncio.sleep(CHOICE_S)
            self.follow_books()

    async def _publish_losses(self) -> None:
        """Mark in a channel that dropped events: a gap everywhere, then what is up and down now."""
        while True:
            await asyncio.sleep(LOSS_CHECK_S)
            for outlet in self.outlets:
                if lost := outlet.lost():
                    self._mark_gap(outlet, lost)

    async def _offer_again(self) -> None:
        """Offer sinks again what they refused: most often what they write to was away for a moment."""
        while True:
            await asyncio.sleep(LOSS_CHECK_S)
            for outlet in self.outlets:
                if outlet.offer_again():
                    self._restate(outlet)

    async def _watch_clocks(self) -> None:
        """Mark what this process did not see: while it stood still, and where its wall clock was set.

        The gap lies at the last moment that was seen, so that no line leads over what came after it.
        """
        clocks = Clocks(CLOCK_CHECK_S)
        while True:
            seen = clocks.last
            await asyncio.sleep(CLOCK_CHECK_S)
            now = clocks.tick()
            self._turns.standstill.tick(now.mono_ns)
            if now.stood_s:
                self._unseen(seen, f"{STOOD_STILL} for {now.stood_s:.1f} s")
            elif now.jumped_s:
                self._unseen(seen, f"the wall clock was set {jump_in_words(now.jumped_s)}")

    def _unseen(self, since: Tick, reason: str) -> None:
        logger.warning("%s", reason)
        for key, feed in self.feeds.items():
            symbols = {symbol for state in feed.states() for symbol in state.symbols}
            if symbols:
                names = tuple(sorted(symbols))
                self.emit([StreamState(key, names, "gap", reason, since.wall_us, since.mono_ns)])
        for outlet in self._fed:
            self._restate(outlet)

    async def _publish_reports(self) -> None:
        """Publish reports of every exchange's connections to the sinks that ask for them."""
        asking = [outlet for outlet in self.outlets if outlet.wants and FeedReport in outlet.wants]
        while asking:
            await asyncio.sleep(REPORT_S)
            reports = [feed.report() for feed in self.feeds.values()]
            for outlet in asking:
                outlet.channel.put_many(reports)

    def _mark_gap(self, outlet: Outlet, lost: int) -> None:
        if outlet.wants_books:
            stamps = self._turns.stamps()
            outlet.channel.put_many([gap(key, stamps) for key, _book in self.books])
        if not outlet.wants_market:
            self._restate(outlet)
            return
        reason = f"{lost} events dropped: {outlet.name} is too slow"
        for key, feed in self.feeds.items():
            symbols = {symbol for state in feed.states() for symbol in state.symbols}
            if symbols:
                outlet.channel.put(stream_state(key, symbols, "gap", reason))
        self._restate(outlet)

    def _restate(self, outlet: Outlet) -> None:
        if outlet.wants_books:
            stamps = self._turns.stamps()
            live = [whole(key, book, stamps) for key, book in self.books if not book.resyncing]
            outlet.channel.put_many(live)
        if not outlet.wants_market:
            return
        for feed in self.feeds.values():
            outlet.channel.put_many(feed.states())

    async def _shut_down(self, sinks: Sequence[asyncio.Task[None]]) -> None:
        self._stopping = True
        for key in list(self.feeds):
            self._stop_feed(key, "collector stopped")
        await _finish(self._feed_tasks, CLOSE_S)
        deadline = time.monotonic() + DRAIN_S
        for number, (outlet, sink) in enumerate(zip(self.outlets, sinks, strict=True)):
            outlet.channel.close()
            fair_share = (deadline - time.monotonic()) / (len(sinks) - number)
            await _finish([sink], fair_share)
            if left := len(outlet.channel):
                logger.warning("sink %s: %d events not handed on", outlet.name, left)


def _urls(exchange: ExchangeConfig) -> tuple[Any, ...]:
    return exchange.rest_url, exchange.ws_url, exchange.proxy, exchange.no_proxy


async def _finish(tasks: Iterable[asyncio.Task[None]], seconds: float) -> None:
    """Let tasks end by themselves; cancel those that take longer."""
    tasks = set(tasks)
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        logger.warning("%s did not finish within %g s", task.get_name(), seconds)
        task.cancel()

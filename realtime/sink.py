"""The collector's door to realtime: quotes of one shard in; chart deltas, scanner frames and episodes out."""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from msgspec import structs

from collectors.books import LiveBooks
from collectors.sinks import EmitDerived
from core.channel import Channel
from engine.charts.points import ChartDelta
from engine.charts.spread import SpreadEngine
from engine.scan.lifecycle import opportunity_events
from engine.scan.scanner import Scanner
from markets.config import MarketConfig, Shard
from markets.events import Funding, MarkPrice, Quote, SinkEvent, SpreadPoints, StreamState
from markets.fees.book import Fees
from realtime.charts.publisher import FLUSH_EVERY_S, Publisher
from realtime.depth.ranking import RANK_EVERY_S, Ranking
from realtime.scanner.publisher import FLUSH_EVERY_S as SCAN_EVERY_S
from realtime.scanner.publisher import ScanPublisher

EVENTS_PER_TURN: Final = 1000
"""Events handled before the loop gets its turn: about 10 ms of work, and more than the sockets read in one
(`collectors.sockets.turns`), so that a flood waits at the exchange and not here."""


LEGS_EVERY_S: Final = 1.0
"""Pause between messages of when the legs of a chart without points last quoted."""


class RealtimeSink:
    """A `collectors.sinks.Sink` that feeds the spread engine and the scanner, and publishes what changes.

    The engine makes the points of the charts that are watched, the scanner follows every pair. Reading,
    collecting and publishing are tasks of their own, so a slow Redis delays neither the events nor the
    growth-free merging of what waits for it. Points, episodes and findings are emitted, too: the sinks
    after this one may keep them.
    """

    wants = frozenset({Quote, StreamState, Funding, MarkPrice})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None:
        self._channel = channel
        self._shard = shard
        self._emit = emit
        self._engine = SpreadEngine()
        self._scanner = Scanner(self._engine.set_rates)
        self._fees: Fees | None = None
        self._books: LiveBooks | None = None
        self._ranking = Ranking(self._scanner)
        self._top_routes = 0
        self._publisher = Publisher(shard)
        self._scan_publisher = ScanPublisher(shard, self._scanner)
        self._handled: Quote | StreamState | None = None
        self._handed_on = asyncio.Event()
        self._busy_s = 0.0
        self._legs_published_at = float("-inf")

    def configure(self, config: MarketConfig) -> None:
        """Take over the opportunities and pairs whose symbols this shard owns, after what is at hand."""
        self._channel.fetch()
        self._handle_waiting()
        owned = tuple(o for o in config.opportunities if self._shard.owns(o.symbol))
        self._expire()
        self._engine.configure(structs.replace(config, opportunities=owned))
        self._fees = Fees(config)
        self._top_routes = config.depth.top
        self._keep(self._engine.take_ended())
        if self._scanner.configure(config, self._shard.owns, *self._as_of()):
            self._emit_episodes()
            self._scan_publisher.configure(config.revision)
            self._ranking.configure()
        self._publisher.keep_only(frozenset(o.id for o in owned))

    async def run(self) -> None:
        """Consume until the channel is finished, then publish what is left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._collect(), name="realtime collect")
                tasks.create_task(self._publish(), name="realtime publish")
                tasks.create_task(self._publish_scan(), name="realtime scan")
                tasks.create_task(self._rank(), name="realtime rank")
                await self._consume()
            self._hand_on()
            await self._publisher.flush()
        finally:
            self._scanner.lifecycle.stop("collector stopped", *_now())
            self._emit_episodes()
            await self._publisher.aclose()
            await self._scan_publisher.aclose()

    def use_books(self, books: LiveBooks) -> None:
        """Let gate checks and opportunities ask the order books of this process, and say which are wanted."""
        self._books = books
        self._scanner.use_books(books)

    def stats(self) -> dict[str, float]:
        """Counters of the engine, the scanner and the publishers since the start."""
        publisher, scanner = self._publisher, self._scanner
        return (
            structs.asdict(self._engine.counters)
            | structs.asdict(scanner.counters)
            | {
                "pairs_scanned": len(scanner.pairs),
                "episodes_opened": scanner.lifecycle.opened,
                "episodes_closed": scanner.lifecycle.closed,
                "scan_frames": self._scan_publisher.frames,
                "scan_failed": self._scan_publisher.failed,
                "batches_published": publisher.published,
                "flushes_failed": publisher.failed,
                "broadcasts_lost": publisher.lost_broadcasts,
                "points_thinned_waiting": publisher.thinned,
                "busy_s": round(self._busy_s, 3),
            }
        )

    async def _consume(self) -> None:
        while not self._channel.finished:
            await self._channel.wait()
            self._handle_waiting()
            await asyncio.sleep(0)

    def _handle_waiting(self) -> None:
        began = time.perf_counter()
        for event in self._channel.take(EVENTS_PER_TURN):
            self._handle(event)
        self._busy_s += time.perf_counter() - began

    def _handle(self, event: SinkEvent) -> None:
        if isinstance(event, Quote):
            self._scanner.on_quote(event)  # first, for it says what currencies are worth until then
            self._engine.on_quote(event)
            self._handled = event
        elif isinstance(event, StreamState):
            self._scanner.on_state(event)
            self._engine.on_state(event)
            self._handled = event
        elif isinstance(event, Funding):
            self._scanner.on_funding(event)
        elif isinstance(event, MarkPrice):
            self._scanner.on_mark(event)

    def _as_of(self) -> tuple[int, int]:
        """Both clocks now, or while events wait only at the last that was handled.

        Otherwise a backlog would make charts stale, and end episodes, whose next quotes are at hand.
        """
        if self._channel and self._handled:
            return self._handled.received_ts_us, self._handled.received_mono_ns
        return _now()

    def _expire(self) -> None:
        """Let charts and legs age."""
        if self._channel and not self._handled:
            return
        now_us, now_mono_ns = self._as_of()
        self._scanner.tick(now_us, now_mono_ns)
        self._engine.expire(now_mono_ns, now_us)

    def _hand_on(self) -> None:
        deltas = self._engine.collect()
        if time.monotonic() - self._legs_published_at >= LEGS_EVERY_S:
            self._legs_published_at = time.monotonic()
            deltas += self._engine.leg_news()
        self._publisher.add(deltas)
        self._keep(deltas)
        self._emit_episodes()

    def _keep(self, deltas: Iterable[ChartDelta]) -> None:
        for delta in deltas:
            if len(delta.points):
                self._emit(SpreadPoints(delta.symbol, delta.exchange1, delta.exchange2, delta.points))

    def _emit_episodes(self) -> None:
        episodes = self._scanner.lifecycle.take()
        for event in opportunity_events(episodes, self._fees or {}):
            self._emit(event)
        for episode in episodes:
            self._emit(episode)
        for finding in self._scanner.gatekeeper.identity.take_findings():
            self._emit(finding)

    # All end by themselves, so that no flush is cut off in the middle.

    async def _collect(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._channel.fetch()  # what time does to charts must not overtake a quote
            self._handle_waiting()
            self._expire()
            self._hand_on()
            self._handed_on.set()

    async def _publish(self) -> None:
        """Right after a hand-on: an interval of its own would make every point up to twice as late."""
        while not self._channel.finished:
            await self._handed_on.wait()
            self._handed_on.clear()
            if self._publisher.due:
                await self._publisher.flush()

    async def _publish_scan(self) -> None:
        while not self._channel.finished:
            await asyncio.sleep(SCAN_EVERY_S)
            await self._scan_publisher.flush()

    async def _rank(self) -> None:
        """Say now and then which routes are the best, where a rule follows their books."""
        due = time.monotonic()
        while not self._channel.finished:
            await asyncio.sleep(SCAN_EVERY_S)
            if self._books is not None and self._top_routes and time.monotonic() >= due:
                due = time.monotonic() + RANK_EVERY_S
                self._books.rank(self._ranking.best(self._top_routes, time.monotonic_ns()))


def _now() -> tuple[int, int]:
    """The wall clock in µs and the monotonic one in ns."""
    return time.time_ns() // 1000, time.monotonic_ns()

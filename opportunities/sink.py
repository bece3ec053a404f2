"""The collector's door to PostgreSQL: what opens, peaks and closes becomes rows, findings become cases."""

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any, Final

from django.db import DatabaseError, connections, transaction
from msgspec import Struct

from collectors.lease import LeaseLost, lease_of
from collectors.sinks import EmitDerived
from core.backoff import delays
from core.channel import Channel
from core.outage import Outage
from core.threads import in_daemon_thread
from markets.config import MarketConfig, Shard
from markets.events import Episode, IdentityFinding, SinkEvent
from markets.services import record_findings
from opportunities.nudge import publish_written
from opportunities.services import close_orphans, save_episodes, vouch_for

logger = logging.getLogger(__name__)

WRITE_EVERY_S: Final = 0.2
VOUCH_EVERY_S: Final = 10.0
"""How often what is open is vouched for: a killed collector's episodes are closed as of then."""

MAX_WAITING: Final = 10_000
"""Episodes, and as many findings, that wait while the database is down; then the oldest are given up."""

EVENTS_PER_TURN: Final = 1000
RETRY_FIRST_S: Final = 0.25
RETRY_CEILING_S: Final = 10.0


class Work(Struct, frozen=True):
    """One write: the newest of everything that waits, and what else is due."""

    episodes: dict[str, Episode]
    findings: dict[tuple[str, str, str], IdentityFinding]
    running: frozenset[str]
    vouch: bool
    orphaned: int  # how often rows may have been left open that nobody will close

    def __bool__(self) -> bool:
        return bool(self.episodes or self.findings or self.vouch or self.orphaned)


class EpisodeSink:
    """A `collectors.sinks.Sink` that keeps a row per episode, and reports doubtful coins.

    Every event carries the whole story, so only the newest waits: while the database is down there is
    one state per episode, and no more than MAX_WAITING. What a collector of this shard left open when
    it died is closed as of when it was last seen.
    """

    wants = frozenset({Episode, IdentityFinding})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self._channel = channel
        self._shard = shard
        self._episodes: dict[str, Episode] = {}
        self._findings: dict[tuple[str, str, str], IdentityFinding] = {}
        self._running: set[str] = set()
        self._orphaned = 1  # by the collector before
        self._vouched_s = time.monotonic()
        self._ending = asyncio.Event()
        self._written = 0
        self._refused = 0
        self._lost = 0
        self._failures = 0
        self._problem = ""
        self._outage = Outage(logger)

    def configure(self, config: MarketConfig) -> None:
        """Do nothing: whatever is configured, episodes are kept."""

    async def run(self) -> None:
        """Consume until the channel is finished and everything is written."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_writing(), name="episodes write")
                await self._consume()
        finally:
            if left := len(self._episodes) + len(self._findings):
                logger.error("episodes: %d not written: %s", left, self._problem or "stopped in a write")

    def stats(self) -> dict[str, Any]:
        """Status: what was written, what waits, and what is wrong."""
        return {
            "episodes_open": len(self._running),
            "waiting": len(self._episodes) + len(self._findings),
            "written": self._written,
            "refused": self._refused,
            "lost": self._lost,
            "failures": self._failures,
            "problem": self._problem,
        }

    # --- what waits ----------------------------------------------------------------------------------

    async def _consume(self) -> None:
        while not self._channel.finished:
            await self._channel.wait()
            for event in self._channel.take(EVENTS_PER_TURN):
                self._take(event)
            await asyncio.sleep(0)
        self._ending.set()

    def _take(self, event: SinkEvent) -> None:
        if isinstance(event, Episode):
            self._episodes[event.id] = event
            if event.phase == "close":
                self._running.discard(event.id)
            else:
                self._running.add(event.id)
            if len(self._episodes) > MAX_WAITING:
                self._give_up_oldest()
        elif isinstance(event, IdentityFinding) and len(self._findings) < MAX_WAITING:
            self._findings[event.symbol, event.exchange1, event.exchange2] = event

    def _give_up_oldest(self) -> None:
        """Give up the oldest; where that is its close, its row is an orphan."""
        del self._episodes[next(iter(self._episodes))]
        self._lost += 1
        self._orphaned += 1

    # --- to the database -----------------------------------------------------------------------------

    async def _keep_writing(self) -> None:
        """Five times a second; after a failure again and again until the database takes it."""
        pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)
        while True:
            await self._until_due()
            work = self._work()
            if not work:
                if self._channel.finished:
                    return
                continue
            try:
                self._refused += await in_daemon_thread(partial(_write, self._shard, work))
            except (DatabaseError, LeaseLost) as error:
                self._failed(error)
                await asyncio.sleep(next(pauses))
            else:
                pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)
                self._worked(work)

    async def _until_due(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITE_EVERY_S):
                await self._ending.wait()

    def _work(self) -> Work:
        due = time.monotonic() - self._vouched_s >= VOUCH_EVERY_S
        vouch = due and bool(self._running) and not self._channel.finished
        return Work(
            dict(self._episodes), dict(self._findings), frozenset(self._running), vouch, self._orphaned
        )

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        problem = str(error).partition("\n")[0]
        self._outage.begins("episodes cannot be written, trying again: %s", problem)
        self._problem = problem

    def _worked(self, work: Work) -> None:
        """Forget what was written, unless there is something newer of it."""
        self._outage.ends("episodes are written again; %d lost so far", self._lost)
        self._problem = ""
        self._written += len(work.episodes)
        for id, episode in work.episodes.items():
            if self._episodes.get(id) is episode:
                del self._episodes[id]
        for pair, finding in work.findings.items():
            if self._findings.get(pair) is finding:
                del self._findings[pair]
        if work.vouch:
            self._vouched_s = time.monotonic()
        self._orphaned -= work.orphaned


def _write(shard: Shard, work: Work) -> int:
    """Write in a thread, one at a time; returns how many episodes were refused. Raises DatabaseError."""
    try:
        with transaction.atomic():
            if (lease := lease_of(shard)) is not None:
                lease.hold_in_database()
            if work.orphaned:
                close_orphans(shard, work.running)
            refused = save_episodes(work.episodes.values()) if work.episodes else 0
            if work.findings:
                record_findings(work.findings.values())
            if work.vouch:
                vouch_for(work.running)
        if running := sum(each.phase != "close" for each in work.episodes.values()):
            publish_written(running)
        return refused
    finally:
        connections.close_all()  # nothing is left open between writes, so the database may restart

"""The process that watches: polls every second, keeps what it found, and has alerts judged and delivered.

Nothing here waits for a store: without Redis it sees and says that, without PostgreSQL it goes on polling.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone
from django.utils.module_loading import import_string
from msgspec import structs
from redis.exceptions import RedisError

from core.health.findings import Finding, Lack
from core.process.vitals import forget_processes
from core.redis_client import REDIS_TIMEOUT_S, async_redis
from core.supervised import Part, end, supervise
from markets.follow.fundings import EVERY_S, read_snapshots
from monitoring.alerts.dispatch import troubles
from monitoring.alerts.evaluator import Evaluator
from monitoring.health.assess import assess, replaced
from monitoring.health.fundings import FundingMemory, Fundings, read_remembered, write_remembered
from monitoring.health.lead import Lead
from monitoring.health.limits import load_limits
from monitoring.health.memory import LAST, Memory, Published, later, publish, read_published
from monitoring.health.observe import Observer
from monitoring.health.observed import ChannelTrouble, Limits, Observed, Stores
from monitoring.health.stores import MEASURE_EVERY_S, load_lacks, measure, publish_stores
from monitoring.jumps import Jumps
from monitoring.pages.series import Steps, sample, write

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
LIMITS_EVERY_S: Final = 10.0
CHANNELS_EVERY_S: Final = 2.0
KEEP_FUNDING_S: Final = 10.0
STOP_S: Final = 3.0

T = TypeVar("T")


class Monitor:
    """Monitor that runs until asked to stop; while another monitor leads, it stands by."""

    def __init__(self) -> None:
        self.leads = False
        self.counters: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.observed: Observed | None = None
        self._redis = async_redis(REDIS_TIMEOUT_S)
        self._observer = Observer()
        self._limits = Limits()
        self._stores: Stores | None = None
        self._channels: tuple[ChannelTrouble, ...] = ()
        self._lacks: dict[str, Lack] = {}
        self._fundings: Fundings | None = None
        self._looked = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Lead whenever nobody else does, until `stop`."""
        lead = Lead()
        try:
            while not stop.is_set():
                self.leads = await lead.hold()
                if self.leads:
                    await self._lead(lead, stop)
                await _pause(stop, LOOK_EVERY_S)
        finally:
            lead.release()
            await self._observer.close()
            await self._redis.aclose()

    async def _lead(self, lead: Lead, stop: asyncio.Event) -> None:
        """Do everything a monitor does, until asked to stop or another one leads."""
        jumps = self._observer.jumps
        memory = Memory(await self._found_before(jumps), jumps.since)
        evaluator, over = Evaluator(jumps), asyncio.Event()
        parts: dict[str, Part] = {
            "watch": lambda: self._watch(memory),
            "rules": lambda: self._judge(evaluator),
            "measure": self._measure,
            "limits": self._follow_limits,
            "channels": self._follow_channels,
            "funding": self._follow_funding,
            "opportunities": evaluator.follow_opportunities,
        }
        tasks = [self._begin(name, part, over) for name, part in parts.items()]
        drains = [
            self._begin(name, partial(import_string(name), over), over) for name in settings.MONITOR_PARTS
        ]
        try:
            while not stop.is_set() and (leads := await lead.hold()):
                self.leads = leads
                await _pause(stop, LOOK_EVERY_S)
        finally:
            over.set()
            await _ended(tasks, drains)
            evaluator.close()

    def _begin(self, name: str, part: Part, over: asyncio.Event) -> "asyncio.Task[None]":
        work = supervise(
            f"monitor: {name}", part, logger, self.counters, over=over.is_set, pause=partial(_pause, over)
        )
        return asyncio.create_task(work, name=name)

    # --- the parts -------------------------------------------------------------------------------

    async def _watch(self, memory: Memory) -> None:
        steps = Steps()
        while True:
            began = time.monotonic()
            seen = await self._observer.look()
            now = structs.replace(seen, channels=self._channels, lacks=self._lacks, fundings=self._fundings)
            self.findings = memory.keep(assess(now, self._limits), now)
            self.observed = now
            self._looked.set()
            await self._publish(now, steps)
            await asyncio.sleep(max(0.0, LOOK_EVERY_S - (time.monotonic() - began)))

    async def _judge(self, evaluator: Evaluator) -> None:
        """Give the rules every observation that the database allows; observing never waits for it."""
        while True:
            await self._looked.wait()
            self._looked.clear()
            if self.observed is not None:
                now = self.observed
                await evaluator.judge(self.findings, now.at_us, now.jumps_us, now.fundings)

    async def _publish(self, now: Observed, steps: Steps) -> None:
        """Publish to the other processes; without Redis they get nothing, and see that by themselves."""
        ended = steps.add(now.at_us / 1e6, sample(now))
        if not now.redis.well:
            return
        try:
            clock = self._observer.jumps.clock
            await publish(self._redis, Published(now.at_us, tuple(self.findings), clock))
            if self._stores is not None:
                await publish_stores(self._redis, self._stores)
            if ended:
                await write(self._redis, ended, now.at_us / 1e6)
            await forget_processes(self._redis, replaced(now.heartbeats, now.at_us))
        except (RedisError, OSError) as error:
            logger.debug("findings not published: %s", error)  # the next observation says that Redis is gone

    async def _measure(self) -> None:
        while True:
            self._stores = await asyncio.to_thread(measure)
            await asyncio.sleep(MEASURE_EVERY_S)

    async def _follow_limits(self) -> None:
        while True:
            self._limits = await _from_database(load_limits, self._limits)
            self._lacks = await _from_database(load_lacks, self._lacks)
            await asyncio.sleep(LIMITS_EVERY_S)

    async def _follow_channels(self) -> None:
        while True:
            self._channels = await _from_database(_troubles, self._channels)
            await asyncio.sleep(CHANNELS_EVERY_S)

    async def _follow_funding(self) -> None:
        """Read what collectors publish of funding; while Redis does not answer nobody knows any."""
        memory: FundingMemory | None = None
        kept = -KEEP_FUNDING_S
        while True:
            try:
                if memory is None:
                    memory = FundingMemory(await read_remembered(self._redis))
                snapshots = await read_snapshots(self._redis)
                self._fundings = memory.take(snapshots, self._observer.jumps.now_us(), time.monotonic())
                if time.monotonic() - kept >= KEEP_FUNDING_S:
                    await write_remembered(self._redis, memory.remembered)
                    kept = time.monotonic()
            except (RedisError, OSError) as error:
                self._fundings = None
                logger.debug("funding is not read: %s", error)
            await asyncio.sleep(EVERY_S)

    async def _found_before(self, jumps: Jumps) -> tuple[Finding, ...]:
        """Findings of the last monitor: a restart makes nothing new, nor older by a step of the clock."""
        try:
            before = await read_published(self._redis, LAST)
        except (RedisError, OSError):
            return ()
        if before is None:
            return ()
        set_by_us = jumps.go_on_from(before.clock)
        return tuple(later(finding, set_by_us) for finding in before.findings)


async def _from_database(question: Callable[[], T], before: T) -> T:
    """The answer; the one before while the database does not answer."""

    def ask() -> T:
        try:
            return question()
        except DatabaseError:
            return before
        finally:
            connection.close()

    return await sync_to_async(ask, thread_sensitive=False)()


def _troubles() -> tuple[ChannelTrouble, ...]:
    return tuple(troubles(timezone.now()))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not beyond the stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def _ended(tasks: list[asyncio.Task[None]], drains: list[asyncio.Task[None]]) -> None:
    """Let those that have something to finish finish it, for a moment; end the rest."""
    for task in tasks:
        task.cancel()
    if drains:
        await asyncio.wait(drains, timeout=STOP_S)
    await end(*tasks, *drains)

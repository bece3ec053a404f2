"""Sends what waits in the outbox: a task per channel, so that a dead one delays no other.

Runs within `manage.py monitor`. PostgreSQL notifies of each message that was put in; once a second it is
polled all the same. What a process that dies has claimed is sent by the next one
(`monitoring.alerts.dispatch`).
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg
from django.db import Error as DatabaseTrouble
from django.db import connections
from django.utils import timezone
from msgspec import structs

from core.backoff import delays
from core.database_thread import DatabaseThread
from core.outage import Outage
from core.supervised import end
from core.threads import in_daemon_thread
from monitoring.alerts import dispatch
from monitoring.alerts.budget import Budget, Patience
from monitoring.alerts.channels.parcels import Answer
from monitoring.alerts.channels.sending import Sender, sender
from monitoring.alerts.dispatch import Destination, Taken
from monitoring.alerts.outbox import OUTBOX
from monitoring.alerts.secrets import UnreadableSecret

logger = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
DRAIN_S: Final = 2.0
"""How long a sending may go on once we are asked to stop; then it is the next process's."""

NO_ANSWER: Final = "%s: the database does not answer, trying again: %s"
ANSWERS_AGAIN: Final = "%s: the database answers again"


async def run(stop: asyncio.Event) -> None:
    """Deliver until asked to stop."""
    async with sender() as sending:
        await Delivering(sending).run(stop)


class Delivering:
    """Delivery for all channels, which are found in the database as something is due for them."""

    def __init__(self, sending: Sender) -> None:
        self._sending = sending
        self._database = DatabaseThread("outbox")
        self._lines: dict[int, Line] = {}
        self._put_in = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`; what is being sent then is brought to an end, within DRAIN_S."""
        tasks = [
            asyncio.create_task(stop.wait(), name="outbox stop"),
            asyncio.create_task(self._listen(), name="outbox listens"),
            asyncio.create_task(self._keep_looking(), name="outbox polls"),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()  # a fault of ours goes to the caller
        finally:
            try:
                await end(*tasks)
                await asyncio.gather(*(line.close() for line in self._lines.values()))
            finally:
                self._database.close()

    async def _keep_looking(self) -> None:
        outage = Outage(logger, logging.WARNING)
        while True:
            self._put_in.clear()
            try:
                found = await self._database.ask(partial(dispatch.destinations, timezone.now()))
            except (DatabaseTrouble, OSError) as error:
                outage.begins(NO_ANSWER, "the outbox", _first_line(error))
            else:
                outage.ends(ANSWERS_AGAIN, "the outbox")
                for destination in found:
                    self._line(destination).look(destination)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._put_in.wait()

    def _line(self, destination: Destination) -> "Line":
        if destination.id not in self._lines:
            self._lines[destination.id] = Line(destination, self._sending, self._database)
        return self._lines[destination.id]

    async def _listen(self) -> None:
        """Listen; behind a pooler that shares connections nothing arrives: then once a second is polled."""
        pauses = delays(1.0, 30.0)
        while True:
            with suppress(psycopg.Error, DatabaseTrouble, OSError):
                parameters = await in_daemon_thread(_connection_parameters)
                async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as listener:
                    await listener.execute(f"LISTEN {OUTBOX}")
                    pauses = delays(1.0, 30.0)
                    async for _ in listener.notifies():
                        self._put_in.set()
            await asyncio.sleep(next(pauses))


class Line:
    """The way to one channel: one message at a time, within its budget, with patience when it fails."""

    def __init__(self, destination: Destination, sending: Sender, database: DatabaseThread) -> None:
        self._to = destination
        self._sending = sending
        self._database = database
        self._budget: Budget | None = None  # known once it was read what was sent lately
        self._patience = Patience()
        self._outage = Outage(logger, logging.WARNING)
        self._hurry = False  # what was put off for the channel's sake is to be sent now
        self._due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task = asyncio.create_task(self._keep_going(), name=f"alerts to {destination.name}")

    def look(self, destination: Destination) -> None:
        """Wake it: something waits for it; its row may have changed."""
        was, self._to = self._to, destination
        if (was.per_second, was.per_minute) != (destination.per_second, destination.per_minute):
            self._budget = None
        if (was.kind, was.settings, was.sealed_secret) != (
            destination.kind, destination.settings, destination.sealed_secret,
        ):  # fmt: skip
            self._patience = Patience()  # it was mended, perhaps
            self._hurry = True
        if destination.due or self._hurry:
            self._due.set()

    async def close(self) -> None:
        """Bring to an end what is being sent."""
        self._stopping.set()
        await asyncio.wait([self._task], timeout=DRAIN_S)
        await end(self._task)

    async def _keep_going(self) -> None:
        outage, name = Outage(logger, logging.WARNING), f"alerts to {self._to.name}"
        while not self._stopping.is_set():
            try:
                if await self._until(self._due) and await self._send_next():
                    outage.ends(ANSWERS_AGAIN, name)
            except (DatabaseTrouble, OSError) as error:
                outage.begins(NO_ANSWER, name, _first_line(error))
                await self._pause(LOOK_EVERY_S)
            except Exception:
                logger.exception("alerts to %s: our own fault", self._to.name)
                await self._pause(dispatch.LEASE.total_seconds())

    async def _send_next(self) -> bool:
        """Send one when there is one and may be; False when there is nothing to do."""
        self._due.clear()
        budget = await self._known_budget()
        waits_s = self._patience.asked_again_s - time.monotonic()
        test = waits_s > 0 and self._to.test_due and not self._patience.named
        if (wait_s := max(budget.wait_s(time.monotonic()), 0.0 if test else waits_s)) > 0:
            await self._pause(min(wait_s, LOOK_EVERY_S))
            self._due.set()
            return False
        if self._hurry:
            await self._database.ask(partial(dispatch.hurry, self._to.id, timezone.now()))
            self._hurry = False
        taken = await self._take(budget.free(time.monotonic()), test)
        if taken is None:
            return False
        budget.spend(time.monotonic())
        await self._deliver(taken)
        self._due.set()  # there may be more
        return True

    async def _take(self, free: int, test: bool) -> Taken | None:
        """Take the next message. After a wait it is the one tried least: a failed one may fail again."""
        if test:
            self._to = structs.replace(self._to, test_due=False)
        least = self._patience.asked_again_s > 0
        way = partial(dispatch.take, self._to, timezone.now(), free, least_tried=least, only_tests=test)
        return await self._database.ask(way)

    async def _known_budget(self) -> Budget:
        if self._budget is None:
            ago_s = await self._database.ask(partial(dispatch.recently_sent, self._to.id, timezone.now()))
            now_s = time.monotonic()
            self._budget = Budget(self._to.per_second, self._to.per_minute, [now_s - ago for ago in ago_s])
        return self._budget

    async def _deliver(self, taken: Taken) -> None:
        began, at = time.monotonic(), timezone.now()
        try:
            answer = await self._answer(taken)
        except asyncio.CancelledError:
            with suppress(DatabaseTrouble, OSError):
                await self._database.ask(partial(dispatch.release, taken, timezone.now()))
            raise
        took_ms = (time.monotonic() - began) * 1000
        if answer.moved_to:
            answer = await self._follow(answer)
        next_try_at = self._judge(answer, taken)
        unsent = answer.outcome in ("later", "broken")
        if unsent and taken.parcel.parts and self._patience.is_own_fault(taken.id):
            answer = structs.replace(answer, outcome="refused")  # others go: one of its parts is to blame
        await self._surely(partial(dispatch.settle, taken, answer, at, took_ms, next_try_at))

    async def _answer(self, taken: Taken) -> Answer:
        try:
            target = self._to.target()
        except UnreadableSecret as error:
            return Answer("broken", str(error))
        return await self._sending.send(target, taken.parcel)

    async def _follow(self, answer: Answer) -> Answer:
        """Go where the chat has moved, once; the attempt and the log say so."""
        followed = await self._database.ask(partial(dispatch.follow, self._to, answer.moved_to))
        if followed is None:
            return answer
        self._to = followed
        words = f"the group has moved: its chat is {answer.moved_to} from now on"
        logger.warning("alert channel %s: %s", self._to.name, words)
        return Answer("later", words, answer.code)

    def _judge(self, answer: Answer, taken: Taken) -> datetime:
        """Time of its next try, if any. The log says when the channel dies, and when it is back."""
        now = timezone.now()
        if answer.outcome in ("sent", "refused"):
            self._hurry = self._patience.asked_again_s > 0
            self._patience.worked(taken.id)
            self._outage.ends("alert channel %s takes messages again", self._to.name)
            return now
        wait_s = self._patience.failed(answer, time.monotonic(), taken.tries, taken.id)
        if self._patience.dead:
            self._outage.begins("alert channel %s takes no messages: %s", self._to.name, answer.words)
        return now + timedelta(seconds=wait_s)

    async def _surely(self, work: Callable[[], None]) -> None:
        """Again and again: a message that was sent and is not marked so is sent twice."""
        for pause_s in delays(0.1, 5.0):
            with suppress(DatabaseTrouble, OSError):
                return await self._database.ask(work)
            await asyncio.sleep(pause_s)

    async def _until(self, event: asyncio.Event) -> bool:
        """Whether it came before we were asked to stop."""
        waits = [asyncio.create_task(each.wait()) for each in (event, self._stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*waits)
        return not self._stopping.is_set()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _connection_parameters() -> dict[str, Any]:
    known = connections["default"].get_connection_params()
    return {name: known[name] for name in ("dbname", "user", "password", "host", "port") if name in known}

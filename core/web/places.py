"""Turns to read the lake: few at once, fairly among users, for no longer than a page waits.

A user has a share of the places: a hundred answers asked for at once, or read slowly, hold up that user
alone. A place that becomes free goes to the waiting user who holds the fewest. All requests of a web
process are answered in the same way (arbsite.middleware.turns); a reader gives that turn back.
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from contextvars import ContextVar
from typing import Final

from django.conf import settings

from core.process.per_loop import PerLoop
from core.web.refused import Refused
from core.web.reports import register

WAIT_S: Final = 30.0
"""How long a request waits for its place: half of what our own pages wait for an answer of the lake."""

WAITING_A_USER: Final = 200
RETRY_AFTER_S: Final = 5

Asker = int | str
"""Whose a place is: a user's number, or an address."""


class Place:
    """The right to read; `leave` gives it back, once, however often it is called; from any thread."""

    def __init__(self, places: "Places", asker: Asker) -> None:
        self._places: Places | None = places
        self._asker = asker
        self._loop = asyncio.get_running_loop()

    def leave(self) -> None:
        """Give the place back: the next one reads."""
        places, self._places = self._places, None
        if places is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits on it
                self._loop.call_soon_threadsafe(places.left, self._asker)


class Places:
    """The places of one event loop: `at_once` of them, `per_user` of one user. Nothing is locked.

    `what` is said of a refusal and begins the names of counters.
    """

    def __init__(
        self, at_once: int, per_user: int, what: str = "history", wait_s: float | None = None
    ) -> None:
        self._at_once = at_once
        self._per_user = per_user
        self._what = what
        self._wait_s = WAIT_S if wait_s is None else wait_s
        self._held: Counter[Asker] = Counter()
        self._waiting: dict[Asker, deque[asyncio.Future[None]]] = {}
        self.counters: Counter[str] = Counter()

    async def take(self, asker: Asker) -> Place:
        """A place, now or in turn. Raises Refused (429) when that takes too long, or too many wait."""
        if self._is_free_for(asker) and asker not in self._waiting:
            self._held[asker] += 1
            return Place(self, asker)
        queue = self._waiting.setdefault(asker, deque())
        if len(queue) >= WAITING_A_USER:
            raise self._refusal(f"{len(queue)} of your requests wait for their turn already")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self.counters["waited"] += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as problem:
            self._forget(asker, turn)
            if isinstance(problem, TimeoutError):
                raise self._refusal(f"no turn within {self._wait_s:g} s") from None
            raise
        return Place(self, asker)

    def left(self, asker: Asker) -> None:
        """A place is free again."""
        self._held[asker] -= 1
        if not self._held[asker]:
            del self._held[asker]
        self._hand_out()

    def stats(self) -> dict[str, int]:
        """Figures for the operator: how many read, how many wait, how many ever waited or were refused."""
        return {
            f"{self._what}_reading": self._held.total(),
            f"{self._what}_waiting": sum(map(len, self._waiting.values())),
            f"{self._what}_waited": self.counters["waited"],
            f"{self._what}_refused": self.counters["refused"],
        }

    def _is_free_for(self, asker: Asker) -> bool:
        return self._held.total() < self._at_once and self._held[asker] < self._per_user

    def _hand_out(self) -> None:
        while waiting := [asker for asker in self._waiting if self._is_free_for(asker)]:
            asker = min(waiting, key=self._held.__getitem__)  # the first to wait among equals
            turn = self._waiting[asker].popleft()
            self._tidy(asker)
            if not turn.done():
                self._held[asker] += 1
                turn.set_result(None)

    def _forget(self, asker: Asker, turn: asyncio.Future[None]) -> None:
        """The waiting request has gone; a turn given at the same moment goes to the next one."""
        if turn.done() and not turn.cancelled():
            self.left(asker)
            return
        if turn in self._waiting.get(asker, ()):
            self._waiting[asker].remove(turn)
            self._tidy(asker)

    def _tidy(self, asker: Asker) -> None:
        queue = self._waiting.pop(asker)
        if queue:
            self._waiting[asker] = queue  # behind the others: its next turn comes after theirs

    def _refusal(self, words: str) -> Refused:
        self.counters["refused"] += 1
        return Refused(429, f"{words}: ask for less at once, or try again", RETRY_AFTER_S)


request_turn: ContextVar[Place | None] = ContextVar("the turn of a request among all requests", default=None)


def leave_turn() -> None:
    """Give the turn of this request back: it waits for something that has turns of its own."""
    if (turn := request_turn.get()) is not None:
        turn.leave()


async def place_to_read(asker: Asker) -> Place:
    """A place to read the lake. Waiting for it and reading keep no other request from being answered.

    Raises Refused (429) as `Places.take`.
    """
    leave_turn()
    return await process_places().take(asker)


process_places = PerLoop(lambda: Places(settings.HISTORY_READS_AT_ONCE, settings.HISTORY_READS_PER_USER))
"""This process's places."""


@register
def _report() -> dict[str, int]:
    return process_places().stats()

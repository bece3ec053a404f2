"""Whose turn it is to read the lake: few at once, fairly among users, for no longer than a page waits.

A user has a share of the places, so whoever asks for a hundred answers, or reads them slowly, waits for
themselves. A place that becomes free goes to the waiting user who holds the fewest.
"""

import asyncio
from collections import Counter, deque
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from django.conf import settings

from core.web.refused import Refused
from core.web.reports import register

WAIT_S: Final = 30.0
"""How long a request waits for its place: half of what our own pages wait for an answer of the lake."""

WAITING_A_USER: Final = 200
RETRY_AFTER_S: Final = 5


class Place:
    """The right to read; `leave` gives it back, once, however often it is called; from any thread."""

    def __init__(self, places: "Places", user_id: int) -> None:
        self._places: Places | None = places
        self._user_id = user_id
        self._loop = asyncio.get_running_loop()

    def leave(self) -> None:
        """Let the next one read."""
        places, self._places = self._places, None
        if places is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits on it
                self._loop.call_soon_threadsafe(places.left, self._user_id)


class Places:
    """The places of one event loop: `at_once` of them, `per_user` of one user. Nothing is locked."""

    def __init__(self, at_once: int, per_user: int) -> None:
        self._at_once = at_once
        self._per_user = per_user
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[asyncio.Future[None]]] = {}
        self.counters: Counter[str] = Counter()

    async def take(self, user_id: int) -> Place:
        """A place, now or in turn. Raises Refused (429) when that takes too long, or too many wait."""
        if self._is_free_for(user_id) and user_id not in self._waiting:
            self._held[user_id] += 1
            return Place(self, user_id)
        queue = self._waiting.setdefault(user_id, deque())
        if len(queue) >= WAITING_A_USER:
            raise self._refusal(f"{len(queue)} of your requests wait for their turn already")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self.counters["waited"] += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await turn
        except BaseException as problem:
            self._forget(user_id, turn)
            if isinstance(problem, TimeoutError):
                raise self._refusal(f"no turn to read within {WAIT_S:g} s") from None
            raise
        return Place(self, user_id)

    def left(self, user_id: int) -> None:
        """A place is free again."""
        self._held[user_id] -= 1
        if not self._held[user_id]:
            del self._held[user_id]
        self._hand_out()

    def stats(self) -> dict[str, int]:
        """What an operator can see: how many read, how many wait, how many ever waited or were refused."""
        return {
            "history_reading": self._held.total(),
            "history_waiting": sum(map(len, self._waiting.values())),
            "history_waited": self.counters["waited"],
            "history_refused": self.counters["refused"],
        }

    def _is_free_for(self, user_id: int) -> bool:
        return self._held.total() < self._at_once and self._held[user_id] < self._per_user

    def _hand_out(self) -> None:
        while waiting := [user_id for user_id in self._waiting if self._is_free_for(user_id)]:
            user_id = min(waiting, key=self._held.__getitem__)  # the first to wait among equals
            turn = self._waiting[user_id].popleft()
            self._tidy(user_id)
            if not turn.done():
                self._held[user_id] += 1
                turn.set_result(None)

    def _forget(self, user_id: int, turn: asyncio.Future[None]) -> None:
        """Whoever waited has gone; a turn given at the same moment goes to the next one."""
        if turn.done() and not turn.cancelled():
            self.left(user_id)
            return
        if turn in self._waiting.get(user_id, ()):
            self._waiting[user_id].remove(turn)
            self._tidy(user_id)

    def _tidy(self, user_id: int) -> None:
        queue = self._waiting.pop(user_id)
        if queue:
            self._waiting[user_id] = queue  # behind the others: its next turn comes after theirs

    def _refusal(self, words: str) -> Refused:
        self.counters["refused"] += 1
        return Refused(429, f"{words}: ask for less at once, or try again", RETRY_AFTER_S)


_places: "WeakKeyDictionary[asyncio.AbstractEventLoop, Places]" = WeakKeyDictionary()


def process_places() -> Places:
    """This process's places. (Per event loop: a web process has one.)"""
    loop = asyncio.get_running_loop()
    if loop not in _places:
        _places[loop] = Places(settings.HISTORY_READS_AT_ONCE, settings.HISTORY_READS_PER_USER)
    return _places[loop]


@register
def _report() -> dict[str, int]:
    return process_places().stats()

"""Requests in flight on one socket, and which answer belongs to which."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from collectors.exchanges.base import Control
from collectors.exchanges.sheet import Topic


class Request:
    """One subscribe or unsubscribe request, its unanswered topics, and in the end its answer.

    The answer is "" when every topic was accepted, else why not all of them were.
    """

    def __init__(
        self, topics: Sequence[Topic], accepted: Callable[[Iterable[Topic]], None] | None = None
    ) -> None:
        self.open = {topic.name: topic for topic in topics}
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._accepted = accepted
        self._problem = ""

    @property
    def subscribes(self) -> bool:
        """Whether a no means that these topics are not taken."""
        return self._accepted is not None

    def accept(self, names: Iterable[str]) -> None:
        """The exchange took these topics, or all of them if it names none."""
        found = self._take(names)
        if self._accepted is not None:
            self._accepted(found)
        self._finish_if_answered()

    def reject(self, names: Iterable[str], problem: str) -> list[Topic]:
        """The exchange did not take these, or all of them if it names none; returns them."""
        self._problem = problem
        found = self._take(names)
        self._finish_if_answered()
        return found

    def finish(self, problem: str) -> None:
        """Give the answer, once."""
        if not self.answer.done():
            self.answer.set_result(problem)

    def _take(self, names: Iterable[str]) -> list[Topic]:
        return [self.open.pop(name) for name in list(names) or list(self.open) if name in self.open]

    def _finish_if_answered(self) -> None:
        if not self.open:
            self.finish(self._problem)


class Requests:
    """Requests awaiting answers, oldest first: exchanges answer in the order they were asked."""

    def __init__(self) -> None:
        self._by_id: dict[str, Request] = {}
        self._last_id = 0

    def next_id(self) -> int:
        """A number no request on this socket had yet."""
        self._last_id += 1
        return self._last_id

    def add(self, request_id: int, request: Request) -> None:
        """Await an answer to this request."""
        self._by_id[str(request_id)] = request

    def remove(self, request_id: int) -> None:
        """Await it no longer."""
        self._by_id.pop(str(request_id), None)

    def answered_by(self, control: Control) -> Request | None:
        """The request this ack or error answers: by its id, else by its topics, else the oldest."""
        if control.request_id is not None and control.request_id in self._by_id:
            return self._by_id[control.request_id]
        if control.topics:
            return self._first(control, lambda request: not request.open.keys().isdisjoint(control.topics))
        return self._first(control, lambda request: True) if control.request_id is None else None

    def finish_all(self, problem: str) -> None:
        """Answer everything with the same problem: the socket is gone."""
        for request in self._by_id.values():
            request.finish(problem)

    def _first(self, control: Control, fits: Callable[[Request], bool]) -> Request | None:
        ended = control.kind == "unsubscribed"  # says nothing of a subscription still asked for
        waiting = (
            request
            for request in self._by_id.values()
            if not request.answer.done() and not (ended and request.subscribes)
        )
        return next(filter(fits, waiting), None)

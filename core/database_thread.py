"""The database from asyncio, through one thread that keeps its connection.

A connection for every question costs several times the question. Should the database restart, the next
question has a new one.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


class DatabaseThread:
    """Answers one question after the other; a process that ends does not wait for it."""

    def __init__(self, name: str) -> None:
        self._questions: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def ask(self, question: Callable[[], T]) -> T:
        """Return or raise what the question does. Cancelling leaves it running."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(settled: Callable[[], None]) -> None:
            if not answer.done():
                settled()

        def run() -> None:
            try:
                result = question()
            except Exception as problem:
                connections.close_all()  # it may be broken
                error = problem
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(settle, lambda: answer.set_exception(error))
            else:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(settle, lambda: answer.set_result(result))

        self._questions.put(run)
        return await answer

    def close(self) -> None:
        """Close the connection, and end, once everything asked so far is answered."""
        self._questions.put(None)

    def _run(self) -> None:
        try:
            while question := self._questions.get():
                question()
        finally:
            connections.close_all()

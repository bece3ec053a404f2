"""Reading for requests: in threads of its own, few at a time, and given up when the request is.

A read of the lake blocks and is mostly polars' native code. An answer is produced piece by piece, a
piece when the last one was taken over; a client that does not come for more holds one piece.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar
from weakref import WeakSet

import msgspec
from deltalake.exceptions import DeltaError
from polars.exceptions import PolarsError

from core.connections import release_connections
from core.web.refused import Refused
from history.write.appending import STORE_ERRORS

logger = logging.getLogger(__name__)
T = TypeVar("T")

THREADS: Final = 4
"""Reads that run at once in a process; the others wait for them in turn."""

_threads: Final = ThreadPoolExecutor(THREADS, "history")
_counting: Final = threading.Lock()
_open: Final["WeakSet[Answer]"] = WeakSet()


def open_answers() -> int:
    """Answers of this process whose reader is not closed yet."""
    return len(_open)


async def in_thread(read: Callable[[], T]) -> T:
    """Return or raise what a blocking read does; Refused (503) when the lake cannot be read.

    It may take long, so the request's database connection is given back before.
    """
    await release_connections()
    return await _in_thread(read)


async def _in_thread(read: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, read)
    except (DeltaError, PolarsError, *STORE_ERRORS) as problem:
        logger.error("the lake cannot be read: %s", problem)
        raise Refused(503, "the lake cannot be read now: try again, or see the server's log") from problem


class Answer(AsyncIterator[bytes]):
    """The pieces of one answer, read as they are asked for; `close` ends the reading."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._waiting = b""  # a piece read ahead
        self._reading = threading.Lock()
        with _counting:
            _open.add(self)

    async def begins(self) -> bool:
        """Whether there is anything to answer; a failure here can still become an error answer."""
        try:
            self._waiting = await in_thread(self._next)
        except BaseException:
            self.close()
            raise
        if not self._waiting:
            self.close()
        return bool(self._waiting)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece, self._waiting = self._waiting, b""
        try:
            piece = piece or await _in_thread(self._next)
        except Exception as problem:  # the status is sent already: the last line says that it is not all
            if not isinstance(problem, Refused):
                logger.exception("an answer from the lake broke off")
            words = str(problem) if isinstance(problem, Refused) else "reading the lake failed"
            self._pieces = iter(())
            return msgspec.json.encode({"error": f"the answer ends here, unfinished: {words}"}) + b"\n"
        if not piece:
            self.close()
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Stop reading once the piece being read is done. Never waits, can be repeated."""
        _threads.submit(self._close)

    def _next(self) -> bytes:
        with self._reading:
            return next(self._pieces, b"")

    def _close(self) -> None:
        with self._reading:
            if close := getattr(self._pieces, "close", None):
                close()
        with _counting:
            _open.discard(self)

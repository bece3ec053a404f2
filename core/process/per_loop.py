"""One of a kind per process, made when it is first needed."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Called on the event loop, it returns the process's one; it goes when the loop does.

    There is one per event loop, for tasks and locks belong to one: a process has one loop, a test its own.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()

    def __call__(self) -> T:
        """The process's one, made now if there was none."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made[loop] = self._make()
        return self._made[loop]

    def made(self) -> T | None:
        """The process's one, if something has needed it yet."""
        return self._made.get(asyncio.get_running_loop())

"""Sockets that always have more to read leave the event loop to others in between."""

import asyncio
from collections import deque
from typing import Final

FRAMES_PER_PORTION: Final = 200
"""About 1 ms of reading and decoding."""


class Turns:
    """Bounds how many frames all sockets of one event loop read between two turns of that loop.

    Who reads in callbacks is not interrupted by the loop: while frames keep coming, timers, sinks and
    publishing would starve. So after two portions within one turn all sockets pause, the loop comes
    round, and they go on, another one first. What is not read waits in the kernel, then at the venue.
    """

    def __init__(self, portion: int = FRAMES_PER_PORTION) -> None:
        self.paused = 0
        self._portion = portion
        self._left = portion
        self._asked = False
        self._pausing = False
        self._sockets: deque[asyncio.ReadTransport] = deque()

    def join(self, socket: asyncio.ReadTransport) -> None:
        """Have this socket take part."""
        self._sockets.append(socket)
        if self._pausing:
            socket.pause_reading()

    def leave(self, socket: asyncio.ReadTransport) -> None:
        """This one is closed."""
        self._sockets.remove(socket)

    def took(self, frames: int) -> None:
        """Note that so many frames were read."""
        self._left -= frames
        if self._left <= 0:
            self._portion_used()

    def _portion_used(self) -> None:
        self._left = self._portion
        if (
            not self._asked
        ):  # to ask the loop once per portion costs nothing to speak of, once per frame would
            self._asked = True
            asyncio.get_running_loop().call_soon(self._next_turn)
        elif not self._pausing:
            self._pausing = True
            self.paused += 1
            for socket in self._sockets:
                socket.pause_reading()

    def _next_turn(self) -> None:
        self._asked = False
        self._left = self._portion
        if self._pausing:
            self._pausing = False
            self._sockets.rotate(-1)  # the first to be registered is the first to be read
            for socket in self._sockets:
                socket.resume_reading()

"""Reads of the sockets of one event loop: gathered, handed on together, never too much in a turn."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from core.clock.clocks import Standstill

Message = str | bytes
Read = Callable[[list[Message], int, int], None]
"""Takes messages, oldest first, that were read together, and when: wall clock in µs, monotonic in ns."""

GATHER_S: Final = 0.005
"""Frames come one by one. To decode each when it comes costs three times as much as to decode those of a
few ms together, since after every wake-up of the process its caches are cold."""

FRAMES_PER_PORTION: Final = 200
"""About 1 ms of reading and decoding."""


class Turns:
    """Gathers what is read in order of receipt, and bounds how much that is between two turns of the loop.

    Who reads in callbacks is not interrupted by the loop: while frames keep coming, timers, sinks and
    publishing would starve. So after two portions within one turn all sockets pause, the loop comes
    round, and they go on, another one first. What is not read waits in the kernel, then at the exchange.
    """

    def __init__(self, portion: int = FRAMES_PER_PORTION) -> None:
        self.paused = 0
        self.standstill = Standstill()
        self._portion = portion
        self._left = portion
        self._asked = False
        self._pausing = False
        self._timing = False
        self._handing_on = False
        self._stamped_ns = 0
        self._gathered: deque[tuple[Read, list[Message], int, int]] = deque()
        self._sockets: deque[asyncio.ReadTransport] = deque()

    def join(self, socket: asyncio.ReadTransport) -> None:
        """Have this socket take part."""
        self._sockets.append(socket)
        if self._pausing:
            socket.pause_reading()

    def leave(self, socket: asyncio.ReadTransport) -> None:
        """This one is closed."""
        self._sockets.remove(socket)

    def gather(self, read: Read, messages: list[Message], read_us: int, read_ns: int) -> None:
        """Hand messages to `read` soon, after all that was gathered before."""
        self._gathered.append((read, messages, read_us, read_ns))
        if not self._timing:
            self._timing = True
            asyncio.get_running_loop().call_later(GATHER_S, self._due)
        self._left -= len(messages)
        if self._left <= 0:
            self._portion_used()

    def hand_on(self) -> None:
        """Hand on what was gathered, now: somebody is about to say what came after it.

        What it makes somebody say comes after the message that did, and before all that is left.
        """
        if self._handing_on:
            return
        self._handing_on = True
        gathered = self._gathered
        try:
            while gathered:
                read, messages, read_us, read_ns = gathered.popleft()
                if read_ns < self._stamped_ns:
                    read_us, read_ns = self.stamps()
                read(messages, read_us, read_ns)
        finally:
            self._handing_on = False

    def stamps(self) -> tuple[int, int]:
        """The stamps (µs wall clock, ns monotonic) of what is published now, not read; none after it is
        older.

        A reader of the lake sorts by these stamps, and must find the order in which it was published here.
        """
        stamp_us, self._stamped_ns = time.time_ns() // 1000, time.monotonic_ns()
        return stamp_us, self._stamped_ns

    def _due(self) -> None:
        self._timing = False
        self.hand_on()

    def _portion_used(self) -> None:
        self._left = self._portion
        if not self._asked:  # once per portion the loop can be asked at no cost to speak of
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
        self.hand_on()
        if self._pausing:
            self._pausing = False
            self._sockets.rotate(-1)  # the first to be registered is the first to be read
            for socket in self._sockets:
                socket.resume_reading()

"""A crowd of browsers in one process: many WebSockets on one epoll loop, as cheap as Python makes them.

A program of its own, so that it has a core of its own: reads commands as JSON lines, answers each
with one line. `Crowd` in this module is the other end. The browsers of a crowd:

| kind | what it does |
|---|---|
| `healthy` | reads at once and acks every message that has a `seq`, as the dashboard does |
| `late` | reads what arrived only after `LATE_S`, then acks it |
| `stopped` | acks its first message, then never reads again: its TCP window closes |
| `silent` | never reads a message at all |
"""

import base64
import errno
import heapq
import json
import os
import random
import re
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

LATE_S: Final = 0.5
READ_BYTES: Final = 256 * 1024
HANDSHAKE_S: Final = 30.0
WAITS_S: Final = (1, 2, 4, 8, 15)
"""How long static/js/shared/socket.js waits before each try, give or take a quarter."""
_SEQ: Final = re.compile(rb'"seq":(\d+)')
_STAMPS: Final = re.compile(rb'"timestamps":\[([^\]]+)\]')
_MASK: Final = 0x37FA213D
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@dataclass(slots=True)
class Browser:
    """One socket; `received` counts since the last `start`."""

    group: str
    kind: str
    port: int
    path: str
    headers: str
    first: bytes
    number: int
    socket: "socket.socket | None" = None
    data: bytes = b""
    open: bool = False
    opened_at: float = 0.0
    failures: int = 0
    messages: int = 0
    snapshots: int = 0
    points: int = 0
    closed: str = ""


@dataclass
class Loop:
    """All sockets of the crowd."""

    poll: Any = field(default_factory=select.epoll)
    browsers: dict[int, Browser] = field(default_factory=dict)
    all: list[Browser] = field(default_factory=list)
    timers: list[tuple[float, int, Browser, str]] = field(default_factory=list)
    arrivals: list[tuple[str, float, int]] = field(default_factory=list)
    sample_every: int = 10
    again: bool = False
    _timer: int = 0

    def later(self, seconds: float, browser: Browser, what: str) -> None:
        self._timer += 1
        heapq.heappush(self.timers, (time.monotonic() + seconds, self._timer, browser, what))

    def connect(self, browser: Browser) -> None:
        """Open a socket and send its handshake; whatever is wrong counts as a failure."""
        browser.data, browser.open = b"", False
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if browser.kind in ("stopped", "silent"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect_ex(("127.0.0.1", browser.port))
        browser.socket = connection
        browser.opened_at = time.monotonic()
        self.browsers[connection.fileno()] = browser
        self.poll.register(connection.fileno(), select.EPOLLOUT)
        self.later(HANDSHAKE_S, browser, "handshake")

    def ready(self, fd: int, events: int) -> None:
        browser = self.browsers.get(fd)
        if browser is None or browser.socket is None:
            return
        if events & (select.EPOLLERR | select.EPOLLHUP) and not events & select.EPOLLIN:
            return self.lost(browser, "connection refused or reset")
        if events & select.EPOLLOUT:
            self.poll.modify(fd, select.EPOLLIN)
            key = base64.b64encode(os.urandom(16)).decode()
            browser.socket.send(
                (
                    f"GET {browser.path} HTTP/1.1\r\nHost: 127.0.0.1:{browser.port}\r\nUpgrade: websocket\r\n"
                    f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
                    f"Origin: http://127.0.0.1:{browser.port}\r\n{browser.headers}\r\n"
                ).encode()
            )
            return None
        if browser.open and browser.kind == "late":
            self.poll.modify(fd, 0)
            return self.later(LATE_S, browser, "read")
        return self.read(browser)

    def read(self, browser: Browser) -> None:
        if browser.socket is None:
            return
        try:
            data = browser.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as problem:
            return self.lost(browser, errno.errorcode.get(problem.errno or 0, "error"))
        if not data:
            return self.lost(browser, "cut")
        browser.data += data
        if not browser.open:
            head, end, rest = browser.data.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                return self.lost(browser, head.split(b"\r\n", 1)[0].decode())
            browser.open, browser.data = True, rest
            if browser.first:
                send(browser, TEXT, browser.first)
            if browser.kind == "silent":
                self.poll.modify(browser.socket.fileno(), 0)
                return
        self.frames(browser, time.time_ns() // 1000)

    def frames(self, browser: Browser, now_us: int) -> None:
        data, at = browser.data, 0
        while len(data) - at >= 2:
            opcode, size, start = data[at] & 15, data[at + 1] & 127, at + 2
            if size == 126:
                size, start = int.from_bytes(data[start : start + 2]), start + 2
            elif size == 127:
                size, start = int.from_bytes(data[start : start + 8]), start + 8
            if len(data) < start + size:
                break
            payload = data[start : start + size]
            at = start + size
            if opcode == TEXT:
                self.message(browser, payload, now_us)
            elif opcode == PING:
                send(browser, PONG, payload)
            elif opcode == CLOSE:
                browser.closed = f"{int.from_bytes(payload[:2])} {payload[2:].decode()}"
        browser.data = data[at:]

    def message(self, browser: Browser, payload: bytes, now_us: int) -> None:
        browser.messages += 1
        browser.snapshots += b'"snapshot"' in payload[:40]
        for stamps in _STAMPS.findall(payload):
            browser.points += stamps.count(b",") + 1
            if browser.number % self.sample_every == 0:
                self.arrivals.extend((browser.kind, float(stamp), now_us) for stamp in stamps.split(b","))
        if found := _SEQ.search(payload):
            send(browser, TEXT, b'{"type":"ack","seq":%s}' % found[1])
            if browser.kind == "stopped" and browser.socket is not None:
                self.poll.modify(browser.socket.fileno(), 0)

    def lost(self, browser: Browser, why: str) -> None:
        if browser.socket is not None:
            del self.browsers[browser.socket.fileno()]
            browser.socket.close()
            browser.socket = None
        browser.open = False
        browser.closed = browser.closed or why
        if self.again:
            longest = WAITS_S[min(browser.failures, len(WAITS_S) - 1)]
            browser.failures += 1
            self.later(longest * random.uniform(0.75, 1.25), browser, "connect")

    def tick(self) -> None:
        """Wait for sockets until the next timer, at most 50 ms, and serve both."""
        wait = 0.05
        if self.timers:
            wait = min(wait, max(0.0, self.timers[0][0] - time.monotonic()))
        for fd, events in self.poll.poll(wait):
            self.ready(fd, events)
        while self.timers and self.timers[0][0] <= time.monotonic():
            _at, _number, browser, what = heapq.heappop(self.timers)
            if what == "connect":
                self.connect(browser)
            elif what == "read" and browser.socket is not None:
                self.poll.modify(browser.socket.fileno(), select.EPOLLIN)
                self.read(browser)
            elif what == "handshake" and self.is_overdue(browser):
                self.lost(browser, "no handshake")

    @staticmethod
    def is_overdue(browser: Browser) -> bool:
        waited_s = time.monotonic() - browser.opened_at
        return not browser.open and browser.socket is not None and waited_s >= HANDSHAKE_S


def send(browser: Browser, opcode: int, payload: bytes) -> None:
    """One masked frame."""
    size = len(payload)
    mask = _MASK.to_bytes(4)
    key = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
    short = size < 126
    head = bytes((0x80 | opcode, 0x80 | size)) if short else bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2)
    if browser.socket is not None:
        try:
            browser.socket.send(head + mask + masked)
        except OSError:
            return  # the next read finds out


def serve() -> None:
    """Obey commands until standard input closes."""
    loop = Loop()
    commands = select.poll()
    commands.register(0, select.POLLIN)
    pending = b""
    while True:
        loop.tick()
        if commands.poll(0):
            data = os.read(0, 1 << 20)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                os.write(1, json.dumps(obey(loop, json.loads(line))).encode() + b"\n")


def obey(loop: Loop, command: dict[str, Any]) -> Any:
    """One command; its answer."""
    match command["do"]:
        case "connect":
            for number, one in enumerate(command["browsers"]):
                browser = Browser(number=number, **{**one, "first": one["first"].encode()})
                loop.all.append(browser)
                loop.later(number * command["spacing_s"], browser, "connect")
        case "start":
            loop.arrivals.clear()
            for browser in loop.all:
                browser.messages = browser.points = browser.snapshots = 0
        case "reconnect":
            loop.again = command["again"]
        case "leave":
            for browser in [b for b in loop.all if b.group == command["group"]]:
                loop.all.remove(browser)
                if browser.socket is not None:
                    loop.lost(browser, "left")
        case "report":
            return [
                [b.kind, b.open, b.messages, b.points, b.snapshots, b.closed]
                for b in loop.all
                if b.group == command["group"]
            ]
        case "arrivals":
            return loop.arrivals
    return None


# --- the other end -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Figures of one browser since the last `start`."""

    kind: str
    open: bool
    messages: int
    points: int
    snapshots: int
    closed: str


class Crowd:
    """A crowd in its own process, pinned to a core."""

    def __init__(self, core: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        os.sched_setaffinity(self._process.pid, {core})

    def connect(self, browsers: list[dict[str, Any]], spacing_s: float = 0.002) -> None:
        """Open these sockets one after the other; see `Browser` for their fields."""
        self._ask(do="connect", browsers=browsers, spacing_s=spacing_s)

    def start(self) -> None:
        """Count from here."""
        self._ask(do="start")

    def reconnect(self, again: bool) -> None:
        """Whether who loses its connection comes back, with the dashboard's own patience."""
        self._ask(do="reconnect", again=again)

    def leave(self, group: str) -> None:
        """Close the sockets of a group."""
        self._ask(do="leave", group=group)

    def report(self, group: str) -> list[Seen]:
        """Figures of each browser of a group."""
        return [Seen(*row) for row in self._ask(do="report", group=group)]

    def arrivals(self) -> list[tuple[str, float, int]]:
        """(kind, the point's timestamp in s, when it arrived in µs) of every tenth browser."""
        return [(kind, stamp, at) for kind, stamp, at in self._ask(do="arrivals")]

    def close(self) -> None:
        """Close all sockets and end."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(10)

    def _ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


if __name__ == "__main__":
    serve()

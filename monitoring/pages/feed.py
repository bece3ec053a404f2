"""Data of the health page, made once per process for all its viewers.

It polls every 2 s while somebody has the page open. A viewer is sent the sections that differ from what
it has seen, and between two polls a sign of life; sections, and pages of symbols that several viewers ask
for, are made once.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final

from core.outage import Outage
from core.process.per_loop import PerLoop
from core.web.acks import AckWindow
from core.web.closing import Closed
from core.web.pipe import Pipe
from monitoring.health.observe import findings_of, observe
from monitoring.health.observed import Observed
from monitoring.pages.sections import sections
from monitoring.pages.symbols import Show, SymbolTable
from monitoring.pages.veil import veiled, without_processes

logger = logging.getLogger(__name__)

EVERY_S: Final = 2.0
BEAT_S: Final = 0.9
"""A browser receives something at least once a second; a poll that hangs leaves it out."""
LINGER_S: Final = 10.0


class HealthFeed:
    """The process's newest observation as the page has it, and its viewers. One event loop, no locks."""

    def __init__(self) -> None:
        self.made = 0  # how often sections were made
        self._now: Observed | None = None
        self._sections: dict[str, bytes] = {}
        self._veiled: dict[str, bytes] = {}  # for those who may not see processes
        self._symbols: SymbolTable | None = None
        self._pages: dict[Show, bytes] = {}
        self._viewers: set[HealthViewer] = set()
        self._running: asyncio.Task[None] | None = None
        self._outage = Outage(logger)

    async def refresh(self) -> None:
        """Look, unless that was done within the last second."""
        now = await observe()
        if now is self._now:
            return
        findings = findings_of(now)
        self._sections = _kept(self._sections, sections(now, findings))
        self._veiled = _kept(self._veiled, sections(without_processes(now), veiled(now, findings)))
        self._symbols, self._pages = SymbolTable(now.quality, self._symbols), {}
        self._now = now
        self.made += 1

    def parts(self, show: Show, *, processes: bool) -> dict[str, bytes]:
        """All sections as of the newest observation, each as JSON; with `processes`, those by host, too."""
        made = self._sections if processes else self._veiled
        if self._symbols is None:
            return made
        page = self._pages.get(show)
        if page is None:
            page = self._pages[show] = self._symbols.page(show)
        return made | {"symbols": page}

    @property
    def time_s(self) -> float:
        """Time of that observation."""
        return 0.0 if self._now is None else self._now.at_us / 1e6

    def join(self, viewer: "HealthViewer") -> None:
        """Add a viewer that is sent everything from now on."""
        self._viewers.add(viewer)
        if self._running is None:
            # Of its own context: that of the request that happened to start it ends with that request.
            self._running = asyncio.create_task(self._run(), name="health page", context=Context())

    def leave(self, viewer: "HealthViewer") -> None:
        """Remove a viewer."""
        viewer.leave()
        self._viewers.discard(viewer)

    async def _run(self) -> None:
        used_at = time.monotonic()
        looked_at = float("-inf")
        try:
            while time.monotonic() - used_at < LINGER_S:
                began = time.monotonic()
                if self._viewers:
                    used_at = began
                    is_due = began - looked_at >= EVERY_S - BEAT_S / 2
                    looked_at = began if is_due else looked_at
                    await self._publish(is_due)
                await asyncio.sleep(max(0.0, BEAT_S - (time.monotonic() - began)))
        finally:
            self._running = None

    async def _publish(self, is_due: bool) -> None:
        try:
            if is_due:
                await self.refresh()
            for viewer in tuple(self._viewers):
                viewer.refreshed()
        except Exception as problem:
            self._outage.begins("the health page cannot be refreshed", kind=repr(problem), problem=problem)
        else:
            self._outage.ends("the health page is refreshed again")


class HealthViewer:
    """One open page. It is sent a message at a time, and the next after its ack."""

    def __init__(
        self, pipe: Pipe, feed: HealthFeed, close: Callable[[Closed], None], *, processes: bool
    ) -> None:
        self._pipe = pipe
        self._processes = processes
        self._feed = feed
        self._close = close
        self._shows: Show | None = None
        self._shown: Show | None = None
        self._seen: dict[str, bytes] = {}
        self._left = False
        self._acks = AckWindow()

    def show(self, show: Show) -> None:
        """Show these symbols; the answer does not wait for the next poll."""
        self._shows = show
        self.advance()

    def acked(self, seq: int) -> None:
        """The browser has drawn everything up to `seq`."""
        self._acks.acked(seq)
        if self._shown is not self._shows:
            self.advance()

    def refreshed(self) -> None:
        """Take a newer observation, if any; a browser that does not ack is closed."""
        if self._acks.is_overdue:
            self._close(self._acks.overdue())
        else:
            self.advance()

    def leave(self) -> None:
        """The socket is gone: send nothing more."""
        self._left = True

    def advance(self) -> None:
        """Send what differs from what the browser sees, if a message may go out now."""
        waits = not self._acks.is_open or not self._pipe.ready
        if self._left or self._shows is None or waits or not self._feed.time_s:
            return
        parts = self._feed.parts(self._shows, processes=self._processes)
        changed = {name: text for name, text in parts.items() if self._seen.get(name) is not text}
        self._seen, self._shown = parts, self._shows
        self._acks.seq += 1
        self._acks.sent()
        self._pipe.send(message(changed, self._feed.time_s, self._acks.seq))


def _kept(before: dict[str, bytes], made: dict[str, bytes]) -> dict[str, bytes]:
    """Keep the same object where nothing differs: by that a viewer sees that it did not change."""
    return {name: before[name] if before.get(name) == text else text for name, text in made.items()}


def message(parts: dict[str, bytes], time_s: float, seq: int = 0) -> bytes:
    """A whole message; without sections a sign of life."""
    head = b'{"type":"health","seq":%d,"time":%.3f' % (seq, time_s)
    return head + b"".join(b',"%b":%b' % (name.encode(), text) for name, text in parts.items()) + b"}"


process_feed = PerLoop(HealthFeed)
"""This process's feed."""

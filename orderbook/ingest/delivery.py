"""Batches on their way into the database: written at once, or kept on disk until they can be."""

import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from threading import Thread
from typing import Any, Final

import psycopg
from msgspec import Struct, structs

from core.backoff import delays
from core.outage import Outage
from core.process.histogram import Durations
from orderbook.ingest.events import StoreEvent
from orderbook.ingest.lane import Connect, Lane
from orderbook.ingest.rows import good
from orderbook.ingest.spill import Spill
from orderbook.store.engine import StoreError
from orderbook.store.tables import MOST_BATCH_ROWS

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.25
RETRY_CEILING_S: Final = 10.0
REPLAY_S: Final = 0.5
"""So long batches are replayed in one go, before new ones get their turn."""

RECENT: Final = 1_000
"""Batches of which the percentile of their durations, and the rate, are taken."""

RATE_OVER_S: Final = 60.0
LANES: Final = 2
"""Connections that write beside each other while there is more than one batch."""

MOST_ROWS: Final = LANES * MOST_BATCH_ROWS
"""Rows of one `put` at most."""


class _Written(Struct, frozen=True, gc=False):
    at_s: float
    took_s: float
    rows: int
    new: int


class _Rising:
    """When a counter rose last, µs since the epoch."""

    def __init__(self) -> None:
        self.at_us: int | None = None
        self._count = 0

    def note(self, count: int) -> None:
        if count > self._count:
            self._count, self.at_us = count, time.time_ns() // 1000


class Delivery:
    """Writes batches in their order: what the database does not take waits on disk, and goes first then.

    Everything blocks; one thread at a time. Nothing is raised for a database that is away or a disk that is
    full: `problem` says it. Of connections there are LANES at most: what is more than a batch is written by
    them beside each other, each its part, and either is there whole or not at all.
    """

    def __init__(self, connect: Connect, spill: Spill) -> None:
        self.rows = 0
        self.repeated = 0
        self.failures = 0
        self.lost = 0
        self.problem = ""
        self.spill = spill
        self._lost, self._set_aside = _Rising(), _Rising()
        self._again_s = 0.0
        self._lanes = [Lane(connect) for _ in range(LANES)]
        self._times = Durations()
        self._recent: deque[_Written] = deque(maxlen=RECENT)
        self._pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)
        self._outage = Outage(logger)

    def put(self, events: Sequence[StoreEvent]) -> None:
        """Write a batch, or keep it on disk while others wait there."""
        is_away = bool(self.spill) or time.monotonic() < self._again_s
        if left := events if is_away else self._write(events):
            self._keep(left)
        self._note()

    @property
    def can_replay(self) -> bool:
        """Whether batches wait on disk and it is time to try them."""
        return bool(self.spill) and time.monotonic() >= self._again_s

    def adopt(self) -> None:
        """Take over what processes that are gone have left on disk."""
        try:
            self.spill.adopt()
        except OSError as error:
            self._fails(f"what waits on disk cannot be read: {error}")
        self._note()

    def replay(self) -> None:
        """Write what waits on disk, for REPLAY_S."""
        until_s = time.monotonic() + REPLAY_S
        try:
            while self.can_replay and time.monotonic() < until_s:
                if (events := self.spill.oldest(MOST_ROWS)) and self._write(events):
                    break
                self.spill.replayed()
        except OSError as error:
            self._fails(f"what waits on disk cannot be read: {error}")
        self._note()

    def close(self) -> None:
        """Close connections and files."""
        self.disconnect()
        self.spill.close()

    def disconnect(self) -> None:
        """Close the connections; the next batch makes others."""
        for lane in self._lanes:
            lane.disconnect()

    def stats(self) -> dict[str, Any]:
        """Counters; durations and rate of the last batches."""
        recent = list(self._recent)
        return {
            "rows": self.rows,
            "repeated": self.repeated,
            "batches": sum(self._times.buckets().counts),
            "batch_buckets": structs.asdict(self._times.buckets()),
            "batch_p99_s": _p99([each.took_s for each in recent]),
            "rows_per_s": _rate(recent),
            "set_aside": dict(self._counted()),
            "spilled_bytes": self.spill.size_bytes,
            "spilled_events": self.spill.events,
            "torn_bytes": self.spill.torn_bytes,
            "dropped": self.spill.dropped + self.lost,
            "lost_us": self._lost.at_us,
            "set_aside_us": self._set_aside.at_us,
            "failures": self.failures,
            "problem": self.problem,
        }

    def _note(self) -> None:
        """Note when something was lost, or set aside."""
        self._lost.note(self.lost + self.spill.dropped + self.spill.torn_bytes)
        self._set_aside.note(self._counted().total())

    def _keep(self, events: Sequence[StoreEvent]) -> None:
        try:
            try:
                self.spill.append(events)
            except (TypeError, ValueError, OverflowError):
                self.spill.append(good(events, self._lanes[0].set_aside))
        except OSError as error:
            self.lost += len(events)
            self._fails(f"the disk does not keep what the database does not take: {error}")

    # --- to the database ---------------------------------------------------------------------------

    def _write(self, events: Sequence[StoreEvent]) -> list[StoreEvent]:
        """Write events, by several lanes where they are many; returns those that are not in the database."""
        each = -(-len(events) // LANES) if len(events) > MOST_BATCH_ROWS else len(events)
        parts = [events[at : at + each] for at in range(0, len(events), each)]
        outcomes = self._by_lanes(parts)
        self._outcomes(outcomes)
        return [
            event
            for part, outcome in zip(parts, outcomes, strict=True)
            if isinstance(outcome, Exception)
            for event in part
        ]

    def _by_lanes(self, parts: Sequence[Sequence[StoreEvent]]) -> "list[_Written | Exception]":
        """Write each part by a lane, the first in this thread: most often it is the only one."""
        outcomes: list[_Written | Exception] = [RuntimeError("not written")] * len(parts)

        def write(number: int) -> None:
            started_s = time.monotonic()
            try:
                new = self._lanes[number].write(parts[number])
            except Exception as error:
                outcomes[number] = error
            else:
                ended_s = time.monotonic()
                outcomes[number] = _Written(ended_s, ended_s - started_s, len(parts[number]), new)

        others = [Thread(target=write, args=(n,), daemon=True) for n in range(1, len(parts))]
        for other in others:
            other.start()
        write(0)
        for other in others:
            other.join()
        return outcomes

    def _outcomes(self, outcomes: "Sequence[_Written | Exception]") -> None:
        """Count what was written, and note what failed. Raises what is a bug of ours."""
        for done in outcomes:
            if isinstance(done, _Written):
                self.rows += done.new
                self.repeated += done.rows - done.new
                self._times.add(done.took_s)
                self._recent.append(done)
        failed = next((each for each in outcomes if isinstance(each, Exception)), None)
        if isinstance(failed, psycopg.Error | StoreError):
            self._fails(words_of(failed))
        elif failed is not None:
            raise failed
        else:
            self.problem, self._again_s = "", 0.0
            self._pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)
            self._outage.ends("store: written again; %d events wait on disk", self.spill.events)

    def _counted(self) -> Counter[str]:
        """Events that were set aside, by kind."""
        found: Counter[str] = Counter()
        for lane in self._lanes:
            found.update(dict(lane.set_aside))  # a copy: a lane may be writing
        return found

    def _fails(self, words: str) -> None:
        self.failures += 1
        self.problem = words
        self._again_s = time.monotonic() + next(self._pauses)
        self._outage.begins("store: not written, kept on disk: %s", words)


def words_of(error: psycopg.Error | StoreError) -> str:
    """First line of what PostgreSQL says, or the store."""
    return str(error).partition("\n")[0] or type(error).__name__


def _p99(seconds: list[float]) -> float | None:
    return round(sorted(seconds)[int(len(seconds) * 0.99)], 4) if seconds else None


def _rate(recent: Sequence[_Written]) -> float:
    """Rows a second lately: over RATE_OVER_S, or over what is remembered if that is shorter."""
    now_s = time.monotonic()
    counted = [each for each in recent if each.at_s > now_s - RATE_OVER_S]
    span_s = now_s - recent[0].at_s if len(recent) == RECENT else RATE_OVER_S
    return round(sum(each.rows for each in counted) / min(max(span_s, 1.0), RATE_OVER_S), 1)

"""The collector's door to the lake: every event of one shard in, committed Parquet out."""

import asyncio
import logging
import re
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, structs

from collectors.lease import lease_of
from collectors.sinks import EmitDerived
from core.backoff import delays
from core.channel import Channel
from core.outage import Outage
from core.process.histogram import Durations
from core.threads import in_daemon_thread
from history.lake.logs import look as look_at
from history.lake.schema import CLOCK, SCHEMAS, collector_started
from history.lake.tables import Lake, LakeError
from history.write.appending import STORE_ERRORS, Appender
from history.write.buffer import Buffer, StateRow
from history.write.losses import Losses
from markets.config import MarketConfig, Shard
from markets.events import (
    Funding,
    MarkPrice,
    OpportunityEvent,
    Quote,
    SinkEvent,
    SpreadPoints,
    StreamState,
    Trade,
)

logger = logging.getLogger(__name__)

FLUSH_S: Final = 1.0
FLUSH_ROWS: Final = 50_000
EVENTS_PER_TURN: Final = 1000
"""Events handled before the loop gets its turn: about 1 ms of work."""

GATHER_S: Final = 0.02
"""Events come one by one: to be woken by each would cost several times what it takes to keep it."""

RETRY_FIRST_S: Final = 0.25
RETRY_CEILING_S: Final = 15.0

PROBLEM_CHARS: Final = 300
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")  # deltalake colours its errors


class Part(Struct):
    """Rows of one flush for one table."""

    rows: pa.Table
    sequence: int


class LakeSink:
    """A `collectors.sinks.Sink` that keeps everything in the lake.

    One flush is under way at a time, in a thread, and beside it one checkpoint at most; meanwhile
    FLUSH_ROWS more wait here at most, and then the channel fills and drops its oldest. A table that
    cannot be written is tried again until it can be, and holds up no other: while others are written, its
    oldest rows give way once FLUSH_ROWS wait. What was lost, here or between two processes, becomes `gap`
    rows.
    """

    wants = frozenset({Quote, Trade, Funding, MarkPrice, StreamState, SpreadPoints, OpportunityEvent})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        # The other pools keep 35 MB more of what flushes had for a moment.
        pa.set_memory_pool(pa.system_memory_pool())
        self._channel = channel
        self._shard = shard
        self._started = time.time_ns() // 1000, time.monotonic_ns()
        self._symbols: frozenset[str] = frozenset()
        self._buffer = Buffer()
        self._losses = Losses(channel)
        self._room = asyncio.Event()
        self._due = asyncio.Event()
        self._lake = Lake.from_settings()
        self._app_id = f"sink-{uuid.uuid4()}"
        self._mark = f"collector {shard}"  # its transaction number is when this shard last wrote
        self._lease = lease_of(shard)
        self._appenders: dict[str, Appender] = {}
        self._checkpointing: asyncio.Task[None] | None = None
        self._sequence = 0
        self._writing: defaultdict[str, deque[Part]] = defaultdict(deque)
        self._pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)
        self._rows: Counter[str] = Counter()
        self._rows_by_symbol: Counter[tuple[str, str]] = Counter()
        self._failures = 0
        self._flush_s = 0.0
        self._flush_times = Durations()
        self._flushing_since: float | None = None
        self._problem = ""
        self._outage = Outage(logger)

    def configure(self, config: MarketConfig) -> None:
        """Apply the symbols there are: gaps are written, and rows counted, for each."""
        owns = self._shard.owns
        collected = {each.symbol for each in config.instruments if owns(each.shard_key)}
        self._symbols = frozenset(collected | {o.symbol for o in config.opportunities if owns(o.symbol)})
        self._buffer.changes.keep({(i.exchange, i.symbol) for i in config.instruments if owns(i.shard_key)})
        for key in [key for key in self._rows_by_symbol if key[1] not in self._symbols]:
            del self._rows_by_symbol[key]

    async def run(self) -> None:
        """Consume until the channel is finished and everything is in the lake."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_flushing(tasks), name="lake flush")
                await self._consume()
        finally:
            if left := self._pending():
                logger.error("lake: %d rows not written: %s", left, self._problem or "stopped in a flush")

    def stats(self) -> dict[str, Any]:
        """Status: rows written and waiting, and problems; `rows_by_symbol` is table -> symbol -> rows."""
        by_symbol: dict[str, dict[str, int]] = {}
        for (table, symbol), rows in sorted(self._rows_by_symbol.items()):
            by_symbol.setdefault(table, {})[symbol] = rows
        return {
            "rows": dict(self._rows),
            "rows_by_symbol": by_symbol,
            "pending_rows": self._pending(),
            "flushes": self._sequence,
            "flush_s": round(self._slowest_flush_s(), 4),
            "flush_buckets": structs.asdict(self._flush_times.buckets()),
            "failures": self._failures,
            "problem": self._problem,
            "events_lost": self._losses.total,
            "funding_refused": dict(self._buffer.changes.funding.refused),
            "intervals_changed": self._buffer.changes.funding.intervals_changed,
        }

    def _slowest_flush_s(self) -> float:
        """Duration of the slower of the last flush and the present one: a store that hangs is not quick."""
        under_way_s = 0.0 if self._flushing_since is None else time.monotonic() - self._flushing_since
        return max(self._flush_s, under_way_s)

    def _pending(self) -> int:
        return self._buffer.rows + self._waiting()

    def _waiting(self) -> int:
        """Rows of flushes that were begun."""
        return sum(len(part.rows) for parts in self._writing.values() for part in parts)

    # --- channel to buffer -------------------------------------------------------------------------

    async def _consume(self) -> None:
        while not self._channel.finished:
            await self._channel.wait()
            await self._room_for_more()
            self._buffer.add(self._losses.watch(self._channel.take(EVENTS_PER_TURN)))
            await asyncio.sleep(0 if self._channel else GATHER_S)
        self._due.set()

    async def _room_for_more(self) -> None:
        while self._buffer.rows >= FLUSH_ROWS:
            self._due.set()
            self._room.clear()
            await self._room.wait()

    # --- buffer to lake ----------------------------------------------------------------------------

    async def _keep_flushing(self, tasks: asyncio.TaskGroup) -> None:
        if self._lease is not None:
            await in_daemon_thread(self._refuse_older)
        while self._pending() or not self._channel.finished:
            if not self._problem:
                await self._until_due()
            if not self._pending():
                continue
            if not self._sequence:
                last_alive_us = await self._last_alive()
                self._buffer.add(_beginning(self._shard, self._symbols, self._started, last_alive_us))
            self._buffer.add(self._losses.take(self._symbols))
            full = self._writing if self._waiting() >= FLUSH_ROWS else ()
            self._sequence += 1
            for table, rows in self._buffer.tables(besides=full).items():
                self._writing[table].append(Part(rows, self._sequence))
            self._room.set()
            await self._flush()
            self._checkpoint_beside(tasks)

    def _checkpoint_beside(self, tasks: asyncio.TaskGroup) -> None:
        """Let a log be summed up that wants it while flushes go on; one at a time, the others' turn comes."""
        if self._checkpointing is not None and not self._checkpointing.done():
            return
        if due := next((each for each in self._appenders.values() if each.checkpoint_due), None):
            work = in_daemon_thread(due.checkpoint_if_due)
            self._checkpointing = tasks.create_task(work, name="lake checkpoint")

    async def _until_due(self) -> None:
        """A flush interval, less when there is enough for a flush or nothing more will come."""
        self._due.clear()
        if self._buffer.rows >= FLUSH_ROWS or self._channel.finished:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._due.wait()

    async def _flush(self) -> None:
        """Commit what is to be written, table by table; pauses when one could not be."""
        started = self._flushing_since = time.monotonic()
        failed: dict[str, Exception] = {}
        written = 0
        for table in list(self._writing):
            try:
                written += await self._write(table)
            except STORE_ERRORS as error:
                failed[table] = error
        if not failed:
            self._flush_s, self._flushing_since = time.monotonic() - started, None
            self._flush_times.add(self._flush_s)
            self._worked()
            return
        self._failed(failed)
        if written:
            self._give_way()
        await asyncio.sleep(min(next(self._pauses), FLUSH_S) if written else next(self._pauses))

    async def _write(self, table: str) -> int:
        """Commit what waits for a table, in order; returns the rows."""
        parts, written = self._writing[table], 0
        while parts:
            rows = parts[0].rows
            await in_daemon_thread(partial(self._append, table, rows, parts[0].sequence))
            parts.popleft()
            written += len(rows)
            self._count(table, rows)
        del self._writing[table]
        return written

    def _give_way(self) -> None:
        """Let go of the oldest rows of tables that cannot be written, so that the others go on."""
        while self._waiting() >= FLUSH_ROWS:
            table = max(self._writing, key=lambda each: sum(len(part.rows) for part in self._writing[each]))
            rows = self._writing[table].popleft().rows
            if not self._writing[table]:
                del self._writing[table]
            times = rows[CLOCK[table]]
            self._losses.add(len(rows), pc.min(times).as_py(), pc.max(times).as_py())

    def _refuse_older(self) -> None:
        """Make every table, in a thread, refuse the former collector of this shard."""
        for table in SCHEMAS:
            try:
                self._appender(table).begin()
            except STORE_ERRORS as error:  # then the first append that succeeds says it
                logger.warning("lake: %s cannot be begun: %s", table, _in_short(error))

    def _append(self, table: str, rows: pa.Table, sequence: int) -> None:
        """Append in a thread."""
        self._appender(table).append(rows, sequence)

    def _appender(self, table: str) -> Appender:
        if table not in self._appenders:
            self._appenders[table] = Appender(self._lake, table, self._app_id, self._mark, self._lease)
        return self._appenders[table]

    def _count(self, table: str, rows: pa.Table) -> None:
        self._rows[table] += len(rows)
        for entry in rows["symbol"].value_counts().to_pylist():
            if entry["values"] in self._symbols:
                self._rows_by_symbol[table, entry["values"]] += entry["counts"]

    async def _last_alive(self) -> int | None:
        """Time when a collector of this shard last wrote something, µs since the epoch; None: never."""

        def look() -> int | None:
            found, errors = [], {}
            for table in SCHEMAS:
                try:
                    found.append(look_at(self._lake, table, self._mark))
                except STORE_ERRORS as error:  # one that is damaged is mended when it is appended to
                    errors[table] = error
            if not any(found) and errors:
                raise next(iter(errors.values()))
            return max(
                (when for log in found if log and (when := log.transactions.get(self._mark))), default=None
            )

        while True:
            try:
                return await in_daemon_thread(look)
            except LakeError:
                return None
            except STORE_ERRORS as error:
                self._failed({"": error})
                await asyncio.sleep(next(self._pauses))

    def _failed(self, errors: Mapping[str, Exception]) -> None:
        """Said once when it begins, and once when it is over."""
        self._failures += len(errors)
        problem = "; ".join(
            f"{table}: {_in_short(e)}" if table else _in_short(e) for table, e in errors.items()
        )
        self._outage.begins("lake %s cannot be written, trying again: %s", self._lake.url, problem)
        self._problem = problem[:PROBLEM_CHARS]

    def _worked(self) -> None:
        lost = self._losses.total
        self._outage.ends("lake %s is written again; %d events lost so far", self._lake.url, lost)
        self._problem = ""
        self._pauses = delays(RETRY_FIRST_S, RETRY_CEILING_S)


def _in_short(error: Exception) -> str:
    return " ".join(_COLOURS.sub("", str(error) or type(error).__name__).split())


def _beginning(
    shard: Shard, symbols: Iterable[str], started: tuple[int, int], last_alive_us: int | None
) -> list[StateRow]:
    """Rows that a collector started, and per symbol the gap since one was last known to write."""
    now_us, now_ns = started
    rows = [StateRow("", "", "up", collector_started(shard), now_us, now_ns)]
    if last_alive_us is not None:
        reason = "no collector ran"
        rows += [StateRow("", s, "gap", reason, now_us, now_ns, since_us=last_alive_us) for s in symbols]
    return rows

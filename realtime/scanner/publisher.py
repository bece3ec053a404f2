"""Publisher of a shard's scanner to Redis: frames of changed legs, and the whole state now and then."""

import asyncio
import logging
import time
from typing import Any, Final

import numpy as np
from redis.exceptions import RedisError

from collectors.lease import guard, why_not_written
from core.outage import Outage
from core.redis_client import ASYNC_TIMEOUT_S, async_redis
from engine.scan.identity import SURE, VERDICTS
from engine.scan.scanner import Scanner
from markets.config import Shard
from realtime.scanner import wire as scan_wire
from realtime.scanner.columns import LegColumns
from realtime.scanner.wire import Directory, Frame, LegName, Rate, State

logger = logging.getLogger(__name__)

FLUSH_EVERY_S: Final = 0.2
HEARTBEAT_EVERY_S: Final = 1.0
RATES_EVERY_S: Final = 1.0
STATE_EVERY_S: Final = 2.0
EVIDENCE_EVERY_S: Final = 10.0

_NEVER: Final = float("-inf")


class ScanPublisher:
    """Writes what the scanner knows. A Redis that fails costs a counter, never an exception or memory:
    what changed meanwhile is in the next state.

    Frames are made only while a web process listens.
    """

    def __init__(self, shard: Shard, scanner: Scanner) -> None:
        self.frames = 0
        self.failed = 0
        self._owner = shard
        self._shard = str(shard)
        self._scanner = scanner
        self._redis = async_redis()
        self._columns = LegColumns(())
        self._directory: Directory | None = None
        self._seq = 0
        self._knows_earlier = False
        self._sent_s = self._state_s = self._evidence_s = self._rates_s = _NEVER
        self._outage = Outage(logger)

    def configure(self, revision: int) -> None:
        """Apply what the scanner was configured to compare; everything is written again."""
        scanner = self._scanner
        layout = max(time.time_ns() // 1000, self._seq + 1)  # rises, whatever the wall clock does
        self._columns = LegColumns(scanner.legs, scanner.gatekeeper.terms)
        names = [LegName(leg.exchange, leg.listing.symbol, leg.listing.counts_as) for leg in scanner.legs]
        pairs = np.fromiter(scanner.pair_legs(), np.dtype(("<i4", 2)), len(scanner.pairs))
        self._directory = Directory(self._shard, layout, revision, names, pairs.tobytes())
        self._seq = layout
        self._state_s = self._evidence_s = _NEVER

    async def flush(self) -> None:
        """Publish what changed, and write what is due."""
        if self._directory is None:
            return
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                await self._exchange_rates()
                await self._go_on_from_earlier()
                await self._write(self._directory)
        except (RedisError, OSError, TimeoutError) as problem:
            self._state_s = self._evidence_s = _NEVER
            self.failed += 1
            why = why_not_written(problem, self._owner)
            self._outage.begins("shard %s: the scanner's state is not published: %s", self._shard, why)
        else:
            self._outage.ends("shard %s: the scanner's state is published again", self._shard)

    async def aclose(self) -> None:
        """Release the connection."""
        await self._redis.aclose()

    async def _go_on_from_earlier(self) -> None:
        """Make what this process writes newer than an earlier one's, even if the clock was set back since."""
        if self._knows_earlier or self._directory is None:
            return
        seq = await scan_wire.read_seq(self._redis, self._shard)
        self._knows_earlier = True
        if seq >= self._directory.layout:
            self._seq = seq
            self.configure(self._directory.revision)

    async def _write(self, directory: Directory) -> None:
        ((_, listeners),) = await self._redis.pubsub_numsub(scan_wire.FRAMES)
        now_s = time.monotonic()
        is_state_due = now_s - self._state_s >= STATE_EVERY_S
        if not (listeners or is_state_due) or self._directory is not directory:
            return
        indices, rows = self._columns.update(self._scanner.take_changed(), time.monotonic_ns())
        if not (len(indices) or is_state_due) and now_s - self._sent_s < HEARTBEAT_EVERY_S:
            return
        self._sent_s = now_s
        previous, self._seq = self._seq, self._seq + 1
        now_us = time.time_ns() // 1000
        async with self._redis.pipeline(transaction=True) as pipe:
            await guard(pipe, self._owner)
            if is_state_due:
                self._state_s = now_s
                self._add_state(pipe, directory, now_us)
            if listeners:
                self.frames += 1
                frame = Frame(
                    self._shard, directory.layout, self._seq, previous, now_us,
                    indices.tobytes(), rows.tobytes(),
                )  # fmt: skip
                pipe.publish(scan_wire.FRAMES, scan_wire.encode(frame))
            await pipe.execute()

    def _add_state(self, pipe: Any, directory: Directory, now_us: int) -> None:
        key = scan_wire.state_key(self._shard)
        rows = self._columns.all(time.monotonic_ns())
        fields = {"state": self._encoded(directory, now_us, rows)}
        if self._state_s - self._evidence_s >= EVIDENCE_EVERY_S:
            self._evidence_s = self._state_s
            fields["directory"] = scan_wire.encode(directory)
            fields["evidence"] = self._encoded(directory, now_us, self._evidence())
        pipe.hset(key, mapping=fields)
        pipe.expire(key, scan_wire.EXPIRY_S)
        pipe.hset(scan_wire.SCANS, self._shard, now_us)

    def _encoded(self, directory: Directory, now_us: int, rows: scan_wire.Rows) -> bytes:
        return scan_wire.encode(State(directory.layout, self._seq, now_us, rows.tobytes()))

    def _evidence(self) -> scan_wire.Rows:
        identity = self._scanner.gatekeeper.identity
        rows: scan_wire.Rows = np.empty(len(self._scanner.pairs), scan_wire.PAIR_ROW)
        rows["ratio"], rows["correlation"] = identity.ratio, identity.correlation
        codes = np.frombuffer(identity.codes, np.uint8)
        rows["identity"], rows["proven"] = np.array(VERDICTS, np.uint8)[codes], codes == SURE
        return rows

    async def _exchange_rates(self) -> None:
        """Publish the rates this shard's exchanges quote, and receive those of others."""
        rates, now_s = self._scanner.rates, time.monotonic()
        if not rates.legs or now_s - self._rates_s < RATES_EVERY_S:
            return
        self._rates_s = now_s
        own, now_us = rates.quoted(), time.time_ns() // 1000
        if own:
            said: dict[Any, Any] = {
                symbol: scan_wire.encode(Rate(rate, now_us, age_ms)) for symbol, (rate, age_ms) in own.items()
            }
            await self._redis.hset(scan_wire.RATES, mapping=said)
        received = await scan_wire.read_rates(self._redis)
        rates.receive({symbol: (each.rate, each.ts_us) for symbol, each in received.items()})

"""The collector's door to the funding page: what exchanges say of funding in, a snapshot to Redis out."""

import asyncio
import logging
import time
from typing import Any, Final

from redis.exceptions import RedisError

from collectors.lease import guard, why_not_written
from collectors.sinks import EmitDerived
from core.channel import Channel
from core.names.market_keys import SWAP, coin_symbol, market_of
from core.outage import Outage
from core.redis_client import ASYNC_TIMEOUT_S, async_redis
from engine.funding.state import FundingBook, FundingState
from markets.config import MarketConfig, Shard
from markets.events import Funding, SinkEvent
from markets.follow import fundings
from markets.follow.fundings import Snapshot, SwapRow

logger = logging.getLogger(__name__)

EVENTS_PER_TURN: Final = 1000
ROWS_PER_TURN: Final = 100
"""Rows made before the loop gets its turn: about 1 ms."""

GATHER_S: Final = 0.25


class FundingSink:
    """A `collectors.sinks.Sink` that folds funding and publishes all of it every 2 s.

    Bounded by the swaps that are followed. A Redis that fails costs a counter, never an exception or memory:
    the next snapshot holds all there is to know.
    """

    wants = frozenset({Funding})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self._channel = channel
        self._shard = shard
        self._book = FundingBook()
        self._coins: dict[tuple[str, str], str] = {}
        self._redis = async_redis()
        self._published = self._failed = self._known = 0
        self._outage = Outage(logger)
        self._ending = asyncio.Event()

    def configure(self, config: MarketConfig) -> None:
        """Apply which swaps there are, and which coins they count as."""
        own = [
            each
            for each in config.instruments
            if market_of(each.exchange) == SWAP and self._shard.owns(each.shard_key)
        ]
        self._coins = {(i.exchange, i.symbol): coin_symbol(i.counts_as or i.symbol) for i in own}
        self._book.keep(self._coins)

    async def run(self) -> None:
        """Consume until the channel is finished."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_publishing(), name="funding publish")
                await self._consume()
        finally:
            await self._redis.aclose()

    def stats(self) -> dict[str, Any]:
        """Numbers of swaps, of snapshots published and failed, and of what was refused, by reason.

        `swaps` are those of which anything was said; of the followed ones, funding of `swaps_known` was known
        at the last snapshot and that of `swaps_unknown` was not.
        """
        return {
            "swaps": len(self._book.states),
            "swaps_known": self._known,
            "swaps_unknown": max(0, len(self._coins) - self._known),
            "funding_published": self._published,
            "funding_failed": self._failed,
            "funding_refused": dict(self._book.refused),
            "intervals_changed": self._book.intervals_changed,
        }

    async def _consume(self) -> None:
        while not self._channel.finished:
            await self._channel.wait()
            for event in self._channel.take(EVENTS_PER_TURN):
                if isinstance(event, Funding) and (event.exchange, event.symbol) in self._coins:
                    self._book.apply(event)
            await asyncio.sleep(0 if self._channel else GATHER_S)
        self._ending.set()

    async def _keep_publishing(self) -> None:
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(fundings.EVERY_S):
                    await self._ending.wait()
            except TimeoutError:
                await self._try_to_publish()

    async def _try_to_publish(self) -> None:
        try:
            async with asyncio.timeout(ASYNC_TIMEOUT_S):
                await self._publish(time.time_ns() // 1000, time.monotonic_ns())
        except (RedisError, OSError, TimeoutError) as problem:
            self._failed += 1
            why = why_not_written(problem, self._shard)
            self._outage.begins("shard %s: funding is not published: %s", self._shard, why)
        else:
            self._published += 1
            self._outage.ends("shard %s: funding is published again", self._shard)

    async def _publish(self, now_us: int, now_mono_ns: int) -> None:
        shard = str(self._shard)
        rows: list[SwapRow] = []
        for number, (key, state) in enumerate(list(self._book.states.items()), 1):
            if coin := self._coins.get(key):
                rows.append(_row(state, coin, now_us, now_mono_ns))
            if number % ROWS_PER_TURN == 0:
                await asyncio.sleep(0)
        self._known = sum(not row.problem for row in rows)
        async with self._redis.pipeline(transaction=True) as pipe:
            await guard(pipe, self._shard)
            snapshot = fundings.encode(Snapshot(shard, now_us, rows))
            pipe.set(fundings.key_of_shard(shard), snapshot, ex=fundings.EXPIRY_S)
            pipe.hset(fundings.SHARDS, shard, now_us)
            await pipe.execute()


def _row(state: FundingState, coin: str, now_us: int, now_mono_ns: int) -> SwapRow:
    bounds = (None, None) if state.bounds_crossed else (state.cap, state.floor)
    return SwapRow(
        state.exchange, state.symbol, coin, state.rate, state.next_ts_us, state.interval_s,
        state.interval_from == "derived", *bounds, state.settled_rate, state.settled_ts_us,
        round(state.age_s(now_mono_ns) * 1000, 1) if state.rate_mono_ns else None,
        state.problem(now_us, now_mono_ns),
    )  # fmt: skip

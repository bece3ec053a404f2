"""Simulated exchanges, a collector with the quality sink alone, and what it publishes through Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from collectors.exchanges import CODECS
from collectors.supervisor import Outlet, Supervisor
from core.redis_client import async_redis
from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Shard
from monitoring.quality.sink import QualitySink
from monitoring.quality.store import read_quality
from monitoring.quality.wire import ExchangeQuality, Quality, SymbolQuality
from simulator.server import Simulator
from tests.support.exchanges.tiny_exchange import TIMING

SHARD = Shard()


def config(simulator: Simulator) -> MarketConfig:
    """Everything the simulator lists."""
    keys = sorted(simulator.exchanges)
    return MarketConfig(
        revision=1,
        exchanges=tuple(
            ExchangeConfig(key, key, True, 10.0, 10.0, simulator.rest_url(key), simulator.ws_url(key))
            for key in keys
        ),
        instruments=frozenset(
            InstrumentConfig(key, listing.symbol, native)
            for key in keys
            for native, listing in simulator.exchanges[key].by_native.items()
        ),
        opportunities=(),
    )


@dataclass
class QualityDesk:
    """State that an operator could see."""

    simulator: Simulator
    redis: "Redis"
    quality: Quality

    def exchange(self, key: str) -> ExchangeQuality:
        return next(row for row in self.quality.exchanges if row.exchange == key)

    def symbol(self, exchange: str, symbol: str) -> SymbolQuality:
        return self.quality.symbol(self.quality.names.index((exchange, symbol)))

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 20.0) -> None:
        """Read on until the condition holds."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.quality = await read_quality(self.redis)
                    if self.quality.exchanges and condition():
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {what}; {self.quality.exchanges}") from None


@asynccontextmanager
async def quality_desk(simulator: Simulator) -> AsyncIterator[QualityDesk]:
    """A collector that runs until everything is live."""
    outlets = Outlet.chain([QualitySink], SHARD, 100_000)
    supervisor = Supervisor(CODECS, outlets, SHARD, timing=TIMING)
    supervisor.apply(config(simulator))
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks, async_redis() as redis:
        tasks.create_task(supervisor.run(stop))
        try:
            yield QualityDesk(simulator, redis, Quality())
        finally:
            stop.set()

"""A swap is settled more often from now on: from the exchange's wire through the monitor to an alert."""

import asyncio

import pytest
from channels.db import database_sync_to_async
from redis import Redis

from core.redis_client import async_redis
from markets.follow.fundings import read_snapshots
from monitoring.alerts.evaluator import HealthWatch
from monitoring.health.fundings import FundingMemory
from monitoring.models import Alert, AlertRule, What
from realtime.funding.sink import FundingSink
from simulator.server import Simulator
from tests.collectors.test_swaps import Running, config

pytestmark = pytest.mark.django_db(transaction=True)

KEY, SYMBOL = "gate:swap", "BTC/USDT:USDT"


async def test_an_interval_that_changes_while_all_runs_makes_one_alert(empty_redis: Redis) -> None:
    await AlertRule.objects.acreate(name="intervals", what=What.FUNDING_INTERVAL)
    memory, watch, redis = FundingMemory(), HealthWatch(), async_redis()
    loop = asyncio.get_running_loop()

    async def interval_s() -> int | None:
        """Interval that the monitor sees now; its rules are judged."""
        now_s = loop.time()
        seen = memory.take(await read_snapshots(redis), round(now_s * 1e6), now_s)
        await database_sync_to_async(watch.judge)([], round(now_s * 1e6), 0, seen)
        found = seen.coins.get("BTC/USDT", {}).get(KEY)
        return None if found is None else found.interval_s

    async def wait_for(seconds: int) -> None:
        async with asyncio.timeout(60):
            while await interval_s() != seconds:  # noqa: ASYNC110 - Redis is polled, as by the monitor
                await asyncio.sleep(0.2)

    try:
        async with (
            Simulator(exchanges=(KEY,), symbols=2, rate=40) as simulator,
            Running(config(simulator, KEY), FundingSink),  # type: ignore[arg-type]
        ):
            await wait_for(8 * 3600)
            simulator.inject(f"{KEY}/{SYMBOL}:funding-interval=4")
            await wait_for(4 * 3600)
            await interval_s()
    finally:
        await redis.aclose()
    incident = await Alert.objects.aget()
    assert incident.title == f"{SYMBOL} from 8 h to 4 h on {KEY}: funding interval changed"
    assert incident.words == f"Funding of {SYMBOL} on {KEY} is settled every 4 h now, every 8 h before."

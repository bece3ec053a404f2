"""The realtime sink behind: what waited is judged by when it was received, not by when its turn came."""

import asyncio
import time

import numpy as np
import pytest

from collectors.channel import Channel
from markets.config import Shard
from markets.events import DerivedEvent, Quote, SinkEvent, SpreadPoints
from realtime.sink import EVENTS_PER_TURN, RealtimeSink
from tests.live import eventually
from tests.spread_oracle import FIRST, SECOND, SYMBOL, config

MS = 1_000_000
BACKLOG = 40 * EVENTS_PER_TURN


@pytest.mark.usefixtures("empty_redis")
async def test_a_backlog_makes_no_chart_stale_whose_next_quotes_wait() -> None:
    channel: Channel[SinkEvent] = Channel("realtime")
    emitted: list[DerivedEvent] = []
    sink = RealtimeSink(channel, Shard(), emitted.append)
    sink.configure(config(tolerance_ms=1000))
    now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
    for waiting in range(BACKLOG, 0, -1):  # a quote every 10 ms: the first was received long ago
        exchange = FIRST if waiting % 2 else SECOND
        stamps = (now_us - waiting * 10_000, now_ns - waiting * 10 * MS)
        channel.put(Quote(exchange, SYMBOL, 100.0, 1.0, 100.1, 1.0, None, *stamps))

    running = asyncio.create_task(sink.run())
    await eventually(lambda: not channel, "the backlog is worked off")
    channel.close()
    await asyncio.wait_for(running, 5)

    parts = [event.points for event in emitted if isinstance(event, SpreadPoints)]
    assert len(parts) > 1, "it was collected while quotes waited"
    spreads = np.concatenate(parts)[:, 1]
    assert not np.isnan(spreads[:-1]).any(), "the line is whole; its end may have come by now"

"""Settings for a collector process with one more sink, which counts what the sinks get."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from arbsite.settings import *  # noqa: F403
from arbsite.settings import COLLECTOR_SINKS as PRODUCT_SINKS
from collectors.sinks import EmitDerived
from core.channel import Channel
from markets.config import MarketConfig, Shard
from markets.events import OpportunityEvent, Quote, SinkEvent, SpreadPoints, StreamState, Trade

COLLECTOR_SINKS = [*PRODUCT_SINKS, "tests.support.lakes.counting_sink.CountingSink"]

TABLES = {Quote: "quotes", Trade: "trades", SpreadPoints: "spreads", OpportunityEvent: "opportunities"}


class CountingSink:
    """Leaves the rows that its events would make in the file COUNTS_FILE."""

    wants = frozenset({StreamState, *TABLES})

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, _emit: EmitDerived) -> None:
        self.channel = channel
        self.rows: Counter[str] = Counter()

    def configure(self, config: MarketConfig) -> None:
        """Nothing to know."""

    async def run(self) -> None:
        while not self.channel.finished:
            await self.channel.wait()
            for event in self.channel.take(1000):
                self.count(event)
        self.report()

    def report(self) -> None:
        Path(os.environ["COUNTS_FILE"]).write_text(json.dumps(self.rows))

    def count(self, event: SinkEvent) -> None:
        if isinstance(event, StreamState):
            self.rows["stream_states"] += len(event.symbols)
        else:
            self.rows[TABLES[type(event)]] += len(event.points) if isinstance(event, SpreadPoints) else 1

    def stats(self) -> dict[str, Any]:
        return dict(self.rows)

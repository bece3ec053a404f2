"""Speaks for a collector and a monitor, so that the health page has something to show."""

import time

import msgspec
import numpy as np
from msgspec import structs
from redis import Redis

from core.health.findings import Finding
from monitoring.health.memory import FRESH, Published
from monitoring.quality import wire
from monitoring.quality.wire import MINUTE_ROW, ExchangeQuality, Quality, Rows, ShardReport

FOR_US = 90_000_000
"""How long what is unhealthy has been so."""


class Reports:
    """One shard, that knows these exchanges and symbols."""

    def __init__(self, redis: Redis, quality: Quality) -> None:
        self._redis = redis
        self._exchanges = quality.exchanges
        self._names = wire.encode(quality.names)
        self.rows: Rows = quality.rows

    def publish(self, *findings: Finding) -> None:
        """Publish what is known of the symbols now, and the findings."""
        now_us, digest = time.time_ns() // 1000, wire.digest_of(self._names)
        report = ShardReport("1/1", now_us, digest, [_at(now_us, each) for each in self._exchanges],
                           self.rows.tobytes())  # fmt: skip
        minute = np.zeros(len(self.rows), MINUTE_ROW)
        minute["quotes"] = 321
        since = tuple(structs.replace(each, since_us=now_us - FOR_US) for each in findings)
        with self._redis.pipeline() as pipe:
            pipe.set(wire.names_key(digest), self._names)
            pipe.set(wire.report_key("1/1"), wire.encode(report))
            pipe.set(wire.minute_key("1/1", now_us // 60_000_000 - 1), wire.minute_value(digest, minute))
            pipe.hset(wire.SHARDS, "1/1", now_us)
            pipe.set(FRESH, msgspec.json.encode(Published(now_us, since)))
            pipe.execute()


def _at(now_us: int, exchange: ExchangeQuality) -> ExchangeQuality:
    every = dict.fromkeys(wire.SYMBOL_STATES, 1)
    return structs.replace(exchange, since_us=now_us - FOR_US, symbols=every)

"""Writes what one collector knows of its data to Redis; the layout is in quality_wire."""

from redis.asyncio import Redis

from collectors.lease import guard
from markets.config import Shard
from monitoring.quality import wire
from monitoring.quality.book import DataQuality
from monitoring.quality.wire import ShardReport

_MINUTE_US = 60_000_000


class QualityWriter:
    """One shard's reports, and a minute of every instrument whenever one has passed."""

    def __init__(self, redis: "Redis", shard: Shard, now_us: int) -> None:
        self._redis = redis
        self._owner = shard
        self._shard = str(shard)
        self._layout = -1
        self._names = b""
        self._digest = ""
        self._minute = now_us // _MINUTE_US

    async def write(self, quality: DataQuality, now_us: int, now_ns: int) -> None:
        """Report how things are now. Raises RedisError; a minute that was to be written is lost then."""
        quality.assess(now_us, now_ns)
        if quality.layout != self._layout:
            self._names = wire.encode(quality.names())
            self._layout, self._digest = quality.layout, wire.digest_of(self._names)
        minute = self._take_minute(quality, now_us, now_ns)
        exchanges, rows = quality.exchange_rows(now_ns), quality.rows(now_ns)
        report = ShardReport(self._shard, now_us, self._digest, exchanges, rows.tobytes())
        names_key = wire.names_key(self._digest)
        are_there = await self._redis.expire(names_key, wire.NAMES_EXPIRY_S)
        async with self._redis.pipeline(transaction=True) as pipe:
            await guard(pipe, self._owner)
            if not are_there:
                pipe.set(names_key, self._names, ex=wire.NAMES_EXPIRY_S)
            if minute is not None:
                pipe.set(*minute, ex=wire.MINUTE_EXPIRY_S)
            pipe.set(wire.report_key(self._shard), wire.encode(report), ex=wire.EXPIRY_S)
            pipe.hset(wire.SHARDS, self._shard, now_us)
            await pipe.execute()

    def _take_minute(self, quality: DataQuality, now_us: int, now_ns: int) -> tuple[str, bytes] | None:
        """Key and value of the minute that has passed, if one has."""
        minute = self._minute
        if now_us // _MINUTE_US == minute:
            return None
        self._minute = now_us // _MINUTE_US
        return wire.minute_key(self._shard, minute), wire.minute_value(
            self._digest, quality.take_minute(now_ns)
        )

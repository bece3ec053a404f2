"""Looking at everything, and the process that does it every second, through real stores."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.db import connection
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from arbsite.desk import embedded
from core.process.heartbeat import Heartbeat, QueueFill
from core.process.vitals import PROCESSES, Vitals
from markets.follow.runtime import CollectorStatus, report_status
from monitoring.health.limits import HealthLimits, load_limits
from monitoring.health.memory import FRESH, Published
from monitoring.health.observe import Observer
from monitoring.health.observed import Limits, Observed
from monitoring.health.stores import measure, publish_stores
from monitoring.pages.series import Steps, read_series, series_names, write
from tests.support.live import DEADLINE_S, database_url, until

pytestmark = pytest.mark.django_db


# --- one look ------------------------------------------------------------------------------------


async def look() -> Observed:
    observer = Observer()
    try:
        return await observer.look()
    finally:
        await observer.close()


async def test_an_observation_has_the_processes_and_the_stores(empty_redis: Redis) -> None:
    observer = Observer()
    with Vitals("beat", "beat", settings.REDIS_URL) as vitals:
        await report_status(observer._redis, CollectorStatus("1/1", revision=3))
        await publish_stores(observer._redis, await asyncio.to_thread(measure))
        until(lambda: vitals.latest and empty_redis.hexists(PROCESSES, "beat"), "the heartbeat")
        now = await observer.look()
    await observer.close()
    assert (now.redis.well, now.database.well, now.missing) == (True, True, ())
    assert [beat.name for beat in now.heartbeats] == ["beat"]
    assert [collector.shard for collector in now.collectors] == ["1/1"]
    assert now.database_bytes is not None
    assert now.redis_bytes is not None
    assert {table.table for table in now.lake} >= {"quotes", "spreads"}


async def test_what_could_not_be_asked_is_named(empty_redis: Redis, settings: Any) -> None:
    assert "sizes and maintenance runs (no monitor has measured them)" in (await look()).missing
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    now = await look()
    assert not now.redis.well
    assert now.listening_since_us is None
    assert now.missing == ("processes, exchanges and symbols (Redis does not respond)",)
    assert now.database.well


async def test_a_database_that_hangs_is_waited_for_by_one_and_no_longer_than_agreed(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, asked = threading.Event(), []

    def saved_revision() -> int:
        asked.append(1)
        hangs.wait(DEADLINE_S)
        return 5

    monkeypatch.setattr("monitoring.health.observe.saved_revision", saved_revision)
    monkeypatch.setattr("monitoring.health.observe.TIMEOUT_S", 0.2)
    observer = Observer()
    try:
        looks = [await observer.look() for _ in range(3)]
        assert [now.database.words for now in looks] == ["no answer within 0.2 s"] * 3
        assert len(asked) == 1
        hangs.set()
        assert (await observer.look()).saved_revision == 5
    finally:
        hangs.set()
        await observer.close()


async def test_hosts_whose_clock_is_wrong_are_received_all_the_same(empty_redis: Redis) -> None:
    observer, an_hour = Observer(), 3600 * 1_000_000
    for tick in range(2):
        beat = Heartbeat("web", "web far:1", "far", 1, 0, time.time_ns() // 1000 - an_hour + tick)
        empty_redis.hset(PROCESSES, beat.name, _json(beat))
        now = await observer.look()
    await observer.close()
    assert now.at_us - now.heartbeats[0].reported_ts_us < 1_000_000


async def test_after_an_outage_of_redis_no_process_is_missing_that_was_not_listened_for(
    empty_redis: Redis,
) -> None:
    """Redis holds what was before: that nothing could be received is not that a process sent nothing."""
    beat = Heartbeat("collector", "collector 1/1", "desk", 1, 0, time.time_ns() // 1000 - 12_000_000)
    empty_redis.hset(PROCESSES, beat.name, _json(beat))
    observer = Observer()
    there, observer._redis = observer._redis, AsyncRedis.from_url("unix:///nonexistent/redis.sock")
    assert not (await observer.look()).redis.well
    observer._redis = there
    now = await observer.look()
    assert now.redis.well
    assert now.at_us - now.heartbeats[0].reported_ts_us < 1_000_000
    await observer.close()


async def test_a_killed_process_that_is_back_is_not_one_that_said_goodbye(empty_redis: Redis) -> None:
    observer = Observer()

    async def restarts(*beats: Heartbeat) -> list[str]:
        empty_redis.delete(PROCESSES)
        for beat in beats:
            empty_redis.hset(PROCESSES, beat.name, _json(beat))
        return [restart.name for restart in (await observer.look()).restarts]

    def life(name: str, number: int) -> Heartbeat:
        return Heartbeat("collector", name, "a", number, number, time.time_ns() // 1000)

    assert await restarts(life("collector 1/2", 1), life("collector 2/2", 1)) == []
    assert await restarts(life("collector 1/2", 1)) == [], "the second said goodbye"
    assert await restarts(life("collector 1/2", 2), life("collector 2/2", 2)) == ["collector 1/2"]
    assert await restarts(life("collector 1/2", 2), life("collector 2/2", 2)) == ["collector 1/2"]
    await observer.close()


async def test_drops_are_counted_over_a_minute_and_not_since_the_start(empty_redis: Redis) -> None:
    observer, rates = Observer(), []
    for dropped in (500, 520, 3):  # the third is another process of that name
        queues = {"LakeSink": QueueFill(0, 10, dropped)}
        beat = Heartbeat("collector", "collector 1/1", "a", 1, 0, time.time_ns() // 1000, queues=queues)
        empty_redis.hset(PROCESSES, beat.name, _json(beat))
        rates.append((await observer.look()).drops_per_min["collector 1/1 LakeSink"])
    await observer.close()
    assert rates == [0, 20, 0]


def _json(beat: Heartbeat) -> bytes:
    return msgspec.json.encode(beat)


async def test_many_readers_at_once_share_one_observation(empty_redis: Redis) -> None:
    observer = Observer()
    first, *others = await asyncio.gather(*(observer.observe() for _ in range(20)))
    await observer.close()
    assert all(other is first for other in others)


def test_the_operators_limits_hold(db: None) -> None:
    assert load_limits() == Limits()
    HealthLimits.objects.create(memory_pct=50)
    assert load_limits() == Limits(memory_pct=50)


# --- graphs --------------------------------------------------------------------------------------


async def test_graphs_keep_a_mean_or_the_worst_of_each_step(empty_redis: Redis) -> None:
    redis: AsyncRedis = AsyncRedis.from_url(settings.REDIS_URL)  # which waits: this is not about outages
    steps = Steps()
    for second in range(61):
        values = {"process|web|cpu_pct": float(second), "process|web|loop_lag_ms": float(second)}
        await write(redis, steps.add(1_000_020 + second, values), 1_000_020 + second)
    names = await series_names(redis)
    fine = await read_series(redis, names, "10s")
    coarse = await read_series(redis, names, "1m")
    await redis.aclose()
    assert fine["process|web|cpu_pct"] == (
        [1_000_020 + 10 * n for n in range(6)],
        [4.5 + 10 * n for n in range(6)],
    )
    assert fine["process|web|loop_lag_ms"][1] == [9.0 + 10 * n for n in range(6)]
    assert coarse["process|web|cpu_pct"] == ([1_000_020], [29.5])


# --- the monitor ---------------------------------------------------------------------------------


@contextmanager
def monitor(redis_url: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "DATABASE_URL": database_url(), "REDIS_URL": redis_url}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "monitor"], cwd=Path(settings.BASE_DIR), env=environment
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def monitors(redis: "Redis") -> dict[int, bool]:
    """The pids of the monitors there are, and which one works."""
    fields: dict[bytes, bytes] = redis.hgetall(PROCESSES)  # type: ignore[assignment]
    beats = [msgspec.json.decode(value, type=Heartbeat) for value in fields.values()]
    return {beat.pid: bool(beat.counters.get("leads")) for beat in beats}


def published(redis: "Redis") -> Published | None:
    try:
        value: Any = redis.get(FRESH)
    except RedisError:
        return None
    return None if value is None else msgspec.json.decode(value, type=Published)


CUT_EVERYBODY = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND datname = current_database()
"""


@pytest.mark.django_db(transaction=True)
def test_of_two_monitors_one_works_the_other_takes_over_and_stores_may_restart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("m")
    server = embedded.redis(home)
    with embedded.running(server, home / "redis.log") as url, monitor(url) as one, monitor(url) as other:
        redis = Redis.from_url(url)
        known = until(lambda: (all_ := monitors(redis)) and sum(all_.values()) == 1 and all_, "one works")
        first, second = (one, other) if known.get(one.pid) else (other, one)
        until(lambda: monitors(redis) == {first.pid: True, second.pid: False}, "the other stands by")
        first.kill()
        until(lambda: monitors(redis).get(second.pid), "it takes over")
        until(lambda: published(redis), "findings")

        with connection.cursor() as cursor:  # what a restart of PostgreSQL does to its clients
            cursor.execute(CUT_EVERYBODY)
            assert cursor.fetchone()[0] > 0
        before_us = time.time_ns() // 1000
        until(lambda: (now := published(redis)) and now.at_us > before_us, "it goes on looking")

        redis.shutdown(nosave=True)
        with embedded.running(server, home / "redis.log"):
            again = Redis.from_url(url)
            until(lambda: published(again), "it publishes to the restarted Redis")
            until(lambda: monitors(again) == {second.pid: True}, "it still works")
            second.send_signal(signal.SIGTERM)
            assert second.wait(10) == 0
            assert monitors(again) == {}

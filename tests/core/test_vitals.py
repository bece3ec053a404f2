"""Heartbeats: what a process says of itself, from a thread that its event loop cannot hold up."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from core.process.heartbeat import Heartbeat, QueueFill, Report
from core.process.sampling import GcWatch, Weight, memory_limit
from core.process.vitals import PROCESSES, Vitals, heartbeats, process_vitals, read_heartbeats
from tests.support.live import DEADLINE_S, eventually


def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.process.vitals.BEAT_EVERY_S", 0.05)


async def _beat(redis: AsyncRedis, name: str, until: object = None) -> Heartbeat:
    """The heartbeat of that name, once `until` holds of it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for beat in await read_heartbeats(redis):
            if beat.name == name and (until is None or until(beat)):  # type: ignore[operator]
                return beat
        await asyncio.sleep(0.01)
    raise AssertionError(f"no such heartbeat of {name}")


def test_the_first_figure_of_cpu_is_of_the_time_since_the_process_began() -> None:
    cores = os.cpu_count() or 1
    _rss, cpu_pct = Weight().take()
    assert 0 <= cpu_pct <= 100 * cores


async def test_a_process_reports_its_memory_and_what_only_it_can_know(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fast(monkeypatch)
    said = Report(revision=7, queues={"LakeSink": QueueFill(3, 10, 1)}, counters={"points": 5.0})
    async with AsyncRedis.from_url(settings.REDIS_URL) as redis:
        with Vitals("collector", "collector 1/2", settings.REDIS_URL, lambda: said) as vitals:
            assert process_vitals() is vitals
            beat = await _beat(redis, "collector 1/2", lambda beat: beat.revision == 7)
        assert (beat.role, beat.pid) == ("collector", os.getpid())
        assert beat.queues == {"LakeSink": QueueFill(3, 10, 1)}
        assert beat.counters == {"points": 5.0}
        assert beat.rss_bytes > 10_000_000
        assert beat.loop_lag_ms is not None
        assert beat.sockets > 0
        assert beat.memory_limit_bytes is not None
        assert await read_heartbeats(redis) == [], "a clean stop says goodbye"
    assert process_vitals() is None


async def test_a_loop_that_hangs_is_reported_while_it_hangs(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fast(monkeypatch)

    def seen_from_outside() -> float:
        return max((beat.loop_lag_ms or 0.0 for beat in heartbeats()), default=0.0)

    with Vitals("web", "web here:1", settings.REDIS_URL):
        await eventually(heartbeats, "the first heartbeat")
        deadline = time.monotonic() + DEADLINE_S
        while seen_from_outside() < 400:  # on the loop, without giving it a turn
            assert time.monotonic() < deadline, "nothing was reported"
            time.sleep(0.01)  # noqa: ASYNC251 - it hangs


def test_a_process_that_is_killed_leaves_its_last_heartbeat(empty_redis: Redis) -> None:
    code = (
        "import time; from core.process.vitals import Vitals; import sys;"
        "Vitals('beat', 'beat', sys.argv[1]).start(); time.sleep(60)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "arbsite.settings"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, settings.REDIS_URL], cwd=Path(settings.BASE_DIR), env=environment
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not empty_redis.hexists(PROCESSES, "beat"):
            assert time.monotonic() < deadline, "it does not beat"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    assert [(beat.name, beat.pid) for beat in heartbeats()] == [("beat", process.pid)]


def test_without_redis_nothing_breaks_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _fast(monkeypatch)
    with Vitals("beat", "beat", "unix:///nonexistent/redis.sock") as vitals:
        deadline = time.monotonic() + DEADLINE_S
        first = None
        while first is None or vitals.latest is first:  # it goes on sampling
            first = first or vitals.latest
            assert time.monotonic() < deadline, "it stopped beating"
            time.sleep(0.01)
    assert sum("heartbeat not written" in message for message in caplog.messages) == 1


def test_a_report_that_fails_leaves_the_rest_of_the_heartbeat(
    empty_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    def report() -> Report:
        raise KeyError("gone")

    with Vitals("beat", "beat", settings.REDIS_URL, report) as vitals:
        deadline = time.monotonic() + DEADLINE_S
        while vitals.latest is None:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.01)
        assert vitals.latest.rss_bytes > 0
    assert "lacks its report" in caplog.text


def test_a_heartbeat_of_another_version_hides_no_other(empty_redis: Redis) -> None:
    empty_redis.hset(PROCESSES, "web", b'{"role": "of the future"}')
    with Vitals("beat", "beat", settings.REDIS_URL) as vitals:
        deadline = time.monotonic() + DEADLINE_S
        while not [beat for beat in heartbeats() if beat.name == "beat"]:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.01)
    assert vitals.latest is not None


def test_full_collections_are_counted_but_not_those_on_purpose() -> None:
    watch = GcWatch()
    watch.start()
    try:
        gc.collect(2)
        gc.collect(0)
        with GcWatch.on_purpose():
            gc.collect(2)
        assert watch.full_per_min() == 1
        assert watch.take_longest_ms() > 0
        assert watch.take_longest_ms() == 0
    finally:
        watch.stop()


def test_the_least_of_setting_container_and_machine_is_the_limit() -> None:
    machine = memory_limit(None)
    assert machine is not None
    assert memory_limit(machine + 1) == machine
    assert memory_limit(1000) == 1000

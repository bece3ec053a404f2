"""Nudges through Redis: they hasten what a poll would find out, and are missed by nobody."""

import asyncio
import logging

import pytest
from redis import Redis

from core import nudges
from core.supervised import end
from tests.support.live import eventually

CHANNEL = "tests.nudges"
NOWHERE = "redis://127.0.0.1:1/0"


async def test_a_listener_is_nudged_as_it_begins_by_every_message_and_after_its_connection_was_lost(
    empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nudges, "AGAIN_FIRST_S", 0.05)
    nudged = asyncio.Event()
    listening = asyncio.create_task(nudges.listen(CHANNEL, nudged, "tests"))
    await eventually(nudged.is_set, "one may have been missed before")
    nudged.clear()
    empty_redis.publish(CHANNEL, "7")
    await eventually(nudged.is_set, "a message")
    nudged.clear()
    assert empty_redis.client_kill_filter(_type="pubsub")
    await eventually(nudged.is_set, "one may have been missed meanwhile")
    await end(listening)
    assert listening.cancelled()


async def test_a_redis_that_is_down_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tries = 0

    def often(*_times: float) -> object:
        nonlocal tries
        while True:
            tries += 1
            yield 0.0

    monkeypatch.setattr(nudges, "delays", often)
    listening = asyncio.create_task(nudges.listen(CHANNEL, asyncio.Event(), "tests", NOWHERE))
    await eventually(lambda: tries > 2, "several attempts")
    await end(listening)
    [line] = [record.getMessage() for record in caplog.records if record.name == nudges.__name__]
    assert line.startswith("Redis of REDIS_URL does not answer (")
    assert line.endswith(": tests polled meanwhile")

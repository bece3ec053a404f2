"""The ways to Redis: a task that is cancelled while it talks to it ends, wherever it stands."""

import asyncio
import contextlib

from redis import Redis

from core.redis_client import async_redis
from core.supervised import end

STEPS = 60
"""Turns of the event loop: more than connecting and the first questions take."""


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_cancellation_ends_a_task_wherever_it_talks_to_redis(empty_redis: Redis) -> None:
    for steps in range(STEPS):
        redis = async_redis()

        async def ask() -> None:
            while True:
                await redis.incr("asked")  # noqa: B023

        task = asyncio.create_task(ask())
        await _turns(steps)
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled(), f"after {steps} turns"
        await redis.aclose()


async def test_one_cancellation_ends_a_subscriber(empty_redis: Redis) -> None:
    for steps in range(STEPS):
        redis = async_redis()

        async def listen() -> None:
            async with redis.pubsub() as news:  # noqa: B023
                await news.subscribe("news")
                while True:
                    await news.get_message(timeout=1.0)

        task = asyncio.create_task(listen())
        await _turns(steps)
        task.cancel()
        await asyncio.wait([task], timeout=1.0)
        assert task.cancelled(), f"after {steps} turns"
        await redis.aclose()


async def test_a_time_limit_counts_while_a_question_is_sent(empty_redis: Redis) -> None:
    async with async_redis() as redis:
        late = False
        try:
            async with asyncio.timeout(0.05):
                while True:
                    await redis.ping()
        except TimeoutError:
            late = True
        assert late


async def test_after_a_cancellation_the_next_question_gets_its_own_answer(empty_redis: Redis) -> None:
    empty_redis.mset({"a": "1", "b": "2"})
    async with async_redis() as redis:
        for steps in range(STEPS):
            task: asyncio.Future[bytes | str | None] = asyncio.ensure_future(redis.get("a"))
            await _turns(steps)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                assert await task == b"1"
            assert await redis.get("b") == b"2", f"after {steps} turns"


async def test_a_task_that_was_cancelled_may_still_tidy_up_in_redis(empty_redis: Redis) -> None:
    async with async_redis() as redis:

        async def part() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await redis.set("left", "tidy")

        task = asyncio.create_task(part())
        await _turns(1)
        await end(task)
        assert task.cancelled()
        assert empty_redis.get("left") == b"tidy"

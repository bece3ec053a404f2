"""Waiting times between attempts: doubling, jittered, with a ceiling, and as long as the exchange asks."""

import asyncio
import time
from collections.abc import Iterator
from email.utils import formatdate
from itertools import islice, pairwise

import pytest

from collectors.sockets.answers import retry_after
from collectors.sockets.handshake import under
from collectors.sockets.timing import Timing
from core.backoff import Pace, delays


def steps() -> Iterator[float]:
    """The undisturbed steps of the default backoff."""
    step = 0.5
    while True:
        yield step
        step = min(step * 2, 60.0)


def test_delays_double_up_to_the_ceiling_within_the_upper_half_of_each_step() -> None:
    for delay, step in zip(islice(delays(0.5, 60.0), 20), steps(), strict=False):
        assert step / 2 <= delay <= step


def test_two_connections_that_fell_together_do_not_return_together() -> None:
    assert list(islice(delays(0.5, 60.0), 5)) != list(islice(delays(0.5, 60.0), 5))


def test_a_backoff_starts_again_only_after_a_healthy_minute() -> None:
    backoff = Timing().backoff()
    for _ in range(10):
        backoff.after(59.9)
    assert backoff.after(59.9) >= 30.0
    assert backoff.after(60.0) <= 0.5


async def test_a_pace_keeps_turns_apart_but_lets_the_first_go_at_once() -> None:
    pace = Pace(0.05)
    started = time.monotonic()
    await pace.turn()
    assert time.monotonic() - started < 0.04
    await pace.turn()
    await pace.turn()
    assert time.monotonic() - started >= 0.1


async def test_turns_that_a_busy_process_missed_are_not_made_up_for_in_a_burst() -> None:
    pace = Pace(0.02)
    taken = []

    async def take() -> None:
        await pace.turn()
        taken.append(time.monotonic())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(take())
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - the event loop is held for as long as all of them should take
    gaps = [after - before for before, after in pairwise(taken)]
    assert min(gaps) >= 0.015


class TestRetryAfter:
    @pytest.mark.parametrize("status", [403, 418, 429, 503])
    def test_seconds(self, status: int) -> None:
        assert retry_after(status, "17") == 17.0

    def test_a_date(self) -> None:
        pause_s = retry_after(429, formatdate(time.time() + 90, usegmt=True))
        assert pause_s is not None
        assert 85 < pause_s <= 90

    def test_a_date_in_the_past_is_no_wait(self) -> None:
        assert retry_after(429, formatdate(time.time() - 90, usegmt=True)) == 0.0

    def test_no_ban_is_longer_than_three_days(self) -> None:
        assert retry_after(418, "99999999") == 3 * 86400.0

    @pytest.mark.parametrize(("status", "value"), [(429, None), (429, "soon"), (500, "17"), (404, "17")])
    def test_anything_else_is_left_to_the_backoff(self, status: int, value: str | None) -> None:
        assert retry_after(status, value) is None


@pytest.mark.parametrize(
    ("base", "url", "moved"),
    [
        (
            "ws://127.0.0.1:9000/okx",
            "wss://ws.okx.com:8443/ws/v5/public",
            "ws://127.0.0.1:9000/okx/ws/v5/public",
        ),
        ("wss://mirror.example/", "wss://x.example/stream", "wss://mirror.example/stream"),
        ("ws://h", "wss://x.example/ws?timeUnit=us", "ws://h/ws?timeUnit=us"),
    ],
)
def test_another_base_keeps_the_path_of_the_exchange(base: str, url: str, moved: str) -> None:
    assert under(base, url) == moved

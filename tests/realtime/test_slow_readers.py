"""A client that reads slowly, or asks for much at once, delays itself and nobody else."""

import asyncio
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from redis import Redis

import arbsite.daphne.pacing as pacing
import core.web.places as places_module
from accounts.tokens.tokens import make_token
from core.web.places import Place, Places
from core.web.refused import Refused
from history.lake.tables import Lake
from tests.history.test_api import BTC, DATA, START, asking, many_points, quotes
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.live import Web, daphne, eventually

POOL = 8
"""Database connections of a web process (arbsite.asgi)."""


@pytest.fixture
def long_lake(tmp_path: Path, settings: Settings, transactional_db: None, empty_redis: Redis) -> Lake:
    """A lake with an hour of one chart that is some 25 MB to read, and ten minutes of quotes."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed")
    made = Lake(settings.LAKE_URL)
    write_quotes(made, quotes(600))
    write(made, "spreads", many_points(0, 200_000))
    return made


@pytest.fixture
def tokens(long_lake: Lake) -> tuple[str, str]:
    """Tokens of two users."""
    first, second = User.objects.create_user("first"), User.objects.create_user("second")
    return make_token(first, 1), make_token(second, 1)


async def statuses(web: Web, paths: list[str], token: str) -> list[int]:
    """The answers' statuses; all are asked for before any is read."""
    asked = await asyncio.gather(*(asking(web, path, token) for path in paths))
    return list(await asyncio.gather(*(status_of(reader, writer) for reader, writer in asked)))


async def status_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    async with asyncio.timeout(60):
        head = await reader.readuntil(b"\r\n")
    writer.close()
    return int(head.split()[1])


async def all_answered(web: Web, path: str, token: str) -> None:
    """A hundred at once; on a busy machine some wait in vain for their turn and ask again, as pages do."""
    left = 100
    async with asyncio.timeout(100):
        while left:
            found = await statuses(web, [path] * left, token)
            assert set(found) <= {200, 429}
            assert 200 in found
            left = found.count(429)


@pytest.mark.django_db(transaction=True)
async def test_slow_readers_hold_no_connection_of_the_database(
    tokens: tuple[str, str], settings: Settings
) -> None:
    slow, other = tokens
    path = f"{DATA}?{BTC}&start={START}&end={START + 3600}"
    with daphne(LAKE_URL=settings.LAKE_URL) as web:
        stalled = [await asking(web, path, slow) for _ in range(POOL)]
        for reader, _writer in stalled:
            async with asyncio.timeout(20):
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await statuses(web, ["/readyz", "/api/charts", "/api/pins"] * 5, other) == [200] * 15
        for _reader, writer in stalled:
            writer.close()


@pytest.mark.django_db(transaction=True)
async def test_a_page_of_twenty_charts_may_ask_a_hundred_times_at_once(
    tokens: tuple[str, str], settings: Settings
) -> None:
    many, other = tokens
    path = f"{DATA}?{BTC}&start={START}&end={START + 60}&points=50"
    with daphne(LAKE_URL=settings.LAKE_URL) as web:
        burst = asyncio.create_task(all_answered(web, path, many))
        others: set[tuple[str, int]] = set()
        paths = ["/readyz", "/api/charts", path]
        while not burst.done():
            others.update(zip(paths, await statuses(web, paths, other), strict=True))
        await burst
    assert others == {(each, 200) for each in paths}


# --- places --------------------------------------------------------------------------------------


async def test_a_free_place_goes_to_the_user_who_holds_the_fewest() -> None:
    places = Places(at_once=3, per_user=3)
    held = [await places.take(1) for _ in range(3)]
    order: list[int] = []

    async def wait(user_id: int) -> Place:
        place = await places.take(user_id)
        order.append(user_id)
        return place

    waiting = [asyncio.create_task(wait(user_id)) for user_id in (1, 1, 2, 3)]
    await eventually(lambda: places.stats()["history_waiting"] == 4, "all wait")
    for place in held:
        place.leave()
    await eventually(lambda: len(order) == 3, "three places are handed out")
    assert sorted(order) == [1, 2, 3]
    for task in waiting:
        task.cancel()


async def test_no_user_has_more_than_their_share_however_many_places_are_free() -> None:
    places = Places(at_once=10, per_user=2)
    _held = [await places.take(1) for _ in range(2)]
    third = asyncio.create_task(places.take(1))
    await eventually(lambda: places.stats()["history_waiting"] == 1, "the third waits")
    other = await places.take(2)
    assert not third.done()
    other.leave()
    await eventually(lambda: places.stats()["history_reading"] == 2, "the other one has left")
    assert not third.done()
    third.cancel()


async def test_who_waits_too_long_or_behind_too_many_is_refused_with_a_time_to_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places_module, "WAIT_S", 0.05)
    monkeypatch.setattr(places_module, "WAITING_A_USER", 1)
    places = Places(at_once=1, per_user=1)
    held = await places.take(1)
    answers = await asyncio.gather(places.take(1), places.take(1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Refused, Refused]
    assert {answer.status for answer in answers if isinstance(answer, Refused)} == {429}
    assert all(answer.retry_after_s for answer in answers if isinstance(answer, Refused))
    held.leave()
    (await places.take(1)).leave()
    await eventually(lambda: places.stats()["history_reading"] == 0, "nobody reads")
    assert places.stats()["history_refused"] == 2


@given(st.lists(st.tuples(st.sampled_from(["take", "leave", "cancel"]), st.integers(0, 3)), max_size=60))
def test_places_are_never_lost_nor_handed_out_twice(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        places, tasks = Places(at_once=3, per_user=2), list[asyncio.Task[Place]]()
        for step, number in steps:
            if step == "take":
                tasks.append(asyncio.create_task(places.take(number)))
            elif tasks:
                task = tasks.pop(number % len(tasks))
                if step == "leave" and task.done():
                    task.result().leave()
                    task.result().leave()
                elif not task.done():
                    task.cancel()
                else:
                    tasks.append(task)
            for _ in range(3):
                await asyncio.sleep(0)
            assert places.stats()["history_reading"] == sum(task.done() for task in tasks) <= 3
        for task in tasks:
            if task.done():
                task.result().leave()
            else:
                task.cancel()
        for _ in range(8):
            await asyncio.sleep(0)
        leftover = [await places.take(number) for number in (0, 1, 2)]
        assert len(leftover) == 3

    asyncio.run(run())


# --- how fast an answer has to be read -----------------------------------------------------------


async def test_a_client_that_reads_nothing_is_cut_after_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FIRST_S", 0.05)
    pace = pacing.Pace()
    pace.written = 800  # 0.05 s at the slowest pace
    pace.pauseProducing()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await pace.wait()
    assert time.monotonic() - began >= 0.1


async def test_pauses_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FIRST_S", 0.1)
    pace = pacing.Pace()

    async def pauses() -> None:
        for _ in range(100):
            pace.pauseProducing()
            asyncio.get_running_loop().call_later(0.01, pace.resumeProducing)
            await pace.wait()

    with pytest.raises(TimeoutError):
        await pauses()


async def test_a_client_that_reads_on_is_not_cut_until_the_answer_has_lasted_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "FIRST_S", 0.0)
    pace = pacing.Pace()
    for _ in range(20):
        pace.written += 16_000
        pace.pauseProducing()
        asyncio.get_running_loop().call_later(0.01, pace.resumeProducing)
        await pace.wait()
    monkeypatch.setattr(pacing, "ANSWER_S", 0.0)
    with pytest.raises(TimeoutError):
        await pace.wait()

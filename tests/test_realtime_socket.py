"""`/ws/realtime_charts`: what a browser gets from a real Daphne, a real Redis and a real PostgreSQL."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import websockets
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from redis import Redis

from arbsite.tokens import make_token
from markets.config import MarketConfig
from markets.models import OpportunityFilter, Symbol
from markets.selectors import load_config
from tests.live import Browser, Desk, Web, browser, daphne, desk, eventually

pytestmark = pytest.mark.django_db(transaction=True)

BTC = "BTC/USDT|binance|bybit"


@dataclass
class Stack:
    """A seeded desk and its web process."""

    web: Web
    token: str
    config: MarketConfig


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def token(operator: User) -> str:
    return make_token(operator, days=1)


@pytest.fixture
def stack(seeded: MarketConfig, token: str) -> Iterator[Stack]:
    with daphne() as web:
        yield Stack(web, token, seeded)


async def tick(running: Desk, count: int = 1) -> None:
    """Both legs of BTC quote `count` times; the spread rises by 0.01 % each time."""
    for _ in range(count):
        running.price = getattr(running, "price", 100.0) + 0.01  # type: ignore[attr-defined]
        running.quote("bybit", 100.0)
        running.quote("binance", running.price)  # type: ignore[attr-defined]
        await asyncio.sleep(0.002)


def valid(page: Browser) -> list[float]:
    return [spread for spread in page.spreads(BTC) if spread is not None]


async def test_a_browser_gets_the_snapshot_at_once_and_then_deltas(stack: Stack) -> None:
    async with desk(stack.config) as running:
        await tick(running, 3)
        async with browser(stack.web, stack.token) as page:
            snapshot = await page.next()
            assert snapshot["type"] == "snapshot"
            assert {chart["id"] for chart in snapshot["charts"]} == {o.id for o in stack.config.opportunities}
            await page.until(lambda p: p.state(BTC) == "live", "the chart is live")

            await tick(running, 5)
            await page.until(lambda p: valid(p)[-1] > 0.0799, "the newest point")

    chart = page.charts[BTC]
    assert len(valid(page)) >= 12, "the ends of the snapshot's second, and every point of five ticks"
    assert chart["spreads"][-1] == pytest.approx(0.08, abs=1e-9)
    assert (chart["exchange1"], chart["exchange2"], chart["symbol"]) == ("binance", "bybit", "BTC/USDT")
    assert page.messages[-1]["type"] == "delta"
    assert page.socket.protocol.extensions == [], "compression costs more than it saves here"


async def test_without_acks_points_merge_and_at_most_two_messages_a_second_come(stack: Stack) -> None:
    async with desk(stack.config) as running, browser(stack.web, stack.token) as page:
        await page.next(ack=False)
        started = asyncio.get_running_loop().time()
        feeding = asyncio.create_task(tick(running, 600))
        for _ in range(3):
            await page.next(ack=False)
        assert asyncio.get_running_loop().time() - started >= 1.4
        await feeding
        await tick(running)
        await page.next(ack=False)
    assert len(valid(page)) > 300, "nothing is lost by merging"


async def test_an_acked_message_is_followed_by_the_next_at_once(stack: Stack) -> None:
    async with desk(stack.config) as running, browser(stack.web, stack.token) as page:
        await page.next()
        feeding = asyncio.create_task(tick(running, 400))
        started = asyncio.get_running_loop().time()
        for _ in range(8):
            await page.next()
        assert asyncio.get_running_loop().time() - started < 2
        await feeding


async def test_after_a_reconnect_with_seq_nothing_is_lost_and_nothing_comes_twice(stack: Stack) -> None:
    async with desk(stack.config) as running:
        async with browser(stack.web, stack.token) as page:
            await page.next()
            await tick(running, 2)
            await page.until(lambda p: len(valid(p)) >= 3, "the first points")
        seen = page.charts[BTC]["timestamps"]

        published = running.sink.stats()["batches_published"]
        await tick(running, 1)
        await eventually(lambda: running.sink.stats()["batches_published"] > published, "a flush meanwhile")
        async with browser(stack.web, stack.token, f"?seq={page.seq}") as again:
            missed = await again.next()
            assert missed["type"] == "delta"
            async with browser(stack.web, stack.token, "?seq=1000000") as ancient:
                assert (await ancient.next())["type"] == "snapshot", "that seq is too long ago"
            await tick(running, 1)
            await again.until(lambda p: len(valid(p)) >= 4, "the missed and the new points")

    assert again.charts[BTC]["timestamps"][0] > seen[-1]
    assert [round(s, 6) for s in valid(page) + valid(again)] == [0.01, 0.01, 0.02, 0.02, 0.03, 0.03, 0.04]


async def test_a_restarted_web_process_has_the_last_minutes_and_the_browser_loses_nothing(
    seeded: MarketConfig, token: str
) -> None:
    async with desk(seeded) as running:
        with daphne() as web:
            async with browser(web, token) as page:
                await page.next()
                await tick(running, 3)
                await page.until(lambda p: len(valid(p)) >= 5, "the first points")
                web.process.terminate()
                closed = await the_end(page)
            assert (closed.code, "connect again" in closed.reason) == (1012, True)
        await tick(running, 1)
        with daphne(web.port) as reborn:
            async with browser(reborn, token) as fresh:
                snapshot = await fresh.next()
            async with browser(reborn, token, f"?seq={page.seq}") as again:
                await again.next()
    assert snapshot["type"] == "snapshot"
    assert valid(fresh)[-1] == pytest.approx(0.04, abs=1e-9)
    assert fresh.state(BTC) == "live"
    assert again.messages[0]["type"] == "delta"
    assert valid(again)[-1] == pytest.approx(0.04, abs=1e-9)


async def test_charts_go_stale_when_the_collector_dies_and_return_with_it(stack: Stack) -> None:
    async with browser(stack.web, stack.token) as page:
        async with desk(stack.config) as running:
            await tick(running, 2)
            await page.until(lambda p: p.state(BTC) == "live", "the chart is live")
            before = len(valid(page))
            running.kill()
            await page.until(lambda p: p.state(BTC) == "stale", "the chart is stale")
            assert page.charts[BTC]["reason"] == "no data from collector 1/1 for 3 s"

        async with desk(stack.config) as reborn:
            await tick(reborn, 2)
            await page.until(lambda p: p.state(BTC) == "live", "the chart is live again")
            await page.until(lambda p: len(valid(p)) >= before + 3, "new points")
    assert None in page.spreads(BTC), "the line is broken where the collector was away"


async def test_two_web_processes_show_the_same(stack: Stack) -> None:
    with daphne() as second:
        async with (
            desk(stack.config) as running,
            browser(stack.web, stack.token) as one,
            browser(second, stack.token) as two,
        ):
            await asyncio.gather(one.next(), two.next())
            await tick(running, 5)
            for page in (one, two):
                await page.until(lambda p: len(valid(p)) >= 9, "all points")
    assert one.charts[BTC]["timestamps"] == two.charts[BTC]["timestamps"]
    assert one.spreads(BTC) == two.spreads(BTC)


async def test_what_a_browser_watches_can_change(stack: Stack) -> None:
    eth = "ETH/USDT|binance|bybit"
    async with desk(stack.config), browser(stack.web, stack.token, "?filter=none") as page:
        assert (await page.next())["charts"] == []
        await page.send({"type": "subscribe", "charts": [BTC, eth]})
        await page.until(lambda p: set(p.charts) == {BTC, eth}, "both charts")
        await page.send({"type": "unsubscribe", "charts": [eth]})
        await page.until(lambda p: set(p.charts) == {BTC}, "one chart")
        await page.send({"type": "subscribe", "filter": stack.config.filters[0].id})
        await page.until(lambda p: len(p.charts) == 20, "the whole filter")
        await page.send({"type": "subscribe", "charts": ["DOGE/USDT|mexc|kraken"]})
        await page.until(lambda p: p.messages[-1].get("code") == "unknown_chart", "an error")
        await page.send({"type": "subscribe", "filter": 999999})
        await page.until(lambda p: p.messages[-1].get("code") == "unknown_filter", "an error")


async def test_a_changed_filter_reaches_open_sockets_without_a_reload(stack: Stack) -> None:
    async with desk(stack.config), browser(stack.web, stack.token) as page:
        await page.until(lambda p: len(p.charts) == 20, "the filter's charts")
        await database_sync_to_async(_disable_btc)()
        await page.until(lambda p: len(p.charts) == 16, "the four BTC charts are gone")
        await database_sync_to_async(_add_ada)()
        await page.until(lambda p: any(id.startswith("ADA/") for id in p.charts), "the ADA charts are there")


def _disable_btc() -> None:
    Symbol.objects.filter(name="BTC/USDT").update(enabled=False)


def _add_ada() -> None:
    row = OpportunityFilter.objects.get(name="Majors")
    row.symbols += "\nADA/USDT"
    row.save()


# --- who may, and what may be said ---------------------------------------------------------------


async def test_a_wrong_or_missing_origin_is_refused(stack: Stack) -> None:
    for origin in (None, "https://evil.example", "null", "http://[", "http://127.0.0.1.evil.example"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with browser(stack.web, stack.token, origin=origin):
                pass
        assert refused.value.response.status_code in (400, 403), origin


async def test_a_socket_opens_for_a_session_or_a_token_and_else_says_why_not(
    stack: Stack, operator_cookie: str
) -> None:
    session = {"Cookie": operator_cookie}
    async with websockets.connect(
        stack.web.socket_url, origin=websockets.Origin(stack.web.url), additional_headers=session
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "snapshot"

    for bad in ("", "no-token", stack.token[:-1]):
        async with browser(stack.web, bad) as page:
            closed = await the_end(page)
        assert (closed.code, "log in" in closed.reason) == (4401, True)

    for query, name in (
        ("?filter=btc", "filter"), ("?seq=-1", "seq"), ("?seq=1&seq=2", "seq"), ("?filtre=1", "filtre"),
    ):  # fmt: skip
        async with browser(stack.web, stack.token, query) as page:
            closed = await the_end(page)
        assert (closed.code, name in closed.reason) == (4400, True)


OUTSIDE_THE_CONTRACT = [
    ("hello", 4400, "JSON is malformed"),
    ('{"type": "order"}', 4400, "'order'"),
    ('{"type": "ack"}', 4400, "`seq`"),
    ('{"type": "ack", "seq": "1"}', 4400, "$.seq"),
    ('{"type": "ack", "seq": 1, "extra": 2}', 4400, "extra"),
    ('{"type": "subscribe"}', 4400, "either `filter` or `charts`"),
    ('{"type": "unsubscribe", "charts": []}', 4400, "$.charts"),
    ("[" * 50_000, 4400, "object"),
    (b"\x00", 4400, "binary"),
    ("x" * 70_000, 1009, "64 KiB"),
]


async def test_a_message_outside_the_contract_closes_the_socket_saying_why(stack: Stack) -> None:
    for message, code, reason in OUTSIDE_THE_CONTRACT:
        async with browser(stack.web, stack.token, "?filter=none") as page:
            await page.send(message)
            closed = await the_end(page)
        assert closed.code == code, message
        assert reason in closed.reason

    async with browser(stack.web, stack.token, "?filter=none") as page:
        for _ in range(200):
            await page.socket.send('{"type": "ack", "seq": 0}')
        assert (await the_end(page)).code == 4409


async def the_end(page: Browser) -> websockets.frames.Close:
    """Read until the server closes; its code and reason."""
    with pytest.raises(websockets.ConnectionClosed) as closed:
        await page.until(lambda _: False, "the server closes")
    assert closed.value.rcvd is not None, "cut off without a close frame"
    return closed.value.rcvd


async def test_a_user_has_a_limited_number_of_sockets(seeded: MarketConfig, token: str) -> None:
    with daphne(REALTIME_SOCKETS_PER_USER="2") as web:
        async with browser(web, token) as one, browser(web, token) as two:
            await asyncio.gather(one.next(), two.next())
            async with browser(web, token) as three:
                assert (await the_end(three)).code == 4409

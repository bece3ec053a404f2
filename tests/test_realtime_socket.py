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

from arbsite.auth import make_token
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
    assert len(valid(page)) >= 14, "4 points of the snapshot's second, and every one of five ticks"
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
            await tick(running, 2)
            await page.until(lambda p: len(valid(p)) >= 3, "the first points")
        seen = page.charts[BTC]["timestamps"]

        await tick(running, 1)
        await asyncio.sleep(0.15)  # those flushes happen while nobody is connected
        async with browser(stack.web, stack.token, f"?seq={page.seq}") as again:
            missed = await again.next()
            assert missed["type"] == "delta"
            await tick(running, 1)
            await again.until(lambda p: len(valid(p)) >= 4, "the missed and the new points")

    stamps = again.charts[BTC]["timestamps"]
    assert stamps[0] > seen[-1]
    assert [round(s, 6) for s in valid(page) + valid(again)] == sorted(
        [0.01, 0.01, 0.02, 0.02, 0.03, 0.03, 0.04][: len(valid(page) + valid(again))]
    )


async def test_a_seq_from_too_long_ago_gets_a_snapshot(stack: Stack) -> None:
    async with browser(stack.web, stack.token, "?seq=1000000") as page:
        assert (await page.next())["type"] == "snapshot"


async def test_a_restarted_web_process_has_the_last_minutes_and_the_browser_loses_nothing(
    seeded: MarketConfig, token: str
) -> None:
    async with desk(seeded) as running:
        with daphne() as web:
            async with browser(web, token) as page:
                await tick(running, 3)
                await page.until(lambda p: len(valid(p)) >= 5, "the first points")
                web.process.terminate()
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    while True:
                        await page.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            assert "connect again" in closed.value.rcvd.reason
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
        await page.until(lambda p: p.messages[-1]["type"] == "error", "an error")
        assert page.messages[-1]["code"] == "unknown_chart"
        await page.send({"type": "subscribe", "filter": 999999})
        await page.until(lambda p: p.messages[-1]["type"] == "error", "an error")
        assert page.messages[-1]["code"] == "unknown_filter"


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
    row = OpportunityFilter.objects.get()
    row.symbols += "\nADA/USDT"
    row.save()


# --- who may, and what may be said ---------------------------------------------------------------


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://[", "ws://127.0.0.1"])
async def test_a_wrong_or_missing_origin_is_refused(stack: Stack, origin: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with browser(stack.web, stack.token, origin=origin):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("bad", ["", "no-token"])
async def test_who_is_not_signed_in_is_told_so(stack: Stack, bad: str) -> None:
    async with browser(stack.web, bad) as page:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await page.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    assert "log in" in closed.value.rcvd.reason


async def test_a_session_cookie_signs_in(stack: Stack, operator_cookie: str) -> None:
    headers = {"Cookie": operator_cookie}
    async with websockets.connect(
        stack.web.socket_url, origin=stack.web.url, additional_headers=headers
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "snapshot"


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ("hello", 4400, "JSON is malformed"),
        ('{"type": "order"}', 4400, "'order'"),
        ('{"type": "ack"}', 4400, "`seq`"),
        ('{"type": "ack", "seq": "1"}', 4400, "$.seq"),
        ('{"type": "ack", "seq": 1, "extra": 2}', 4400, "extra"),
        ('{"type": "subscribe"}', 4400, "either `filter` or `charts`"),
        ('{"type": "unsubscribe", "charts": []}', 4400, "$.charts"),
        ("[" * 50_000, 4400, "malformed"),
        (b"\x00", 4400, "binary"),
        ("x" * 70_000, 1009, "64 KiB"),
    ],
)
async def test_a_message_outside_the_contract_closes_the_socket_saying_why(
    stack: Stack, message: str | bytes, code: int, reason: str
) -> None:
    async with browser(stack.web, stack.token, "?filter=none") as page:
        await page.send(message)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                await page.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert reason in closed.value.rcvd.reason


@pytest.mark.parametrize(("query", "reason"), [("?filter=btc", "filter"), ("?seq=-1", "seq")])
async def test_a_bad_query_is_named(stack: Stack, query: str, reason: str) -> None:
    async with browser(stack.web, stack.token, query) as page:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await page.next()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, reason in closed.value.rcvd.reason) == (4400, True)


async def test_a_user_has_a_limited_number_of_sockets(seeded: MarketConfig, token: str) -> None:
    with daphne(REALTIME_SOCKETS_PER_USER="2") as web:
        async with browser(web, token) as one, browser(web, token) as two:
            await asyncio.gather(one.next(), two.next())
            async with browser(web, token) as three:
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await three.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


async def test_a_flood_of_messages_is_cut_off(stack: Stack) -> None:
    async with browser(stack.web, stack.token, "?filter=none") as page:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            for _ in range(500):
                await page.send({"type": "ack", "seq": 0})
            await eventually(lambda: page.socket.close_code, "the socket is closed")
            await page.next()
            await page.next()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409

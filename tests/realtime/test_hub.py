"""The hub with several shards and browsers of every temper, on a real Redis and PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.core.management import call_command
from redis import Redis
from redis.exceptions import RedisError

from core.web import acks
from core.web.closing import Closed
from markets.config import MarketConfig, Shard
from markets.selectors import load_config
from realtime.charts import recent
from realtime.charts.hub import Hub
from realtime.charts.viewer import Viewer
from tests.support.live import desk, eventually, promised

pytestmark = pytest.mark.django_db(transaction=True)

BTC, SOL = "BTC/USDT|binance|bybit", "SOL/USDT|binance|bybit"


@pytest.fixture
def seeded(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
async def hub(seeded: MarketConfig) -> AsyncIterator[Hub]:
    hub = Hub()
    hub.start()
    yield hub
    await hub.stop()


class Page:
    """A viewer whose messages land in a list; it acks each at once, or only on demand."""

    def __init__(self, hub: Hub, user_id: int = 1, acks: bool = False) -> None:
        self.hub = hub
        self.acks = acks
        self.messages: list[dict[str, Any]] = []
        self.closed: list[Closed] = []
        self.ready = True
        self.viewer = Viewer(user_id, self, hub.reads, self.closed.append)

    def send(self, text: bytes) -> None:
        """Send like `core.web.pipe.Pipe`."""
        self.messages.append(json.loads(text))
        if self.acks:
            asyncio.get_running_loop().call_soon(self.ack)

    def ack(self) -> None:
        self.viewer.acked(self.messages[-1]["seq"])

    def state(self, chart_id: str) -> tuple[str, str] | None:
        """The newest (state, reason) that was sent of a chart."""
        for message in reversed(self.messages):
            for chart in message["charts"]:
                if chart["id"] == chart_id:
                    return chart["state"], chart["reason"]
        return None

    def points(self, chart_id: str) -> int:
        return sum(
            len(chart["timestamps"])
            for message in self.messages
            for chart in message["charts"]
            if chart["id"] == chart_id
        )


@asynccontextmanager
async def page(hub: Hub, acks: bool = True) -> AsyncIterator[Page]:
    """A page that watches the default filter."""
    opened = Page(hub, acks=acks)
    hub.seats.join(opened.viewer)
    await hub.seats.watch_filter(opened.viewer, None)
    yield opened
    hub.leave(opened.viewer)


def shard_of(symbol: str, count: int = 2) -> Shard:
    return next(shard for i in range(count) if (shard := Shard(i + 1, count)).owns(symbol))


async def test_the_charts_of_a_silent_shard_go_stale_and_the_others_do_not(
    hub: Hub, seeded: MarketConfig
) -> None:
    symbols = sorted({o.symbol for o in seeded.opportunities})
    one = next(s for s in symbols if shard_of(s) == Shard(1, 2))
    two = next(s for s in symbols if shard_of(s) == Shard(2, 2))
    chart1, chart2 = f"{one}|binance|bybit", f"{two}|binance|bybit"
    async with page(hub) as shown, desk(seeded, Shard(1, 2)) as first:
        async with desk(seeded, Shard(2, 2)) as second:
            for running, symbol in ((first, one), (second, two)):
                running.quote("bybit", 100.0, symbol)
                running.quote("binance", 100.1, symbol)
            await eventually(lambda: shown.state(chart1) == ("live", ""), "the first shard's chart is live")
            await eventually(lambda: shown.state(chart2) == ("live", ""), "the second shard's too")
            second.kill()
            silent = ("stale", "no data from collector 2/2 for 3 s")
            await eventually(lambda: shown.state(chart2) == silent, "stale, with the reason")
            assert shown.state(chart1) == ("live", "")
        async with desk(seeded, Shard(2, 2)):
            back = ("stale", "waiting for the first quote of Binance; waiting for the first quote of Bybit")
            await eventually(lambda: shown.state(chart2) == back, "the new process speaks for it")


async def test_before_any_collector_charts_wait_in_words(hub: Hub) -> None:
    async with page(hub) as shown:
        await eventually(lambda: shown.messages, "the snapshot")
        assert shown.messages[0]["type"] == "snapshot"
        assert shown.state(BTC) == ("stale", "waiting for the collector")


async def test_one_page_that_never_acks_slows_nobody_and_stays_small(hub: Hub, seeded: MarketConfig) -> None:
    async with page(hub, acks=False) as stuck, page(hub) as quick, desk(seeded) as running:
        await eventually(lambda: stuck.messages and quick.messages, "both snapshots")
        stuck.ack()  # from now on one message may be unacked, and this page acks no more
        for i in range(3000):
            running.quote("bybit", 100.0)
            running.quote("binance", 100.0 + i / 1000)
            if i % 100 == 0:
                await asyncio.sleep(0.02)
        await eventually(lambda: quick.points(BTC) > 500, "points at the quick page")
        await eventually(lambda: len(quick.messages) > 5, "many messages at the quick page")
        assert len(stuck.messages) <= 3
        assert len(stuck.viewer.changes.pending) <= len(seeded.opportunities)


async def test_a_page_that_stops_acking_is_closed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks, "ACK_TIMEOUT_S", 0.3)
    shown = Page(hub)
    hub.seats.join(shown.viewer)
    await hub.seats.watch_filter(shown.viewer, None)
    await eventually(lambda: shown.messages, "the snapshot")
    shown.ack()
    shown.viewer.greet()
    await eventually(lambda: shown.closed, "it is given up")
    assert (shown.closed[0].code, str(shown.closed[0])) == (4408, "no ack for 0.3 s")
    hub.leave(shown.viewer)
    assert hub.stats()["sockets"] == hub.stats()["charts_watched"] == 0


async def test_a_batch_that_got_lost_is_fetched_from_the_store(hub: Hub, seeded: MarketConfig) -> None:
    async with page(hub) as shown, desk(seeded) as running:
        running.quote("bybit", 100.0)
        running.quote("binance", 100.1)
        await eventually(lambda: shown.points(BTC) >= 1, "the first point")
        hub._take = lambda message: None  # type: ignore[method-assign]
        published = running.sink.stats()["batches_published"]
        running.quote("binance", 107.0)
        await eventually(lambda: running.sink.stats()["batches_published"] > published, "a lost batch")
        del hub._take
        running.quote("binance", 100.2)
        await eventually(lambda: shown.points(BTC) >= 3, "all three points")
        spreads = [
            c["spreads"] for m in shown.messages for c in m["charts"] if c["id"] == BTC and c["spreads"]
        ]
        assert 7.0 in [pytest.approx(value) for values in spreads for value in values if value]
        assert hub.counters["batches_missed"] >= 1


async def test_points_out_of_the_store_count_as_seen_where_nothing_older_waits(
    hub: Hub, seeded: MarketConfig
) -> None:
    """Else a browser that connects again after them is sent them twice."""
    async with page(hub, acks=False) as shown, desk(seeded) as running:
        await eventually(lambda: shown.messages, "the snapshot")
        shown.ack()
        for price in (100.1, 100.2):
            flushed_us = hub.book.flushed_us(BTC)
            running.quote("bybit", 100.0)
            running.quote("binance", price)
            await eventually(lambda: hub.book.flushed_us(BTC) > flushed_us, "a flush")  # noqa: B023
        sent = len(shown.messages)
        shown.viewer.catch_up([BTC], shown.messages[-1]["seq"])
        shown.ack()
        await eventually(lambda: len(shown.messages) > sent, "what was missed")
        missed = shown.messages[sent]
        assert [chart["id"] for chart in missed["charts"]] == [BTC]
        assert missed["seq"] >= hub.book.flushed_us(BTC)


async def test_the_hub_receives_on_after_redis_cut_its_connections(
    hub: Hub, seeded: MarketConfig, empty_redis: Redis
) -> None:
    async with page(hub) as shown, desk(seeded) as running:
        running.quote("bybit", 100.0)
        running.quote("binance", 100.1)
        await eventually(lambda: shown.points(BTC) >= 1, "the first point")
        for kind in ("pubsub", "normal"):
            empty_redis.client_kill_filter(_type=kind, skipme=True)

        async def quotes() -> None:
            for i in range(1000):
                running.quote("binance", 100.0 + i / 100)
                await asyncio.sleep(0.02)

        feeding = asyncio.create_task(quotes())
        before = shown.points(BTC)
        await eventually(lambda: shown.points(BTC) > before + 10, "points after the cut")
        feeding.cancel()


async def test_a_page_receives_something_every_second_however_quiet_the_market_is(
    hub: Hub, seeded: MarketConfig
) -> None:
    async with page(hub) as shown, desk(seeded):
        await eventually(lambda: shown.messages, "the snapshot")
        received = len(shown.messages)
        began = asyncio.get_running_loop().time()
        await eventually(lambda: len(shown.messages) >= received + 3, "three signs of life")
        assert asyncio.get_running_loop().time() - began < promised(4)
        last = shown.messages[-1]
        assert (last["type"], last["charts"], last["removed"]) == ("delta", [], [])
        assert [m["seq"] for m in shown.messages] == sorted({m["seq"] for m in shown.messages})


async def test_a_page_that_does_not_ack_is_sent_no_signs_of_life(hub: Hub) -> None:
    async with page(hub, acks=False) as stuck, page(hub) as quick:
        await eventually(lambda: stuck.messages and quick.messages, "both snapshots")
        stuck.ack()
        await eventually(lambda: len(stuck.messages) == 2, "the first sign of life")
        await eventually(lambda: len(quick.messages) > 4, "signs of life elsewhere")
        assert len(stuck.messages) == 2


async def test_while_the_store_does_not_answer_states_are_sent_all_the_same(
    hub: Hub, seeded: MarketConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_asked: object) -> None:
        raise RedisError("gone")

    async with desk(seeded) as running, page(hub) as before:
        running.quote("bybit", 100.0)
        running.quote("binance", 100.1)
        await eventually(lambda: before.state(BTC) == ("live", ""), "the chart is live")
        monkeypatch.setattr(recent, "read", gone)
        hub.reads.forget()
        async with page(hub) as shown:
            await eventually(lambda: shown.state(BTC) == ("live", ""), "its state, without points")
            running.kill()
            silent = ("stale", "no data from collector 1/1 for 3 s")
            await eventually(lambda: shown.state(BTC) == silent, "what became of it")
            received = len(shown.messages)
            await eventually(lambda: len(shown.messages) > received + 1, "signs of life")

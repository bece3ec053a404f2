"""`/ws/scanner` and what goes with it: a real Daphne, a real Redis, and a shard that speaks through it."""

import asyncio
import csv
import io
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from redis import Redis

from accounts.tokens.tokens import make_token
from markets.config import MarketConfig
from markets.models import PinnedChart
from markets.selectors import load_config
from opportunities.services import save_episodes
from realtime.charts import pins
from realtime.scanner import wire as scan_wire
from realtime.scanner.api import harmless
from tests.opportunities.test_episodes import episode
from tests.support.desk.paused_postgres import paused_postgres
from tests.support.live import DEADLINE_S, Web, daphne
from tests.support.scan.shard import Shard

pytestmark = pytest.mark.django_db(transaction=True)

PAIR = {"binance", "bybit"}
BTC = "BTC/USDT|binance|bybit"


class Watcher:
    """A client of the contract: keeps the page as the browser would."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []

    async def view(self, **wanted: Any) -> None:
        await self.socket.send(json.dumps({"type": "view", **wanted}))

    async def next(self, ack: bool = True) -> dict[str, Any]:
        """The next message, applied and acked unless the test says otherwise."""
        async with asyncio.timeout(DEADLINE_S):
            said: dict[str, Any] = json.loads(await self.socket.recv())
        assert said["seq"] == len(self.messages) + 1, "seq rises by one"
        self.messages.append(said)
        if said["type"] == "page":
            self.rows, self.order = {}, [row["id"] for row in said["rows"]]
        self.order = said.get("order", self.order)
        for row in said["rows"]:
            self.rows[row["id"]] = self.rows.get(row["id"], {}) | row
        self.rows = {id: self.rows[id] for id in self.order}
        if ack:
            await self.ack()
        return said

    async def ack(self) -> None:
        await self.socket.send(json.dumps({"type": "ack", "seq": len(self.messages)}))

    async def until(self, condition: Any, what: str) -> None:
        """Read on until it holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(self):
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
            await self.next()


@pytest.fixture
def config(transactional_db: None, empty_redis: Redis) -> MarketConfig:
    call_command("seed")
    return load_config()


@pytest.fixture
def token(operator: User) -> str:
    return make_token(operator, days=1)


@pytest.fixture
def web(config: MarketConfig) -> Iterator[Web]:
    with daphne() as running:
        yield running


@asynccontextmanager
async def scanner(web: Web, token: str) -> AsyncIterator[Watcher]:
    """A connected scanner socket."""
    async with websockets.connect(
        f"ws://127.0.0.1:{web.port}/ws/scanner",
        origin=websockets.Origin(web.url),
        additional_headers={"Authorization": f"Bearer {token}"},
    ) as socket:
        yield Watcher(socket)


async def test_a_scanner_gets_its_page_at_once_then_what_changes_and_one_message_per_ack(
    web: Web, token: str, config: MarketConfig, empty_redis: Redis
) -> None:
    shard = Shard(empty_redis, config)
    assert empty_redis.pubsub_numsub(scan_wire.FRAMES)[0][1] == 0, "nobody looks, nobody listens"
    async with scanner(web, token) as watcher:
        await watcher.view(limit=20)
        page = await watcher.next()
        assert (page["type"], page["total"], page["matches"], len(page["rows"])) == ("page", 560, 560, 20)

        shard.frame([])
        shard.quote("okx", 101.0)
        await watcher.until(lambda w: "okx" in w.order[0] and w.order[0].startswith("BTC"), "okx is dearest")
        best = watcher.rows[watcher.order[0]]
        assert best["edge"] == pytest.approx(80, abs=15), "one per cent less both fees and a bp"
        said = next(m for m in watcher.messages[1:] if m["rows"])
        assert len(said["rows"]) < 20, "only what differs"

        await watcher.next(ack=False)
        for bid in (102.0, 103.0, 104.0):
            shard.quote("okx", bid)
        await watcher.view(search="BTC", sort="symbol", descending=False, limit=50)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await watcher.socket.recv()
        await watcher.ack()
        page = await watcher.next()
        assert (page["type"], page["matches"]) == ("page", 28)
        await watcher.until(
            lambda w: w.rows["BTC/USDT|bybit|okx"]["edge"] > 300, "the newest of what was missed"
        )

        await watcher.until(lambda w: w.rows[BTC]["state1"] == "lost", "its collector fell silent")
        assert watcher.rows[BTC]["edge"] is None
        assert watcher.messages[-1]["collectors"] == 0
        shard.frame([])
        await watcher.until(lambda w: w.rows[BTC]["state1"] != "lost", "it speaks again")


async def test_what_a_collector_knew_before_it_slept_is_no_quiet_market(
    web: Web, token: str, config: MarketConfig, empty_redis: Redis
) -> None:
    """It publishes before it reads its sockets: all rows were "quiet" with quotes from before its sleep."""
    shard = Shard(empty_redis, config)
    async with scanner(web, token) as watcher:
        await watcher.view(search="BTC")
        await watcher.next()
        shard.frame([])
        await watcher.until(lambda w: w.rows[BTC]["state1"] == "live", "it is live")
        await watcher.until(lambda w: w.rows[BTC]["state1"] == "lost", "its collector fell silent")
        count = len(watcher.messages)
        shard.scan.legs["received_ts_us"][shard.place["okx", "BTC/USDT"]] = time.time_ns() // 1000
        shard.quote("okx", 101.0)

        def states(seen: Watcher) -> tuple[str, str]:
            return seen.rows[BTC]["state1"], seen.rows["BTC/USDT|binance|okx"]["state2"]

        await watcher.until(lambda w: states(w)[1] == "live", "what it quoted since is believed at once")
        assert states(watcher)[0] == "lost"
        said = [row.get("state1") for m in watcher.messages[count:] for row in m["rows"] if row["id"] == BTC]
        assert not {"live", "quiet"} & set(said)


async def test_a_database_that_hangs_keeps_no_quote_from_the_scanner(
    token: str, config: MarketConfig, empty_redis: Redis
) -> None:
    shard = Shard(empty_redis, config)

    async def speak() -> None:
        while True:
            shard.frame([])
            await asyncio.sleep(0.2)

    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        async with paused_postgres(Path(folder)) as way:
            with daphne(DATABASE_URL=way.url) as web:
                async with scanner(web, token) as watcher:
                    task = asyncio.create_task(speak())
                    await watcher.view(search="BTC")
                    await watcher.next()
                    way.goes_on.clear()
                    since = time.monotonic()
                    while time.monotonic() < since + 6:
                        await watcher.next()
                    shard.quote("okx", 104.0)
                    said = "BTC/USDT|bybit|okx"
                    await watcher.until(lambda w: w.rows[said]["edge"] > 300, "a quote of meanwhile")
                    assert watcher.rows[said]["state1"] in ("live", "quiet")
                    task.cancel()
                way.goes_on.set()
                web.process.terminate()  # while this loop still carries what it asks of the database
                await asyncio.to_thread(web.process.wait, 30)


async def test_the_first_answer_knows_the_opportunities_of_the_last_hour(
    web: Web, token: str, config: MarketConfig, empty_redis: Redis
) -> None:
    now_us = time.time_ns() // 1000
    began = [episode(n, started_us=now_us - 60_000_000 * n) for n in (10, 50, 70)]
    await database_sync_to_async(save_episodes)(began)
    Shard(empty_redis, config)
    text = (await fetch(web, token, "/api/scanner.csv?search=BTC")).decode()
    rows = [row for row in csv.DictReader(io.StringIO(text)) if {row["buy_on"], row["sell_on"]} == PAIR]
    assert [row["opportunities_1h"] for row in rows] == ["2"], "the third began earlier"
    async with scanner(web, token) as watcher:
        await watcher.view(search="BTC", sort="hour")
        assert (await watcher.next())["rows"][0]["hour"] == 2


async def test_the_spread_has_the_sign_of_the_rows_direction(
    web: Web, token: str, config: MarketConfig, empty_redis: Redis
) -> None:
    shard = Shard(empty_redis, config)
    shard.quote("kucoin", 99.0)
    async with scanner(web, token) as watcher:
        await watcher.view(search="BTC", limit=50)
        await watcher.next()
        shard.frame([])
        await watcher.until(lambda w: w.rows["BTC/USDT|kucoin|okx"]["spread"], "KuCoin is cheapest")
        cheap = [row for id, row in watcher.rows.items() if "kucoin" in id]
        assert len(cheap) == 7
        for row in cheap:  # on whichever side of the pair it is
            assert row[f"exchange{3 - row['sell']}"] == "kucoin"
            assert row["spread"] == pytest.approx((100 / 99 - 1) * 100, abs=1e-3)
    text = (await fetch(web, token, "/api/scanner.csv?search=BTC")).decode()
    spreads = [
        float(row["bid_spread_pct"]) for row in csv.DictReader(io.StringIO(text)) if row["buy_on"] == "kucoin"
    ]
    assert spreads == pytest.approx([1.01] * 7, abs=1e-3)
    for one, two in (("kucoin", "mexc"), ("bybit", "kucoin")):
        path = f"/api/opportunities/explain?id=BTC/USDT|{one}|{two}".replace("|", "%7C")
        found = json.loads(await fetch(web, token, path))
        ways = [(way["buy_on"], way["spread_pct"]) for way in found["directions"]]
        other = one if two == "kucoin" else two
        assert ways == [("kucoin", pytest.approx(1.0101, abs=1e-4)), (other, pytest.approx(-1.0, abs=1e-4))]


async def test_what_is_not_in_the_contract_is_refused_in_words(
    web: Web, token: str, config: MarketConfig
) -> None:
    async with scanner(web, token) as watcher:
        await watcher.socket.send('{"type": "view", "sort": "luck"}')
        with pytest.raises(websockets.ConnectionClosed):
            await watcher.socket.recv()
        assert watcher.socket.close_code == 4400
        assert "sort" in str(watcher.socket.close_reason)
    async with scanner(web, "no token") as watcher:
        with pytest.raises(websockets.ConnectionClosed):
            await watcher.socket.recv()
        assert watcher.socket.close_code == 4401
    error = json.loads(await fetch(web, token, "/api/scanner.csv?colour=red"))["error"]
    assert "colour" in error, "the same of the CSV"


async def fetch(web: Web, token: str, path: str) -> bytes:
    """The body of an answer."""

    def ask() -> bytes:
        request = urllib.request.Request(web.url + path, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.read()

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("text", ["=1+1", "+A", "-A", "@A", "\tA"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"
    assert harmless("BTC/USDT") == "BTC/USDT"


# --- pins and views ------------------------------------------------------------------------------


def post(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json")


def test_a_pin_becomes_a_chart_for_collectors_and_an_entry_of_its_user(
    config: MarketConfig, operator_client: Client
) -> None:
    chart = "BTC/USDT|gate|kucoin"
    assert chart not in {o.id for o in config.opportunities}
    for _twice in range(2):
        answer = post(operator_client, "/api/pins", {"id": chart})
        assert (answer.status_code, answer.json()["pins"]) == (200, [chart])
    assert chart in {o.id for o in load_config().opportunities}
    shown = operator_client.get("/api/charts?filter=pinned").json()
    assert ([row["id"] for row in shown["charts"]], shown["pinned"]) == ([chart], 1)

    assert operator_client.delete(f"/api/pins?id={chart}").json()["pins"] == []
    assert chart not in {o.id for o in load_config().opportunities}


def test_pins_have_a_limit_and_refusals_say_what_to_do(
    config: MarketConfig, operator_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "MAX_PINS", 1)
    post(operator_client, "/api/pins", {"id": BTC})
    refused = post(operator_client, "/api/pins", {"id": "ETH/USDT|binance|bybit"})
    assert (refused.status_code, "unpin" in refused.json()["error"]) == (409, True)
    for id, status in (("BTC", 400), ("NO/USDT|binance|bybit", 404), ("BTC/USDT|binance|mars", 404)):
        assert post(operator_client, "/api/pins", {"id": id}).status_code == status
    no_pair = post(operator_client, "/api/pins", {"id": "BTC/USDT|binance|mars"}).json()["error"]
    assert "binance / mars is no enabled pair" in no_pair
    assert "enable it in the admin (Markets, Exchange pairs)" in no_pair
    assert PinnedChart.objects.count() == 1


def test_pinning_needs_a_sign_in_and_a_token_of_the_page(config: MarketConfig, operator: User) -> None:
    assert post(Client(), "/api/pins", {"id": BTC}).status_code == 401
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(operator)
    assert post(careful, "/api/pins", {"id": BTC}).status_code == 403


def test_views_are_kept_renamed_and_deleted_per_user(operator_client: Client, db: None) -> None:
    path = "/api/scanner/views"
    query = "kind=swap-swap&search=BTC&min_edge=5"
    assert post(operator_client, path, {"name": " my  view ", "query": query}).json()["views"] == [
        {"name": "my view", "query": query}
    ]
    assert post(operator_client, path, {"name": "better", "was": "my view"}).json()["views"] == [
        {"name": "better", "query": query}
    ]
    assert post(operator_client, path, {"name": "x", "was": "my view"}).status_code == 404
    assert post(operator_client, path, {"name": "x", "query": "colour=red"}).status_code == 400
    assert post(operator_client, path, {"name": "x", "query": "kind=futures"}).status_code == 400
    assert post(operator_client, path, {"name": ""}).status_code == 400

    other = Client()
    other.force_login(User.objects.create_user("other"))
    assert other.get(path).json()["views"] == []
    assert operator_client.delete(f"{path}?name=better").json()["views"] == []

"""Tools for agents, asked by the protocol's own client through the pipes of `manage.py mcp`."""

import time

import pytest
from channels.db import database_sync_to_async
from redis import Redis

from markets.config import MarketConfig
from markets.events import Quote
from orderbook import services
from orderbook.ingest.writer import Writer
from tests.agents.conftest import Door, refused, said
from tests.orderbook.conftest import EMPTY, connect
from tests.support.scan.shard import Shard

pytestmark = pytest.mark.django_db(transaction=True)

SECOND_US = 1_000_000
T0_US = 1_790_000_000_000_000

TOOLS = {
    "health", "exchanges", "symbols", "routes", "why", "opportunities", "history", "bars", "funding",
    "funding_net", "features", "books",
}  # fmt: skip


async def test_every_tool_says_that_it_reads_and_what_its_parameters_mean(agent: Door) -> None:
    async with agent() as client:
        found = (await client.list_tools()).tools
    assert {tool.name for tool in found} == TOOLS
    for tool in found:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.description


async def test_exchanges_and_symbols_are_listed_page_by_page(agent: Door, config: MarketConfig) -> None:
    async with agent() as client:
        exchanges = (await said(client, "exchanges"))["exchanges"]
        assert {row["exchange"] for row in exchanges} == {row.key for row in config.exchanges}
        seen: list[tuple[str, str]] = []
        cursor = ""
        while True:
            answer = await said(client, "symbols", limit=5, cursor=cursor)
            seen += [(row["symbol"], row["exchange"]) for row in answer["symbols"]]
            if answer["next"] is None:
                break
            assert len(answer["symbols"]) == 5
            cursor = answer["next"]
    assert len(seen) == len(set(seen)), "no row twice"
    assert ("BTC/USDT", "binance") in seen


async def test_routes_are_as_the_scanner_has_them(
    agent: Door, config: MarketConfig, empty_redis: Redis
) -> None:
    shard = Shard(empty_redis, config)
    shard.quote("bybit", 101.0)
    async with agent() as client:
        answer = await said(client, "routes", exchanges="binance,bybit", search="BTC")
        (row,) = answer["routes"]
        assert (row["symbol"], row["exchange1"], row["exchange2"]) == ("BTC/USDT", "binance", "bybit")
        assert row["id"] == "BTC/USDT|binance|bybit"
        why = await said(client, "why", symbol="BTC/USDT", exchange1="binance", exchange2="bybit")
        assert why["scanned"]
        books = await said(
            client, "books", symbol="BTC/USDT", exchange1="binance", exchange2="bybit", size=500
        )
        assert [leg["state"] for leg in books["pair"]["legs"]] == ["not followed"] * 2
        assert books["pair"]["size"] == 500
        assert {way["of"] for way in books["pair"]["ways"]} == {"top"}
        assert "there is no exchange 'nowhere'" in await refused(client, "routes", exchanges="nowhere")


async def test_a_cursor_of_another_question_is_refused(agent: Door) -> None:
    async with agent() as client:
        first = await said(client, "symbols", limit=1)
        words = await refused(client, "symbols", limit=1, kind="swap", cursor=first["next"])
        assert "cursor: it is of another question" in words
        assert "cursor: give `next`" in await refused(client, "symbols", cursor="nonsense")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"of": "spread", "symbol": "BTC/USDT", "exchange": "binance"}, "exchange2: spread is of a pair"),
        ({"of": "trades", "symbol": "BTC/USDT", "exchange": "nowhere"}, "there is no exchange 'nowhere'"),
        (
            {"of": "trades", "symbol": "BTC/USDT", "exchange": "okx", "start": "soon"},
            "start: 'soon' is no time",
        ),
        ({"of": "weather", "symbol": "BTC/USDT", "exchange": "okx"}, "of"),
        ({"of": "trades", "symbol": "BTC/USDT", "exchange": "okx", "limit": 100_000}, "limit"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_with_the_parameter_named(
    agent: Door, arguments: dict[str, object], words: str
) -> None:
    async with agent() as client:
        assert words in await refused(client, "history", **arguments)


def _record(quotes: list[Quote]) -> None:
    with connect() as store:
        store.execute(EMPTY)
        Writer(services.engine()).write(store, quotes)
    while services.roll_up("book_ticker"):
        pass


async def test_second_bars_are_read_from_the_store_page_by_page(agent: Door, config: MarketConfig) -> None:
    await database_sync_to_async(_record)(
        [
            Quote("okx", "BTC/USDT", 100.0 + n, 1.0, 101.0 + n, 2.0, None, T0_US + n * 1_000_000, 0)
            for n in range(5)
        ]
    )
    within = {
        "symbol": "BTC/USDT",
        "exchange": "OKX",
        "start": str(T0_US / 1e6),
        "end": str(T0_US / 1e6 + 60),
    }
    async with agent() as client:
        first = await said(client, "bars", of="quotes", limit=3, **within)
        rest = await said(client, "bars", of="quotes", limit=3, cursor=first["next"], **within)
        assert "the store has nothing of 'ETH/USDT'" in await refused(
            client, "bars", of="quotes", **within | {"symbol": "ETH/USDT"}
        )
    bars = first["bars"] + rest["bars"]
    assert [bar["second"] for bar in bars] == [T0_US / 1e6 + n for n in range(5)]
    assert [bar["bid"] for bar in bars] == [100.0, 101.0, 102.0, 103.0, 104.0]
    assert rest["next"] is None


async def test_features_of_the_last_seconds_come_newest_first(agent: Door, config: MarketConfig) -> None:
    now_us = time.time_ns() // 1_000
    await database_sync_to_async(_record)(
        [Quote("okx", "BTC/USDT", 100.0, 1.0, 101.0, 2.0, None, now_us - n * SECOND_US) for n in range(1, 30)]
    )
    async with agent() as client:
        first = await said(client, "features", symbols="BTC/USDT", limit=5)
        rest = await said(client, "features", symbols="BTC/USDT", limit=5, cursor=first["next"])
        assert "symbols: 'BTC/USDTT' is not in the store; near: BTC/USDT" in await refused(
            client, "features", symbols="BTC/USDTT"
        )
    times = [row["available_at"] for row in first["features"] + rest["features"]]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == 10
    assert first["features"][0]["micro_price"] == pytest.approx((100.0 * 2 + 101.0 * 1) / 3)

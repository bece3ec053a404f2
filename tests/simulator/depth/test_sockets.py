"""Depth on the simulated sockets: forms of the frames, ids, refusals, and clients that ask for nonsense."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from markets.events import BookUpdate
from simulator.catalogue import MARKETS
from simulator.server import Simulator
from tests.simulator.depth.follower import OTHERS, WIRES, Follower, gate, mexc_swap
from tests.support.exchanges.simulator_client import Client, connect, subscribe_quotes
from tests.support.exchanges.tiny_exchange import until

MANY = 3_000


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Every market with two symbols, quoting fast."""
    async with Simulator(symbols=2, rate=50) as simulator:
        yield simulator


async def pushed(sim: Simulator, key: str, count: int, words: Any, mark: str) -> list[Any]:
    """The next frames of the book of BTC that have `mark` in them, as JSON."""
    async with connect(sim, key) as client:
        await client.send(words)
        return [await client.until(lambda frame: mark in str(frame)) for _ in range(count)]


def ask(key: str, native: str = "BTCUSDT") -> Any:
    return WIRES[key].words("sub", native)


async def test_binance_counts_every_change_and_overlaps_now_and_then(sim: Simulator) -> None:
    frames = [frame["data"] for frame in await pushed(sim, "binance", 40, ask("binance"), "depthUpdate")]
    assert list(frames[0]) == ["e", "E", "s", "U", "u", "b", "a"]
    steps = {after["U"] - before["u"] for before, after in pairwise(frames)}
    assert steps == {0, 1}
    gone = [size for frame in frames for _, size in frame["b"] if not float(size)]
    assert set(gone) == {"0.00000000"}


async def test_binance_swaps_chain_by_pu_and_skip_ids(sim: Simulator) -> None:
    frames = [
        frame["data"] for frame in await pushed(sim, "binance:swap", 10, ask("binance:swap"), "depthUpdate")
    ]
    assert list(frames[0]) == ["e", "E", "T", "s", "ps", "U", "u", "pu", "b", "a", "st"]
    for before, after in pairwise(frames):
        assert after["pu"] == before["u"] < after["U"] - 1


async def test_binance_swaps_have_depth_on_the_public_route_alone(sim: Simulator) -> None:
    async with connect(sim, "binance:swap", "/market/stream") as client:
        assert (await client.ask(ask("binance:swap")))["result"] is None
        assert sim.subscriptions("binance:swap") == {}


async def test_bybit_begins_with_a_snapshot_and_counts_on(sim: Simulator) -> None:
    first, *rest = await pushed(sim, "bybit", 5, ask("bybit"), "orderbook.50")
    assert list(first) == ["topic", "ts", "type", "data", "cts"]
    assert first["type"] == "snapshot"
    assert len(first["data"]["b"]) == 50
    assert [frame["type"] for frame in rest] == ["delta"] * 4
    numbers = [frame["data"]["u"] for frame in (first, *rest)]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert rest[0]["data"]["seq"] > first["data"]["seq"]


async def test_okx_names_the_update_before(sim: Simulator) -> None:
    frames = await pushed(sim, "okx", 4, ask("okx", "BTC-USDT"), "'data'")
    assert [frame["action"] for frame in frames] == ["snapshot", "update", "update", "update"]
    rows = [frame["data"][0] for frame in frames]
    assert rows[0]["prevSeqId"] == -1
    assert all(after["prevSeqId"] == before["seqId"] for before, after in pairwise(rows))
    assert {row["checksum"] for row in rows} == {0}
    assert len(rows[0]["bids"][0]) == 4


async def test_okx_says_of_a_book_that_stands_still_that_it_is_the_same() -> None:
    key = "okx:swap"
    async with (
        Simulator(exchanges=[key], symbols=1, rate=50, time_scale=0.01) as sim,
        connect(sim, key) as client,
    ):
        follower = Follower(sim, key, client)
        await subscribe_quotes(client, key)
        await follower.follow()
        sim.inject(f"{key}/{follower.symbol}:delisting")
        same: list[BookUpdate] = []
        while not same:
            same = [update for update in await follower.read() if update.prev_seq == update.last_seq]
        assert (same[0].bids, same[0].asks) == ([], [])
        assert follower.outcomes[-1] == "applied"
        assert follower.levels() == follower.same(follower.view())


async def test_gates_obu_begins_with_a_whole_book_and_moves_its_id_alone_at_times(sim: Simulator) -> None:
    words = gate("futures.obu", "ob.{}.50")("sub", "BTC_USDT")
    first, *rest = [
        frame["result"] for frame in await pushed(sim, "gate:swap", 30, words, "'update', 'result'")
    ]
    assert first["full"] is True
    assert len(first["b"]) == len(first["a"]) == 50
    last = first["u"]
    for row in rest:
        assert row["U"] == last + 1
        last = row["u"]
    assert any("b" not in row and "a" not in row for row in rest)


async def test_gate_refuses_the_same_obu_twice_and_is_silent_about_unknown_ones(sim: Simulator) -> None:
    words = gate("spot.obu", "ob.{}.50")("sub", "BTC_USDT")
    async with connect(sim, "gate") as client:
        assert (await client.ask(words))["result"]["status"] == "success"
        await client.send(words)
        answer = await client.until(lambda frame: frame["event"] == "subscribe")
        assert answer["error"] == {"code": 2, "message": "Alert sub ob.BTC_USDT.50"}
    async with connect(sim, "gate") as client:
        for name in ("ob.NO_PE.50", "ob.BTC_USDT.7", "nonsense", ""):
            answer = await client.ask({"channel": "spot.obu", "event": "subscribe", "payload": [name]})
            assert answer["result"]["status"] == "success"
        for payload in (["BTC_USDT", "1000ms"], ["NO_PE", "100ms"], ["BTC_USDT", "100ms", "7"], []):
            answer = await client.ask(
                {"channel": "spot.order_book_update", "event": "subscribe", "payload": payload}
            )
            assert answer["error"]["code"] == 2
        assert sim.subscriptions("gate") == {}


async def test_kucoin_gives_each_level_its_sequence_and_moves_it_without_one_at_times(sim: Simulator) -> None:
    frames = [
        frame["data"] for frame in await pushed(sim, "kucoin", 30, ask("kucoin", "BTC-USDT"), "l2update")
    ]
    for before, after in pairwise(frames):
        assert after["sequenceStart"] == before["sequenceEnd"] + 1
    levels = [row for frame in frames for rows in frame["changes"].values() for row in rows]
    assert ["0", "0"] in [row[:2] for row in levels]
    assert all(len(row) == 3 for row in levels)


async def test_kucoin_swaps_have_a_frame_to_each_level(sim: Simulator) -> None:
    frames = await pushed(sim, "kucoin:swap", 20, ask("kucoin:swap", "XBTUSDTM"), "'level2'")
    numbers = [frame["data"]["sequence"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert all(frame["data"]["change"].split(",")[1] in ("buy", "sell") for frame in frames)


async def test_mexc_swaps_merge_versions_or_do_not(sim: Simulator) -> None:
    merged = await pushed(sim, "mexc:swap", 5, mexc_swap()("sub", "BTC_USDT"), "push.depth")
    for before, after in pairwise(frame["data"] for frame in merged):
        assert after["begin"] == before["end"] + 1
        assert after["version"] == after["end"]
    single = await pushed(sim, "mexc:swap", 20, mexc_swap(compress=False)("sub", "BTC_USDT"), "push.depth")
    numbers = [frame["data"]["version"] for frame in single]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert all(isinstance(number, int | float) for number in merged[0]["data"]["asks"][0])


async def test_bitget_names_the_update_before_and_has_no_checksum(sim: Simulator) -> None:
    frames = await pushed(sim, "bitget", 4, ask("bitget"), "'action'")
    assert [frame["action"] for frame in frames] == ["snapshot", "update", "update", "update"]
    rows = [frame["data"][0] for frame in frames]
    assert rows[0]["pseq"] == 0
    assert all(after["pseq"] == before["seq"] for before, after in pairwise(rows))
    assert not any("checksum" in row for row in rows)


async def test_bingx_ids_skip_and_asks_come_worst_first(sim: Simulator) -> None:
    frames = [frame["data"] for frame in await pushed(sim, "bingx", 10, ask("bingx", "BTC-USDT"), "'action'")]
    assert [frame["action"] for frame in frames] == ["all", *["update"] * 9]
    steps = [after["lastUpdateId"] - before["lastUpdateId"] for before, after in pairwise(frames)]
    assert min(steps) >= 1
    assert max(steps) > 1
    asks = [float(price) for price, _ in frames[0]["asks"]]
    assert asks == sorted(asks, reverse=True)


async def test_bingx_has_whole_books_too(sim: Simulator) -> None:
    words = {"id": "1", "reqType": "sub", "dataType": "BTC-USDT@depth20@200ms"}
    for frame in await pushed(sim, "bingx:swap", 3, words, "'bids'"):
        assert len(frame["data"]["bids"]) == len(frame["data"]["asks"]) == 20


@pytest.mark.parametrize("key", MARKETS)
async def test_who_unsubscribes_gets_no_more_and_nothing_is_kept(sim: Simulator, key: str) -> None:
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        await follower.follow()
        assert len(sim.subscriptions(key)) == 1
        await follower.subscribe("unsub")
        await until(lambda: not sim.exchanges[key].follows(follower.symbol))
        assert sim.subscriptions(key) == {}
        await subscribe_quotes(client, key)
        await follower.until(lambda: follower.quotes >= 5)
        changes = sim.counts(key)["changes"]
        await follower.until(lambda: follower.quotes >= 10)
        assert sim.counts(key)["changes"] == changes


@pytest.mark.parametrize("name", OTHERS)
async def test_other_channels_are_unsubscribed_as_well(sim: Simulator, name: str) -> None:
    key, wire = OTHERS[name]
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client, wire)
        await follower.follow()
        await follower.subscribe("unsub")
        await until(lambda: not sim.exchanges[key].follows(follower.symbol))
        assert sim.subscriptions(key) == {}


async def answers(client: Client) -> None:
    """Read on, as a client does whose requests make no sense."""
    while True:
        await client.raw(60)


@pytest.mark.parametrize("key", MARKETS)
async def test_nonsense_leaves_nothing_behind(sim: Simulator, key: str) -> None:
    exchange = sim.exchanges[key]
    exchange.messages_per_window = None  # type: ignore[misc]  # or it would be cut before it has said it all
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        reading = asyncio.create_task(answers(client))
        for number in range(MANY):
            native = ("NOPE", "", "BTC_USDT@", "🦊", "BTCUSDT" * 40)[number % 5]
            await client.send(follower.wire.words("sub", native))
            await client.send(follower.wire.words("unsub", follower.native))
        for _ in range(50):
            await follower.subscribe()
        await until(lambda: exchange.follows(follower.symbol), 30)
        assert len(sim.subscriptions(key)) == 1
        assert sim.connections(key) == 1
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await until(lambda: sim.connections(key) == 0)
    assert exchange.subscribers == {}


async def test_a_client_that_asks_for_books_and_does_not_read_them_is_cut(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.session.OUTBOX_BYTES", 2_000_000)
    async with connect(sim, "okx") as client:
        again = {"op": "subscribe", "args": [{"channel": "books", "instId": "BTC-USDT"}] * 200}
        await client.send(again)
        assert (await client.end()).code == 1006
    await until(lambda: sim.connections("okx") == 0)
    assert sim.exchanges["okx"].subscribers == {}


@pytest.mark.parametrize("key", ["okx", "gate", "mexc"])
async def test_a_recording_has_no_depth_and_its_quotes_go_on(key: str, tmp_path: Path) -> None:
    header = "timestamp,exchange,symbol_base,symbol_quote,bid_price,bid_qty,ask_price,ask_qty\n"
    rows = "".join(f"{1_000 + 10 * n},X,BTC,USDT,{100 + n % 5},1,{106 + n % 5},2\n" for n in range(200))
    (tmp_path / f"{key}_spot_BTC_USDT.csv").write_text(header + rows)
    async with (
        Simulator(exchanges=[key], replay=tmp_path, loop=True) as sim,
        connect(sim, key) as client,
        aiohttp.ClientSession() as http,
    ):
        follower = Follower(sim, key, client)
        await follower.subscribe()
        await until(lambda: sim.exchanges[key].follows("BTC/USDT"))
        await subscribe_quotes(client, key)
        await follower.until(lambda: follower.quotes >= 20)
        assert follower.outcomes == []
        path = follower.wire.rest.format(follower.native) or "/api/v5/market/books?instId=BTC-USDT"
        async with http.get(sim.rest_url(key) + path) as response:
            assert response.status == 404

"""The swap markets of the simulated exchanges: each channel's form, size unit, cadence and answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from simulator.catalogue import SWAPS
from simulator.server import Simulator
from tests.support.exchanges.simulator_client import Client, best, connect, subscribe_quotes
from tests.support.exchanges.tiny_exchange import until

BTC = "BTC/USDT:USDT"
COINS_PER_CONTRACT = {"okx:swap": 0.01, "gate:swap": 0.0001, "kucoin:swap": 0.001, "mexc:swap": 0.0001}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Eight swap markets with 20 symbols, quoting fast."""
    async with Simulator(exchanges=SWAPS, rate=50) as simulator:
        yield simulator


async def quote(client: Client, key: str) -> tuple[float, float, float, float]:
    """The next quote as numbers."""
    while True:
        numbers = best(key, await client.raw())
        if numbers:
            return numbers


def whole(*values: object) -> bool:
    """Whether these are JSON numbers without a fraction."""
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def texts(*values: object) -> bool:
    """Whether these are JSON strings of numbers."""
    return all(isinstance(value, str) and float(value) is not None for value in values)


def recent(ms: float) -> bool:
    """Whether a time in ms is now."""
    return abs(ms / 1000 - time.time()) < 5


@pytest.mark.parametrize("key", SWAPS)
async def test_quotes_are_near_one_price_and_sized_in_the_markets_own_unit(sim: Simulator, key: str) -> None:
    listing = sim.exchanges[key].listings[BTC]
    assert float(listing.contract) == COINS_PER_CONTRACT.get(key, 1.0)
    async with connect(sim, key) as client:
        await subscribe_quotes(client, key)
        for _ in range(5):
            bid, bid_size, ask, ask_size = await quote(client, key)
            assert 0 < bid < ask < bid * 1.001
            assert 102_000 < bid < 104_500
            for size in (bid_size, ask_size):
                dollars = size * float(listing.contract) * bid
                assert 100 < dollars < 2_000_000


async def test_the_front_page_has_a_path_for_each_swap_market(sim: Simulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(sim.url) as response:
            page = await response.json()
        assert page["exchanges"]["okx:swap"]["rest"] == f"{sim.url}/okx-swap"
        assert (
            page["exchanges"]["okx:swap"]["websocket"] == f"ws://127.0.0.1:{sim.port}/okx-swap/ws/v5/public"
        )
        async with http.get(f"{sim.url}/okx/api/v5/public/time") as response:  # spot is not simulated here
            assert response.status == 404
            assert "okx-swap" in (await response.json())["error"]


# --- Binance -----------------------------------------------------------------------------------------


async def test_binance_pushes_the_book_on_public_and_prices_on_market(sim: Simulator) -> None:
    names = ["btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@markPrice@1s"]
    async with (
        connect(sim, "binance:swap") as public,
        connect(sim, "binance:swap", "/market/stream") as market,
        connect(sim, "binance:swap", "/stream") as unrouted,
    ):
        for client in (public, market, unrouted):
            await client.send({"method": "SUBSCRIBE", "params": names, "id": 1})
        book = await public.until(lambda f: "stream" in f)
        assert book["stream"] == "btcusdt@bookTicker"
        assert list(book["data"]) == ["e", "u", "s", "ps", "b", "B", "a", "A", "T", "E", "st"]
        assert (book["data"]["e"], book["data"]["s"], book["data"]["st"]) == ("bookTicker", "BTCUSDT", 1)
        assert texts(*(book["data"][name] for name in "bBaA"))
        assert recent(book["data"]["T"])
        trade = (await market.until(lambda f: f.get("stream") == "btcusdt@aggTrade"))["data"]
        assert list(trade) == ["e", "E", "s", "a", "p", "q", "f", "l", "T", "m"]
        mark = (await market.until(lambda f: f.get("stream") == "btcusdt@markPrice@1s"))["data"]
        assert list(mark) == ["e", "E", "s", "p", "ap", "i", "P", "r", "T", "st"]
        assert texts(mark["p"], mark["i"], mark["r"])
        assert mark["T"] > time.time() * 1000
        routed = {"btcusdt@bookTicker": 2, "btcusdt@aggTrade": 1, "btcusdt@markPrice@1s": 1}
        assert sim.subscriptions("binance:swap") == routed  # where there is no route, it is the book's


async def test_binance_pushes_mark_prices_every_three_seconds_or_every_one() -> None:
    ten_times_as_fast = Simulator(exchanges=["binance:swap"], time_scale=0.1, funding_scale=1)
    async with ten_times_as_fast as sim, connect(sim, "binance:swap", "/market/ws") as client:
        names = ["btcusdt@markPrice", "ethusdt@markPrice@1s"]
        await client.send({"method": "SUBSCRIBE", "params": names, "id": 1})
        seen = [(await client.until(lambda f: f.get("e") == "markPriceUpdate"))["s"] for _ in range(12)]
        assert 2 <= seen.count("ETHUSDT") / seen.count("BTCUSDT") <= 4.5


# --- Bybit -------------------------------------------------------------------------------------------


async def test_bybit_begins_tickers_with_a_snapshot_and_then_says_what_changed(sim: Simulator) -> None:
    async with connect(sim, "bybit:swap") as client:
        request = {"req_id": "7", "op": "subscribe", "args": ["tickers.BTCUSDT", "publicTrade.BTCUSDT"]}
        ack = await client.ask(request)
        assert (ack["success"], ack["ret_msg"], ack["op"], ack["req_id"]) == (True, "", "subscribe", "7")
        first = await client.until(lambda f: f.get("topic") == "tickers.BTCUSDT")
        assert first["type"] == "snapshot"
        fields = first["data"]
        assert fields["symbol"] == "BTCUSDT"
        names = ("markPrice", "indexPrice", "fundingRate", "nextFundingTime", "bid1Price", "bid1Size")
        assert texts(*(fields[name] for name in names), fields["fundingIntervalHour"])
        assert fields["fundingIntervalHour"] == "8"
        second = await client.until(lambda f: f.get("topic") == "tickers.BTCUSDT")
        assert second["type"] == "delta"
        assert "fundingIntervalHour" not in second["data"]
        trade = (await client.until(lambda f: f.get("topic") == "publicTrade.BTCUSDT"))["data"][0]
        assert trade["S"] in ("Buy", "Sell")
        eleven = [f"orderbook.1.{native}" for native in list(sim.exchanges["bybit:swap"].by_native)[:11]]
        await client.send({"op": "subscribe", "args": eleven})  # ten at once is a limit of spot
        assert (await client.until(lambda f: "success" in f))["success"] is True


async def test_bybit_sends_level_one_as_snapshots(sim: Simulator) -> None:
    async with connect(sim, "bybit:swap") as client:
        await client.send({"op": "subscribe", "args": ["orderbook.1.1000PEPEUSDT"]})
        frame = await client.until(lambda f: "data" in f)
        assert list(frame) == ["topic", "ts", "type", "data", "cts"]
        assert (frame["type"], frame["data"]["s"]) == ("snapshot", "1000PEPEUSDT")
        price, size = frame["data"]["b"][0]
        assert float(price) == pytest.approx(0.00521, rel=0.05)
        assert texts(price, size)


# --- OKX ---------------------------------------------------------------------------------------------


async def test_okx_pushes_contracts_marks_indices_and_funding(sim: Simulator) -> None:
    channels = [("bbo-tbt", "BTC-USDT-SWAP"), ("trades", "BTC-USDT-SWAP"), ("mark-price", "BTC-USDT-SWAP")]
    channels += [("index-tickers", "BTC-USDT"), ("funding-rate", "BTC-USDT-SWAP")]
    async with connect(sim, "okx:swap") as client:
        args = [{"channel": channel, "instId": native} for channel, native in channels]
        index = {"channel": "bbo-tbt", "instId": "BTC-USDT"}
        refused = await client.ask({"op": "subscribe", "args": [index, *args]})
        assert (refused["event"], refused["code"]) == ("error", "60018")  # an index is no swap
        rows: dict[str, Any] = {}
        while len(rows) < len(args):
            frame = await client.until(lambda f: "data" in f)
            assert frame["arg"] in args
            rows[frame["arg"]["channel"]] = frame["data"][0]
        assert list(rows["bbo-tbt"]) == ["asks", "bids", "ts", "seqId"]
        assert len(rows["bbo-tbt"]["asks"][0]) == 4
        assert rows["trades"]["instId"] == "BTC-USDT-SWAP"
        assert list(rows["mark-price"]) == ["instType", "instId", "markPx", "ts"]
        assert rows["index-tickers"]["instId"] == "BTC-USDT"
        assert texts(rows["index-tickers"]["idxPx"], rows["mark-price"]["markPx"])
        funding = rows["funding-rate"]
        assert int(funding["nextFundingTime"]) - int(funding["fundingTime"]) == 8 * 3_600_000
        assert funding["nextFundingRate"] == ""
        assert funding["settState"] == "settled"
        assert texts(funding["fundingRate"], funding["settFundingRate"], funding["maxFundingRate"])


# --- Gate --------------------------------------------------------------------------------------------


async def test_gate_sends_contracts_as_numbers_and_a_sellers_trade_as_negative(sim: Simulator) -> None:
    async with connect(sim, "gate:swap") as client:
        await subscribe_quotes(client, "gate:swap")
        ack = await client.until(lambda f: f["event"] == "subscribe")
        assert ack["result"] == {"status": "success"}
        book = (await client.until(lambda f: f["event"] == "update"))["result"]
        assert list(book) == ["t", "u", "s", "b", "B", "a", "A"]
        assert whole(book["B"], book["A"], book["t"])
        assert texts(book["b"], book["a"])
        for channel in ("futures.trades", "futures.tickers"):
            await client.send({"channel": channel, "event": "subscribe", "payload": ["BTC_USDT"]})
        signs: set[int] = set()
        while signs < {-1, 1}:
            (trade,) = (await client.until(lambda f: _is_update(f, "futures.trades")))["result"]
            assert list(trade) == ["size", "id", "create_time", "create_time_ms", "price", "contract"]
            assert whole(trade["size"], trade["create_time_ms"])
            signs.add(trade["size"] // abs(trade["size"]))
        (ticker,) = (await client.until(lambda f: _is_update(f, "futures.tickers")))["result"]
        assert (ticker["contract"], ticker["funding_interval"]) == ("BTC_USDT", 28_800)
        assert whole(ticker["funding_next_apply"])
        assert ticker["funding_next_apply"] > time.time()  # in seconds
        assert texts(ticker["mark_price"], ticker["index_price"], ticker["funding_rate"])


async def test_gate_sends_sizes_as_text_to_a_client_that_asks_for_decimals(sim: Simulator) -> None:
    url = sim.ws_url("gate:swap") + "/v4/ws/usdt"
    async with (
        aiohttp.ClientSession(headers={"X-Gate-Size-Decimal": "1"}) as http,
        http.ws_connect(url) as socket,
    ):
        client = Client(socket)
        await subscribe_quotes(client, "gate:swap")
        book = (await client.until(lambda f: _is_update(f, "futures.book_ticker")))["result"]
        assert texts(book["B"], book["A"])
        await client.send({"channel": "futures.trades", "event": "subscribe", "payload": ["BTC_USDT"]})
        (trade,) = (await client.until(lambda f: _is_update(f, "futures.trades")))["result"]
        assert texts(trade["size"])


def _is_update(frame: Any, channel: str) -> bool:
    return bool(frame["event"] == "update" and frame["channel"] == channel)


async def test_gate_fails_the_request_for_one_unknown_contract_and_answers_pings(sim: Simulator) -> None:
    async with connect(sim, "gate:swap") as client:
        request = {
            "channel": "futures.book_ticker",
            "event": "subscribe",
            "payload": ["BTC_USDT", "NOPE_USDT"],
        }
        answer = await client.ask(request)
        assert answer["error"] == {"code": 2, "message": "unknown contract: NOPE_USDT"}
        assert sim.subscriptions("gate:swap") == {}
        assert (await client.ask({"channel": "futures.ping"}))["channel"] == "futures.pong"
        assert (await client.ask({"channel": "spot.book_ticker"}))["error"]["code"] == 2


async def test_gate_ends_a_socket_without_subscription_that_does_not_ping() -> None:
    thirty_seconds_are_600_ms = Simulator(exchanges=["gate:swap"], time_scale=0.02, funding_scale=1)
    async with (
        thirty_seconds_are_600_ms as sim,
        connect(sim, "gate:swap") as silent,
        connect(sim, "gate:swap") as faithful,
    ):
        began = time.monotonic()
        ends = asyncio.create_task(silent.end())
        while time.monotonic() < began + 1.2:
            await faithful.ask({"channel": "futures.ping"})
            await asyncio.sleep(0.1)
        assert (await ends).code == 1000
        assert sim.connections("gate:swap") == 1


# --- KuCoin ------------------------------------------------------------------------------------------


async def test_kucoin_hands_out_a_url_that_leads_back_to_its_swaps(sim: Simulator) -> None:
    async with connect(sim, "kucoin:swap") as client:
        assert f":{sim.port}/kucoin-swap/" in str(client.socket._response.url)
        await subscribe_quotes(client, "kucoin:swap")
        book = await client.until(lambda f: f["type"] == "message")
        assert list(book) == ["topic", "type", "subject", "sn", "data"]
        assert book["subject"] == "tickerV2"
        data = book["data"]
        assert data["symbol"] == "XBTUSDTM"
        assert whole(data["bestBidSize"], data["bestAskSize"], data["ts"])
        assert texts(data["bestBidPrice"], data["bestAskPrice"])
        assert recent(data["ts"] / 1e6)  # nanoseconds
        execution, instrument = "/contractMarket/execution:XBTUSDTM", "/contract/instrument:XBTUSDTM"
        await client.send({"id": "2", "type": "subscribe", "topic": execution})
        trade = (await client.until(lambda f: f.get("subject") == "match"))["data"]
        assert whole(trade["size"], trade["ts"])
        await client.send({"id": "3", "type": "subscribe", "topic": instrument})
        subjects: dict[str, Any] = {}
        while len(subjects) < 2:
            frame = await client.until(lambda f: f.get("topic") == instrument)
            subjects[frame["subject"]] = frame["data"]
        assert list(subjects["mark.index.price"]) == ["markPrice", "indexPrice", "granularity", "timestamp"]
        assert list(subjects["funding.rate"]) == ["period", "granularity", "fundingRate", "timestamp"]
        assert isinstance(subjects["mark.index.price"]["markPrice"], float)


# --- Bitget ------------------------------------------------------------------------------------------


async def test_bitget_has_funding_in_the_ticker_and_its_swaps_under_their_own_type(sim: Simulator) -> None:
    arg = {"instType": "USDT-FUTURES", "channel": "ticker", "instId": "BTCUSDT"}
    async with connect(sim, "bitget:swap") as client:
        spot = {"instType": "SPOT", "channel": "books1", "instId": "BTCUSDT"}
        assert await client.ask({"op": "subscribe", "args": [spot]}) == {"event": "subscribe", "arg": spot}
        assert sim.subscriptions("bitget:swap") == {}  # taken, and silent
        await client.send(
            {"op": "subscribe", "args": [arg, {**arg, "channel": "books1"}, {**arg, "channel": "trade"}]}
        )
        ticker = await client.until(lambda f: f.get("arg") == arg and "data" in f)
        (row,) = ticker["data"]
        names = ("fundingRate", "nextFundingTime", "markPrice", "indexPrice", "bidPr", "bidSz", "ts")
        assert texts(*(row[name] for name in names))
        assert whole(ticker["ts"])
        book = await client.until(lambda f: f.get("arg", {}).get("channel") == "books1" and "data" in f)
        assert texts(*book["data"][0]["bids"][0])
        await client.until(
            lambda f: f.get("arg", {}).get("channel") == "trade" and f.get("action") == "update"
        )


# --- MEXC --------------------------------------------------------------------------------------------


async def test_mexc_pushes_whole_books_of_numbers_and_acks_without_a_symbol(sim: Simulator) -> None:
    async with connect(sim, "mexc:swap") as client:
        ack = await client.ask({"method": "sub.depth.full", "param": {"symbol": "BTC_USDT", "limit": 5}})
        assert (list(ack), ack["channel"], ack["data"]) == (
            ["channel", "data", "ts"],
            "rs.sub.depth.full",
            "success",
        )
        book = await client.until(lambda f: f.get("channel") == "push.depth.full")
        assert list(book) == ["symbol", "data", "channel", "ts"]
        assert list(book["data"]) == ["cts", "asks", "bids", "version"]
        price, contracts, orders = book["data"]["bids"][0]
        assert isinstance(price, float)
        assert whole(contracts, orders)
        await client.send({"method": "sub.depth.full", "param": {"symbol": "NOPE_USDT"}})
        error = await client.until(lambda f: f["channel"] == "rs.error")
        assert error["data"] == "Contract [NOPE_USDT] not exists"
        for channel in ("deal", "ticker", "fair.price", "index.price", "funding.rate"):
            await client.send({"method": f"sub.{channel}", "param": {"symbol": "BTC_USDT"}})
        pushed: dict[str, Any] = {}
        while len(pushed) < 6:
            frame = await client.until(lambda f: f["channel"].startswith("push."))
            pushed[frame["channel"]] = frame["data"]
        assert pushed["push.fair.price"]["symbol"] == "BTC_USDT"
        assert pushed["push.index.price"]["price"] == pytest.approx(
            pushed["push.fair.price"]["price"], rel=0.01
        )
        assert list(pushed["push.funding.rate"]) == ["symbol", "rate", "nextSettleTime"]
        assert pushed["push.deal"][0]["T"] in (1, 2)
        assert whole(pushed["push.deal"][0]["v"])
        assert "bid1" in pushed["push.ticker"]


async def test_mexc_wants_pings_whatever_else_is_said() -> None:
    async with (
        Simulator(exchanges=["mexc:swap"], rate=50, time_scale=0.01, funding_scale=1) as sim,
        connect(sim, "mexc:swap") as client,
    ):
        assert (await client.ask({"method": "ping"}))["channel"] == "pong"
        await subscribe_quotes(client, "mexc:swap")
        assert (await client.end()).code == 1000  # after 60 s, here 600 ms, of quotes


# --- BingX -------------------------------------------------------------------------------------------


async def test_bingx_sends_trades_as_a_list_and_the_mark_alone(sim: Simulator) -> None:
    async with connect(sim, "bingx:swap") as client:
        for number, kind in enumerate(("bookTicker", "trade", "markPrice")):
            await client.send({"id": str(number), "reqType": "sub", "dataType": f"BTC-USDT@{kind}"})
        book = (await client.until(lambda f: f.get("dataType") == "BTC-USDT@bookTicker"))["data"]
        assert list(book) == ["e", "u", "E", "T", "s", "b", "B", "a", "A"]
        trades = (await client.until(lambda f: f.get("dataType") == "BTC-USDT@trade"))["data"]
        assert list(trades[0]) == ["q", "p", "T", "m", "s"]
        mark = (await client.until(lambda f: f.get("dataType") == "BTC-USDT@markPrice"))["data"]
        assert list(mark) == ["e", "E", "s", "p"]


# --- all ---------------------------------------------------------------------------------------------

STATUS: dict[str, tuple[str | None, Callable[[str], Any]]] = {
    "binance:swap": (
        "/market/ws",
        lambda action: {
            "method": "SUBSCRIBE" if action == "sub" else "UNSUBSCRIBE",
            "params": ["btcusdt@markPrice@1s"],
        },
    ),
    "bybit:swap": (
        None,
        lambda action: {"op": f"{action}scribe", "args": ["tickers.BTCUSDT"]},
    ),
    "okx:swap": (
        None,
        lambda action: {
            "op": f"{action}scribe",
            "args": [{"channel": "mark-price", "instId": "BTC-USDT-SWAP"}],
        },
    ),
    "gate:swap": (
        None,
        lambda action: {"channel": "futures.tickers", "event": f"{action}scribe", "payload": ["BTC_USDT"]},
    ),
    "kucoin:swap": (
        None,
        lambda action: {"type": f"{action}scribe", "topic": "/contract/instrument:XBTUSDTM"},
    ),
    "bitget:swap": (
        None,
        lambda action: {
            "op": f"{action}scribe",
            "args": [{"instType": "USDT-FUTURES", "channel": "ticker", "instId": "BTCUSDT"}],
        },
    ),
    "mexc:swap": (
        None,
        lambda action: {"method": f"{action}.fair.price", "param": {"symbol": "BTC_USDT"}},
    ),
    "bingx:swap": (None, lambda action: {"reqType": action, "dataType": "BTC-USDT@markPrice"}),
}


@pytest.mark.parametrize("key", SWAPS)
async def test_prices_come_without_quotes_and_stop_when_nobody_is_subscribed(key: str) -> None:
    path, request = STATUS[key]
    beats_every_20_ms = Simulator(exchanges=[key], time_scale=0.1, funding_scale=1)
    async with beats_every_20_ms as sim, connect(sim, key, path) as client:
        await client.send(request("sub"))
        await until(lambda: sim.counts(key)["statuses"] > 2)
        assert sim.counts(key)["quotes"] == 0
        await client.send(request("unsub"))
        await until(lambda: not sim.subscriptions(key))
        assert sim.connections(key) == 1


async def test_announcements_of_kucoin_are_of_all_swaps_and_can_be_given_up(sim: Simulator) -> None:
    async with connect(sim, "kucoin:swap") as client:
        request = {"id": "4", "topic": "/contract/announcement", "response": True}
        assert await client.ask({**request, "type": "subscribe"}) == {"id": "4", "type": "ack"}
        assert sim.subscriptions("kucoin:swap") == {"/contract/announcement": 1}
        assert await client.ask({**request, "type": "unsubscribe"}) == {"id": "4", "type": "ack"}
        assert sim.subscriptions("kucoin:swap") == {}

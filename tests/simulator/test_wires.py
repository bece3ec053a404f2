"""The simulated exchanges speak each exchange's dialect: requests, answers, heartbeats, limits."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from simulator.catalogue import EXCHANGES
from simulator.server import Simulator
from tests.support.exchanges.simulator_client import Client, best, connect, protobuf, subscribe_quotes
from tests.support.exchanges.tiny_exchange import until


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Eight exchanges with 20 symbols, quoting fast."""
    async with Simulator(rate=50) as simulator:
        yield simulator


async def quote(client: Client, key: str) -> tuple[float, float, float, float]:
    """The next quote as numbers."""
    while True:
        numbers = best(key, await client.raw())
        if numbers:
            return numbers


@pytest.mark.parametrize("key", EXCHANGES)
async def test_quotes_are_sane_and_near_the_same_price_everywhere(sim: Simulator, key: str) -> None:
    async with connect(sim, key) as client:
        await subscribe_quotes(client, key)
        for _ in range(5):
            bid, bid_size, ask, ask_size = await quote(client, key)
            assert 0 < bid < ask < bid * 1.001
            assert 102_000 < bid < 104_500
            assert bid_size > 0
            assert ask_size > 0


async def test_nothing_is_generated_for_symbols_nobody_asked_for(sim: Simulator) -> None:
    async with connect(sim, "okx") as client:
        await subscribe_quotes(client, "okx")
        await quote(client, "okx")
        assert list(sim.subscriptions("okx")) == ["bbo-tbt:BTC-USDT"]
        assert sim.connections("okx") == 1
    await until(lambda: sim.connections("okx") == 0)
    assert sim.subscriptions("okx") == {}
    sent = sim.counts("okx")["quotes"]
    async with connect(sim, "bybit") as other:
        await subscribe_quotes(other, "bybit")
        for _ in range(5):
            await quote(other, "bybit")
    assert sim.counts("okx")["quotes"] == sent


# --- Binance -----------------------------------------------------------------------------------------


async def test_binance_wraps_frames_on_stream_and_not_on_ws(sim: Simulator) -> None:
    async with connect(sim, "binance") as combined:
        request = {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker", "ethusdt@trade"], "id": 7}
        assert await combined.ask(request) == {"result": None, "id": 7}
        frame = await combined.until(lambda f: f.get("stream") == "btcusdt@bookTicker")
        assert set(frame["data"]) == {"u", "s", "b", "B", "a", "A"}  # no event time on spot
        assert frame["data"]["s"] == "BTCUSDT"
        assert len(frame["data"]["b"].partition(".")[2]) == 8
        trade = (await combined.until(lambda f: f.get("stream") == "ethusdt@trade"))["data"]
        assert list(trade) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
        assert isinstance(trade["m"], bool)
        listed = {"method": "LIST_SUBSCRIPTIONS", "id": 8}
        await combined.send(listed)
        answer = await combined.until(lambda f: f.get("id") == 8)
        assert answer["result"] == ["btcusdt@bookTicker", "ethusdt@trade"]
    async with connect(sim, "binance", "/ws/btcusdt@bookTicker") as raw:
        assert (await raw.json())["s"] == "BTCUSDT"


@pytest.mark.parametrize("stream", ["nopeusdt@bookTicker", "BTCUSDT@bookTicker", "btcusdt@nonsense"])
async def test_binance_refuses_streams_it_does_not_have(sim: Simulator, stream: str) -> None:
    async with connect(sim, "binance") as client:
        answer = await client.ask({"method": "SUBSCRIBE", "params": [stream], "id": 3})
        assert answer == {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 3}


async def ask_on_and_on(client: Client) -> None:
    """A hundred messages a second."""
    for number in itertools.count():
        await client.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
        await asyncio.sleep(0.01)


async def test_binance_cuts_a_client_that_sends_more_than_five_messages_a_second(sim: Simulator) -> None:
    async with connect(sim, "binance") as client:
        sending = asyncio.create_task(ask_on_and_on(client))
        assert (await client.end()).code == 1008
        assert sim.counts("binance")["cut_too_fast"] == 1
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_messages_that_waited_for_a_late_simulator_are_not_held_against_the_client(
    sim: Simulator,
) -> None:
    async with connect(sim, "binance") as client:
        for number in range(4):
            await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": number})
        for number in range(4, 8):
            await client.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
        time.sleep(0.3)  # noqa: ASYNC251 - nobody reads in the meantime
        for number in range(4, 8):
            assert (await client.json())["id"] == number
        assert sim.counts("binance")["cut_too_fast"] == 0


async def test_binance_limits_a_connection_to_1024_streams() -> None:
    async with Simulator(exchanges=["binance"], symbols=600, rate=0.01) as sim:
        names = [listing.base.lower() + "usdt" for listing in sim.exchanges["binance"].listings.values()]
        both = [f"{name}@{kind}" for name in names for kind in ("trade", "bookTicker")]
        async with connect(sim, "binance") as client:
            request = {"method": "SUBSCRIBE", "params": both[:1024], "id": 1}
            assert await client.ask(request) == {"result": None, "id": 1}
            await client.send({"method": "SUBSCRIBE", "params": both[1024:1025], "id": 2})
            answer = await client.until(lambda f: f.get("id") == 2)
            assert answer["error"]["msg"] == "Invalid request: too many subscriptions"


async def test_binance_pings_with_a_payload_and_drops_a_client_that_does_not_return_it() -> None:
    async with Simulator(
        exchanges=["binance"], time_scale=0.005
    ) as sim:  # pings every 100 ms, patience 300 ms
        async with connect(sim, "binance") as faithful, connect(sim, "binance") as mute:
            mute.answers = False
            ends = asyncio.create_task(faithful.end(0.8))
            closed = await mute.end()
            assert closed.code == 1000
            assert len(mute.pings) >= 2
            assert mute.pings[0].isdigit()
            with pytest.raises(TimeoutError):  # still open
                await ends
        assert sim.counts("binance")["dropped_idle"] == 1


async def test_binance_announces_a_planned_restart(sim: Simulator) -> None:
    async with connect(sim, "binance") as client, connect(sim, "binance", "/ws") as raw:
        await client.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        await raw.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        sim.inject("binance:maintenance=50ms")
        frame = await client.json()
        assert frame["stream"] == "!serverShutdown"
        assert frame["data"]["e"] == "serverShutdown"
        assert (await raw.json())["e"] == "serverShutdown"
        assert (await client.end()).code == 1001


async def test_a_connection_ends_with_its_life() -> None:
    async with Simulator(exchanges=["binance"], time_scale=2e-6) as sim, connect(sim, "binance") as client:
        assert (await client.end()).code == 1000


# --- Bybit -------------------------------------------------------------------------------------------


async def test_bybit_acks_with_the_request_id_only_when_it_was_sent(sim: Simulator) -> None:
    async with connect(sim, "bybit") as client:
        answer = await client.ask({"req_id": "a1", "op": "subscribe", "args": ["publicTrade.BTCUSDT"]})
        assert answer.pop("conn_id")
        assert answer == {"success": True, "ret_msg": "subscribe", "req_id": "a1", "op": "subscribe"}
        await client.send({"op": "ping"})
        pong = await client.until(lambda f: f.get("ret_msg") == "pong")
        assert "req_id" not in pong
        assert pong["op"] == "ping"
        trade = (await client.until(lambda f: f.get("topic") == "publicTrade.BTCUSDT"))["data"][0]
        assert trade["S"] in ("Buy", "Sell")
        assert trade["s"] == "BTCUSDT"


async def test_bybit_takes_ten_args_per_request_and_fails_the_whole_request(sim: Simulator) -> None:
    names = [f"orderbook.1.{listing.base}USDT" for listing in sim.exchanges["bybit"].listings.values()]
    async with connect(sim, "bybit") as client:
        assert (await client.ask({"op": "subscribe", "args": names[:11]}))["success"] is False
        bad = await client.ask({"op": "subscribe", "args": [*names[:2], "orderbook.1.NOPEUSDT"]})
        assert bad["success"] is False
        assert "NOPEUSDT" in bad["ret_msg"]
        assert sim.subscriptions("bybit") == {}
        assert (await client.ask({"op": "subscribe", "args": names[:10]}))["success"] is True
        await until(lambda: len(sim.subscriptions("bybit")) == 10)


async def test_bybit_repeats_an_unchanged_book_with_the_same_number() -> None:
    repeats_after_60_ms = Simulator(exchanges=["bybit"], rate=2, time_scale=0.02)
    async with repeats_after_60_ms as sim, connect(sim, "bybit") as client:
        await subscribe_quotes(client, "bybit")
        numbers = [(await client.until(lambda f: "data" in f))["data"]["u"] for _ in range(10)]
        assert numbers == sorted(numbers)
        assert 2 <= len(set(numbers)) <= 7


# --- MEXC --------------------------------------------------------------------------------------------

MEXC_BOOK = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
MEXC_DEALS = "spot@public.aggre.deals.v3.api.pb@10ms@BTCUSDT"


async def test_mexc_answers_in_json_and_pushes_protobuf(sim: Simulator) -> None:
    async with connect(sim, "mexc") as client:
        answer = await client.ask({"method": "SUBSCRIPTION", "params": [MEXC_BOOK, MEXC_DEALS]})
        assert answer == {"id": 0, "code": 0, "msg": f"{MEXC_BOOK},{MEXC_DEALS}"}
        bodies: dict[int, bytes] = {}
        while set(bodies) < {314, 315}:
            frame = await client.raw()
            assert isinstance(frame, bytes)
            fields = dict(protobuf(frame))
            assert fields[3] == b"BTCUSDT"
            assert abs(fields[6] / 1000 - time.time()) < 5
            number = next(number for number in fields if number > 300)
            bodies[number] = fields[number]
            assert fields[1].decode() == (MEXC_BOOK if number == 315 else MEXC_DEALS)
        deal = dict(protobuf(dict(protobuf(bodies[314]))[1]))
        assert float(deal[1]) > 0
        assert deal[3] in (1, 2)
        assert abs(deal[4] / 1000 - time.time()) < 5
        await client.send({"method": "PING"})
        while isinstance(frame := await client.raw(), bytes):
            pass
        assert json.loads(frame) == {"id": 0, "code": 0, "msg": "PONG"}


async def test_mexc_refuses_with_code_zero(sim: Simulator) -> None:
    async with connect(sim, "mexc") as client:
        old = "spot@public.bookTicker.v3.api@BTCUSDT"
        answer = await client.ask({"method": "SUBSCRIPTION", "params": [old]})
        assert answer["code"] == 0
        assert answer["msg"] == f"Not Subscribed successfully! [{old}].  Reason： Blocked! "
        unknown = MEXC_BOOK.replace("BTC", "NOPE")
        answer = await client.ask({"method": "SUBSCRIPTION", "params": [unknown, MEXC_DEALS]})
        assert answer["code"] == 0
        assert answer["msg"].startswith(MEXC_DEALS)
        assert f"[{unknown}]" in answer["msg"]


async def test_mexc_takes_thirty_topics_and_ends_connections_without_any() -> None:
    async with Simulator(exchanges=["mexc"], symbols=31, rate=0.01, time_scale=0.01) as sim:
        names = [
            MEXC_BOOK.replace("BTC", listing.base) for listing in sim.exchanges["mexc"].listings.values()
        ]
        async with connect(sim, "mexc") as client, connect(sim, "mexc") as idle:
            answer = await client.ask({"method": "SUBSCRIPTION", "params": names})
            assert f"[{names[30]}]" in answer["msg"]
            assert len(sim.subscriptions("mexc")) == 30
            assert (await idle.end()).code == 1000  # after 30 s, here 300 ms


# --- Gate --------------------------------------------------------------------------------------------


async def test_gate_fails_the_whole_request_for_one_unknown_pair(sim: Simulator) -> None:
    async with connect(sim, "gate") as client:
        request = {"time": 1, "id": 5, "channel": "spot.trades", "event": "subscribe"}
        bad = await client.ask({**request, "payload": ["BTC_USDT", "NOPE_USDT"]})
        assert bad["error"] == {"code": 2, "message": "unknown currency pair: NOPE_USDT"}
        assert bad["result"] == {"status": "fail"}
        assert sim.subscriptions("gate") == {}
        good = await client.ask({**request, "payload": ["BTC_USDT"]})
        assert good["result"] == {"status": "success"}
        assert good["id"] == 5
        assert good["payload"] == ["BTC_USDT"]
        trade = (await client.until(lambda f: f.get("event") == "update"))["result"]
        assert isinstance(trade, dict)
        assert "." in trade["create_time_ms"]
        assert trade["side"] in ("buy", "sell")


async def test_gate_answers_pings_and_pings_itself() -> None:
    async with Simulator(exchanges=["gate"], time_scale=0.005) as sim, connect(sim, "gate") as client:
        pong = await client.ask({"time": 1, "channel": "spot.ping"})
        assert pong["channel"] == "spot.pong"
        client.answers = False
        assert (await client.end()).code == 1000
        assert client.pings


# --- KuCoin ------------------------------------------------------------------------------------------


async def test_kucoin_wants_a_token_it_has_handed_out(sim: Simulator) -> None:
    async with connect(sim, "kucoin", "/?token=made-up&connectId=x") as client:
        assert (await client.json())["code"] == 401
        assert (await client.end()).code == 1008
    async with (
        aiohttp.ClientSession() as http,
        http.get(sim.rest_url("kucoin") + "/api/v1/bullet-public") as got,
    ):
        assert (await got.json())["code"] == "405000"  # it is a POST


async def test_kucoin_acks_unknown_symbols_and_stays_silent(sim: Simulator) -> None:
    async with connect(sim, "kucoin") as client:
        request = {"id": 9, "type": "subscribe", "response": True}
        ack = await client.ask({**request, "topic": "/spotMarket/level1:NOPE-USDT,BTC-USDT"})
        assert ack == {"id": "9", "type": "ack"}
        assert list(sim.subscriptions("kucoin")) == ["/spotMarket/level1:BTC-USDT"]
        frame = await client.json()
        assert frame["subject"] == "level1"
        assert len(frame["data"]["asks"]) == 2  # flat: price and size
        await client.send({**request, "topic": "/no/such:BTC-USDT"})
        error = await client.until(lambda f: f["type"] == "error")
        assert error == {"id": 9, "type": "error", "code": 404, "data": "topic does not exist"}
        await client.send({**request, "topic": "/market/match:BTC-USDT"})
        trade = (await client.until(lambda f: f.get("subject") == "trade.l3match"))["data"]
        assert len(trade["time"]) == 19  # nanoseconds, as text
        await client.send({"id": "p1", "type": "ping"})
        assert (await client.until(lambda f: f["type"] == "pong"))["id"] == "p1"


async def test_kucoin_limits_topics_and_drops_a_client_that_does_not_ping() -> None:
    async with Simulator(exchanges=["kucoin"], symbols=101, rate=0.01, time_scale=0.01) as sim:
        names = ",".join(f"{listing.base}-USDT" for listing in sim.exchanges["kucoin"].listings.values())
        async with connect(sim, "kucoin") as client:
            request = {"id": "1", "type": "subscribe", "response": True, "topic": f"/market/ticker:{names}"}
            assert (await client.ask(request))["code"] == 400
            assert (await client.end()).code == 1000


# --- OKX ---------------------------------------------------------------------------------------------


async def test_okx_answers_each_arg_and_refuses_unknown_ones(sim: Simulator) -> None:
    async with connect(sim, "okx") as client:
        args = [{"channel": "trades", "instId": name} for name in ("BTC-USDT", "NOPE-USDT", "ETH-USDT")]
        await client.send({"id": "x1", "op": "subscribe", "args": args})
        answers = [await client.until(lambda f: "event" in f) for _ in args]
        assert [answer["event"] for answer in answers] == ["subscribe", "error", "subscribe"]
        assert [answer.get("arg") for answer in answers] == [args[0], None, args[2]]
        assert answers[1]["code"] == "60018"
        assert {answer["id"] for answer in answers} == {"x1"}
        trade = (await client.until(lambda f: "data" in f))["data"][0]
        assert trade["side"] in ("buy", "sell")
        assert isinstance(trade["ts"], str)
        await client.send("ping")
        while (text := await client.text()) != "pong":
            assert text.startswith("{")


async def test_okx_drops_a_connection_on_which_nothing_is_said_and_announces_upgrades() -> None:
    async with Simulator(exchanges=["okx"], time_scale=0.01) as sim:
        async with connect(sim, "okx") as silent:
            assert (await silent.end()).code == 4004  # after 30 s, here 300 ms
        async with connect(sim, "okx") as client:
            await subscribe_quotes(client, "okx")
            sim.inject("okx:maintenance=50ms")
            notice = await client.until(lambda f: f.get("event") == "notice")
            assert notice["code"] == "64008"
            assert (await client.end()).code == 1001


# --- Bitget ------------------------------------------------------------------------------------------


async def test_bitget_answers_each_arg_and_starts_trades_with_history(sim: Simulator) -> None:
    arg = {"instType": "SPOT", "channel": "trade", "instId": "BTCUSDT"}
    async with connect(sim, "bitget") as first, connect(sim, "bitget") as second:
        await first.send({"op": "subscribe", "args": [arg, {**arg, "instId": "NOPEUSDT"}]})
        assert await first.json() == {"event": "subscribe", "arg": arg}
        error = await first.json()
        assert (error["event"], error["code"]) == ("error", 30001)
        assert error["arg"]["instId"] == "NOPEUSDT"
        new = await first.until(lambda f: f.get("action") == "update")
        await second.send({"op": "subscribe", "args": [arg]})
        history = await second.until(lambda f: "action" in f)
        assert history["action"] == "snapshot"
        assert new["data"][0] in history["data"]
        await second.send("ping")
        while (text := await second.text()) != "pong":
            assert text.startswith("{")


async def test_bitget_acks_a_wrong_instrument_type_and_stays_silent(sim: Simulator) -> None:
    arg = {"instType": "USDT-FUTURES", "channel": "books1", "instId": "BTCUSDT"}
    async with connect(sim, "bitget") as client:
        assert await client.ask({"op": "subscribe", "args": [arg]}) == {"event": "subscribe", "arg": arg}
        assert sim.subscriptions("bitget") == {}
        too_long = {"op": "subscribe", "args": [{**arg, "instType": "SPOT"}] * 100}
        assert (await client.ask(too_long))["code"] == 30016


async def test_bitget_drops_a_client_that_does_not_ping() -> None:
    async with Simulator(exchanges=["bitget"], time_scale=0.002) as sim, connect(sim, "bitget") as client:
        await subscribe_quotes(client, "bitget")
        assert (await client.end()).code == 1000


# --- BingX -------------------------------------------------------------------------------------------


async def test_bingx_sends_gzip_and_takes_one_topic_per_request(sim: Simulator) -> None:
    async with connect(sim, "bingx") as client:
        await client.send({"id": "u1", "reqType": "sub", "dataType": "BTC-USDT@bookTicker"})
        frame = await client.raw()
        assert isinstance(frame, bytes)
        assert frame[:2] == b"\x1f\x8b"
        quoted = (await client.until(lambda f: f.get("dataType") == "BTC-USDT@bookTicker"))["data"]
        assert float(quoted["b"]) < float(quoted["a"])
        assert float(quoted["B"]) < 1000 < float(quoted["b"])  # lower case is the price
        await client.send({"id": "u2", "reqType": "sub", "dataType": "NOPE-USDT@bookTicker"})
        error = await client.until(lambda f: f.get("id") == "u2")
        assert error["code"] == 80015
        await client.send({"id": "u3", "reqType": "sub", "dataType": "BTC-USDT@trade"})
        ack = await client.until(lambda f: f.get("id") == "u3")
        assert (ack["code"], ack["msg"]) == (0, "SUCCESS")
        trade = (await client.until(lambda f: f.get("dataType") == "BTC-USDT@trade"))["data"]
        assert isinstance(trade, dict)
        assert isinstance(trade["m"], bool)


async def test_bingx_takes_two_hundred_topics(sim: Simulator) -> None:
    async with Simulator(exchanges=["bingx"], symbols=201, rate=0.001, time_scale=1.0) as sim:
        exchange = sim.exchanges["bingx"]
        exchange.messages_per_window = None  # type: ignore[misc]  # the limit on requests is not the subject here
        async with connect(sim, "bingx") as client:
            for number, listing in enumerate(exchange.listings.values()):
                topic = f"{listing.base}-USDT@trade"
                await client.send({"id": str(number), "reqType": "sub", "dataType": topic})
            last = await client.until(lambda f: f.get("id") == "200")
            assert last["code"] == 80403
            assert len(sim.subscriptions("bingx")) == 200


async def test_bingx_pings_and_cuts_a_client_that_does_not_pong() -> None:
    ping_50_ms_patience_305_ms = Simulator(exchanges=["bingx"], time_scale=0.01)
    async with (
        ping_50_ms_patience_305_ms as sim,
        connect(sim, "bingx") as faithful,
        connect(sim, "bingx") as mute,
    ):
        began = time.monotonic()
        ends = asyncio.create_task(mute.end())
        while time.monotonic() < began + 0.6:
            assert await faithful.text() == "Ping"
            await faithful.send("Pong")
        assert (await ends).code == 1006
        assert sim.counts("bingx")["dropped_idle"] == 1


# --- all ---------------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_is_cut_instead_of_filling_memory() -> None:
    async with Simulator(exchanges=["okx"], symbols=20, rate=2000) as sim, connect(sim, "okx") as client:
        args = [
            {"channel": "bbo-tbt", "instId": f"{listing.base}-USDT"}
            for listing in sim.exchanges["okx"].listings.values()
        ]
        await client.send({"op": "subscribe", "args": args})
        await until(lambda: sim.counts("okx")["closed"] == 1, 30)


async def test_an_unknown_socket_path_is_refused_in_the_handshake(sim: Simulator) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with connect(sim, "bybit", "/v5/public/nonsense"):
            pass
    assert caught.value.status == 404


async def test_nothing_is_left_running_when_it_ends() -> None:
    before = asyncio.all_tasks()
    async with Simulator(rate=50) as sim, connect(sim, "okx") as client:
        await subscribe_quotes(client, "okx")
        await quote(client, "okx")
        await sim.__aexit__(None, None, None)
        assert (await client.end()).code == 1006
    assert asyncio.all_tasks() - before == set()

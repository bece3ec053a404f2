"""Faults that a desk must not compute with, made on purpose: contract sizes and intervals that change …"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from simulator.catalogue import SWAPS
from simulator.faults import FaultError, parse
from simulator.server import Simulator
from tests.simulator.test_swap_rest import client
from tests.support.exchanges.simulator_client import best, connect, subscribe_quotes

BTC = "BTC/USDT:USDT"
CONTRACT = "/api/v4/futures/usdt/contracts/BTC_USDT"


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Spot of OKX and eight swap markets, quoting fast."""
    async with Simulator(exchanges=["okx", *SWAPS], symbols=3, rate=50) as simulator:
        yield simulator


async def fetched(sim: Simulator, key: str, path: str) -> Any:
    """Answer of a REST call."""
    async with aiohttp.ClientSession() as http, http.get(sim.rest_url(key) + path) as response:
        return await response.json()


def test_faults_name_a_market_or_a_swaps_symbol() -> None:
    spec = "okx:swap:silence@30+20,gate/BTC/USDT:USDT:contract-size=12,"
    spec += "okx:swap/BTC/USDT:USDT:no-interval,all:drop"
    assert [(f.exchange, f.symbol, f.kind, f.value, f.start) for f in parse(spec)] == [
        ("okx:swap", None, "silence", 0.0, 30.0),
        ("gate:swap", BTC, "contract-size", 12.0, 0.0),
        ("okx:swap", BTC, "no-interval", 0.0, 0.0),
        (None, None, "drop", 0.0, 0.0),
    ]
    assert parse("all:funding-rate=-0.5")[0].value == -0.5
    assert parse("kucoin:swap:funding-late")[0].value == 60.0


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("okx:contract-size=12", "contract-size is of swaps; write okx:swap or a swap's symbol"),
        ("okx/BTC/USDT:funding-rate=1", "is of swaps"),
        ("okx:swap:contract-size", "contract-size needs a value"),
        ("okx:swap:contract-size=0", "a number of coins above 0"),
        ("okx:swap:funding-interval=3", "takes one of 1, 2, 4, 8, 24"),
        ("okx:swap:contract-size=inf", "'inf' is not a number"),
        ("okx:swap:no-interval=3", "takes no value"),
        ("okx:future:drop", "write exchange[/SYMBOL]:kind"),
    ],
)
def test_a_fault_of_swaps_that_makes_no_sense_is_refused_with_the_remedy(spec: str, words: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse(spec)
    assert words in str(caught.value)


async def test_a_fault_of_spot_leaves_the_swaps_of_the_exchange_alone(sim: Simulator) -> None:
    async with connect(sim, "okx") as spot, connect(sim, "okx:swap") as swap:
        sim.inject("okx:drop")
        assert (await spot.end()).code == 1006
        await subscribe_quotes(swap, "okx:swap")
        assert await swap.until(lambda f: "data" in f)


async def test_a_contract_size_can_change_and_sizes_with_it(sim: Simulator) -> None:
    async with connect(sim, "gate:swap") as gate:
        await subscribe_quotes(gate, "gate:swap")
        while not (before := best("gate:swap", await gate.raw())):
            pass
        faults = sim.inject(f"gate/{BTC}:contract-size=0.0000001")
        assert (await fetched(sim, "gate:swap", CONTRACT))["quanto_multiplier"] == "0.0000001"
        while not ((after := best("gate:swap", await gate.raw())) and after[1] > 100 * before[1]):
            pass  # a thousandth of the coins, so a thousand times the contracts, more or less
        sim.heal(faults)
    assert (await fetched(sim, "gate:swap", CONTRACT))["quanto_multiplier"] == "0.0001"


@pytest.mark.parametrize("key", SWAPS)
async def test_a_rate_of_half_and_a_settlement_in_the_past(sim: Simulator, key: str) -> None:
    exchange = client(sim, key)
    await asyncio.to_thread(exchange.load_markets)
    sim.inject(f"{key}:funding-rate=0.5,{key}:funding-late=90s")
    row = await asyncio.to_thread(exchange.fetch_funding_rate, BTC)
    assert row["fundingRate"] == 0.5
    next_ms = row["fundingTimestamp"] or row["nextFundingTimestamp"]
    assert next_ms == pytest.approx(time.time() * 1000 - 90_000, abs=5_000)


@pytest.mark.parametrize("key", [key for key in SWAPS if key != "binance:swap"])
async def test_an_interval_can_change_and_be_missing(sim: Simulator, key: str) -> None:
    async def interval() -> Any:
        exchange = client(sim, key)  # a new one: Bybit's interval is in the list of markets
        return (await asyncio.to_thread(exchange.fetch_funding_rate, BTC))["interval"]

    assert await interval() == "8h"
    faults = sim.inject(f"{key}/{BTC}:funding-interval=1")
    assert await interval() == "1h"
    sim.heal(faults)
    sim.inject(f"{key}/{BTC}:no-interval")
    assert await interval() is None


async def test_binance_says_an_interval_that_changed_in_funding_info(sim: Simulator) -> None:
    assert "BTCUSDT" not in {
        row["symbol"] for row in await fetched(sim, "binance:swap", "/fapi/v1/fundingInfo")
    }
    sim.inject(f"binance/{BTC}:funding-interval=4")
    rows = {row["symbol"]: row for row in await fetched(sim, "binance:swap", "/fapi/v1/fundingInfo")}
    assert rows["BTCUSDT"]["fundingIntervalHours"] == 4
    sim.inject(f"binance/{BTC}:no-interval")
    rows = {row["symbol"]: row for row in await fetched(sim, "binance:swap", "/fapi/v1/fundingInfo")}
    assert "fundingIntervalHours" not in rows["BTCUSDT"]


async def test_okx_leaves_the_settlement_after_the_next_empty_where_the_interval_is_missing(
    sim: Simulator,
) -> None:
    async with connect(sim, "okx:swap") as okx:
        sim.inject(f"okx/{BTC}:no-interval")
        arg = {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"}
        await okx.send({"op": "subscribe", "args": [arg]})
        row = (await okx.until(lambda f: "data" in f))["data"][0]
        assert (row["nextFundingTime"], row["fundingTime"] != "") == ("", True)


SAID: dict[str, tuple[str, Callable[[Any], object], object]] = {
    "binance:swap": ("/fapi/v1/exchangeInfo", lambda body: body["symbols"][0]["status"], "SETTLING"),
    "gate:swap": (CONTRACT, lambda body: body["in_delisting"], True),
    "kucoin:swap": ("/api/v1/contracts/active", lambda body: body["data"][0]["status"], "BeingSettled"),
    "mexc:swap": ("/api/v1/contract/detail", lambda body: body["data"][0]["state"], 1),
    "bingx:swap": ("/openApi/swap/v2/quote/contracts", lambda body: body["data"][0]["status"], 25),
    "bitget:swap": (
        "/api/v2/mix/market/contracts?productType=USDT-FUTURES",
        lambda body: body["data"][0]["symbolStatus"],
        "limit_open",
    ),
    "okx:swap": (
        "/api/v5/public/instruments?instType=SWAP",
        lambda body: bool(body["data"][0]["expTime"]),
        True,
    ),
    "bybit:swap": (
        "/v5/market/instruments-info?category=linear",
        lambda body: body["result"]["list"][0]["deliveryTime"] != "0",
        True,
    ),
}


@pytest.mark.parametrize("key", SWAPS)
async def test_a_swap_that_is_being_delisted_says_so_and_stands_still(sim: Simulator, key: str) -> None:
    path, read, said = SAID[key]
    assert read(await fetched(sim, key, path)) != said
    async with connect(sim, key) as swap:
        faults = sim.inject(f"{key}/{BTC}:delisting")
        assert read(await fetched(sim, key, path)) == said
        await subscribe_quotes(swap, key)
        quotes: list[tuple[float, float, float, float]] = []
        while len(quotes) < 10:
            if numbers := best(key, await swap.raw()):
                quotes.append(numbers)
        assert len(set(quotes)) == 1
        exchange = sim.exchanges[key]
        assert exchange.quote(exchange.listings[BTC]).bid == exchange.quote(exchange.listings[BTC]).bid
        sim.heal(faults)
        while best(key, await swap.raw()) in (None, quotes[0]):
            pass


EMPTY_BID: dict[str, Callable[[Any], bool]] = {
    "binance:swap": lambda f: (f["data"]["b"], f["data"]["B"]) == ("", ""),
    "bybit:swap": lambda f: f["data"]["b"] == [],
    "mexc:swap": lambda f: f["data"]["bids"] == [],
    "gate:swap": lambda f: (f["result"]["b"], f["result"]["B"]) == ("", 0),
    "kucoin:swap": lambda f: "bestBidPrice" not in f["data"] and "bestBidSize" not in f["data"],
    "okx:swap": lambda f: f["data"][0]["bids"] == [],
    "bitget:swap": lambda f: f["data"][0]["bids"] == [],
    "bingx:swap": lambda f: (f["data"]["b"], f["data"]["B"]) == ("", ""),
}


@pytest.mark.parametrize("key", SWAPS)
async def test_quotes_without_a_bid_and_crossed_ones_in_each_dialect(sim: Simulator, key: str) -> None:
    def has_no_bid(frame: Any) -> bool:
        try:
            return EMPTY_BID[key](frame)
        except (KeyError, TypeError, IndexError):  # an ack
            return False

    async with connect(sim, key) as swap:
        faults = sim.inject(f"{key}:one-sided=1")
        await subscribe_quotes(swap, key)
        await swap.until(has_no_bid)
        sim.heal(faults)
        sim.inject(f"{key}:crossed=1")
        while not ((numbers := _numbers(key, await swap.raw())) and numbers[0] > numbers[2]):
            pass


def _numbers(key: str, frame: str | bytes) -> tuple[float, float, float, float] | None:
    """The quote, None for one that lacks a side."""
    try:
        return best(key, frame)
    except (ValueError, IndexError):
        return None

"""ccxt, a client nobody here wrote, reads swaps, tickers and funding from every simulated exchange."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import aiohttp
import ccxt
import pytest

from core.names.market_keys import exchange_of
from simulator.catalogue import SWAPS, VOLUME_SHARE
from simulator.server import Simulator
from tests.simulator.test_rest import redirect

BTC = "BTC/USDT:USDT"
CONTRACT_SIZES = {  # of BTC, ETH, DOGE
    "binance:swap": (1, 1, 1),
    "bybit:swap": (1, 1, 1),
    "bitget:swap": (1, 1, 1),
    "bingx:swap": (1, 1, 1),
    "okx:swap": (0.01, 0.1, 1000),
    "gate:swap": (0.0001, 0.01, 10),
    "kucoin:swap": (0.001, 0.01, 100),
    "mexc:swap": (0.0001, 0.01, 100),
}
PEPE = {
    "binance:swap": ("1000PEPE/USDT:USDT", 1),
    "bybit:swap": ("1000PEPE/USDT:USDT", 1),
    "bingx:swap": ("1000PEPE/USDT:USDT", 1),
    "bitget:swap": ("PEPE/USDT:USDT", 1),
    "okx:swap": ("PEPE/USDT:USDT", 10_000_000),
    "gate:swap": ("PEPE/USDT:USDT", 10_000_000),
    "mexc:swap": ("PEPE/USDT:USDT", 10_000_000),
    "kucoin:swap": ("PEPE/USDT:USDT", 100_000),
}
NO_BEST_PRICES = ("binance:swap", "kucoin:swap")  # in what ccxt takes its tickers from
GONE_WHEN_DELISTED = ("bybit:swap", "kucoin:swap", "mexc:swap")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Eight swap markets with 25 symbols."""
    async with Simulator(exchanges=SWAPS, symbols=25) as simulator:
        yield simulator


def client(sim: Simulator, key: str) -> Any:
    """ccxt's own class for an exchange, asked for its linear swaps."""
    name = exchange_of(key)
    exchange = getattr(ccxt, name)({"enableRateLimit": False, "options": {"defaultType": "swap"}})
    exchange.urls["api"] = redirect(exchange.urls["api"], sim.rest_url(key))
    exchange.options["fetchMarkets"] = {"types": ["linear" if name in ("binance", "bybit") else "swap"]}
    return exchange


@pytest.mark.parametrize("key", SWAPS)
async def test_ccxt_reads_swaps_and_tickers(sim: Simulator, key: str) -> None:
    exchange = client(sim, key)
    markets = await asyncio.to_thread(exchange.load_markets)
    tickers = await asyncio.to_thread(exchange.fetch_tickers)
    assert len(markets) == len(tickers) == 25
    btc = markets[BTC]
    kind = ("swap", "linear", "settle", "active", "contract")
    assert [btc[name] for name in kind] == [True, True, "USDT", True, True]
    sizes = tuple(markets[f"{base}/USDT:USDT"]["contractSize"] for base in ("BTC", "ETH", "DOGE"))
    assert sizes == CONTRACT_SIZES[key]
    symbol, size = PEPE[key]
    assert markets[symbol]["contractSize"] == size
    listing = sim.exchanges[key].listings[BTC]
    assert btc["precision"]["price"] == 0.01
    assert btc["precision"]["amount"] == 10.0**-listing.size_decimals
    assert btc["limits"]["amount"]["min"] == 10.0**-listing.size_decimals
    ticker = tickers[BTC]
    assert 102_000 < ticker["last"] < 104_500
    if key not in NO_BEST_PRICES:
        assert ticker["last"] <= ticker["bid"] < ticker["ask"]
    if key != "okx:swap":  # which says volumes in coins and contracts
        assert ticker["quoteVolume"] == pytest.approx(1_900e6 * VOLUME_SHARE[exchange_of(key)])


@pytest.mark.parametrize("key", SWAPS)
async def test_ccxt_reads_funding(sim: Simulator, key: str) -> None:
    exchange = client(sim, key)
    await asyncio.to_thread(exchange.load_markets)
    one = await asyncio.to_thread(exchange.fetch_funding_rate, BTC)
    now_ms = time.time() * 1000
    assert abs(one["fundingRate"]) < 0.001
    next_ms = one["fundingTimestamp"] or one["nextFundingTimestamp"]
    assert 0 < next_ms - now_ms <= 8 * 3_600_000 + 5_000
    assert next_ms % (8 * 3_600_000) == 0
    assert one["interval"] == (None if key == "binance:swap" else "8h")  # in fundingInfo, if not 8 h
    if exchange.has["fetchFundingRates"]:
        every = await asyncio.to_thread(exchange.fetch_funding_rates)
        assert len(every) == 25
        assert every[BTC]["fundingRate"] == pytest.approx(one["fundingRate"], abs=1e-5)
    history = await asyncio.to_thread(exchange.fetch_funding_rate_history, BTC, None, 3)
    times = [row["timestamp"] for row in history]
    assert [later - earlier for earlier, later in pairwise(times)] == [28_800_000] * 2
    assert times[-1] == next_ms - 28_800_000
    assert all(abs(row["fundingRate"]) < 0.001 for row in history)


async def test_binance_names_the_intervals_that_are_not_eight_hours_alone(sim: Simulator) -> None:
    exchange = client(sim, "binance:swap")
    await asyncio.to_thread(exchange.load_markets)
    rows = await asyncio.to_thread(exchange.fetch_funding_intervals)
    assert {row["interval"] for row in rows.values()} <= {"1h", "2h", "4h"}
    assert BTC not in rows
    assert rows


async def test_intervals_differ_between_symbols_and_exchanges_and_one_grid_is_offset(sim: Simulator) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(sim.rest_url("gate:swap") + "/api/v4/futures/usdt/contracts") as response:
            gate = {row["name"]: row["funding_interval"] for row in await response.json()}
        async with http.get(sim.rest_url("kucoin:swap") + "/api/v1/contracts/active") as response:
            rows = {row["symbol"]: row for row in (await response.json())["data"]}
    kucoin = {symbol: row["fundingRateGranularity"] // 1000 for symbol, row in rows.items()}
    assert set(gate.values()) >= {3600, 14400, 28800}
    assert any(
        gate[f"{base}_USDT"] != kucoin[f"{base}USDTM"] for base in ("SOL", "XRP", "DOGE", "ADA", "LINK")
    )
    atom = rows["ATOMUSDTM"]
    assert atom["nextFundingRateDateTime"] // 3_600_000 % 24 in (7, 15, 23)
    until_ms = atom["nextFundingRateDateTime"] - time.time() * 1000
    assert atom["nextFundingRateTime"] == pytest.approx(until_ms, abs=5_000)  # a countdown


@pytest.mark.parametrize("key", SWAPS)
async def test_a_delisted_swap_is_not_tradable_or_gone(sim: Simulator, key: str) -> None:
    sim.inject(f"{key}/ETH/USDT:USDT:delist")
    markets = await asyncio.to_thread(client(sim, key).load_markets)
    if key in GONE_WHEN_DELISTED:
        assert "ETH/USDT:USDT" not in markets
    else:
        assert markets["ETH/USDT:USDT"]["active"] is False
    assert markets[BTC]["active"] is True


async def test_spot_lists_of_a_swap_market_are_empty_not_errors(sim: Simulator) -> None:
    for key in ("binance:swap", "mexc:swap", "bingx:swap", "kucoin:swap", "gate:swap"):
        exchange = client(sim, key)
        spot = ["spot", "linear"] if key == "binance:swap" else ["spot", "swap"]
        exchange.options["fetchMarkets"] = {"types": spot}
        markets = await asyncio.to_thread(exchange.load_markets)
        assert {market["type"] for market in markets.values()} == {"swap"}


@pytest.mark.parametrize(
    ("key", "path", "status", "words"),
    [
        ("okx:swap", "/api/v5/public/funding-rate?instId=NOPE", 200, "51001"),
        ("bitget:swap", "/api/v2/mix/market/contracts?productType=NONSENSE", 400, "400172"),
        ("bitget:swap", "/api/v2/mix/market/contracts?productType=COIN-FUTURES", 200, '"data": []'),
        ("bybit:swap", "/v5/market/tickers?category=spot", 200, '"list": []'),
        ("bybit:swap", "/v5/market/funding/history?category=linear&startTime=1", 200, "endTime"),
        ("mexc:swap", "/api/v1/contract/ticker?symbol=NOPE_USDT", 200, "1001"),
        ("bingx:swap", "/openApi/swap/v2/quote/premiumIndex?symbol=NOPE-USDT", 200, "109425"),
        ("binance:swap", "/fapi/v1/premiumIndex?symbol=NOPE", 400, "Invalid symbol"),
        ("binance:swap", "/api/v3/ticker/24hr", 404, "Not found"),
    ],
)
async def test_each_exchange_refuses_in_its_own_way(
    sim: Simulator, key: str, path: str, status: int, words: str
) -> None:
    async with aiohttp.ClientSession() as http, http.get(sim.rest_url(key) + path) as response:
        assert response.status == status
        assert words in await response.text()


async def test_bybit_lists_its_instruments_in_pages(sim: Simulator) -> None:
    path = "/v5/market/instruments-info?category=linear&limit=10"
    symbols: list[str] = []
    cursor, pages = "", 0
    async with aiohttp.ClientSession() as http:
        while pages == 0 or cursor:
            async with http.get(f"{sim.rest_url('bybit:swap')}{path}&cursor={cursor}") as response:
                result = (await response.json())["result"]
            symbols += [row["symbol"] for row in result["list"]]
            cursor, pages = result["nextPageCursor"], pages + 1
    assert pages == 3
    assert len(set(symbols)) == len(symbols) == 25


@pytest.mark.parametrize(
    ("key", "path", "size", "page", "read"),
    [
        (
            "mexc:swap",
            "/api/v1/contract/funding_rate/history?symbol=BTC_USDT",
            "page_size",
            "page_num",
            "settleTime",
        ),
        (
            "bitget:swap",
            "/api/v2/mix/market/history-fund-rate?productType=USDT-FUTURES&symbol=BTCUSDT",
            "pageSize",
            "pageNo",
            "fundingTime",
        ),
    ],
)
async def test_histories_come_in_pages_and_end(
    sim: Simulator, key: str, path: str, size: str, page: str, read: str
) -> None:
    times: list[int] = []
    async with aiohttp.ClientSession() as http:
        for number in (1, 2, 10_000):
            async with http.get(f"{sim.rest_url(key)}{path}&{size}=10&{page}={number}") as response:
                data = (await response.json())["data"]
            rows = data["resultList"] if key == "mexc:swap" else data
            assert len(rows) == (10 if number < 3 else 0)
            times += [int(row[read]) for row in rows]
    assert {earlier - later for earlier, later in pairwise(times)} == {8 * 3_600_000}


async def test_traps_list_sats_by_the_ten_thousand() -> None:
    async with Simulator(exchanges=("binance:swap", "okx:swap"), symbols=3, traps=True) as sim:
        books = {
            key: {row.base: book for row, book in exchange.rows()} for key, exchange in sim.exchanges.items()
        }
    many, one = float(books["binance:swap"]["10000SATS"].bid), float(books["okx:swap"]["SATS"].bid)
    assert many / one == pytest.approx(10_000, rel=0.05)
    assert float(books["binance:swap"]["1000CAT"].bid) == pytest.approx(
        1000 * float(books["okx:swap"]["CAT"].bid), rel=0.05
    )

"""ccxt, a client nobody here wrote, reads markets and tickers from every simulated exchange."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ccxt
import pytest

from simulator.catalogue import EXCHANGES, VOLUME_SHARE
from simulator.server import Simulator


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Eight exchanges with 25 symbols."""
    async with Simulator(symbols=25) as simulator:
        yield simulator


def redirect(urls: Any, base: str) -> Any:
    """Every ccxt URL with the simulator's address and its own path."""
    if isinstance(urls, dict):
        return {name: redirect(url, base) for name, url in urls.items()}
    return base + urlsplit(urls).path


def client(sim: Simulator, key: str) -> Any:
    """ccxt's own class for an exchange, as it comes: it asks for swaps and currencies too."""
    exchange = getattr(ccxt, key)({"enableRateLimit": False, "options": {"defaultType": "spot"}})
    exchange.urls["api"] = redirect(exchange.urls["api"], sim.rest_url(key))
    if key in ("bitget", "bybit", "okx", "gate", "binance"):  # options and futures dialects are not simulated
        wanted = exchange.options.get("fetchMarkets")
        exchange.options["fetchMarkets"] = (
            {"types": ["spot"]} if isinstance(wanted, dict) or wanted is None else ["spot"]
        )
    return exchange


@pytest.mark.parametrize("key", EXCHANGES)
async def test_ccxt_reads_markets_and_tickers(sim: Simulator, key: str) -> None:
    exchange = client(sim, key)
    markets = await asyncio.to_thread(exchange.load_markets)
    tickers = await asyncio.to_thread(exchange.fetch_tickers)
    assert len(markets) == len(tickers) == 25
    btc = markets["BTC/USDT"]
    assert (btc["base"], btc["quote"], btc["spot"], btc["active"]) == ("BTC", "USDT", True, True)
    assert btc["precision"]["price"] == 0.01
    assert btc["precision"]["amount"] == 0.00001
    assert markets["PEPE/USDT"]["precision"]["price"] == 1e-8
    assert btc["limits"]["cost"]["min"] == (None if key == "okx" else 5)  # OKX names no least value
    ticker = tickers["BTC/USDT"]
    assert 102_000 < ticker["bid"] < ticker["ask"] < 104_500
    assert ticker["quoteVolume"] == pytest.approx(1_900e6 * VOLUME_SHARE[key])


@pytest.mark.parametrize("key", EXCHANGES)
async def test_a_delisted_symbol_is_not_tradable(sim: Simulator, key: str) -> None:
    sim.inject(f"{key}/ETH/USDT:delist")
    markets = await asyncio.to_thread(client(sim, key).load_markets)
    assert markets["ETH/USDT"]["active"] is False
    assert markets["BTC/USDT"]["active"] is True


async def test_mexc_and_bingx_and_kucoin_swap_lists_are_empty_not_errors(sim: Simulator) -> None:
    paths = {
        "mexc": "/api/v1/contract/detail",
        "bingx": "/openApi/swap/v2/quote/contracts",
        "kucoin": "/api/v1/contracts/active",
        "okx": "/api/v5/public/instruments?instType=SWAP",
        "bitget": "/api/v2/mix/market/contracts?productType=USDT-FUTURES",
        "bybit": "/v5/market/instruments-info?category=linear",
    }
    async with aiohttp.ClientSession() as http:
        for key, path in paths.items():
            async with http.get(sim.rest_url(key) + path) as response:
                assert response.status == 200
                body = await response.json()
                data = body["result"]["list"] if key == "bybit" else body["data"]
                assert data == []


@pytest.mark.parametrize(
    ("key", "path", "status", "words"),
    [
        ("bybit", "/v5/market/tickers?category=nonsense", 200, "Illegal category"),
        ("okx", "/api/v5/market/tickers?instType=NONSENSE", 200, "51000"),
        ("gate", "/api/v4/spot/tickers?currency_pair=NOPE_USDT", 400, "INVALID_CURRENCY_PAIR"),
        ("kucoin", "/api/v1/bullet-public", 200, "405000"),
        ("bingx", "/openApi/nonsense", 200, "100400"),
        ("binance", "/api/v3/nonsense", 404, "Not found"),
    ],
)
async def test_each_exchange_refuses_in_its_own_way(
    sim: Simulator, key: str, path: str, status: int, words: str
) -> None:
    async with aiohttp.ClientSession() as http, http.get(sim.rest_url(key) + path) as response:
        assert response.status == status
        assert words in await response.text()


async def test_the_front_page_says_where_everything_is(sim: Simulator) -> None:
    async with aiohttp.ClientSession() as http, http.get(sim.url) as response:
        page = await response.json()
    assert page["exchanges"]["okx"]["rest"] == f"{sim.url}/okx"
    assert page["exchanges"]["okx"]["websocket"] == f"ws://127.0.0.1:{sim.port}/okx/ws/v5/public"
    assert page["faults"] == []
    assert sim.url in page["point_a_collector_here"]

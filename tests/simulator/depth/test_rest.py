"""Whole books over REST: the quote is their best level, levels as many as asked for, limits in own words."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from simulator.catalogue import MARKETS
from simulator.server import Simulator
from tests.simulator.depth.follower import Follower
from tests.support.exchanges.simulator_client import connect
from tests.support.exchanges.tiny_exchange import until

BOOKS: dict[str, tuple[str, str]] = {
    "binance": ("/api/v3/depth?symbol=BTCUSDT&limit=5", ""),
    "binance:swap": ("/fapi/v1/depth?symbol=BTCUSDT&limit=5", ""),
    "bybit": ("/v5/market/orderbook?category=spot&symbol=BTCUSDT&limit=5", "result"),
    "bybit:swap": ("/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=5", "result"),
    "okx": ("/api/v5/market/books?instId=BTC-USDT&sz=5", "data"),
    "okx:swap": ("/api/v5/market/books?instId=BTC-USDT-SWAP&sz=5", "data"),
    "gate": ("/api/v4/spot/order_book?currency_pair=BTC_USDT&limit=5", ""),
    "gate:swap": ("/api/v4/futures/usdt/order_book?contract=BTC_USDT&limit=5", ""),
    "kucoin": ("/api/v1/market/orderbook/level2_20?symbol=BTC-USDT", "data"),
    "kucoin:swap": ("/api/v1/level2/depth20?symbol=XBTUSDTM", "data"),
    "mexc": ("/api/v3/depth?symbol=BTCUSDT&limit=5", ""),
    "mexc:swap": ("/api/v1/contract/depth/BTC_USDT?limit=5", "data"),
    "bitget": ("/api/v2/spot/market/orderbook?symbol=BTCUSDT&limit=5", "data"),
    "bitget:swap": (
        "/api/v2/mix/market/merge-depth?productType=USDT-FUTURES&symbol=BTCUSDT&limit=5",
        "data",
    ),
    "bingx": ("/openApi/spot/v1/market/depth?symbol=BTC-USDT&limit=5", "data"),
    "bingx:swap": ("/openApi/swap/v2/quote/depth?symbol=BTC-USDT&limit=5", "data"),
}
REFUSED: dict[str, tuple[int, str, object]] = {
    "binance": (429, "code", -1003),
    "binance:swap": (429, "code", -1003),
    "bybit": (403, "retCode", 10006),
    "bybit:swap": (403, "retCode", 10006),
    "okx": (429, "code", "50011"),
    "okx:swap": (429, "code", "50011"),
    "gate": (429, "label", "TOO_MANY_REQUESTS"),
    "gate:swap": (429, "label", "TOO_MANY_REQUESTS"),
    "kucoin": (429, "code", "429000"),
    "kucoin:swap": (429, "code", "429000"),
    "mexc": (429, "code", 429),
    "mexc:swap": (200, "code", 510),
    "bitget": (429, "code", "429"),
    "bitget:swap": (429, "code", "429"),
    "bingx": (429, "code", 100410),
    "bingx:swap": (429, "code", 100410),
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """Every market with two symbols."""
    async with Simulator(symbols=2, rate=50) as simulator:
        yield simulator


async def get(sim: Simulator, key: str, path: str) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as http, http.get(sim.rest_url(key) + path) as response:
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize("key", MARKETS)
async def test_a_book_has_as_many_levels_as_were_asked_for_and_the_quote_on_top(
    sim: Simulator, key: str
) -> None:
    async with connect(sim, key) as client:  # somebody follows it, so that it does not move on each request
        follower = Follower(sim, key, client)
        await follower.follow()
        path, inner = BOOKS[key]
        status, answer, _ = await get(sim, key, path)
        quote = sim.exchanges[key].quote(follower.listing)
        body = answer[inner] if inner else answer
        body = body[0] if isinstance(body, list) else body
        bids, asks = (body.get(side[0], body.get(side)) for side in ("bids", "asks"))
        assert status == 200
        assert len(bids) == len(asks) == (20 if "kucoin" in key else 5)
        (update,) = follower.codec.snapshot(json.dumps(answer), follower.native)
        bid, bid_size = max(update.bids)
        ask, ask_size = min(update.asks)
        view = follower.view()
        assert (quote.bid, quote.ask) == (view.bids[0][0], view.asks[0][0])
        assert abs(bid - float(quote.bid)) < 0.01 * bid
        assert 0 < bid < ask
        assert min(bid_size, ask_size) > 0


@pytest.mark.parametrize("key", MARKETS)
async def test_quote_and_book_of_one_instrument_agree(sim: Simulator, key: str) -> None:
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        await follower.follow()
        for _ in range(10):
            await follower.read()
            view, quote = follower.view(), sim.exchanges[key].quote(follower.listing)
            assert view.bids[0] == (quote.bid, quote.bid_size)
            assert view.asks[0] == (quote.ask, quote.ask_size)


@pytest.mark.parametrize("key", MARKETS)
async def test_who_asks_too_often_is_refused_in_the_exchanges_own_words(sim: Simulator, key: str) -> None:
    depth = sim.exchanges[key].depth
    (most, _), (expected, field, code) = depth.budget, REFUSED[key]
    weighs = key.startswith("binance")
    path = BOOKS[key][0].replace("limit=5", "limit=1000") if weighs else BOOKS[key][0]
    depth.budget = (min(most, 600 if weighs else 40), 1000.0)  # sooner over, and stays
    for _ in range(500):  # a process that gets the processor late counts again
        status, answer, headers = await get(sim, key, path)
        refused = isinstance(answer, dict) and answer.get(field) == code
        if refused:
            break
    assert refused
    assert status == expected
    assert ("Retry-After" in headers) == weighs
    depth.budget = (most, 0.0)  # its seconds are over
    assert (await get(sim, key, path))[1].get(field) != code


@pytest.mark.parametrize("key", MARKETS)
async def test_a_book_that_nobody_follows_is_kept_by_nobody(sim: Simulator, key: str) -> None:
    path = BOOKS[key][0]
    first, second = [(await get(sim, key, path))[1] for _ in range(2)]
    assert first != second
    exchange = sim.exchanges[key]
    listing = next(iter(exchange.listings.values()))
    assert exchange.source.ladder(exchange, listing) is not exchange.source.ladder(exchange, listing)
    async with connect(sim, key) as client:
        follower = Follower(sim, key, client)
        await follower.follow()
        assert exchange.source.ladder(exchange, listing) is exchange.source.ladder(exchange, listing)
    await until(lambda: not exchange.follows(listing.symbol))
    assert exchange.source.ladder(exchange, listing) is not exchange.source.ladder(exchange, listing)


@pytest.mark.parametrize(
    ("key", "path", "status", "field", "value"),
    [
        ("binance", "/api/v3/depth?symbol=NOPE", 400, "code", -1121),
        ("bybit", "/v5/market/orderbook?category=linear&symbol=BTCUSDT", 200, "retCode", 10001),
        ("okx", "/api/v5/market/books?instId=NO-PE", 200, "code", "51001"),
        ("gate", "/api/v4/spot/order_book?currency_pair=NO_PE", 400, "label", "INVALID_CURRENCY_PAIR"),
        ("gate:swap", "/api/v4/futures/usdt/order_book", 400, "label", "CONTRACT_NOT_FOUND"),
        ("kucoin", "/api/v3/market/orderbook/level2?symbol=BTC-USDT", 401, "code", "400001"),
        ("mexc:swap", "/api/v1/contract/depth/NO_PE", 404, "code", 404),
        ("bitget", "/api/v2/spot/market/orderbook?symbol=NOPE", 400, "code", "40034"),
        ("bingx:swap", "/openApi/swap/v2/quote/depth?symbol=BTC-USDT&limit=7", 200, "code", 109400),
    ],
)
async def test_what_there_is_not_is_refused(
    sim: Simulator, key: str, path: str, status: int, field: str, value: object
) -> None:
    got, answer, _ = await get(sim, key, path)
    assert (got, answer[field]) == (status, value)

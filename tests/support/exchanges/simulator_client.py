"""A raw client of the simulated exchanges: sends text, reads frames, knows no codec of ours."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from core.names.symbols import base_of, quote_of
from simulator.server import Simulator

PATHS = {
    "binance": "/stream",
    "bybit": "/v5/public/spot",
    "mexc": "/ws",
    "gate": "/ws/v4/",
    "okx": "/ws/v5/public",
    "bitget": "/v2/ws/public",
    "bingx": "/market",
    "binance:swap": "/public/stream",
    "bybit:swap": "/v5/public/linear",
    "mexc:swap": "/edge",
    "gate:swap": "/v4/ws/usdt",
    "okx:swap": "/ws/v5/public",
    "bitget:swap": "/v2/ws/public",
    "bingx:swap": "/swap-market",
}
QUOTES: dict[str, Callable[[str, str], Any]] = {
    "binance": lambda b, q: {
        "method": "SUBSCRIBE",
        "params": [f"{b.lower()}{q.lower()}@bookTicker"],
        "id": 1,
    },
    "bybit": lambda b, q: {"req_id": "1", "op": "subscribe", "args": [f"orderbook.1.{b}{q}"]},
    "mexc": lambda b, q: {
        "method": "SUBSCRIPTION",
        "params": [f"spot@public.aggre.bookTicker.v3.api.pb@100ms@{b}{q}"],
    },
    "gate": lambda b, q: {"channel": "spot.book_ticker", "event": "subscribe", "payload": [f"{b}_{q}"]},
    "kucoin": lambda b, q: {
        "id": "1",
        "type": "subscribe",
        "topic": f"/spotMarket/level1:{b}-{q}",
        "response": True,
    },
    "okx": lambda b, q: {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": f"{b}-{q}"}]},
    "bitget": lambda b, q: {
        "op": "subscribe",
        "args": [{"instType": "SPOT", "channel": "books1", "instId": f"{b}{q}"}],
    },
    "bingx": lambda b, q: {"id": "u1", "reqType": "sub", "dataType": f"{b}-{q}@bookTicker"},
}
QUOTES |= {f"{key}:swap": QUOTES[key] for key in ("binance", "bybit", "bingx")} | {
    "mexc:swap": lambda b, q: {"method": "sub.depth.full", "param": {"symbol": f"{b}_{q}", "limit": 20}},
    "gate:swap": lambda b, q: {
        "channel": "futures.book_ticker",
        "event": "subscribe",
        "payload": [f"{b}_{q}"],
    },
    "kucoin:swap": lambda b, q: {
        "id": "1",
        "type": "subscribe",
        "topic": f"/contractMarket/tickerV2:{'XBT' if b == 'BTC' else b}{q}M",
        "response": True,
    },
    "okx:swap": lambda b, q: {
        "op": "subscribe",
        "args": [{"channel": "bbo-tbt", "instId": f"{b}-{q}-SWAP"}],
    },
    "bitget:swap": lambda b, q: {
        "op": "subscribe",
        "args": [{"instType": "USDT-FUTURES", "channel": "books1", "instId": f"{b}{q}"}],
    },
}


class Closed(Exception):
    """The simulated exchange ended the connection; `code` as the client saw it."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class Client:
    """One connection; `pings` collects the WebSocket pings seen, answered while `answers` is true."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.pings: list[bytes] = []
        self.answers = True

    async def send(self, request: Any) -> None:
        """Send text as it is, anything else as JSON."""
        await self.socket.send_str(request if isinstance(request, str) else json.dumps(request))

    async def raw(self, seconds: float = 5.0) -> str | bytes:
        """The next text or binary frame as it came; raises Closed."""
        while True:
            message = await self.socket.receive(seconds)
            if message.type == aiohttp.WSMsgType.PING:
                self.pings.append(bytes(message.data))
                if self.answers:
                    await self.socket.pong(message.data)
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                data: str | bytes = message.data
                return data
            else:
                if message.type == aiohttp.WSMsgType.CLOSE:
                    await self.socket.close()
                raise Closed(self.socket.close_code)

    async def text(self) -> str:
        """The next frame as text, unzipped where it is gzip."""
        frame = await self.raw()
        return frame if isinstance(frame, str) else gzip.decompress(frame).decode()

    async def json(self) -> Any:
        """The next frame as JSON."""
        return json.loads(await self.text())

    async def until(self, wanted: Callable[[Any], bool], seconds: float = 5.0) -> Any:
        """The first JSON frame that is wanted; text that is not JSON is passed over."""
        async with asyncio.timeout(seconds):
            while True:
                text = await self.text()
                if text[:1] in ("{", "[") and wanted(frame := json.loads(text)):
                    return frame

    async def ask(self, request: Any) -> Any:
        """Send and return the next JSON frame."""
        await self.send(request)
        return await self.json()

    async def end(self, seconds: float = 5.0) -> Closed:
        """Read until the exchange ends the connection; raises TimeoutError when it stays open."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.raw()
                except Closed as closed:
                    return closed


@asynccontextmanager
async def connect(sim: Simulator, key: str, path: str | None = None) -> AsyncIterator[Client]:
    """A connection to a simulated exchange at its socket path; for KuCoin with a token, welcomed."""
    async with aiohttp.ClientSession() as http:
        url = sim.ws_url(key) + (path or PATHS.get(key, "/"))
        if key.startswith("kucoin") and path is None:
            async with http.post(sim.rest_url(key) + "/api/v1/bullet-public") as response:
                data = (await response.json())["data"]
            url = f"{data['instanceServers'][0]['endpoint']}?token={data['token']}&connectId=c1"
        async with http.ws_connect(url, autoping=False, autoclose=False) as socket:
            client = Client(socket)
            if key.startswith("kucoin") and path is None:
                assert await client.json() == {"id": "c1", "type": "welcome"}
            yield client


async def subscribe_quotes(client: Client, key: str, symbol: str = "BTC/USDT") -> None:
    """Ask for a symbol's quotes in the exchange's own words."""
    await client.send(QUOTES[key](base_of(symbol), quote_of(symbol)))


def best(key: str, frame: str | bytes) -> tuple[float, float, float, float] | None:
    """Bid, bid size, ask, ask size of a quote frame, read by hand; None for any other frame."""
    if key == "mexc":
        return _mexc(frame) if isinstance(frame, bytes) else None
    text = frame if isinstance(frame, str) else gzip.decompress(frame).decode()
    data = json.loads(text) if text[:1] == "{" else {}
    try:
        bid, bid_size, ask, ask_size = _FIELDS[key](data)
    except (KeyError, TypeError):
        return None
    return float(bid), float(bid_size), float(ask), float(ask_size)


_FIELDS: dict[str, Callable[[Any], tuple[str, str, str, str]]] = {
    "binance": lambda d: tuple(d["data"][name] for name in "bBaA"),
    "bybit": lambda d: (*d["data"]["b"][0], *d["data"]["a"][0]),
    "gate": lambda d: tuple(d["result"][name] for name in "bBaA"),
    "kucoin": lambda d: (*d["data"]["bids"], *d["data"]["asks"]),
    "okx": lambda d: (*d["data"][0]["bids"][0][:2], *d["data"][0]["asks"][0][:2]),
    "bitget": lambda d: (*d["data"][0]["bids"][0], *d["data"][0]["asks"][0]),
    "bingx": lambda d: tuple(d["data"][name] for name in "bBaA"),
    "mexc:swap": lambda d: (*d["data"]["bids"][0][:2], *d["data"]["asks"][0][:2]),
    "kucoin:swap": lambda d: tuple(
        d["data"][name] for name in ("bestBidPrice", "bestBidSize", "bestAskPrice", "bestAskSize")
    ),
}
_FIELDS |= {f"{key}:swap": _FIELDS[key] for key in ("binance", "bybit", "gate", "okx", "bitget", "bingx")}


def protobuf(data: bytes) -> list[tuple[int, Any]]:
    """Field number and value of each protobuf field: an int, or the bytes of a length-delimited one."""
    fields: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 2:
            fields.append((key >> 3, data[at : at + value]))
            at += value
        else:
            assert key & 7 == 0
            fields.append((key >> 3, value))
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _mexc(frame: bytes) -> tuple[float, float, float, float] | None:
    body = dict(protobuf(frame)).get(315)
    if body is None:
        return None
    fields = dict(protobuf(body))
    bid, bid_size, ask, ask_size = (float(fields[number]) for number in (1, 2, 3, 4))
    return bid, bid_size, ask, ask_size

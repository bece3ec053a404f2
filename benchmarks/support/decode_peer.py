"""One side of decode_peers.py, run by it with the Python that has what is measured: `decode_peer.py SIDE`.

Reads a JSON object per line. The first says what there is, `{"kinds": [{"name", "exchange", "frames":
[base64…], "symbols": {native id: symbol}}…]}`, and is answered with the names of the kinds this side can
decode. Each further one, `{"kind", "rounds"}`, is answered with the CPU seconds of so many rounds over
the kind's frames. A frame goes in as that library's socket hands it over, and ends in its book.
"""

import asyncio
import base64
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

Round = Callable[[], Awaitable[None]]
"""Takes every frame of a kind in once."""


class Unable(Exception):
    """This library does not decode frames of that kind."""


def as_received(frame: bytes) -> bytes | str:
    """A message as a client's socket hands it over: JSON as text, protobuf and gzip as bytes."""
    return frame.decode() if frame[:1] == b"{" else frame


class Ours:
    """Our codecs, and the last quote or trade of each symbol, as the engine keeps quotes."""

    def prepare(self, kind: dict[str, Any], frames: list[bytes]) -> Round:
        """Decode, check, keep."""
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
        from collectors.exchanges import CODECS

        decode = CODECS[kind["exchange"]](kind["symbols"]).decode
        messages = [as_received(frame) for frame in frames]
        book: dict[str, Any] = {}

        async def once() -> None:
            for message in messages:
                for event in decode(message, 1, 1):
                    book[event.symbol] = event  # type: ignore[union-attr]

        asyncio.run(once())
        assert len(book) == len(kind["symbols"]), kind["name"]
        return once


class Cryptofeed:
    """`message_handler` of its exchange classes, with a callback that keeps the last object."""

    # What it has of our kinds. Of Bitget it knows older frames only, of OKX and Gate no best bid/ask.
    channels: ClassVar = {
        "binance bookTicker": "ticker", "binance trade": "trades",
        "bybit orderbook.1": "l2_book", "bybit publicTrade": "trades",
        "okx tickers": "ticker", "okx trades": "trades",
        "gate trades": "trades",
        "kucoin ticker": "ticker", "kucoin match": "trades",
    }  # fmt: skip
    server: ClassVar = {"endpoint": "wss://localhost", "pingInterval": 18_000}
    token: ClassVar = {"data": {"token": "", "instanceServers": [server]}}

    def prepare(self, kind: dict[str, Any], frames: list[bytes]) -> Round:
        """Prepare its exchange with our symbols in place of those it would fetch."""
        from cryptofeed.exchanges import EXCHANGE_MAP  # type: ignore[import-not-found, unused-ignore]
        from cryptofeed.symbols import Symbols  # type: ignore[import-not-found, unused-ignore]

        if kind["name"] not in self.channels:
            raise Unable
        channel, exchange = self.channels[kind["name"]], kind["exchange"]
        key = "GATEIO" if exchange == "gate" else exchange.upper()
        names = {self._normalised(symbol): native for native, symbol in kind["symbols"].items()}
        if exchange == "bybit":  # it writes spot symbols with a slash, to distinguish them from swaps
            names = {name: name.replace("-", "/") for name in names}
        Symbols.set(EXCHANGE_MAP[key].id, names, {"instrument_type": dict.fromkeys(names, "spot")})
        book: dict[str, Any] = {}

        async def keep(found: Any, _received: float) -> None:
            book[found.symbol] = found

        EXCHANGE_MAP[key].http_sync = SimpleNamespace(write=lambda *_, **__: self.token)
        feed = EXCHANGE_MAP[key](symbols=list(names), channels=[channel], callbacks={channel: keep})
        texts = [self._theirs(frame).decode() for frame in frames]
        connection = SimpleNamespace(
            address="wss://stream.bybit.com/v5/public/spot", uuid="", subscription={}
        )
        handle = feed.message_handler

        async def once() -> None:
            for text in texts:
                await handle(text, connection, 1.0)

        asyncio.run(once())
        assert len(book) == len(names), kind["name"]
        return once

    @staticmethod
    def _normalised(symbol: str) -> str:
        return symbol.replace("/", "-")

    @staticmethod
    def _theirs(frame: bytes) -> bytes:
        """Rename a trade's fields: of Binance's trades it knows only the aggregated ones."""
        return (
            frame.replace(b'@trade"', b'@aggTrade"')
            .replace(b'"e":"trade"', b'"e":"aggTrade"')
            .replace(b'"t":', b'"a":')
        )


class CcxtPro:
    """`Client.handle_message` of its exchanges; it keeps its own caches."""

    def prepare(self, kind: dict[str, Any], frames: list[bytes]) -> Round:
        """Prepare its exchange with our markets in place of those it would fetch."""
        import ccxt.pro  # type: ignore[import-not-found, unused-ignore]
        from aiohttp import WSMessage, WSMsgType

        exchange = getattr(ccxt.pro, kind["exchange"])()
        exchange.set_markets([self._market(exchange, *names) for names in kind["symbols"].items()])
        messages = [
            WSMessage(WSMsgType.TEXT if isinstance(message, str) else WSMsgType.BINARY, message, None)
            for message in map(as_received, frames)
        ]

        async def client() -> Any:
            exchange.open()
            return exchange.client("wss://localhost/v5/public/spot")

        loop = asyncio.new_event_loop()
        handle = loop.run_until_complete(client()).handle_message

        async def once() -> None:
            for message in messages:
                handle(message)

        try:
            loop.run_until_complete(once())
        except Exception as error:
            raise Unable from error
        kept = (exchange.bidsasks, exchange.tickers, exchange.orderbooks, exchange.trades)
        if not any(kept):
            raise Unable
        return once

    @staticmethod
    def _market(exchange: Any, native: str, symbol: str) -> Any:
        base, quote = symbol.split("/")  # no module of ours: this runs in the peer's virtualenv
        facts = {"id": native, "symbol": symbol, "type": "spot", "spot": True, "active": True}
        coins = {"base": base, "quote": quote, "baseId": base, "quoteId": quote}
        return exchange.safe_market_structure(facts | coins | {"precision": {"amount": 1e-8, "price": 1e-8}})


class Nautilus:
    """`_handle_ws_message` of its Binance data client; what its data engine would get is kept."""

    def prepare(self, kind: dict[str, Any], frames: list[bytes]) -> Round:
        """A whole client that never connects."""
        if kind["exchange"] != "binance":
            raise Unable
        book: dict[str, Any] = {}

        def keep(found: Any) -> None:
            book[found.instrument_id.symbol.value] = found

        handle = self._client(keep)._handle_ws_message

        async def once() -> None:
            for frame in frames:
                handle(frame)

        asyncio.run(once())
        assert len(book) == len(kind["symbols"]), kind["name"]
        return once

    @staticmethod
    def _client(keep: Callable[[Any], None]) -> Any:
        from nautilus_trader.adapters.binance import (  # type: ignore[import-not-found, unused-ignore]
            BinanceDataClientConfig,
        )
        from nautilus_trader.adapters.binance.http.client import (  # type: ignore[import-not-found, unused-ignore]
            BinanceHttpClient,
        )
        from nautilus_trader.adapters.binance.spot.data import (  # type: ignore[import-not-found, unused-ignore]
            BinanceSpotDataClient,
        )
        from nautilus_trader.adapters.binance.spot.providers import (  # type: ignore[import-not-found, unused-ignore]
            BinanceSpotInstrumentProvider,
        )
        from nautilus_trader.cache.cache import Cache  # type: ignore[import-not-found, unused-ignore]
        from nautilus_trader.common.component import (  # type: ignore[import-not-found, unused-ignore]
            LiveClock,
            MessageBus,
        )
        from nautilus_trader.model.identifiers import TraderId  # type: ignore[import-not-found, unused-ignore]

        clock = LiveClock()
        bus = MessageBus(TraderId("BENCH-001"), clock)
        bus.register("DataEngine.process", keep)
        http = BinanceHttpClient(clock, "", "", "http://localhost")
        loop = asyncio.new_event_loop()
        return BinanceSpotDataClient(
            loop=loop,
            client=http,
            msgbus=bus,
            cache=Cache(),
            clock=clock,
            instrument_provider=BinanceSpotInstrumentProvider(http, clock),
            base_url_ws="ws://localhost",
            config=BinanceDataClientConfig(),
        )


SIDES = {"ours": Ours, "cryptofeed": Cryptofeed, "ccxt.pro": CcxtPro, "nautilus": Nautilus}


def prepared(side: Any, kinds: list[dict[str, Any]]) -> dict[str, Round]:
    """The kinds this side can do."""
    found: dict[str, Round] = {}
    for kind in kinds:
        try:
            found[kind["name"]] = side.prepare(kind, [base64.b64decode(f) for f in kind["frames"]])
        except Unable:
            continue
    return found


async def cpu_s(once: Round, rounds: int) -> float:
    """CPU seconds of so many rounds."""
    started = time.process_time()
    for _ in range(rounds):
        await once()
    return time.process_time() - started


def main() -> None:
    """Answer until there is nothing more to read."""
    logging.disable(logging.CRITICAL)
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print
    side = SIDES[sys.argv[1]]()
    rounds = prepared(side, json.loads(sys.stdin.readline())["kinds"])
    print(json.dumps(list(rounds)), file=answers, flush=True)
    for line in sys.stdin:
        turn = json.loads(line)
        print(asyncio.run(cpu_s(rounds[turn["kind"]], turn["rounds"])), file=answers, flush=True)


if __name__ == "__main__":
    main()

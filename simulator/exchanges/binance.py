"""Binance spot: `/stream` combined and `/ws` raw, server pings with payload, 1024 streams, 5 messages/s.

Source: binance-spot-api-docs web-socket-streams.md and rest-api.md (2026-07).
"""

from typing import Any

from simulator.catalogue import Listing
from simulator.exchanges.base import (
    Book,
    Deal,
    RestCall,
    RestHandler,
    RestReply,
    Rhythm,
    SimulatedExchange,
    read_json,
    strings,
)
from simulator.session import Frame, Session, Topic

STREAMS_LIMIT = 1024
CHANNELS = {"bookTicker": "quote", "trade": "trade"}


class Binance(SimulatedExchange):
    """The dialect of Binance spot."""

    key = "binance"
    name = "Binance"
    ws_paths = ("/stream", "/ws")
    padding = 8
    rhythm = Rhythm(ping=20, drop=60, life=24 * 3600)
    messages_per_window = (5, 1.0)

    def has_socket(self, path: str) -> bool:
        """Raw streams may be named in the path: `/ws/btcusdt@trade`."""
        return path in self.ws_paths or path.startswith("/ws/")

    def welcome(self, session: Session) -> None:
        """Streams may be named in the URL: `/stream?streams=a/b` or `/ws/a/b`."""
        session.variant = "combined" if session.path.startswith("/stream") else "raw"
        path_names = session.path.removeprefix("/stream").removeprefix("/ws")
        names = session.query.get("streams", "") or path_names.strip("/")
        for name in filter(None, names.split("/")):
            if topic := self._topic(name):
                self.subscribe(session, topic)

    def receive(self, session: Session, text: str) -> None:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
        request = read_json(text)
        if request is None:
            self._refuse(session, None, "Invalid JSON: expected value at line 1 column 1", code=3)
            return
        method, params, number = request.get("method"), strings(request.get("params")), request.get("id")
        if method == "SUBSCRIBE":
            self._subscribe(session, params, number)
        elif method == "UNSUBSCRIBE":
            for name in params:
                self.unsubscribe(session, name)
            session.send_json({"result": None, "id": number})
        elif method == "LIST_SUBSCRIPTIONS":
            session.send_json({"result": list(session.topics), "id": number})
        else:
            self._refuse(session, number, f"Invalid request: unknown variant `{method}`")

    def _subscribe(self, session: Session, params: list[str], number: object) -> None:
        topics = [self._topic(name) for name in params]
        known = [topic for topic in topics if topic]
        if not params or len(known) < len(topics):
            self._refuse(session, number, "Invalid request: invalid stream")
        elif len(session.topics.keys() | set(params)) > STREAMS_LIMIT:
            self._refuse(session, number, "Invalid request: too many subscriptions")
        else:
            session.send_json({"result": None, "id": number})
            for topic in known:
                self.subscribe(session, topic)

    def _refuse(self, session: Session, number: object, message: str, code: int = 2) -> None:
        session.send_json({"error": {"code": code, "msg": message}, "id": number})

    def _topic(self, name: str) -> Topic | None:
        """`btcusdt@bookTicker`: streams are lower-case."""
        native, _, kind = name.partition("@")
        listing = self.find(native.upper())
        if listing is None or native != native.lower() or kind not in CHANNELS:
            return None
        return Topic("quote" if kind == "bookTicker" else "trade", listing.symbol, name)

    async def ping(self, session: Session) -> None:
        """A WebSocket ping every 20 s; the payload is the time."""
        await session.ping(str(self.now_ms()).encode())

    def ponged(self, session: Session, payload: bytes) -> None:
        """Only a pong with the last ping's payload keeps the connection."""
        if payload == session.ping_payload:
            session.pinged = session.received_s

    def alive(self, session: Session) -> float:
        """Pongs count, other messages do not."""
        return session.pinged

    def announce_close(self, session: Session) -> None:
        """`serverShutdown` comes before a planned restart."""
        event = {"e": "serverShutdown", "E": self.now_ms()}
        session.send_json(
            {"stream": "!serverShutdown", "data": event} if session.variant == "combined" else event
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """bookTicker: no event time on spot."""
        return _wrap(
            topic,
            variant,
            f'{{"u":{book.n},"s":"{self.native(listing)}","b":"{book.bid}","B":"{book.bid_size}",'
            f'"a":"{book.ask}","A":"{book.ask_size}"}}',
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """trade: `m` is true when the buyer was the maker, so the taker sold."""
        maker = "true" if deal.side == "sell" else "false"
        return _wrap(
            topic,
            variant,
            f'{{"e":"trade","E":{deal.ts_ms + 1},"s":"{self.native(listing)}","t":{deal.n},'
            f'"p":"{deal.price}",'
            f'"q":"{deal.size}","T":{deal.ts_ms},"m":{maker},"M":true}}',
        )

    def routes(self) -> dict[str, RestHandler]:
        """The spot endpoints, and empty lists for the futures ones ccxt may ask for."""
        return {
            "GET /api/v3/ping": lambda call: {},
            "GET /api/v3/time": lambda call: {"serverTime": self.now_ms()},
            "GET /api/v3/exchangeInfo": self._exchange_info,
            "GET /api/v3/ticker/24hr": lambda call: [self._ticker(*row) for row in self.rows()],
            "GET /api/v3/ticker/bookTicker": lambda call: [self._book_ticker(*row) for row in self.rows()],
            "GET /fapi/v1/exchangeInfo": lambda call: {"symbols": []},
            "GET /dapi/v1/exchangeInfo": lambda call: {"symbols": []},
        }

    def not_found(self, call: RestCall) -> RestReply:
        """Binance answers unknown paths with a bare 404."""
        return RestReply({"code": -1000, "msg": "Not found"}, 404)

    def _exchange_info(self, call: RestCall) -> Any:
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms(),
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
            ],
            "exchangeFilters": [],
            "symbols": [self._symbol(listing) for listing in self.listings.values()],
        }

    def _symbol(self, listing: Listing) -> dict[str, Any]:
        trading = self.trading(listing)
        return {
            "symbol": self.native(listing),
            "status": "TRADING" if trading else "BREAK",
            "baseAsset": listing.base,
            "baseAssetPrecision": 8,
            "quoteAsset": listing.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
            "isSpotTradingAllowed": trading,
            "isMarginTradingAllowed": False,
            "filters": self._filters(listing),
            "permissions": [],
            "permissionSets": [["SPOT"]],
        }

    def _filters(self, listing: Listing) -> list[dict[str, Any]]:
        lot = self.number(float(listing.lot_text), 8)
        tick = self.number(listing.tick, 8)
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "10000000.00000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000.00000000", "stepSize": lot},
            {
                "filterType": "NOTIONAL",
                "minNotional": self.number(float(listing.min_notional), 8),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ]

    def _book_ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {
            "symbol": self.native(listing),
            "bidPrice": book.bid,
            "bidQty": book.bid_size,
            "askPrice": book.ask,
            "askQty": book.ask_size,
        }

    def _ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        volume = self.volume(listing)
        return {
            **self._book_ticker(listing, book),
            "priceChange": "0.00000000",
            "priceChangePercent": "0.000",
            "lastPrice": book.bid,
            "lastQty": book.bid_size,
            "openPrice": book.bid,
            "highPrice": book.ask,
            "lowPrice": book.bid,
            "volume": self.number(volume / float(book.bid), 8),
            "quoteVolume": self.number(volume, 8),
            "openTime": self.now_ms() - 86_400_000,
            "closeTime": self.now_ms(),
            "count": 1000,
        }


def _wrap(topic: str, variant: str, data: str) -> str:
    return f'{{"stream":"{topic}","data":{data}}}' if variant == "combined" else data

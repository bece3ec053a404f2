"""Binance: `/stream` combined and `/ws` raw, server pings with payload, 1024 streams, 5 messages/s on spot.

USD-M swaps since 2026-04-23: `/public` has the book's streams, `/market` the others. Sizes are coins.
Source: binance-spot-api-docs web-socket-streams.md and rest-api.md (2026-07); PROTOCOLS2 A3, B1.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

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
from simulator.exchanges.depth.binance import BinanceDepth, BinanceSwapDepth
from simulator.exchanges.perpetual import Perpetuals, known, rate_text
from simulator.session import Channel, Frame, Session, Topic

STREAMS_LIMIT = 1024


class Binance(SimulatedExchange):
    """The dialect of Binance spot."""

    key = "binance"
    depth_type = BinanceDepth
    name = "Binance"
    ws_paths: ClassVar[tuple[str, ...]] = ("/stream", "/ws")
    padding = 8
    rhythm = Rhythm(ping=20, drop=60, life=24 * 3600)
    messages_per_window = (5, 1.0)
    channels: ClassVar[dict[str, Channel]] = {
        "bookTicker": "quote",
        "trade": "trade",
        "depth": "depth",
        "depth@100ms": "depth",
    }

    def has_socket(self, path: str) -> bool:
        """Raw streams may be named in the path: `/ws/btcusdt@trade`."""
        return path in self.ws_paths or path.startswith("/ws/")

    def welcome(self, session: Session) -> None:
        """Streams may be named in the URL: `/stream?streams=a/b` or `/ws/a/b`."""
        _, kind, path_names = session.path.rpartition("/stream" if "/stream" in session.path else "/ws")
        session.variant = "combined" if kind == "/stream" else "raw"
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
        known_topics = [topic for topic in topics if topic]
        if not params or len(known_topics) < len(topics):
            self._refuse(session, number, "Invalid request: invalid stream")
        elif len(session.topics.keys() | set(params)) > STREAMS_LIMIT:
            self._refuse(session, number, "Invalid request: too many subscriptions")
        else:
            session.send_json({"result": None, "id": number})
            for topic in known_topics:
                self.subscribe(session, topic)

    def _refuse(self, session: Session, number: object, message: str, code: int = 2) -> None:
        session.send_json({"error": {"code": code, "msg": message}, "id": number})

    def _topic(self, name: str) -> Topic | None:
        """`btcusdt@bookTicker`: streams are lower-case."""
        native, _, kind = name.partition("@")
        listing = self.find(native.upper())
        if listing is None or native != native.lower() or kind not in self.channels:
            return None
        return Topic(self.channels[kind], listing.symbol, name)

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

    def wrap(self, topic: str, variant: str, data: str) -> str:
        """A frame, whose stream only combined ones name."""
        return f'{{"stream":"{topic}","data":{data}}}' if variant == "combined" else data

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """bookTicker: no event time on spot."""
        return self.wrap(
            topic,
            variant,
            f'{{"u":{book.n},"s":"{self.native(listing)}","b":"{book.bid}","B":"{book.bid_size}",'
            f'"a":"{book.ask}","A":"{book.ask_size}"}}',
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """trade: `m` is true when the buyer was the maker, so the taker sold."""
        maker = "true" if deal.side == "sell" else "false"
        return self.wrap(
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


class BinanceSwap(Perpetuals, Binance):
    """The dialect of Binance's USD-M swaps. A stream of the other route is taken and stays silent."""

    key = "binance:swap"
    depth_type = BinanceSwapDepth
    name = "Binance swap"
    ws_paths = ("/public/stream", "/public/ws", "/market/stream", "/market/ws", "/stream", "/ws")
    padding = 0
    rhythm = Rhythm(ping=180, drop=600, life=24 * 3600)
    messages_per_window = (10, 1.0)
    settling_s = 2.0
    channels: ClassVar[dict[str, Channel]] = {
        "bookTicker": "quote",
        "aggTrade": "trade",
        "trade": "trade",
        "markPrice": "status",
        "markPrice@1s": "status",
        "depth": "depth",
        "depth@100ms": "depth",
        "depth@500ms": "depth",
    }

    def has_socket(self, path: str) -> bool:
        """Raw streams may be named in the path: `/public/ws/btcusdt@bookTicker`."""
        return path in self.ws_paths or path.startswith(("/public/ws/", "/market/ws/", "/ws/"))

    def subscribe(self, session: Session, topic: Topic) -> None:
        """The book's streams come on `/public` and on no route, the others on `/market`."""
        if (topic.channel in ("quote", "depth")) != session.path.startswith("/market"):
            super().subscribe(session, topic)

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """bookTicker: `T` is the matching engine's time, `E` the push; `st` 1 is USD-M."""
        native = self.native(listing)
        return self.wrap(
            topic,
            variant,
            f'{{"e":"bookTicker","u":{book.n},"s":"{native}","ps":"{native}","b":"{book.bid}",'
            f'"B":"{book.bid_size}","a":"{book.ask}","A":"{book.ask_size}","T":{book.ts_ms},'
            f'"E":{book.ts_ms + book.lag_ms + 1},"st":1}}',
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """aggTrade sums up the trades `f` to `l`; trade has the kind of order, `X`."""
        maker = "true" if deal.side == "sell" else "false"
        head = f'"E":{deal.ts_ms + 1},"s":"{self.native(listing)}"'
        if topic.endswith("@aggTrade"):
            body = (
                f'{{"e":"aggTrade",{head},"a":{deal.n},"p":"{deal.price}","q":"{deal.size}","f":{deal.n},'
                f'"l":{deal.n},"T":{deal.ts_ms},"m":{maker}}}'
            )
        else:
            body = (
                f'{{"e":"trade",{head},"t":{deal.n},"p":"{deal.price}","q":"{deal.size}","T":{deal.ts_ms},'
                f'"X":"MARKET","m":{maker}}}'
            )
        return self.wrap(topic, variant, body)

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """markPrice every 3 s, `@1s` every second; the interval is in REST's fundingInfo alone."""
        if beat % (1 if topic.endswith("@1s") else 3) or not beat:
            return ()
        mark, index, funding = self.status(listing)
        body = (
            f'{{"e":"markPriceUpdate","E":{self.now_ms()},"s":"{self.native(listing)}","p":"{mark}","ap":"{mark}",'
            f'"i":"{index}","P":"{mark}","r":"{funding.rate:.8f}","T":{funding.next_ms},"st":1}}'
        )
        return (self.wrap(topic, variant, body),)

    def routes(self) -> dict[str, RestHandler]:
        """The USD-M endpoints, and empty lists for spot and COIN-M."""
        return {
            "GET /fapi/v1/ping": lambda call: {},
            "GET /fapi/v1/time": lambda call: {"serverTime": self.now_ms()},
            "GET /fapi/v1/exchangeInfo": self._exchange_info,
            "GET /fapi/v1/ticker/24hr": lambda call: [self._swap_ticker(*row) for row in self.rows()],
            "GET /fapi/v1/ticker/bookTicker": lambda call: [self._swap_book(*row) for row in self.rows()],
            "GET /fapi/v1/premiumIndex": self._premium_index,
            "GET /fapi/v1/fundingInfo": lambda call: [
                info for listing in self.listings.values() if (info := self._funding_info(listing))
            ],
            "GET /fapi/v1/fundingRate": self._funding_rates,
            "GET /api/v3/exchangeInfo": lambda call: {"symbols": []},
            "GET /dapi/v1/exchangeInfo": lambda call: {"symbols": []},
        }

    def _symbol(self, listing: Listing) -> dict[str, Any]:
        """A swap that is being delisted is SETTLING."""
        status = "BREAK" if not self.trading(listing) else "TRADING"
        native = self.native(listing)
        return {
            "symbol": native,
            "pair": native,
            "contractType": "PERPETUAL",
            "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000,
            "status": "SETTLING" if self.delisting(listing) else status,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "marginAsset": listing.settle,
            "pricePrecision": listing.price_decimals,
            "quantityPrecision": listing.size_decimals,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "filters": self._swap_filters(listing),
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    def _swap_filters(self, listing: Listing) -> list[dict[str, Any]]:
        lot = {"minQty": listing.lot_text, "maxQty": "100000000", "stepSize": listing.lot_text}
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": listing.tick_text,
                "maxPrice": "10000000",
                "tickSize": listing.tick_text,
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": listing.min_notional},
        ]

    def _swap_book(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {**self._book_ticker(listing, book), "lastUpdateId": book.n, "time": book.ts_ms}

    def _swap_ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        """The 24 h ticker of USD-M names no best prices."""
        best = self._book_ticker(listing, book).keys() - {"symbol"}
        return {name: value for name, value in self._ticker(listing, book).items() if name not in best}

    def _premium_index(self, call: RestCall) -> Any:
        """One object for a symbol, else all; `lastFundingRate` is forming for `nextFundingTime`."""
        rows = [self._premium(listing) for listing in self.asked(call)]
        if "symbol" not in call.query:
            return rows
        return rows[0] if rows else RestReply({"code": -1121, "msg": "Invalid symbol."}, 400)

    def _premium(self, listing: Listing) -> dict[str, Any]:
        mark, index, funding = self.status(listing)
        return {
            "symbol": self.native(listing),
            "markPrice": mark,
            "indexPrice": index,
            "estimatedSettlePrice": mark,
            "lastFundingRate": f"{funding.rate:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": funding.next_ms,
            "time": self.now_ms(),
        }

    def _funding_info(self, listing: Listing) -> dict[str, Any] | None:
        """A row for symbols whose settings are not the usual ones (8 h) alone."""
        funding = self.status(listing).funding
        if funding.interval_h == 8:
            return None
        return known(
            {
                "symbol": self.native(listing),
                "adjustedFundingRateCap": rate_text(funding.cap),
                "adjustedFundingRateFloor": rate_text(funding.floor),
                "fundingIntervalHours": funding.interval_h,
                "disclaimer": False,
            }
        )

    def _funding_rates(self, call: RestCall) -> Any:
        """Settled rates, oldest first."""
        return [
            {
                "symbol": self.native(listing),
                "fundingRate": f"{rate:.8f}",
                "fundingTime": at_ms,
                "markPrice": self.status(listing).mark_price,
            }
            for listing in self.asked(call)
            for at_ms, rate in reversed(self.settlements(listing, call, "startTime", "endTime"))
        ]

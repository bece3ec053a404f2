"""MEXC spot v3: requests and acks in text JSON, pushes in protobuf, refusals with code 0, 30 topics.

Source: mexcdevelop/websocket-proto (2026-06) and the spot v3 documentation (2025).

The protobuf is written by hand: `_field` is all of the wire format these messages need (varints and
length-delimited fields), and an encoder of our own keeps the simulator independent of the codec.
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
from simulator.session import Channel, Frame, Session, Topic

TOPICS_LIMIT = 30
BOOK, DEALS = "spot@public.aggre.bookTicker.v3.api.pb", "spot@public.aggre.deals.v3.api.pb"
INTERVALS = ("10ms", "100ms")


class Mexc(SimulatedExchange):
    """The dialect of MEXC's spot socket."""

    key = "mexc"
    name = "MEXC"
    ws_paths = ("/ws",)
    rhythm = Rhythm(drop=60, life=24 * 3600, unsubscribed=30)

    def alive(self, session: Session) -> float:
        """Data or a ping keeps the connection."""
        return max(session.received_s, session.sent_s)

    def receive(self, session: Session, text: str) -> None:
        """PING, SUBSCRIPTION, UNSUBSCRIPTION."""
        request = read_json(text) or {}
        method, params = request.get("method"), strings(request.get("params"))
        if method == "PING":
            self._answer(session, request, "PONG")
        elif method == "SUBSCRIPTION" and params:
            self._subscribe(session, request, params)
        elif method == "UNSUBSCRIPTION" and params:
            for name in params:
                self.unsubscribe(session, name)
            self._answer(session, request, ",".join(params))
        else:
            self._answer(session, request, "msg format invalid")

    def _subscribe(self, session: Session, request: dict[str, Any], names: list[str]) -> None:
        """Subscribe; `msg` alone says what succeeded and what did not, `code` is 0 either way."""
        accepted: list[str] = []
        refused: dict[str, list[str]] = {}
        for name in names:
            topic = self._topic(name)
            if topic is None:
                refused.setdefault("Not Subscribed! " if ".pb@" in name else "Blocked! ", []).append(name)
            elif len(session.topics) >= TOPICS_LIMIT and name not in session.topics:
                refused.setdefault("The number of subscriptions exceeds the limit! ", []).append(name)
            else:
                accepted.append(name)
                self.subscribe(session, topic)
        said = [",".join(accepted)] if accepted else []
        said += [
            f"Not Subscribed successfully! [{','.join(bad)}].  Reason： {reason}"
            for reason, bad in refused.items()
        ]
        self._answer(session, request, " ".join(said))

    def _answer(self, session: Session, request: dict[str, Any], message: str) -> None:
        session.send_json({"id": request.get("id", 0), "code": 0, "msg": message})

    def _topic(self, name: str) -> Topic | None:
        """`spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT`: symbols are upper-case."""
        kind, interval, native = [*name.rsplit("@", 2), "", ""][:3]
        listing = self.find(native)
        if kind not in (BOOK, DEALS) or interval not in INTERVALS or listing is None:
            return None
        channel: Channel = "quote" if kind == BOOK else "trade"
        return Topic(channel, listing.symbol, name)

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """publicAggreBookTicker is field 315 of the wrapper."""
        texts = (book.bid, book.bid_size, book.ask, book.ask_size, str(book.n))
        body = b"".join(_field(number, text) for number, text in enumerate(texts, start=1))
        return self._wrap(topic, listing, book.ts_ms + book.lag_ms, 315, body + _field(6, book.ts_ms))

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """publicAggreDeals is field 314; tradeType 1 is a taker's buy."""
        item = _field(1, deal.price) + _field(2, deal.size) + _field(3, 1 if deal.side == "buy" else 2)
        item += _field(4, deal.ts_ms) + _field(5, f"{deal.n}X0")
        body = _field(1, item) + _field(2, DEALS + topic.removeprefix(DEALS).rpartition("@")[0])
        return self._wrap(topic, listing, deal.ts_ms, 314, body)

    def _wrap(self, topic: str, listing: Listing, ts_ms: int, number: int, body: bytes) -> bytes:
        """PushDataV3ApiWrapper: channel 1, symbol 3, sendTime 6, then the body."""
        return _field(1, topic) + _field(3, self.native(listing)) + _field(6, ts_ms) + _field(number, body)

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; the contract list is empty."""
        return {
            "GET /api/v3/ping": lambda call: {},
            "GET /api/v3/time": lambda call: {"serverTime": self.now_ms()},
            "GET /api/v3/exchangeInfo": self._exchange_info,
            "GET /api/v3/ticker/24hr": self._tickers,
            "GET /api/v3/ticker/bookTicker": lambda call: [self._book_ticker(*row) for row in self.rows()],
            "GET /api/v1/contract/detail": lambda call: {"success": True, "code": 0, "data": []},
        }

    def not_found(self, call: RestCall) -> RestReply:
        """A path MEXC does not have."""
        return RestReply({"code": 404, "msg": "Not Found"}, 404)

    def _exchange_info(self, call: RestCall) -> Any:
        symbols = [self._symbol(listing) for listing in self.listings.values()]
        empty: dict[str, Any] = {"rateLimits": [], "exchangeFilters": []}
        return {"timezone": "CST", "serverTime": self.now_ms(), **empty, "symbols": symbols}

    def _symbol(self, listing: Listing) -> dict[str, Any]:
        return {
            "symbol": self.native(listing),
            "status": "1" if self.trading(listing) else "3",
            "baseAsset": listing.base,
            "baseAssetPrecision": listing.size_decimals,
            "quoteAsset": listing.quote,
            "quotePrecision": listing.price_decimals,
            "quoteAssetPrecision": listing.price_decimals,
            "baseCommissionPrecision": listing.size_decimals,
            "quoteCommissionPrecision": listing.price_decimals,
            "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
            "isSpotTradingAllowed": self.trading(listing),
            "isMarginTradingAllowed": False,
            "quoteAmountPrecision": listing.min_notional,
            "baseSizePrecision": listing.lot_text,
            "permissions": ["SPOT"],
            "filters": [],
            "maxQuoteAmount": "2000000",
            "makerCommission": "0.0005",
            "takerCommission": "0.0005",
        }

    def _book_ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {
            "symbol": self.native(listing),
            "bidPrice": book.bid,
            "bidQty": book.bid_size,
            "askPrice": book.ask,
            "askQty": book.ask_size,
        }

    def _tickers(self, call: RestCall) -> Any:
        rows = [self._ticker(listing, book) for listing, book in self.rows()]
        native = call.query.get("symbol")
        if native is None:
            return rows
        row = next((row for row in rows if row["symbol"] == native), None)
        return row or RestReply({"code": -1121, "msg": "Invalid symbol."}, 400)

    def _ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {
            **self._book_ticker(listing, book),
            "priceChange": "0",
            "priceChangePercent": "0",
            "prevClosePrice": book.bid,
            "lastPrice": book.bid,
            "openPrice": book.bid,
            "highPrice": book.ask,
            "lowPrice": book.bid,
            "volume": f"{self.volume(listing) / float(book.bid):.6f}",
            "quoteVolume": f"{self.volume(listing):.4f}",
            "openTime": self.now_ms() - 86_400_000,
            "closeTime": self.now_ms(),
            "count": None,
        }


def _varint(value: int) -> bytes:
    """Seven bits per byte, lowest first, the high bit set on all but the last."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _field(number: int, value: str | bytes | int) -> bytes:
    """One protobuf field: wire type 0 (varint) for numbers, 2 (length-delimited) for text and messages."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data

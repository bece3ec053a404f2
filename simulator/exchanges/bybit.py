"""Bybit v5 spot: 10 args per request, JSON ping answered with op "ping", REST errors with HTTP 200.

Source: bybit-exchange/docs v5 (2026-07).
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
    side,
    strings,
)
from simulator.session import Frame, Session, Topic

ARGS_PER_REQUEST = 10
ARGS_CHARACTERS = 21_000
CHANNELS = {"orderbook.1": "quote", "publicTrade": "trade"}


class Bybit(SimulatedExchange):
    """The dialect of Bybit's public spot socket."""

    key = "bybit"
    name = "Bybit"
    ws_paths = ("/v5/public/spot",)
    rhythm = Rhythm(drop=600)
    resend_s = 3.0

    def receive(self, session: Session, text: str) -> None:
        """`op` subscribe, unsubscribe, ping; `req_id` comes back only when it was sent."""
        request = read_json(text)
        if request is None:
            session.send_json({"success": False, "ret_msg": "Params Error", "conn_id": session.id, "op": ""})
            return
        operation, args = request.get("op"), strings(request.get("args"))
        if operation == "ping":
            self._answer(session, request, True, "pong")
        elif operation == "subscribe":
            self._subscribe(session, request, args)
        elif operation == "unsubscribe":
            for name in args:
                self.unsubscribe(session, name)
            self._answer(session, request, True, "unsubscribe")
        else:
            self._answer(session, request, False, f"Request not supported: {operation}")

    def _subscribe(self, session: Session, request: dict[str, Any], args: list[str]) -> None:
        topics = [self._topic(name) for name in args]
        known = [topic for topic in topics if topic]
        bad = [name for name, topic in zip(args, topics, strict=True) if topic is None]
        if len(args) > ARGS_PER_REQUEST:
            self._answer(session, request, False, "args size >10")
        elif sum(map(len, {*session.topics, *args})) > ARGS_CHARACTERS:
            self._answer(session, request, False, "args characters exceed 21000")
        elif bad or not args:
            self._answer(session, request, False, f"Invalid symbol :[{','.join(bad)}]")
        else:
            self._answer(session, request, True, "subscribe")
            for topic in known:
                self.greet(session, topic)

    def _answer(self, session: Session, request: dict[str, Any], success: bool, message: str) -> None:
        answer: dict[str, Any] = {"success": success, "ret_msg": message, "conn_id": session.id}
        if "req_id" in request:
            answer["req_id"] = request["req_id"]
        session.send_json({**answer, "op": request.get("op", "")})

    def _topic(self, name: str) -> Topic | None:
        kind, _, native = name.rpartition(".")
        listing = self.find(native)
        if listing is None or kind not in CHANNELS:
            return None
        return Topic("quote" if kind == "orderbook.1" else "trade", listing.symbol, name)

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """Level 1 is always a snapshot; `cts` is the matching engine's time.

        The same book comes again, with the same `u`, when nothing changed for 3 s.
        """
        return (
            f'{{"topic":"{topic}","ts":{book.ts_ms + book.lag_ms + 2},"type":"snapshot",'
            f'"data":{{"s":"{self.native(listing)}",'
            f'"b":{side(book.bid, book.bid_size)},"a":{side(book.ask, book.ask_size)},'
            f'"u":{book.n},"seq":{book.n * 3}}},"cts":{book.ts_ms}}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """publicTrade; `S` is the taker's side."""
        return (
            f'{{"topic":"{topic}","ts":{deal.ts_ms + 2},"type":"snapshot","data":[{{"i":"{deal.n}",'
            f'"T":{deal.ts_ms},"p":"{deal.price}","v":"{deal.size}","S":"{deal.side.capitalize()}",'
            f'"s":"{self.native(listing)}","BT":false,"RPI":false,"seq":{deal.n * 3}}}]}}'
        )

    def routes(self) -> dict[str, RestHandler]:
        """Spot rows; other categories are empty."""
        return {
            "GET /v5/market/time": lambda call: self._envelope({"timeSecond": str(self.now_ms() // 1000)}),
            "GET /v5/market/instruments-info": lambda call: self._list(call, self._instruments),
            "GET /v5/market/tickers": lambda call: self._list(call, self._tickers),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """A path Bybit does not have."""
        return RestReply({"retCode": 404, "retMsg": "Not Found", "result": {}, "time": self.now_ms()}, 404)

    def _list(self, call: RestCall, rows: Any) -> Any:
        category = call.query.get("category")
        if category not in ("spot", "linear", "inverse", "option"):
            return {"retCode": 10001, "retMsg": "Illegal category", "result": {}, "time": self.now_ms()}
        return self._envelope({"category": category, "list": rows() if category == "spot" else []})

    def _envelope(self, result: dict[str, Any]) -> dict[str, Any]:
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms()}

    def _instruments(self) -> list[dict[str, Any]]:
        return [
            {
                "symbol": self.native(listing),
                "baseCoin": listing.base,
                "quoteCoin": listing.quote,
                "innovation": "0",
                "status": "Trading" if self.trading(listing) else "Closed",
                "marginTrading": "none",
                "lotSizeFilter": {
                    "basePrecision": listing.lot_text,
                    "quotePrecision": "0.00000001",
                    "minOrderQty": listing.lot_text,
                    "maxOrderQty": "90000000",
                    "minOrderAmt": listing.min_notional,
                    "maxOrderAmt": "4000000",
                },
                "priceFilter": {"tickSize": listing.tick_text},
            }
            for listing in self.listings.values()
        ]

    def _tickers(self) -> list[dict[str, Any]]:
        return [
            {
                "symbol": self.native(listing),
                "bid1Price": book.bid,
                "bid1Size": book.bid_size,
                "ask1Price": book.ask,
                "ask1Size": book.ask_size,
                "lastPrice": book.bid,
                "prevPrice24h": book.bid,
                "price24hPcnt": "0",
                "highPrice24h": book.ask,
                "lowPrice24h": book.bid,
                "turnover24h": f"{self.volume(listing):.4f}",
                "volume24h": f"{self.volume(listing) / float(book.bid):.6f}",
            }
            for listing, book in self.rows()
        ]

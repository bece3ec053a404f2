"""Bybit v5: JSON ping answered with op "ping", REST errors with HTTP 200; on spot 10 args per request.

Sizes of linear swaps are coins. Source: bybit-exchange/docs v5 (2026-07); PROTOCOLS2 A7, B2.
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
    side,
    strings,
)
from simulator.exchanges.depth.bybit import BybitDepth
from simulator.exchanges.perpetual import LEVERAGE, TIERS, Perpetuals, compact, known, number_of, rate_text
from simulator.session import Channel, Frame, Session, Topic

ARGS_PER_REQUEST = 10
ARGS_CHARACTERS = 21_000
PAGE = 500
RISK_PAGE = 15
BOOKS: dict[str, Channel] = {f"orderbook.{levels}": "depth" for levels in (50, 200, 1000)}


class Bybit(SimulatedExchange):
    """The dialect of Bybit's public spot socket."""

    key = "bybit"
    depth_type = BybitDepth
    name = "Bybit"
    ws_paths = ("/v5/public/spot",)
    rhythm = Rhythm(drop=600)
    resend_s = 3.0
    category: ClassVar[str] = "spot"
    channels: ClassVar[dict[str, Channel]] = {
        "orderbook.1": "quote",
        "publicTrade": "trade",
        **BOOKS,
    }
    args_per_request: ClassVar[int] = ARGS_PER_REQUEST
    subscribed: ClassVar[str] = "subscribe"  # what an ack says

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
        if len(args) > self.args_per_request:
            self._answer(session, request, False, "args size >10")
        elif sum(map(len, {*session.topics, *args})) > ARGS_CHARACTERS:
            self._answer(session, request, False, "args characters exceed 21000")
        elif bad or not args:
            self._answer(session, request, False, f"Invalid symbol :[{','.join(bad)}]")
        else:
            self._answer(session, request, True, self.subscribed)
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
        if listing is None or kind not in self.channels:
            return None
        return Topic(self.channels[kind], listing.symbol, name)

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
        """Rows of the market's own category; others are empty."""
        return {
            "GET /v5/market/time": lambda call: self.envelope({"timeSecond": str(self.now_ms() // 1000)}),
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
        return self.envelope({"category": category, "list": rows() if category == self.category else []})

    def envelope(self, result: dict[str, Any]) -> dict[str, Any]:
        """An answer of REST."""
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


class BybitSwap(Perpetuals, Bybit):
    """The dialect of Bybit's linear perpetual swaps."""

    key = "bybit:swap"
    name = "Bybit swap"
    ws_paths = ("/v5/public/linear",)
    padding = 0
    history_most = 200
    beat_s = 0.1
    category = "linear"
    channels: ClassVar[dict[str, Channel]] = {
        "orderbook.1": "quote",
        "publicTrade": "trade",
        "tickers": "status",
        **BOOKS,
    }
    args_per_request = 2_000
    subscribed = ""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._said: dict[str, dict[str, Any]] = {}

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """tickers: a snapshot on subscribing, then what changed, and nothing where nothing did."""
        row = self._status_row(listing)
        said = self._said.setdefault(listing.symbol, row)
        if beat:
            self._said[listing.symbol] = row
        kind = "delta" if beat else "snapshot"
        new = {name: value for name, value in row.items() if not beat or said.get(name) != value}
        if not new:
            return ()
        data = compact({"symbol": self.native(listing), **new})
        now = self.now_ms()
        return (f'{{"topic":"{topic}","type":"{kind}","data":{data},"cs":{now * 3},"ts":{now}}}',)

    def routes(self) -> dict[str, RestHandler]:
        """Linear rows and their funding history."""
        return {
            **super().routes(),
            "GET /v5/market/funding/history": self._history,
            "GET /v5/market/risk-limit": self._risk_limits,
        }

    def _risk_limits(self, call: RestCall) -> Any:
        """Steps of `RISK_PAGE` symbols a page."""
        first = number_of(call, "cursor", 0)
        page = self.asked(call)[first : first + RISK_PAGE]
        rows = [
            {
                "id": number,
                "symbol": self.native(listing),
                "riskLimitValue": str(limit),
                "maintenanceMargin": f"{0.4 / leverage:.4f}",
                "initialMargin": f"{1 / leverage:.4f}",
                "isLowestRisk": int(number == 1),
                "maxLeverage": f"{leverage}.00",
                "mmDeduction": "",
            }
            for listing in page
            for number, (limit, leverage) in enumerate(TIERS, start=1)
        ]
        cursor = str(first + RISK_PAGE) if first + RISK_PAGE < len(self.asked(call)) else ""
        return self.envelope({"category": self.category, "list": rows, "nextPageCursor": cursor})

    def _list(self, call: RestCall, rows: Any) -> Any:
        """Instruments come in pages, those that trade unless another status is asked for."""
        answer = super()._list(call, rows)
        if call.query.get("category") != self.category:
            return answer
        status, symbol = call.query.get("status", "Trading"), call.query.get("symbol")
        found = [
            row
            for row in answer["result"]["list"]
            if row.get("status", status) == status and symbol in (None, row["symbol"])
        ]
        start, most = number_of(call, "cursor", 0), number_of(call, "limit", PAGE)
        paged = "instruments" in call.path
        answer["result"]["list"] = found[start : start + most] if paged else found
        if paged:
            answer["result"]["nextPageCursor"] = str(start + most) if start + most < len(found) else ""
        return answer

    def _instruments(self) -> list[dict[str, Any]]:
        return [self._instrument(listing) for listing in self.listings.values()]

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        """A swap that is being delisted has a time of delivery."""
        funding = self.status(listing).funding
        delivery = self.now_ms() + 86_400_000 if self.delisting(listing) else 0
        return known(
            {
                "symbol": self.native(listing),
                "contractType": "LinearPerpetual",
                "status": "Trading" if self.trading(listing) else "Closed",
                "baseCoin": listing.base,
                "quoteCoin": listing.quote,
                "settleCoin": listing.settle,
                "launchTime": "1585526400000",
                "deliveryTime": str(delivery),
                "deliveryFeeRate": "",
                "priceScale": str(listing.price_decimals),
                "leverageFilter": {
                    "minLeverage": "1",
                    "maxLeverage": f"{LEVERAGE}.00",
                    "leverageStep": "0.01",
                },
                "priceFilter": {
                    "minPrice": listing.tick_text,
                    "maxPrice": "1999999.98",
                    "tickSize": listing.tick_text,
                },
                "lotSizeFilter": {
                    "maxOrderQty": "100000000",
                    "minOrderQty": listing.lot_text,
                    "qtyStep": listing.lot_text,
                    "minNotionalValue": listing.min_notional,
                },
                "unifiedMarginTrade": True,
                "fundingInterval": None if funding.interval_s is None else funding.interval_s // 60,
                "upperFundingRate": rate_text(funding.cap),
                "lowerFundingRate": rate_text(funding.floor),
                "isPreListing": False,
            }
        )

    def _tickers(self) -> list[dict[str, Any]]:
        return [
            {"symbol": self.native(listing), **self._status_row(listing)}
            for listing in self.listings.values()
        ]

    def _status_row(self, listing: Listing) -> dict[str, Any]:
        book, volume = self.quote(listing), self.volume(listing)
        mark, index, funding = self.status(listing)
        return known(
            {
                "lastPrice": book.bid,
                "prevPrice24h": book.bid,
                "price24hPcnt": "0",
                "highPrice24h": book.ask,
                "lowPrice24h": book.bid,
                "markPrice": mark,
                "indexPrice": index,
                "openInterest": "68744.761",
                "turnover24h": f"{volume:.4f}",
                "volume24h": f"{volume / listing.price:.4f}",
                "nextFundingTime": str(funding.next_ms),
                "fundingRate": rate_text(funding.rate),
                "fundingIntervalHour": None if funding.interval_h is None else str(funding.interval_h),
                "fundingCap": rate_text(funding.cap),
                "bid1Price": book.bid,
                "bid1Size": book.bid_size,
                "ask1Price": book.ask,
                "ask1Size": book.ask_size,
            }
        )

    def _history(self, call: RestCall) -> Any:
        """Settled rates, newest first; a start alone is refused."""
        if "startTime" in call.query and "endTime" not in call.query:
            return {"retCode": 10001, "retMsg": "params error: endTime", "result": {}, "time": self.now_ms()}
        rows = [
            {
                "symbol": self.native(listing),
                "fundingRate": rate_text(rate),
                "fundingRateTimestamp": str(at_ms),
            }
            for listing in self.asked(call)
            for at_ms, rate in self.settlements(listing, call, "startTime", "endTime")
        ]
        return self.envelope({"category": self.category, "list": rows})

"""MEXC spot v3: requests and acks in text JSON, pushes in protobuf, refusals with code 0, 30 topics.

Futures speak JSON and push no best bid and ask: `sub.depth.full` pushes whole books. Sizes are contracts of
`contractSize` coins, as JSON numbers.
Source: mexcdevelop/websocket-proto (2026-06), the spot v3 documentation (2025), PROTOCOLS 3, PROTOCOLS2 A18
and B7.
"""

from collections.abc import Sequence
from functools import partial
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
from simulator.exchanges.depth.base import Depth
from simulator.exchanges.depth.mexc import CHANGES, RAW, MexcDepth, MexcSwapDepth
from simulator.exchanges.perpetual import (
    HISTORY_KEPT,
    LEVERAGE,
    Perpetuals,
    compact,
    known,
    number_of,
    rate_text,
    whole,
)
from simulator.exchanges.protobuf import field
from simulator.session import Channel, Frame, Session, Topic

TOPICS_LIMIT = 30
BOOK, DEALS = "spot@public.aggre.bookTicker.v3.api.pb", "spot@public.aggre.deals.v3.api.pb"
INTERVALS = ("10ms", "100ms")


class Mexc(SimulatedExchange):
    """The dialect of MEXC's spot socket."""

    key = "mexc"
    depth_type: ClassVar[type[Depth]] = MexcDepth
    name = "MEXC"
    ws_paths = ("/ws",)
    rhythm = Rhythm(drop=60, life=24 * 3600, unsubscribed=30)
    channels: ClassVar[dict[str, Channel]] = {BOOK: "quote", DEALS: "trade", CHANGES: "depth"}

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
        if kind not in self.channels or interval not in INTERVALS or listing is None:
            return None
        return Topic(self.channels[kind], listing.symbol, name)

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """publicAggreBookTicker is field 315 of the wrapper."""
        texts = (book.bid, book.bid_size, book.ask, book.ask_size, str(book.n))
        body = b"".join(field(number, text) for number, text in enumerate(texts, start=1))
        return self.wrap(topic, listing, book.ts_ms + book.lag_ms, 315, body + field(6, book.ts_ms))

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """publicAggreDeals is field 314; tradeType 1 is a taker's buy."""
        item = field(1, deal.price) + field(2, deal.size) + field(3, 1 if deal.side == "buy" else 2)
        item += field(4, deal.ts_ms) + field(5, f"{deal.n}X0")
        body = field(1, item) + field(2, DEALS + topic.removeprefix(DEALS).rpartition("@")[0])
        return self.wrap(topic, listing, deal.ts_ms, 314, body)

    def wrap(self, topic: str, listing: Listing, ts_ms: int, number: int, body: bytes) -> bytes:
        """PushDataV3ApiWrapper: channel 1, symbol 3, sendTime 6, then the body."""
        return field(1, topic) + field(3, self.native(listing)) + field(6, ts_ms) + field(number, body)

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


class MexcSwap(Perpetuals, Mexc):
    """The dialect of MEXC's futures socket: linear perpetual swaps."""

    key = "mexc:swap"
    depth_type = MexcSwapDepth
    name = "MEXC swap"
    ws_paths = ("/edge",)
    separator = "_"
    rhythm = Rhythm(drop=60)
    settling_s = 5.0
    recomputed = True
    channels: ClassVar[dict[str, Channel]] = {
        "depth.full": "quote",
        "deal": "trade",
        "depth": "depth",
        "ticker": "status",
        "fair.price": "status",
        "index.price": "status",
        "funding.rate": "status",
    }

    def alive(self, session: Session) -> float:
        """Only pings keep the connection, whatever else is sent."""
        return session.pinged

    def receive(self, session: Session, text: str) -> None:
        """`ping`, `sub.…` and `unsub.…`; acks do not say what they are of."""
        request = read_json(text) or {}
        action, _, channel = str(request.get("method")).partition(".")
        param = request.get("param")
        param = param if isinstance(param, dict) else {}
        native = str(param.get("symbol"))
        listing = self.find(native)
        if action == "ping":
            session.pinged = session.received_s
            session.send_json({"channel": "pong", "data": self.now_ms()})
        elif action not in ("sub", "unsub") or channel not in self.channels:
            self._said(session, "rs.error", f"method {request.get('method')} not exists")
        elif action == "unsub":
            self.unsubscribe(session, f"{channel}:{native}")
            if channel == "depth":
                self.unsubscribe(session, f"{RAW}:{native}")
            self._said(session, f"rs.unsub.{channel}", "success")
        elif listing is None:
            self._said(session, "rs.error", f"Contract [{native}] not exists")
        else:
            self._said(session, f"rs.sub.{channel}", "success")
            name = RAW if channel == "depth" and param.get("compress") is False else channel
            self.greet(session, Topic(self.channels[channel], listing.symbol, f"{name}:{native}"))

    def _said(self, session: Session, channel: str, data: str) -> None:
        session.send_json({"channel": channel, "data": data, "ts": self.now_ms()})

    def message(self, topic: str, data: str, ts_ms: int) -> Frame:
        """A push, of which the topic names channel and symbol."""
        channel, _, native = topic.partition(":")
        return f'{{"symbol":"{native}","data":{data},"channel":"push.{channel}","ts":{ts_ms}}}'

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """depth.full: levels are price, contracts, orders, as numbers."""
        asks, bids = _levels(book.ask, book.ask_size), _levels(book.bid, book.bid_size)
        data = f'{{"cts":{book.ts_ms},"asks":{asks},"bids":{bids},"version":{book.n}}}'
        return self.message(topic, data, book.ts_ms + book.lag_ms + 2)

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """deal: a list; `T` 1 is a taker's buy."""
        row = (
            f'[{{"p":{deal.price},"v":{whole(deal.size)},"T":{1 if deal.side == "buy" else 2},"O":3,"M":1,'
            f'"t":{deal.ts_ms},"i":"{deal.n}","cts":"{deal.ts_ms}"}}]'
        )
        return self.message(topic, row, deal.ts_ms + 1)

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """Prices, rate and next time, each in a channel of its own and all in the ticker; no interval."""
        channel, _, native = topic.partition(":")
        mark, index, funding = self.status(listing)
        head, now = f'{{"symbol":"{native}"', self.now_ms()
        if channel == "ticker":
            return (self.message(topic, compact(self._swap_ticker(listing, self.quote(listing))), now),)
        if channel == "funding.rate":
            rate = f'{head},"rate":{rate_text(funding.rate)},"nextSettleTime":{funding.next_ms}}}'
            return (self.message(topic, rate, now),)
        price = mark if channel == "fair.price" else index
        return (self.message(topic, f'{head},"price":{price}}}', now),)

    def routes(self) -> dict[str, RestHandler]:
        """Contract endpoints; spot is empty."""
        contract = "GET /api/v1/contract"
        return {
            "GET /api/v3/ping": lambda call: {},
            "GET /api/v3/time": lambda call: {"serverTime": self.now_ms()},
            "GET /api/v3/exchangeInfo": lambda call: {"timezone": "CST", "symbols": []},
            f"{contract}/ping": lambda call: _done(self.now_ms()),
            f"{contract}/detail": lambda call: _done(
                [self._detail(listing) for listing in self.listings.values() if self.trading(listing)]
            ),
            f"{contract}/ticker": self._swap_tickers,
            f"{contract}/funding_rate": lambda call: _done(
                [self._funding_row(listing) for listing in self.listings.values()]
            ),
            **{
                f"{contract}/funding_rate/{native}": partial(self._current, listing)
                for native, listing in self.by_native.items()
            },
            f"{contract}/funding_rate/history": self._history,
        }

    def _detail(self, listing: Listing) -> dict[str, Any]:
        """State 0 trades, 1 is being delivered; a contract that was delisted is gone."""
        return {
            "symbol": self.native(listing),
            "displayName": f"{self.native(listing)} PERPETUAL",
            "displayNameEn": f"{self.native(listing)} PERPETUAL",
            "positionOpenType": 3,
            "baseCoin": listing.base,
            "quoteCoin": listing.quote,
            "settleCoin": listing.settle,
            "contractSize": float(self.contract_size(listing)),
            "minLeverage": 1,
            "maxLeverage": LEVERAGE,
            "priceScale": listing.price_decimals,
            "volScale": listing.size_decimals,
            "amountScale": 4,
            "priceUnit": listing.tick,
            "volUnit": 1 if not listing.size_decimals else 10.0**-listing.size_decimals,
            "minVol": 1,
            "maxVol": 1_000_000,
            "takerFeeRate": 0.0002,
            "makerFeeRate": 0.0,
            "maintenanceMarginRate": 0.004,
            "initialMarginRate": 0.008,
            "state": 1 if self.delisting(listing) else 0,
            "apiAllowed": True,
            "type": 1,
            "futureType": 1,
        }

    def _swap_tickers(self, call: RestCall) -> Any:
        rows = [self._swap_ticker(listing, self.quote(listing)) for listing in self.asked(call)]
        if "symbol" not in call.query:
            return _done(rows)
        return _done(rows[0]) if rows else {"success": False, "code": 1001, "message": "Contract not exists"}

    def _swap_ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        """The best prices without their sizes; `volume24` is in contracts."""
        mark, index, funding = self.status(listing)
        bid, ask, volume = float(book.bid or 0), float(book.ask), self.volume(listing)
        return {
            "symbol": self.native(listing),
            "lastPrice": bid,
            "bid1": bid,
            "ask1": ask,
            "fairPrice": float(mark),
            "indexPrice": float(index),
            "fundingRate": funding.rate,
            "maxBidPrice": round(bid * 1.1, listing.price_decimals),
            "minAskPrice": round(bid * 0.9, listing.price_decimals),
            "holdVol": 22847,
            "volume24": round(volume / listing.price / float(self.contract_size(listing))),
            "amount24": volume,
            "riseFallRate": 0.0,
            "riseFallValue": 0.0,
            "lower24Price": bid,
            "high24Price": ask,
            "timestamp": self.now_ms(),
        }

    def _funding_row(self, listing: Listing) -> dict[str, Any]:
        funding = self.status(listing).funding
        return known(
            {
                "symbol": self.native(listing),
                "fundingRate": funding.rate,
                "maxFundingRate": funding.cap,
                "minFundingRate": funding.floor,
                "collectCycle": funding.interval_h,
                "nextSettleTime": funding.next_ms,
                "timestamp": self.now_ms(),
            }
        )

    def _current(self, listing: Listing, call: RestCall) -> Any:
        return _done(self._funding_row(listing))

    def _history(self, call: RestCall) -> Any:
        """Settled rates, newest first."""
        rows = [
            {"symbol": self.native(listing), "fundingRate": rate, "settleTime": at_ms}
            for listing in self.asked(call)
            for at_ms, rate in self.settlements(listing, call, "", "")
        ]
        page = {
            "pageSize": len(rows),
            "totalCount": HISTORY_KEPT,
            "currentPage": number_of(call, "page_num", 1),
        }
        return _done({**page, "resultList": rows})


def _levels(price: str, size: str) -> str:
    """One level of a side, or none; price, contracts and orders are numbers."""
    return f"[[{price},{whole(size)},1]]" if price else "[]"


def _done(data: Any) -> dict[str, Any]:
    return {"success": True, "code": 0, "data": data}

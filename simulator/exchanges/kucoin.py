"""KuCoin classic spot: a POST for a token, a welcome, silent acks for unknown symbols, pings by the client.

Source: kucoin-api-docs (2023), kucoin-universal-sdk (2025-11) and live captures.
"""

import secrets
import time
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
)
from simulator.session import Channel, Frame, Session, Topic
from simulator.wallets import coins, networks

TOPICS_PER_REQUEST = 100
TOPICS_LIMIT = 400
TOKENS_KEPT = 10_000
PREFIXES: dict[str, Channel] = {
    "/spotMarket/level1": "quote",
    "/market/ticker": "quote",
    "/market/match": "trade",
}
CHAINS = {"ERC20": "eth", "BEP20": "bsc", "TRC20": "trx"}
PING_INTERVAL_S = 18
TOKEN_LIFE_S = 24 * 3600


class Kucoin(SimulatedExchange):
    """The dialect of KuCoin's classic public socket."""

    key = "kucoin"
    name = "KuCoin"
    ws_paths = ("/",)
    separator = "-"
    rhythm = Rhythm(drop=60, life=TOKEN_LIFE_S)
    messages_per_window = (100, 10.0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tokens: dict[str, float] = {}

    def welcome(self, session: Session) -> None:
        """Check the token, then say `welcome` with the client's connectId."""
        issued = self._tokens.get(session.query.get("token", ""))
        if issued is None or time.monotonic() - issued > TOKEN_LIFE_S * self.time_scale:
            session.send_json({"id": session.id, "type": "error", "code": 401, "data": "token is invalid"})
            session.close(1008, "token is invalid")
            return
        session.send_json({"id": session.query.get("connectId", session.id), "type": "welcome"})

    def alive(self, session: Session) -> float:
        """Only the client's own pings count."""
        return session.pinged

    def receive(self, session: Session, text: str) -> None:
        """ping, subscribe, unsubscribe."""
        request = read_json(text) or {}
        kind, number = request.get("type"), request.get("id")
        if kind == "ping":
            session.pinged = session.received_s
            session.send_json({"id": number, "type": "pong", "timestamp": self.now_ms() * 1000})
        elif kind in ("subscribe", "unsubscribe"):
            self._change(session, request, kind)
        else:
            self._refuse(session, number, 415, "type is not supported")

    def _change(self, session: Session, request: dict[str, Any], kind: str) -> None:
        prefix, _, rest = str(request.get("topic", "")).partition(":")
        natives = [native for native in rest.split(",") if native]
        names = {f"{prefix}:{native}" for native in natives}
        if prefix not in PREFIXES or not natives:
            self._refuse(session, request.get("id"), 404, "topic does not exist")
        elif len(natives) > TOPICS_PER_REQUEST:
            self._refuse(session, request.get("id"), 400, f"topic is too many, limit {TOPICS_PER_REQUEST}")
        elif kind == "subscribe" and len(session.topics.keys() | names) > TOPICS_LIMIT:
            self._refuse(
                session, request.get("id"), 509, f"exceed max subscription count limitation of {TOPICS_LIMIT}"
            )
        else:
            if request.get("response"):
                session.send_json({"id": str(request.get("id")), "type": "ack"})
            for native in natives:
                self._one(session, prefix, native, kind)

    def _one(self, session: Session, prefix: str, native: str, kind: str) -> None:
        """Unknown symbols have been acknowledged like the others; they simply stay silent."""
        listing = self.find(native)
        if kind == "unsubscribe":
            self.unsubscribe(session, f"{prefix}:{native}")
        elif listing is not None:
            self.greet(session, Topic(PREFIXES[prefix], listing.symbol, f"{prefix}:{native}"))

    def _refuse(self, session: Session, number: object, code: int, message: str) -> None:
        session.send_json({"id": number, "type": "error", "code": code, "data": message})

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """level1 has flat arrays; ticker has the last price too."""
        if topic.startswith("/spotMarket/level1"):
            return (
                f'{{"topic":"{topic}","type":"message","subject":"level1","data":{{'
                f'"asks":{_side(book.ask, book.ask_size)},"bids":{_side(book.bid, book.bid_size)},'
                f'"timestamp":{book.ts_ms}}}}}'
            )
        return (
            f'{{"topic":"{topic}","type":"message","subject":"trade.ticker","data":{{"bestAsk":"{book.ask}",'
            f'"bestAskSize":"{book.ask_size}","bestBid":"{book.bid}","bestBidSize":"{book.bid_size}",'
            f'"price":"{book.bid}","sequence":"{book.n}","size":"{book.bid_size}","time":{book.ts_ms}}}}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """match: `time` is nanoseconds as a string."""
        return (
            f'{{"topic":"{topic}","type":"message","subject":"trade.l3match","data":{{'
            f'"symbol":"{self.native(listing)}","side":"{deal.side}","type":"match","makerOrderId":"{deal.n:024x}",'
            f'"sequence":"{deal.n}","size":"{deal.size}","price":"{deal.price}",'
            f'"takerOrderId":"{deal.n + 1:024x}",'
            f'"time":"{deal.ts_ms}000000","tradeId":"{deal.n}"}}}}'
        )

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; the contract list is empty."""
        return {
            "GET /api/v1/timestamp": lambda call: _ok(self.now_ms()),
            "GET /api/v1/status": lambda call: _ok({"status": "open", "msg": ""}),
            "POST /api/v1/bullet-public": self._token,
            "GET /api/v1/bullet-public": lambda call: {
                "code": "405000",
                "msg": "Request method 'GET' not supported",
            },
            "GET /api/v1/symbols": self._symbols,
            "GET /api/v2/symbols": self._symbols,
            "GET /api/v1/market/allTickers": self._tickers,
            "GET /api/v3/currencies": self._currencies,
            "GET /api/v1/contracts/active": lambda call: _ok([]),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """Errors usually come with HTTP 200 and a code."""
        return RestReply(
            {"code": "404000", "msg": "URL Not Found -- The requested resource is not found"}, 404
        )

    def _token(self, call: RestCall) -> Any:
        """A token for one of the servers named with it; the oldest of too many is forgotten."""
        token = secrets.token_urlsafe(48)
        self._tokens[token] = time.monotonic()
        if len(self._tokens) > TOKENS_KEPT:
            del self._tokens[next(iter(self._tokens))]
        server = {
            "endpoint": f"ws://{call.base}/{self.key}/",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": max(1, round(PING_INTERVAL_S * 1000 * self.time_scale)),
            "pingTimeout": max(1, round(10_000 * self.time_scale)),
        }
        return _ok({"token": token, "instanceServers": [server]})

    def _symbols(self, call: RestCall) -> Any:
        return _ok(
            [
                {
                    "symbol": self.native(listing),
                    "name": self.native(listing),
                    "baseCurrency": listing.base,
                    "quoteCurrency": listing.quote,
                    "feeCurrency": listing.quote,
                    "market": "USDS",
                    "baseMinSize": listing.lot_text,
                    "quoteMinSize": listing.min_notional,
                    "baseMaxSize": "10000000000",
                    "quoteMaxSize": "99999999",
                    "baseIncrement": listing.lot_text,
                    "quoteIncrement": "0.000001",
                    "priceIncrement": listing.tick_text,
                    "priceLimitRate": "0.1",
                    "minFunds": listing.min_notional,
                    "isMarginEnabled": False,
                    "enableTrading": self.trading(listing),
                }
                for listing in self.listings.values()
            ]
        )

    def _tickers(self, call: RestCall) -> Any:
        return _ok({"time": self.now_ms(), "ticker": [self._ticker(*row) for row in self.rows()]})

    def _ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {
            "symbol": self.native(listing),
            "symbolName": self.native(listing),
            "buy": book.bid,
            "bestBidSize": book.bid_size,
            "sell": book.ask,
            "bestAskSize": book.ask_size,
            "changeRate": "0",
            "changePrice": "0",
            "high": book.ask,
            "low": book.bid,
            "vol": f"{self.volume(listing) / float(book.bid):.6f}",
            "volValue": f"{self.volume(listing):.4f}",
            "last": book.bid,
            "averagePrice": book.bid,
            "takerFeeRate": "0.001",
            "makerFeeRate": "0.001",
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }

    def _currencies(self, call: RestCall) -> Any:
        return _ok(
            [
                {
                    "currency": coin,
                    "name": coin,
                    "fullName": coin,
                    "precision": 8,
                    "chains": [
                        {
                            "chainName": network.name,
                            "chainId": CHAINS.get(network.name, network.name.lower()),
                            "withdrawalMinFee": network.fee,
                            "withdrawalMinSize": "1",
                            "withdrawPrecision": 8,
                            "isWithdrawEnabled": network.withdraw,
                            "isDepositEnabled": network.deposit,
                        }
                        for network in networks(self.key, coin)
                    ],
                }
                for coin in coins(self.listings)
            ]
        )


def _side(price: str, size: str) -> str:
    """level1 has one flat level per side."""
    return f'["{price}","{size}"]' if price else "[]"


def _ok(data: Any) -> dict[str, Any]:
    return {"code": "200000", "data": data}

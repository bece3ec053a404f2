"""Gate v4 spot: one unknown pair fails the whole subscription, the server pings, REST errors are HTTP 400.

Source: Gate API v4 documentation (2025) and live captures. The period of the server's ping is not
published; 20 s with a minute to answer is assumed.
"""

import secrets
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
from simulator.wallets import coins, networks

CHANNELS = ("spot.book_ticker", "spot.trades")
CHAINS = {"ERC20": "ETH", "BEP20": "BSC", "TRC20": "TRX"}


class Gate(SimulatedExchange):
    """The dialect of Gate's spot socket."""

    key = "gate"
    name = "Gate"
    ws_paths = ("/ws/v4",)
    separator = "_"
    rhythm = Rhythm(ping=20, drop=60)

    async def ping(self, session: Session) -> None:
        """A WebSocket ping frame."""
        await session.ping(b"")

    def receive(self, session: Session, text: str) -> None:
        """`spot.ping`, or a channel with event subscribe or unsubscribe."""
        request = read_json(text)
        if request is None:
            self._answer(session, {}, error=(1, "invalid request body"))
        elif request.get("channel") == "spot.ping":
            now = self.now_ms()
            pong = {"time": now // 1000, "time_ms": now, "channel": "spot.pong", "event": "", "error": None}
            session.send_json({**pong, "result": None})
        elif request.get("channel") not in CHANNELS:
            self._answer(session, request, error=(2, f"unknown channel {request.get('channel')}"))
        elif request.get("event") == "subscribe":
            self._subscribe(session, request)
        elif request.get("event") == "unsubscribe":
            for native in strings(request.get("payload")):
                self.unsubscribe(session, f"{request['channel']}:{native}")
            self._answer(session, request)
        else:
            self._answer(session, request, error=(2, f"unknown event {request.get('event')}"))

    def _subscribe(self, session: Session, request: dict[str, Any]) -> None:
        natives = strings(request.get("payload"))
        listings = {native: self.find(native) for native in natives}
        unknown = [native for native, listing in listings.items() if listing is None]
        if unknown or not natives:
            message = f"unknown currency pair: {unknown[0]}" if unknown else "payload is empty"
            self._answer(session, request, error=(2, message))
            return
        self._answer(session, request)
        channel = str(request["channel"])
        for native, listing in listings.items():
            if listing is not None:
                kind: Any = "quote" if channel == "spot.book_ticker" else "trade"
                self.greet(session, Topic(kind, listing.symbol, f"{channel}:{native}"))

    def _answer(
        self, session: Session, request: dict[str, Any], error: tuple[int, str] | None = None
    ) -> None:
        now, trace = self.now_ms(), secrets.token_hex(16)
        answer: dict[str, Any] = {"time": now // 1000, "time_ms": now}
        if "id" in request:
            answer["id"] = request["id"]
        answer |= {"conn_id": session.id, "trace_id": trace, "channel": request.get("channel", "")}
        answer |= {"event": request.get("event", ""), "payload": request.get("payload")}
        if error is not None:
            answer["error"] = {"code": error[0], "message": error[1]}
        session.send_json(
            {**answer, "result": {"status": "fail" if error else "success"}, "requestId": trace}
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """spot.book_ticker: `t` is the book's time, the envelope has the push time."""
        push = book.ts_ms + book.lag_ms + 3
        return (
            f'{{"time":{push // 1000},"time_ms":{push},"channel":"spot.book_ticker","event":"update",'
            f'"result":{{"t":{book.ts_ms},"u":{book.n},"s":"{self.native(listing)}","b":"{book.bid}","B":"{book.bid_size}",'
            f'"a":"{book.ask}","A":"{book.ask_size}"}}}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """spot.trades: one object; `create_time_ms` is a string with a fraction."""
        push = deal.ts_ms + 3
        return (
            f'{{"time":{push // 1000},"time_ms":{push},"channel":"spot.trades","event":"update","result":'
            f'{{"id":{deal.n},"create_time":{deal.ts_ms // 1000},'
            f'"create_time_ms":"{deal.ts_ms}.{deal.n % 10**4:04d}",'
            f'"side":"{deal.side}","currency_pair":"{self.native(listing)}","amount":"{deal.size}",'
            f'"price":"{deal.price}","range":"{deal.n}-{deal.n}"}}}}'
        )

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; margin, futures and delivery are empty."""
        nothing: RestHandler = lambda call: []  # noqa: E731
        return {
            "GET /api/v4/spot/time": lambda call: {"server_time": self.now_ms()},
            "GET /api/v4/spot/currency_pairs": self._pairs,
            "GET /api/v4/spot/tickers": self._tickers,
            "GET /api/v4/spot/currencies": self._currencies,
            "GET /api/v4/margin/currency_pairs": nothing,
            **{f"GET /api/v4/futures/{settle}/contracts": nothing for settle in ("usdt", "btc")},
            **{f"GET /api/v4/delivery/{settle}/contracts": nothing for settle in ("usdt", "btc")},
        }

    def not_found(self, call: RestCall) -> RestReply:
        """Errors are HTTP 400 and up with a label."""
        return RestReply({"label": "NOT_FOUND", "message": "Request path not found"}, 404)

    def _pairs(self, call: RestCall) -> Any:
        return [
            {
                "id": self.native(listing),
                "base": listing.base,
                "quote": listing.quote,
                "fee": "0.2",
                "min_base_amount": listing.lot_text,
                "min_quote_amount": listing.min_notional,
                "max_quote_amount": "5000000",
                "amount_precision": listing.size_decimals,
                "precision": listing.price_decimals,
                "trade_status": "tradable" if self.trading(listing) else "untradable",
                "sell_start": 0,
                "buy_start": 0,
            }
            for listing in self.listings.values()
        ]

    def _tickers(self, call: RestCall) -> Any:
        native = call.query.get("currency_pair")
        if native is not None and native not in self.by_native:
            message = f"Invalid currency pair {native}"
            return RestReply({"label": "INVALID_CURRENCY_PAIR", "message": message}, 400)
        return [
            {
                "currency_pair": self.native(listing),
                "last": book.bid,
                "lowest_ask": book.ask,
                "lowest_size": book.ask_size,
                "highest_bid": book.bid,
                "highest_size": book.bid_size,
                "change_percentage": "0",
                "base_volume": f"{self.volume(listing) / float(book.bid):.6f}",
                "quote_volume": f"{self.volume(listing):.4f}",
                "high_24h": book.ask,
                "low_24h": book.bid,
            }
            for listing, book in self.rows()
            if native in (None, self.native(listing))
        ]

    def _currencies(self, call: RestCall) -> Any:
        return [
            {
                "currency": coin,
                "name": coin,
                "delisted": False,
                "trade_disabled": False,
                "chains": [
                    {
                        "name": CHAINS.get(network.name, network.name),
                        "addr": "",
                        "withdraw_disabled": not network.withdraw,
                        "withdraw_delayed": False,
                        "deposit_disabled": not network.deposit,
                    }
                    for network in networks(self.key, coin)
                ],
            }
            for coin in coins(self.listings)
        ]

"""Bitget v2 spot: ack per arg, text ping and pong, trades begin with a snapshot of history.

Source: arbitrage-observatory exchange profile (live, 2026-09) and Bitget's v2 documentation.
"""

from collections import deque
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
)
from simulator.session import Channel, Frame, Session, Topic
from simulator.wallets import coins, networks

REQUEST_BYTES = 4096
CHANNELS_LIMIT = 1000
HISTORY = 5
CHANNELS: dict[str, Channel] = {"books1": "quote", "ticker": "quote", "trade": "trade"}
OTHER_TYPES = ("USDT-FUTURES", "COIN-FUTURES", "USDC-FUTURES")


class Bitget(SimulatedExchange):
    """The dialect of Bitget's v2 public socket."""

    key = "bitget"
    name = "Bitget"
    ws_paths = ("/v2/ws/public",)
    padding = 0
    rhythm = Rhythm(drop=120)
    messages_per_window = (10, 1.0)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._history: dict[str, deque[str]] = {}

    def alive(self, session: Session) -> float:
        """Only the client's text `ping` counts."""
        return session.pinged

    def receive(self, session: Session, text: str) -> None:
        """Text `ping`, or JSON with `op` and `args`."""
        if text == "ping":
            session.pinged = session.received_s
            session.send("pong")
            return
        request = read_json(text)
        args = request.get("args") if request else None
        if request is None or not isinstance(args, list) or len(text.encode()) > REQUEST_BYTES:
            session.send_json({"event": "error", "code": 30016, "msg": "Param error", "op": ""})
            return
        for arg in args:
            self._one(session, str(request.get("op")), arg if isinstance(arg, dict) else {})

    def _one(self, session: Session, operation: str, arg: dict[str, Any]) -> None:
        """A wrong instType for an existing symbol is acknowledged and stays silent, as live."""
        channel, native, kind = (str(arg.get(name)) for name in ("channel", "instId", "instType"))
        name, listing = f"{channel}:{native}", self.find(native)
        if operation == "unsubscribe":
            self.unsubscribe(session, name)
            session.send_json({"event": "unsubscribe", "arg": arg})
        elif operation != "subscribe" or kind not in ("SPOT", *OTHER_TYPES):
            self._refuse(session, arg, 30016, "Param error")
        elif listing is None or channel not in CHANNELS:
            message = f"instType:{kind},channel:{channel},instId:{native},precision:null doesn't exist"
            self._refuse(session, arg, 30001, message)
        elif len(session.topics) >= CHANNELS_LIMIT and name not in session.topics:
            self._refuse(session, arg, 30003, f"The number of subscribed channels exceeds {CHANNELS_LIMIT}")
        else:
            session.send_json({"event": "subscribe", "arg": arg})
            if kind == "SPOT":
                self._start(session, Topic(CHANNELS[channel], listing.symbol, name))

    def _start(self, session: Session, topic: Topic) -> None:
        """Trades begin with the latest ones as a snapshot, then only new ones come."""
        self.greet(session, topic)
        if topic.channel == "trade":
            rows = ",".join(reversed(self._history.get(topic.symbol, ())))
            listing = self.listings[topic.symbol]
            if rows:
                session.push(self._message("snapshot", "trade", listing, rows, self.now_ms()))

    def _refuse(self, session: Session, arg: dict[str, Any], code: int, message: str) -> None:
        session.send_json({"event": "error", "arg": arg, "code": code, "msg": message, "op": "subscribe"})

    def _message(self, action: str, channel: str, listing: Listing, rows: str, ts_ms: int) -> str:
        return (
            f'{{"action":"{action}","arg":{{"instType":"SPOT","channel":"{channel}",'
            f'"instId":"{self.native(listing)}"}},"data":[{rows}],"ts":{ts_ms + 1}}}'
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """books1 is a snapshot each time; the inner time is a string, the outer a number."""
        if topic.startswith("books1"):
            row = (
                f'{{"asks":{side(book.ask, book.ask_size)},"bids":{side(book.bid, book.bid_size)},'
                f'"ts":"{book.ts_ms}","seq":{book.n}}}'
            )
            return self._message("snapshot", "books1", listing, row, book.ts_ms + book.lag_ms)
        row = (
            f'{{"instId":"{self.native(listing)}","lastPr":"{book.bid}","open24h":"{book.bid}","high24h":"{book.ask}",'
            f'"low24h":"{book.bid}","change24h":"0","bidPr":"{book.bid}","askPr":"{book.ask}","bidSz":"{book.bid_size}",'
            f'"askSz":"{book.ask_size}","ts":"{book.ts_ms}"}}'
        )
        return self._message("snapshot", "ticker", listing, row, book.ts_ms)

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """trade: updates carry new trades only."""
        row = (
            f'{{"ts":"{deal.ts_ms}","price":"{deal.price}","size":"{deal.size}","side":"{deal.side}",'
            f'"tradeId":"{deal.n}"}}'
        )
        self._history.setdefault(listing.symbol, deque(maxlen=HISTORY)).append(row)
        return self._message("update", "trade", listing, row, deal.ts_ms)

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; margin and futures are empty."""
        return {
            "GET /api/v2/public/time": lambda call: self._ok({"serverTime": str(self.now_ms())}),
            "GET /api/v2/spot/public/symbols": self._symbols,
            "GET /api/v2/spot/public/coins": self._coins,
            "GET /api/v2/spot/market/tickers": self._tickers,
            "GET /api/v2/margin/currencies": lambda call: self._ok([]),
            "GET /api/v2/mix/market/contracts": lambda call: self._ok([]),
            "GET /api/v2/mix/market/tickers": lambda call: self._ok([]),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """A path Bitget does not have."""
        body = {"code": "40404", "msg": "Request URL NOT FOUND", "requestTime": self.now_ms(), "data": None}
        return RestReply(body, 404)

    def _ok(self, data: Any) -> dict[str, Any]:
        return {"code": "00000", "msg": "success", "requestTime": self.now_ms(), "data": data}

    def _symbols(self, call: RestCall) -> Any:
        return self._ok(
            [
                {
                    "symbol": self.native(listing),
                    "baseCoin": listing.base,
                    "quoteCoin": listing.quote,
                    "minTradeAmount": "0",
                    "maxTradeAmount": "900000000000000000000",
                    "takerFeeRate": "0.001",
                    "makerFeeRate": "0.001",
                    "pricePrecision": str(listing.price_decimals),
                    "quantityPrecision": str(listing.size_decimals),
                    "quotePrecision": "8",
                    "minTradeUSDT": listing.min_notional,
                    "status": "online" if self.trading(listing) else "offline",
                    "buyLimitPriceRatio": "0.05",
                    "sellLimitPriceRatio": "0.05",
                }
                for listing in self.listings.values()
            ]
        )

    def _tickers(self, call: RestCall) -> Any:
        return self._ok([self._ticker(*row) for row in self.rows()])

    def _ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        volume = f"{self.volume(listing):.4f}"
        return {
            "symbol": self.native(listing),
            "open": book.bid,
            "high24h": book.ask,
            "low24h": book.bid,
            "lastPr": book.bid,
            "quoteVolume": volume,
            "baseVolume": f"{self.volume(listing) / float(book.bid):.6f}",
            "usdtVolume": volume,
            "bidPr": book.bid,
            "askPr": book.ask,
            "bidSz": book.bid_size,
            "askSz": book.ask_size,
            "openUtc": book.bid,
            "ts": str(book.ts_ms),
            "changeUtc24h": "0",
            "change24h": "0",
        }

    def _coins(self, call: RestCall) -> Any:
        return self._ok(
            [
                {
                    "coinId": coin,
                    "coin": coin,
                    "transfer": "true",
                    "chains": [
                        {
                            "chain": network.name,
                            "needTag": "false",
                            "withdrawable": _word(network.withdraw),
                            "rechargeable": _word(network.deposit),
                            "withdrawFee": network.fee,
                            "minDepositAmount": "0.1",
                            "minWithdrawAmount": "1",
                            "withdrawMinScale": "8",
                            "congestion": "normal",
                        }
                        for network in networks(self.key, coin)
                    ],
                }
                for coin in coins(self.listings)
            ]
        )


def _word(value: bool) -> str:
    return "true" if value else "false"

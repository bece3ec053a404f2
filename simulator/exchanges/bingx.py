"""BingX spot: every server frame is gzip, one topic per request, the server's `Ping` wants a `Pong`.

Source: BingX-API/api-ai-skills (2026-04) and live captures (2026-09).
"""

import json
import zlib
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

TOPICS_LIMIT = 200
CHANNELS: dict[str, Channel] = {"bookTicker": "quote", "trade": "trade"}
GZIP = 31  # zlib's number for a gzip header and trailer


class Bingx(SimulatedExchange):
    """The dialect of BingX's spot socket."""

    key = "bingx"
    name = "BingX"
    ws_paths = ("/market",)
    separator = "-"
    padding = 0
    rhythm = Rhythm(ping=5, drop=30.5)
    messages_per_window = (10, 1.0)

    def encode(self, text: str) -> Frame:
        """A gzip member in a binary frame."""
        packer = zlib.compressobj(level=1, wbits=GZIP)
        return packer.compress(text.encode()) + packer.flush()

    async def ping(self, session: Session) -> None:
        """The text `Ping`, as a frame like any other."""
        session.send("Ping")

    def alive(self, session: Session) -> float:
        """Only `Pong` counts; WebSocket pings are ignored."""
        return session.pinged

    def drop(self, session: Session) -> None:
        """No close frame: the client sees code 1006."""
        session.abort()

    def receive(self, session: Session, text: str) -> None:
        """`Pong`, or JSON with reqType sub or unsub and one dataType."""
        if text.strip().lower() == "pong":
            session.pinged = session.received_s
            return
        request = read_json(text)
        if request is None:
            self._answer(session, {}, 100400, "request is not JSON")
            return
        if "pong" in request:
            session.pinged = session.received_s
            return
        name = str(request.get("dataType"))
        if request.get("reqType") == "unsub":
            self.unsubscribe(session, name)
            self._answer(session, request, 0, "SUCCESS")
        elif request.get("reqType") == "sub":
            self._subscribe(session, request, name)
        else:
            self._answer(session, request, 100400, "reqType not support")

    def _subscribe(self, session: Session, request: dict[str, Any], name: str) -> None:
        native, _, kind = name.partition("@")
        listing = self.find(native)
        if listing is None or kind not in CHANNELS:
            self._answer(session, request, 80015, f"dataType not support: {name}")
        elif len(session.topics) >= TOPICS_LIMIT and name not in session.topics:
            self._answer(session, request, 80403, f"the number of subscriptions exceeds {TOPICS_LIMIT}")
        else:
            self._answer(session, request, 0, "SUCCESS")
            self.greet(session, Topic(CHANNELS[kind], listing.symbol, name))

    def _answer(self, session: Session, request: dict[str, Any], code: int, message: str) -> None:
        session.send_json(
            {"code": code, "id": request.get("id", ""), "msg": message, "timestamp": self.now_ms()}
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """Lower case is the price, upper case the quantity."""
        return self.encode(
            f'{{"code":0,"dataType":"{topic}","data":{{"e":"bookTicker","u":{book.n},'
            f'"E":{book.ts_ms + book.lag_ms},'
            f'"T":{book.ts_ms},"s":"{self.native(listing)}","b":"{book.bid}","B":"{book.bid_size}",'
            f'"a":"{book.ask}","A":"{book.ask_size}"}},"success":true}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """Spot sends one object; `m` true means the taker sold."""
        maker = "true" if deal.side == "sell" else "false"
        return self.encode(
            f'{{"code":0,"dataType":"{topic}","data":{{"E":{deal.ts_ms + 2},"T":{deal.ts_ms},"e":"trade",'
            f'"m":{maker},"p":"{deal.price}","q":"{deal.size}","s":"{self.native(listing)}",'
            f'"t":"{deal.n}"}},"success":true}}'
        )

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; both contract lists are empty."""
        return {
            "GET /openApi/spot/v1/server/time": lambda call: _ok({"serverTime": self.now_ms()}),
            "GET /openApi/swap/v2/server/time": lambda call: _ok({"serverTime": self.now_ms()}),
            "GET /openApi/spot/v1/common/symbols": self._symbols,
            "GET /openApi/spot/v1/ticker/24hr": self._tickers,
            "GET /openApi/swap/v2/quote/contracts": lambda call: _ok([]),
            "GET /openApi/swap/v2/quote/ticker": lambda call: _ok([]),
            "GET /openApi/cswap/v1/market/contracts": lambda call: _ok([]),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """Errors come with HTTP 200 and a code."""
        return RestReply({"code": 100400, "msg": "this api is not exist", "timestamp": self.now_ms()})

    def _symbols(self, call: RestCall) -> Any:
        return _ok({"symbols": [self._symbol(listing) for listing in self.listings.values()]})

    def _symbol(self, listing: Listing) -> dict[str, Any]:
        """Steps are JSON numbers, small ones with an exponent (1e-06)."""
        trading = self.trading(listing)
        lot = float(listing.lot_text)
        return {
            "symbol": self.native(listing),
            "minQty": lot,
            "maxQty": lot * 1e9,
            "minNotional": float(listing.min_notional),
            "maxNotional": 500000,
            "status": 1 if trading else 0,
            "tickSize": float(listing.tick_text),
            "stepSize": lot,
            "apiStateSell": trading,
            "apiStateBuy": trading,
            "timeOnline": 0,
            "offTime": 0,
            "maintainTime": 0,
        }

    def _tickers(self, call: RestCall) -> Any:
        return {**_ok([self._ticker(*row) for row in self.rows()]), "timestamp": self.now_ms()}

    def _ticker(self, listing: Listing, book: Book) -> dict[str, Any]:
        bid, ask = float(book.bid), float(book.ask)
        return {
            "symbol": self.native(listing),
            "openPrice": bid,
            "highPrice": ask,
            "lowPrice": bid,
            "lastPrice": bid,
            "priceChange": 0,
            "priceChangePercent": "0%",
            "volume": json.loads(f"{self.volume(listing) / bid:.6f}"),
            "quoteVolume": json.loads(f"{self.volume(listing):.2f}"),
            "openTime": self.now_ms() - 86_400_000,
            "closeTime": self.now_ms(),
            "askPrice": ask,
            "askQty": float(book.ask_size),
            "bidPrice": bid,
            "bidQty": float(book.bid_size),
        }


def _ok(data: Any) -> dict[str, Any]:
    return {"code": 0, "msg": "", "debugMsg": "", "data": data}

"""OKX v5 spot: one ack per arg, text ping and pong, silence of 30 s ends the connection.

Source: OKX v5 documentation (2025-08).
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
)
from simulator.session import Frame, Session, Topic

REQUEST_BYTES = 64 * 1024
CHANNELS = ("bbo-tbt", "trades")


class Okx(SimulatedExchange):
    """The dialect of OKX's public socket."""

    key = "okx"
    name = "OKX"
    ws_paths = ("/ws/v5/public", "/ws/v5/business")
    separator = "-"
    rhythm = Rhythm(drop=30)

    def alive(self, session: Session) -> float:
        """The connection ends when neither side has said anything."""
        return max(session.received_s, session.sent_s)

    def drop(self, session: Session) -> None:
        """OKX closes with its own code."""
        session.close(4004, "No data received in 30s.")

    def receive(self, session: Session, text: str) -> None:
        """Text `ping`, or JSON with `op` and `args`."""
        if text == "ping":
            session.send("pong")
            return
        request = read_json(text)
        args = request.get("args") if request else None
        if request is None or not isinstance(args, list) or len(text) > REQUEST_BYTES:
            self._refuse(session, request or {}, "60012", f"Invalid request: {text[:200]}")
            return
        for arg in args:
            self._one(session, request, arg)

    def _one(self, session: Session, request: dict[str, Any], arg: Any) -> None:
        channel = arg.get("channel") if isinstance(arg, dict) else None
        native = arg.get("instId") if isinstance(arg, dict) else None
        listing = self.find(str(native))
        name = f"{channel}:{native}"
        if request.get("op") == "unsubscribe":
            self.unsubscribe(session, name)
            self._answer(session, request, "unsubscribe", arg)
        elif request.get("op") != "subscribe":
            self._refuse(session, request, "60012", f"Invalid request: {request}")
        elif channel not in CHANNELS or session.path != "/ws/v5/public" or listing is None:
            message = (
                f"Wrong URL or channel:{channel},instId:{native} doesn't exist. Please use the correct URL,"
            )
            message += " channel and parameters referring to API document."
            self._refuse(session, request, "60018", message)
        else:
            self._answer(session, request, "subscribe", arg)
            self.greet(session, Topic("quote" if channel == "bbo-tbt" else "trade", listing.symbol, name))

    def _answer(self, session: Session, request: dict[str, Any], event: str, arg: Any) -> None:
        session.send_json({**_request_id(request), "event": event, "arg": arg, "connId": session.id[:8]})

    def _refuse(self, session: Session, request: dict[str, Any], code: str, message: str) -> None:
        session.send_json(
            {**_request_id(request), "event": "error", "code": code, "msg": message, "connId": session.id[:8]}
        )

    def announce_close(self, session: Session) -> None:
        """Notice 64008 comes about a minute before a service upgrade."""
        message = "The connection will soon be closed for a service upgrade. Please reconnect."
        session.send_json({"event": "notice", "code": "64008", "msg": message, "connId": session.id[:8]})

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """bbo-tbt: a snapshot each time; times are strings."""
        return (
            f'{{"arg":{{"channel":"bbo-tbt","instId":"{self.native(listing)}"}},"data":[{{'
            f'"asks":{_side(book.ask, book.ask_size)},"bids":{_side(book.bid, book.bid_size)},'
            f'"ts":"{book.ts_ms}","seqId":{book.n}}}]}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """trades; `side` is the taker's."""
        native = self.native(listing)
        return (
            f'{{"arg":{{"channel":"trades","instId":"{native}"}},"data":[{{"instId":"{native}",'
            f'"tradeId":"{deal.n}","px":"{deal.price}","sz":"{deal.size}","side":"{deal.side}",'
            f'"ts":"{deal.ts_ms}","count":"1","source":"0","seqId":{deal.n * 3}}}]}}'
        )

    def routes(self) -> dict[str, RestHandler]:
        """Spot rows; other instrument types are empty."""
        return {
            "GET /api/v5/public/time": lambda call: self._envelope([{"ts": str(self.now_ms())}]),
            "GET /api/v5/public/instruments": lambda call: self._list(call, self._instruments),
            "GET /api/v5/market/tickers": lambda call: self._list(call, self._tickers),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """A path OKX does not have."""
        return RestReply({"code": "404", "data": {}, "msg": "Not Found"}, 404)

    def _list(self, call: RestCall, rows: Any) -> Any:
        kind = call.query.get("instType")
        if kind not in ("SPOT", "SWAP", "FUTURES", "OPTION", "MARGIN"):
            return {"code": "51000", "data": [], "msg": "Parameter instType error"}
        return self._envelope(rows() if kind == "SPOT" else [])

    def _envelope(self, data: list[dict[str, Any]]) -> dict[str, Any]:
        return {"code": "0", "msg": "", "data": data}

    def _instruments(self) -> list[dict[str, Any]]:
        empty = dict.fromkeys(
            (
                "alias",
                "ctMult",
                "ctType",
                "ctVal",
                "ctValCcy",
                "expTime",
                "optType",
                "settleCcy",
                "stk",
                "uly",
            ),
            "",
        )
        return [
            {
                **empty,
                "instType": "SPOT",
                "instId": self.native(listing),
                "baseCcy": listing.base,
                "quoteCcy": listing.quote,
                "category": "1",
                "instFamily": "",
                "lever": "",
                "listTime": "1606468572000",
                "lotSz": listing.lot_text,
                "minSz": listing.lot_text,
                "maxLmtSz": "9999999999",
                "maxMktSz": "1000000",
                "tickSz": listing.tick_text,
                "state": "live" if self.trading(listing) else "suspend",
            }
            for listing in self.listings.values()
        ]

    def _tickers(self) -> list[dict[str, Any]]:
        return [
            {
                "instType": "SPOT",
                "instId": self.native(listing),
                "last": book.bid,
                "lastSz": book.bid_size,
                "askPx": book.ask,
                "askSz": book.ask_size,
                "bidPx": book.bid,
                "bidSz": book.bid_size,
                "open24h": book.bid,
                "high24h": book.ask,
                "low24h": book.bid,
                "volCcy24h": f"{self.volume(listing):.4f}",
                "vol24h": f"{self.volume(listing) / float(book.bid):.6f}",
                "ts": str(book.ts_ms),
            }
            for listing, book in self.rows()
        ]


def _side(price: str, size: str) -> str:
    """One level with OKX's extra fields (a zero and the number of orders), or none."""
    return f'[["{price}","{size}","0","3"]]' if price else "[]"


def _request_id(request: dict[str, Any]) -> dict[str, Any]:
    return {"id": request["id"]} if "id" in request else {}

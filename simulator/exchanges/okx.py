"""OKX v5: one ack per arg, text ping and pong, silence of 30 s ends the connection.

Swap sizes are contracts of `ctVal` coins. Source: OKX v5 documentation (2025-08); PROTOCOLS2 A23, B3.
"""

from collections.abc import Sequence
from typing import Any, ClassVar
from zlib import crc32

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
from simulator.exchanges.depth.okx import OkxDepth
from simulator.exchanges.perpetual import LEVERAGE, Perpetuals, compact, rate_text
from simulator.session import Channel, Frame, Session, Topic

REQUEST_BYTES = 64 * 1024
FUNDING_BEATS = 300


class Okx(SimulatedExchange):
    """The dialect of OKX's public socket."""

    key = "okx"
    depth_type = OkxDepth
    name = "OKX"
    ws_paths = ("/ws/v5/public", "/ws/v5/business")
    separator = "-"
    rhythm = Rhythm(drop=30)
    kind: ClassVar[str] = "SPOT"
    channels: ClassVar[dict[str, Channel]] = {"bbo-tbt": "quote", "trades": "trade", "books": "depth"}

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
        listing = self.listing_of(str(channel), str(native))
        name = f"{channel}:{native}"
        if request.get("op") == "unsubscribe":
            self.unsubscribe(session, name)
            self._answer(session, request, "unsubscribe", arg)
        elif request.get("op") != "subscribe":
            self._refuse(session, request, "60012", f"Invalid request: {request}")
        elif channel not in self.channels or session.path != "/ws/v5/public" or listing is None:
            message = (
                f"Wrong URL or channel:{channel},instId:{native} doesn't exist. Please use the correct URL,"
            )
            message += " channel and parameters referring to API document."
            self._refuse(session, request, "60018", message)
        else:
            self._answer(session, request, "subscribe", arg)
            self.greet(session, Topic(self.channels[channel], listing.symbol, name))

    def listing_of(self, channel: str, native: str) -> Listing | None:
        """The listing that a channel's `instId` means."""
        return self.find(native)

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
        """Rows of the market's own instrument type; others are empty."""
        return {
            "GET /api/v5/public/time": lambda call: self.envelope([{"ts": str(self.now_ms())}]),
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
        return self.envelope(rows() if kind == self.kind else [])

    def envelope(self, data: list[dict[str, Any]]) -> dict[str, Any]:
        """An answer of REST."""
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


class OkxSwap(Perpetuals, Okx):
    """The dialect of OKX's linear perpetual swaps."""

    key = "okx:swap"
    name = "OKX swap"
    history_most = 100
    beat_s = 0.2
    settling_s = 10.0
    recomputed = True
    kind = "SWAP"
    channels: ClassVar[dict[str, Channel]] = {
        "bbo-tbt": "quote",
        "trades": "trade",
        "books": "depth",
        "mark-price": "status",
        "index-tickers": "status",
        "funding-rate": "status",
    }

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._said: dict[str, tuple[int, bool]] = {}

    def native(self, listing: Listing) -> str:
        """`BTC-USDT-SWAP`."""
        return f"{self._index(listing)}-SWAP"

    def _index(self, listing: Listing) -> str:
        return super().native(listing)

    def listing_of(self, channel: str, native: str) -> Listing | None:
        """An index is named without -SWAP."""
        return self.find(f"{native}-SWAP" if channel == "index-tickers" else native)

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """Prices at every beat; funding every minute, and when a settlement comes and goes."""
        channel = topic.partition(":")[0]
        if channel == "mark-price":
            return (self._push(channel, self.native(listing), self._mark(listing)),)
        if channel == "index-tickers":
            return (self._push(channel, self._index(listing), self._index_ticker(listing)),)
        funding = self.status(listing).funding
        now = (funding.previous_ms, funding.settling)
        unchanged = self._said.setdefault(listing.symbol, now) == now
        self._said[listing.symbol] = now
        if beat % FUNDING_BEATS and unchanged:
            return ()
        return (self._push(channel, self.native(listing), self._funding_row(listing)),)

    def _push(self, channel: str, native: str, row: dict[str, Any]) -> Frame:
        return compact({"arg": {"channel": channel, "instId": native}, "data": [row]})

    def routes(self) -> dict[str, RestHandler]:
        """Swap rows, funding, mark and index prices."""
        return {
            **super().routes(),
            "GET /api/v5/public/funding-rate": self._funding_rate,
            "GET /api/v5/public/funding-rate-history": self._history,
            "GET /api/v5/public/mark-price": lambda call: self._list(
                call, lambda: [self._mark(listing) for listing in self.asked(call, "instId")]
            ),
            "GET /api/v5/market/index-tickers": lambda call: self.envelope(
                [self._index_ticker(listing) for listing in self.listings.values()]
            ),
        }

    def _mark(self, listing: Listing) -> dict[str, Any]:
        native, mark = self.native(listing), self.status(listing).mark_price
        return {"instType": "SWAP", "instId": native, "markPx": mark, "ts": str(self.now_ms())}

    def _index_ticker(self, listing: Listing) -> dict[str, Any]:
        index = self.status(listing).index_price
        day = dict.fromkeys(("open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), index)
        return {"instId": self._index(listing), "idxPx": index, **day, "ts": str(self.now_ms())}

    def _funding_row(self, listing: Listing) -> dict[str, Any]:
        """`fundingTime` is the coming settlement, `nextFundingTime` the one after it."""
        funding = self.status(listing).funding
        return {
            "instType": "SWAP",
            "instId": self.native(listing),
            "fundingRate": rate_text(funding.rate),
            "fundingTime": str(funding.next_ms),
            "nextFundingRate": "",
            "nextFundingTime": "" if funding.following_ms is None else str(funding.following_ms),
            "minFundingRate": rate_text(funding.floor),
            "maxFundingRate": rate_text(funding.cap),
            "settState": "processing" if funding.settling else "settled",
            "settFundingRate": rate_text(funding.previous_rate),
            "premium": "0.00005",
            "interestRate": "0.0001",
            "impactValue": "20000",
            "formulaType": "withRate",
            "method": "current_period",
            "ts": str(self.now_ms()),
        }

    def _funding_rate(self, call: RestCall) -> Any:
        """Of one instrument, or with `ANY` of all."""
        native = call.query.get("instId", "")
        if native != "ANY" and native not in self.by_native:
            return {"code": "51001", "data": [], "msg": "Instrument ID does not exist"}
        listings = self.listings.values() if native == "ANY" else [self.by_native[native]]
        return self.envelope([self._funding_row(listing) for listing in listings])

    def _history(self, call: RestCall) -> Any:
        """Settled rates, newest first: `before` is newer than, `after` older than, both exclusive."""
        return self.envelope(
            [
                {
                    "instType": "SWAP",
                    "instId": self.native(listing),
                    "fundingRate": rate_text(rate),
                    "realizedRate": rate_text(rate),
                    "fundingTime": str(at_ms),
                    "method": "current_period",
                    "formulaType": "withRate",
                }
                for listing in self.asked(call, "instId")
                for at_ms, rate in self.settlements(listing, call, "before", "after")
                if str(at_ms) not in (call.query.get("before"), call.query.get("after"))
            ]
        )

    def _instruments(self) -> list[dict[str, Any]]:
        return [self._instrument(listing) for listing in self.listings.values()]

    def _instrument(self, listing: Listing) -> dict[str, Any]:
        """A swap that is being delisted has a time of expiry."""
        return {
            "instType": "SWAP",
            "instId": self.native(listing),
            "instIdCode": crc32(self.native(listing).encode()) % 100_000,
            "instFamily": self._index(listing),
            "uly": self._index(listing),
            "baseCcy": "",
            "quoteCcy": "",
            "settleCcy": listing.settle,
            "ctVal": self.contract_size(listing),
            "ctMult": "1",
            "ctValCcy": listing.base,
            "ctType": "linear",
            "alias": "",
            "optType": "",
            "stk": "",
            "category": "1",
            "lever": str(LEVERAGE),
            "listTime": "1606468572000",
            "expTime": str(self.now_ms() + 86_400_000) if self.delisting(listing) else "",
            "lotSz": listing.lot_text,
            "minSz": listing.lot_text,
            "maxLmtSz": "100000000",
            "maxMktSz": "85000",
            "tickSz": listing.tick_text,
            "state": "live" if self.trading(listing) else "suspend",
            "ruleType": "normal",
        }

    def _tickers(self) -> list[dict[str, Any]]:
        """Volumes of swaps are in contracts and in coins."""
        return [{**row, **self._volumes(self.by_native[row["instId"]])} for row in super()._tickers()]

    def _volumes(self, listing: Listing) -> dict[str, str]:
        coins = self.volume(listing) / listing.price
        contracts = coins / float(self.contract_size(listing))
        return {"instType": "SWAP", "volCcy24h": f"{coins:.4f}", "vol24h": f"{contracts:.4f}"}


def _side(price: str, size: str) -> str:
    """One level with OKX's extra fields (a zero and the number of orders), or none."""
    return f'[["{price}","{size}","0","3"]]' if price else "[]"


def _request_id(request: dict[str, Any]) -> dict[str, Any]:
    return {"id": request["id"]} if "id" in request else {}

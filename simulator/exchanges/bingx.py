"""BingX: every server frame is gzip, one topic per request, the server's `Ping` wants a `Pong`.

Sizes of swaps are coins; funding is in REST alone. Source: BingX-API/api-ai-skills (2026-04) and live
captures (2026-09); PROTOCOLS2 A20, B8.
"""

import json
import zlib
from collections.abc import Callable, Sequence
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
)
from simulator.exchanges.depth.bingx import CHANNELS, BingxDepth, BingxSwapDepth
from simulator.exchanges.perpetual import Perpetuals, known, rate_text
from simulator.session import Channel, Frame, Session, Topic

TOPICS_LIMIT = 200
GZIP = 31  # zlib's number for a gzip header and trailer


class Bingx(SimulatedExchange):
    """The dialect of BingX's spot socket."""

    key = "bingx"
    depth_type = BingxDepth
    name = "BingX"
    ws_paths = ("/market",)
    separator = "-"
    padding = 0
    rhythm = Rhythm(ping=5, drop=30.5)
    messages_per_window = (10, 1.0)
    channels: ClassVar[dict[str, Channel]] = {"bookTicker": "quote", "trade": "trade", **CHANNELS}

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
        if listing is None or kind not in self.channels:
            self._answer(session, request, 80015, f"dataType not support: {name}")
        elif len(session.topics) >= TOPICS_LIMIT and name not in session.topics:
            self._answer(session, request, 80403, f"the number of subscriptions exceeds {TOPICS_LIMIT}")
        else:
            self._answer(session, request, 0, "SUCCESS")
            self.greet(session, Topic(self.channels[kind], listing.symbol, name))

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


class BingxSwap(Perpetuals, Bingx):
    """The dialect of BingX's USDT-margined perpetual swaps."""

    key = "bingx:swap"
    depth_type = BingxSwapDepth
    name = "BingX swap"
    ws_paths = ("/swap-market",)
    channels: ClassVar[dict[str, Channel]] = {
        "bookTicker": "quote",
        "trade": "trade",
        "markPrice": "status",
        **CHANNELS,
    }

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """`T` is the book's time, `E` the push: on a quiet symbol minutes can lie between."""
        return self.encode(
            f'{{"code":0,"dataType":"{topic}","data":{{"e":"bookTicker","u":{book.n},'
            f'"E":{book.ts_ms + book.lag_ms},"T":{book.ts_ms},"s":"{self.native(listing)}",'
            f'"b":"{book.bid}","B":"{book.bid_size}","a":"{book.ask}","A":"{book.ask_size}"}}}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """Swaps send a list; `m` true means the taker sold."""
        maker = "true" if deal.side == "sell" else "false"
        return self.encode(
            f'{{"code":0,"dataType":"{topic}","data":[{{"q":"{deal.size}","p":"{deal.price}","T":{deal.ts_ms},'
            f'"m":{maker},"s":"{self.native(listing)}"}}]}}'
        )

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """markPrice once a second: the mark price alone."""
        mark = self.status(listing).mark_price
        return (
            self.encode(
                f'{{"code":0,"dataType":"{topic}","data":{{"e":"markPriceUpdate","E":{self.now_ms()},'
                f'"s":"{self.native(listing)}","p":"{mark}"}}}}'
            ),
        )

    def routes(self) -> dict[str, RestHandler]:
        """Swap endpoints; spot and inverse contracts are empty."""
        quote = "GET /openApi/swap/v2/quote"
        return {
            "GET /openApi/swap/v2/server/time": lambda call: _ok({"serverTime": self.now_ms()}),
            "GET /openApi/spot/v1/common/symbols": lambda call: _ok({"symbols": []}),
            "GET /openApi/cswap/v1/market/contracts": lambda call: _ok([]),
            f"{quote}/contracts": lambda call: _ok([self._contract(row) for row in self.listings.values()]),
            f"{quote}/ticker": lambda call: self._one_or_all(call, self._swap_ticker),
            f"{quote}/premiumIndex": lambda call: self._one_or_all(call, self._premium),
            f"{quote}/fundingRate": self._history,
        }

    def _one_or_all(self, call: RestCall, row: Callable[[Listing], dict[str, Any]]) -> Any:
        rows = [row(listing) for listing in self.asked(call)]
        if "symbol" not in call.query:
            return _ok(rows)
        return _ok(rows[0]) if rows else {"code": 109425, "msg": "symbol not exist", "data": {}}

    def _contract(self, listing: Listing) -> dict[str, Any]:
        """Status 1 is open, 25 takes no opening orders, 0 is closed; the states of the API are texts."""
        trading, delisting = self.trading(listing), self.delisting(listing)
        return {
            "contractId": "100",
            "symbol": self.native(listing),
            "displayName": self.native(listing),
            "size": "0",
            "quantityPrecision": listing.size_decimals,
            "pricePrecision": listing.price_decimals,
            "feeRate": 0.0005,
            "makerFeeRate": 0.0002,
            "takerFeeRate": 0.0005,
            "tradeMinLimit": 0,
            "tradeMinQuantity": float(listing.lot_text),
            "tradeMinUSDT": float(listing.min_notional),
            "currency": listing.settle,
            "asset": listing.base,
            "status": 0 if not trading else 25 if delisting else 1,
            "apiStateOpen": "true" if trading and not delisting else "false",
            "apiStateClose": "true" if trading else "false",
            "ensureTrigger": True,
            "triggerFeeRate": "0.00050000",
            "brokerState": False,
            "launchTime": 1_586_275_200_000,
            "maintainTime": 0,
            "offTime": self.now_ms() + 86_400_000 if delisting else 0,
        }

    def _swap_ticker(self, listing: Listing) -> dict[str, Any]:
        """Numbers are texts here, other than on spot."""
        book, volume = self.quote(listing), self.volume(listing)
        return {
            "symbol": self.native(listing),
            "priceChange": "0",
            "priceChangePercent": "0",
            "lastPrice": book.bid,
            "lastQty": book.bid_size,
            "highPrice": book.ask,
            "lowPrice": book.bid,
            "volume": f"{volume / listing.price:.4f}",
            "quoteVolume": f"{volume:.2f}",
            "openPrice": book.bid,
            "openTime": self.now_ms() - 86_400_000,
            "closeTime": self.now_ms(),
            "askPrice": book.ask,
            "askQty": book.ask_size,
            "bidPrice": book.bid,
            "bidQty": book.bid_size,
        }

    def _premium(self, listing: Listing) -> dict[str, Any]:
        """`updateTime` is the last settlement."""
        mark, index, funding = self.status(listing)
        return known(
            {
                "symbol": self.native(listing),
                "markPrice": mark,
                "indexPrice": index,
                "lastFundingRate": rate_text(funding.rate),
                "nextFundingTime": funding.next_ms,
                "fundingIntervalHours": funding.interval_h,
                "minFundingRate": rate_text(funding.floor),
                "maxFundingRate": rate_text(funding.cap),
                "updateTime": funding.previous_ms,
            }
        )

    def _history(self, call: RestCall) -> Any:
        """Settled rates, newest first."""
        return _ok(
            [
                {"symbol": self.native(listing), "fundingRate": rate_text(rate), "fundingTime": at_ms}
                for listing in self.asked(call)
                for at_ms, rate in self.settlements(listing, call, "startTime", "endTime")
            ]
        )


def _ok(data: Any) -> dict[str, Any]:
    return {"code": 0, "msg": "", "debugMsg": "", "data": data}

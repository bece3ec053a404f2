"""Bitget v2: ack per arg, text ping and pong, trades begin with a snapshot of history.

Sizes of swaps are coins; mark price and funding come in the ticker alone. Source: arbitrage-observatory
exchange profile (live, 2026-09) and Bitget's v2 documentation; PROTOCOLS2 B6.
"""

from collections import deque
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
    side,
)
from simulator.exchanges.depth.bitget import BitgetDepth, BitgetSwapDepth
from simulator.exchanges.perpetual import LEVERAGE, Perpetuals, compact, known, rate_text
from simulator.session import Channel, Frame, Session, Topic
from simulator.wallets import coins, networks

REQUEST_BYTES = 4096
CHANNELS_LIMIT = 1000
HISTORY = 5
USDT_FUTURES = "USDT-FUTURES"
TYPES = ("SPOT", USDT_FUTURES, "COIN-FUTURES", "USDC-FUTURES")


class Bitget(SimulatedExchange):
    """The dialect of Bitget's v2 public socket."""

    key = "bitget"
    depth_type = BitgetDepth
    name = "Bitget"
    ws_paths = ("/v2/ws/public",)
    padding = 0
    rhythm = Rhythm(drop=120)
    messages_per_window = (10, 1.0)
    kind: ClassVar[str] = "SPOT"
    channels: ClassVar[dict[str, Channel]] = {
        "books1": "quote",
        "ticker": "quote",
        "trade": "trade",
        "books": "depth",
    }

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
        elif operation != "subscribe" or kind not in TYPES:
            self._refuse(session, arg, 30016, "Param error")
        elif listing is None or channel not in self.channels:
            message = f"instType:{kind},channel:{channel},instId:{native},precision:null doesn't exist"
            self._refuse(session, arg, 30001, message)
        elif len(session.topics) >= CHANNELS_LIMIT and name not in session.topics:
            self._refuse(session, arg, 30003, f"The number of subscribed channels exceeds {CHANNELS_LIMIT}")
        else:
            session.send_json({"event": "subscribe", "arg": arg})
            if kind == self.kind:
                self._start(session, Topic(self.channels[channel], listing.symbol, name))

    def _start(self, session: Session, topic: Topic) -> None:
        """Trades begin with the latest ones as a snapshot, then only new ones come."""
        self.greet(session, topic)
        if topic.channel == "trade":
            rows = ",".join(reversed(self._history.get(topic.symbol, ())))
            listing = self.listings[topic.symbol]
            if rows:
                session.push(self.message("snapshot", "trade", listing, rows, self.now_ms()))

    def _refuse(self, session: Session, arg: dict[str, Any], code: int, message: str) -> None:
        session.send_json({"event": "error", "arg": arg, "code": code, "msg": message, "op": "subscribe"})

    def message(self, action: str, channel: str, listing: Listing, rows: str, ts_ms: int) -> str:
        """A push of rows."""
        return (
            f'{{"action":"{action}","arg":{{"instType":"{self.kind}","channel":"{channel}",'
            f'"instId":"{self.native(listing)}"}},"data":[{rows}],"ts":{ts_ms + 1}}}'
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """books1 is a snapshot each time; the inner time is a string, the outer a number."""
        if topic.startswith("books1"):
            row = (
                f'{{"asks":{side(book.ask, book.ask_size)},"bids":{side(book.bid, book.bid_size)},'
                f'"ts":"{book.ts_ms}","seq":{book.n}}}'
            )
            return self.message("snapshot", "books1", listing, row, book.ts_ms + book.lag_ms)
        row = (
            f'{{"instId":"{self.native(listing)}","lastPr":"{book.bid}","open24h":"{book.bid}","high24h":"{book.ask}",'
            f'"low24h":"{book.bid}","change24h":"0","bidPr":"{book.bid}","askPr":"{book.ask}","bidSz":"{book.bid_size}",'
            f'"askSz":"{book.ask_size}","ts":"{book.ts_ms}"}}'
        )
        return self.message("snapshot", "ticker", listing, row, book.ts_ms)

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """trade: updates carry new trades only."""
        row = (
            f'{{"ts":"{deal.ts_ms}","price":"{deal.price}","size":"{deal.size}","side":"{deal.side}",'
            f'"tradeId":"{deal.n}"}}'
        )
        self._history.setdefault(listing.symbol, deque(maxlen=HISTORY)).append(row)
        return self.message("update", "trade", listing, row, deal.ts_ms)

    def routes(self) -> dict[str, RestHandler]:
        """Spot endpoints; margin and futures are empty."""
        return {
            "GET /api/v2/public/time": lambda call: self.done({"serverTime": str(self.now_ms())}),
            "GET /api/v2/spot/public/symbols": self._symbols,
            "GET /api/v2/spot/public/coins": self._coins,
            "GET /api/v2/spot/market/tickers": self._tickers,
            "GET /api/v2/margin/currencies": lambda call: self.done([]),
            "GET /api/v2/mix/market/contracts": lambda call: self.done([]),
            "GET /api/v2/mix/market/tickers": lambda call: self.done([]),
        }

    def not_found(self, call: RestCall) -> RestReply:
        """A path Bitget does not have."""
        body = {"code": "40404", "msg": "Request URL NOT FOUND", "requestTime": self.now_ms(), "data": None}
        return RestReply(body, 404)

    def done(self, data: Any) -> dict[str, Any]:
        """An answer of REST."""
        return {"code": "00000", "msg": "success", "requestTime": self.now_ms(), "data": data}

    def _symbols(self, call: RestCall) -> Any:
        return self.done(
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
        return self.done([self._ticker(*row) for row in self.rows()])

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
        return self.done(
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
                        for network in networks(self.exchange, coin)
                    ],
                }
                for coin in coins(self.listings)
            ]
        )


class BitgetSwap(Perpetuals, Bitget):
    """The dialect of Bitget's USDT-margined perpetual swaps."""

    key = "bitget:swap"
    depth_type = BitgetSwapDepth
    name = "Bitget swap"
    history_most = 100
    beat_s = 0.1
    settling_s = 1.0
    kind = USDT_FUTURES
    channels: ClassVar[dict[str, Channel]] = {
        "books1": "quote",
        "trade": "trade",
        "books": "depth",
        "ticker": "status",
    }

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """ticker: a whole snapshot every time, about every 105 ms."""
        native = self.native(listing)
        row = {"instId": native, **self._swap_ticker(listing), "symbolType": "1", "symbol": native}
        return (self.message("snapshot", "ticker", listing, compact(row), self.now_ms()),)

    def routes(self) -> dict[str, RestHandler]:
        """USDT-margined futures; other products and spot are empty."""
        mix = "GET /api/v2/mix/market"
        return {
            "GET /api/v2/public/time": lambda call: self.done({"serverTime": str(self.now_ms())}),
            "GET /api/v2/spot/public/symbols": lambda call: self.done([]),
            "GET /api/v2/spot/public/coins": self._coins,
            "GET /api/v2/margin/currencies": lambda call: self.done([]),
            f"{mix}/contracts": lambda call: self._product(call, self._contract),
            f"{mix}/tickers": lambda call: self._product(call, self._ticker_row),
            f"{mix}/ticker": lambda call: self._product(call, self._ticker_row),
            f"{mix}/current-fund-rate": lambda call: self._product(call, self._fund_rate),
            f"{mix}/history-fund-rate": self._settled_rates,
        }

    def _product(self, call: RestCall, row: Callable[[Listing], dict[str, Any]]) -> Any:
        product = call.query.get("productType", "").upper()
        if product not in TYPES and not product.startswith("S"):
            return RestReply(
                {**self.done(None), "code": "400172", "msg": "Parameter verification failed"}, 400
            )
        return self.done([row(listing) for listing in self.asked(call)] if product == self.kind else [])

    def _contract(self, listing: Listing) -> dict[str, Any]:
        """A swap that is being delisted cannot be opened, and has a time when it is off."""
        funding = self.status(listing).funding
        trading = "normal" if self.trading(listing) else "off"
        return known(
            {
                "symbol": self.native(listing),
                "baseCoin": listing.base,
                "quoteCoin": listing.quote,
                "buyLimitPriceRatio": "0.05",
                "sellLimitPriceRatio": "0.05",
                "feeRateUpRatio": "0.005",
                "makerFeeRate": "0.0002",
                "takerFeeRate": "0.0006",
                "openCostUpRatio": "0.01",
                "supportMarginCoins": [listing.settle],
                "minTradeNum": listing.lot_text,
                "priceEndStep": "1",
                "volumePlace": str(listing.size_decimals),
                "pricePlace": str(listing.price_decimals),
                "sizeMultiplier": listing.lot_text,
                "symbolType": "perpetual",
                "minTradeUSDT": listing.min_notional,
                "maxSymbolOrderNum": "200",
                "maxProductOrderNum": "400",
                "maxPositionNum": "150",
                "symbolStatus": "limit_open" if self.delisting(listing) else trading,
                "offTime": str(self.now_ms() + 86_400_000) if self.delisting(listing) else "-1",
                "limitOpenTime": "-1",
                "deliveryTime": "",
                "launchTime": "",
                "fundInterval": None if funding.interval_h is None else str(funding.interval_h),
                "minLever": "1",
                "maxLever": str(LEVERAGE),
                "posLimit": "0.05",
                "maintainTime": "",
            }
        )

    def _swap_ticker(self, listing: Listing) -> dict[str, Any]:
        book, (mark, index, funding) = self.quote(listing), self.status(listing)
        volume = self.volume(listing)
        return {
            "lastPr": book.bid,
            "bidPr": book.bid,
            "askPr": book.ask,
            "bidSz": book.bid_size,
            "askSz": book.ask_size,
            "open24h": book.bid,
            "high24h": book.ask,
            "low24h": book.bid,
            "change24h": "0",
            "fundingRate": rate_text(funding.rate),
            "nextFundingTime": str(funding.next_ms),
            "markPrice": mark,
            "indexPrice": index,
            "holdingAmount": "5000",
            "baseVolume": f"{volume / float(book.bid):.4f}",
            "quoteVolume": f"{volume:.4f}",
            "openUtc": book.bid,
            "deliveryPrice": "0",
            "ts": str(book.ts_ms),
        }

    def _ticker_row(self, listing: Listing) -> dict[str, Any]:
        """The ticker over REST says the volume in USDT, and no time of the next settlement."""
        row = {"symbol": self.native(listing), **self._swap_ticker(listing)}
        del row["nextFundingTime"]
        return {**row, "usdtVolume": row["quoteVolume"], "changeUtc24h": "0", "deliveryStartTime": None}

    def _fund_rate(self, listing: Listing) -> dict[str, Any]:
        funding = self.status(listing).funding
        return known(
            {
                "symbol": self.native(listing),
                "fundingRate": rate_text(funding.rate),
                "fundingRateInterval": None if funding.interval_h is None else str(funding.interval_h),
                "nextUpdate": str(funding.next_ms),
                "minFundingRate": rate_text(funding.floor),
                "maxFundingRate": rate_text(funding.cap),
            }
        )

    def _settled_rates(self, call: RestCall) -> Any:
        """Settled rates, newest first."""
        return self.done(
            [
                {"symbol": self.native(listing), "fundingRate": rate_text(rate), "fundingTime": str(at_ms)}
                for listing in self.asked(call)
                for at_ms, rate in self.settlements(listing, call, "", "")
            ]
        )


def _word(value: bool) -> str:
    return "true" if value else "false"

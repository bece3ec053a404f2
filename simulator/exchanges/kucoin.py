"""KuCoin classic: a POST for a token, a welcome, silent acks for unknown symbols, pings by the client.

Swap sizes are lots of `multiplier` coins, as JSON numbers; BTC is XBT; times at the touch are nanoseconds.
Source: kucoin-api-docs (2023), kucoin-universal-sdk (2025-11) and live captures; PROTOCOLS2 A11, B5.
"""

import secrets
import time
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
    path_of,
    read_json,
)
from simulator.exchanges.depth.kucoin import KucoinDepth, KucoinSwapDepth
from simulator.exchanges.perpetual import LEVERAGE, Perpetuals, compact, known, rate_text, whole
from simulator.session import Channel, Frame, Session, Topic
from simulator.wallets import coins, networks

TOPICS_PER_REQUEST = 100
TOPICS_LIMIT = 400
TOKENS_KEPT = 10_000
INSTRUMENT, ANNOUNCEMENT = "/contract/instrument", "/contract/announcement"
FUNDING_BEATS = 60
CHAINS = {"ERC20": "eth", "BEP20": "bsc", "TRC20": "trx"}
PING_INTERVAL_S = 18
TOKEN_LIFE_S = 24 * 3600


class Kucoin(SimulatedExchange):
    """The dialect of KuCoin's classic public socket."""

    key = "kucoin"
    depth_type = KucoinDepth
    name = "KuCoin"
    ws_paths = ("/",)
    separator = "-"
    rhythm = Rhythm(drop=60, life=TOKEN_LIFE_S)
    messages_per_window = (100, 10.0)
    channels: ClassVar[dict[str, Channel]] = {
        "/spotMarket/level1": "quote",
        "/market/ticker": "quote",
        "/market/match": "trade",
        "/market/level2": "depth",
    }

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
        if prefix not in self.channels or not natives:
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
            self.greet(session, Topic(self.channels[prefix], listing.symbol, f"{prefix}:{native}"))

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
            "endpoint": f"ws://{call.base}/{path_of(self.key)}/",
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
                        for network in networks(self.exchange, coin)
                    ],
                }
                for coin in coins(self.listings)
            ]
        )


class KucoinSwap(Perpetuals, Kucoin):
    """The dialect of KuCoin's classic futures socket: linear perpetual swaps."""

    key = "kucoin:swap"
    depth_type = KucoinSwapDepth
    name = "KuCoin swap"
    settling_s = 15.0
    recomputed = True
    channels: ClassVar[dict[str, Channel]] = {
        "/contractMarket/tickerV2": "quote",
        "/contractMarket/execution": "trade",
        "/contractMarket/level2": "depth",
        INSTRUMENT: "status",
    }

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._settled: dict[str, tuple[int, bool]] = {}

    def native(self, listing: Listing) -> str:
        """`XBTUSDTM`."""
        return f"{'XBT' if listing.base == 'BTC' else listing.base}{listing.quote}M"

    def _change(self, session: Session, request: dict[str, Any], kind: str) -> None:
        """Announcements are of all swaps."""
        if request.get("topic") != ANNOUNCEMENT:
            super()._change(session, request, kind)
            return
        if request.get("response"):
            session.send_json({"id": str(request.get("id")), "type": "ack"})
        if kind == "subscribe":
            self.subscribe(session, Topic("notice", "", ANNOUNCEMENT))
        else:
            self.unsubscribe(session, ANNOUNCEMENT)

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """tickerV2: prices are text, sizes numbers, the time nanoseconds."""
        sides = {
            "bestBidSize": (book.bid_size, whole(book.bid_size)),
            "bestBidPrice": (book.bid, f'"{book.bid}"'),
            "bestAskPrice": (book.ask, f'"{book.ask}"'),
            "bestAskSize": (book.ask_size, whole(book.ask_size)),
        }
        best = "".join(f'"{name}":{text},' for name, (there, text) in sides.items() if there)
        return (
            f'{{"topic":"{topic}","type":"message","subject":"tickerV2","sn":{book.n},"data":{{'
            f'"symbol":"{self.native(listing)}","sequence":{book.n},{best}"ts":{book.ts_ms}000000}}}}'
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """execution: the size is a number, the time nanoseconds."""
        return (
            f'{{"topic":"{topic}","type":"message","subject":"match","sn":{deal.n},"data":{{'
            f'"symbol":"{self.native(listing)}","sequence":{deal.n},"side":"{deal.side}",'
            f'"size":{whole(deal.size)},"price":"{deal.price}","takerOrderId":"{deal.n + 1:024x}",'
            f'"makerOrderId":"{deal.n:024x}","tradeId":"{deal.n}","ts":{deal.ts_ms}000000}}}}'
        )

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """The prices every second; the rate every minute, without the next time or the interval."""
        mark, index, funding = self.status(listing)
        now = self.now_ms()
        head = f'{{"topic":"{topic}","type":"message","subject"'
        prices = f'"markPrice":{mark},"indexPrice":{index},"granularity":1000,"timestamp":{now}'
        frames = [f'{head}:"mark.index.price","data":{{{prices}}}}}']
        if beat % FUNDING_BEATS == 0:
            rate = f'"period":1,"granularity":60000,"fundingRate":{rate_text(funding.rate)},"timestamp":{now}'
            frames.append(f'{head}:"funding.rate","data":{{{rate}}}}}')
        return frames

    def tick(self, beat: int) -> None:
        """Announce settlements: funding.begin when one begins, funding.end when it is over."""
        sessions = self.subscribers.get(("notice", ""), {}).get((ANNOUNCEMENT, ""), set())
        for listing in self.listings.values() if sessions and not self.quiet else ():
            funding = self.status(listing).funding
            now = (funding.previous_ms, funding.settling)
            before = self._settled.setdefault(listing.symbol, now)
            self._settled[listing.symbol] = now
            for subject in _settling(before, now):
                data = {
                    "symbol": self.native(listing),
                    "fundingTime": funding.previous_ms,
                    "fundingRate": funding.previous_rate,
                    "timestamp": self.now_ms(),
                }
                text = compact({"topic": ANNOUNCEMENT, "type": "message", "subject": subject, "data": data})
                for session in tuple(sessions):
                    session.push(text)

    def routes(self) -> dict[str, RestHandler]:
        """Futures endpoints, the token, and currencies; spot is empty."""
        return {
            **super().routes(),
            "GET /api/v1/symbols": lambda call: _ok([]),
            "GET /api/v2/symbols": lambda call: _ok([]),
            "GET /api/v1/market/allTickers": lambda call: _ok({"time": self.now_ms(), "ticker": []}),
            "GET /api/v1/contracts/active": lambda call: _ok(
                [self._contract(listing) for listing in self.listings.values() if self.trading(listing)]
            ),
            "GET /api/v1/allTickers": lambda call: _ok([self._touch(*row) for row in self.rows()]),
            "GET /api/ua/v2/market/funding-rate": lambda call: _ok(
                [self._funding_row(listing) for listing in self.asked(call)]
            ),
            **{
                f"GET /api/v1/funding-rate/{native}/current": partial(self._current, listing)
                for native, listing in self.by_native.items()
            },
            "GET /api/v1/contract/funding-rates": self._history,
        }

    def _contract(self, listing: Listing) -> dict[str, Any]:
        """`nextFundingRateTime` is a countdown in ms; one that is being delisted has a date of settlement."""
        mark, index, funding = self.status(listing)
        coins = self.volume(listing) / listing.price
        native, now = self.native(listing), self.now_ms()
        return known(
            {
                "symbol": native,
                "rootSymbol": listing.settle,
                "type": "FFWCSX",
                "firstOpenDate": 1_585_555_200_000,
                "expireDate": None,
                "settleDate": now + 86_400_000 if self.delisting(listing) else None,
                "baseCurrency": native.removesuffix(f"{listing.quote}M"),
                "quoteCurrency": listing.quote,
                "settleCurrency": listing.settle,
                "maxOrderQty": 1_000_000,
                "maxPrice": 1_000_000.0,
                "lotSize": 1 if not listing.size_decimals else 10.0**-listing.size_decimals,
                "tickSize": listing.tick,
                "multiplier": float(self.contract_size(listing)),
                "makerFeeRate": 0.0002,
                "takerFeeRate": 0.0006,
                "isInverse": False,
                "isQuanto": False,
                "status": "BeingSettled" if self.delisting(listing) else "Open",
                "marketStage": "NORMAL",
                "fundingFeeRate": funding.rate,
                "fundingRateSymbol": f".{native}FPI8H",
                "fundingRateGranularity": None if funding.interval_s is None else funding.interval_s * 1000,
                "fundingRateCap": funding.cap,
                "fundingRateFloor": funding.floor,
                "nextFundingRateTime": funding.next_ms - now,
                "nextFundingRateDateTime": funding.next_ms,
                "markPrice": float(mark),
                "indexPrice": float(index),
                "lastTradePrice": float(self.quote(listing).bid),
                "maxLeverage": LEVERAGE,
                "turnoverOf24h": self.volume(listing),
                "volumeOf24h": coins,
                "openInterest": "11481754",
            }
        )

    def _touch(self, listing: Listing, book: Book) -> dict[str, Any]:
        return {
            "sequence": book.n,
            "symbol": self.native(listing),
            "side": "buy",
            "size": 1,
            "tradeId": str(book.n),
            "price": book.bid,
            "bestBidPrice": book.bid,
            "bestBidSize": float(whole(book.bid_size)),
            "bestAskPrice": book.ask,
            "bestAskSize": float(whole(book.ask_size)),
            "ts": book.ts_ms * 1_000_000,
        }

    def _funding_row(self, listing: Listing) -> dict[str, Any]:
        funding = self.status(listing).funding
        return known(
            {
                "symbol": self.native(listing),
                "nextFundingRate": funding.rate,
                "fundingTime": funding.next_ms,
                "fundingRateCap": funding.cap,
                "fundingRateFloor": funding.floor,
                "currentGranularity": None if funding.interval_s is None else funding.interval_s * 1000,
            }
        )

    def _current(self, listing: Listing, call: RestCall) -> Any:
        """The symbol of this call has the prefix of an index; `timePoint` begins the running interval."""
        funding = self.status(listing).funding
        return _ok(
            known(
                {
                    "symbol": f".{self.native(listing)}FPI8H",
                    "granularity": None if funding.interval_s is None else funding.interval_s * 1000,
                    "timePoint": funding.previous_ms,
                    "value": funding.rate,
                    "predictedValue": funding.rate,
                    "fundingTime": funding.next_ms,
                    "fundingRateCap": funding.cap,
                    "fundingRateFloor": funding.floor,
                    "period": 1,
                }
            )
        )

    def _history(self, call: RestCall) -> Any:
        """Settled rates, newest first."""
        return _ok(
            [
                {"symbol": self.native(listing), "fundingRate": rate, "timepoint": at_ms}
                for listing in self.asked(call)
                for at_ms, rate in self.settlements(listing, call, "from", "to")
            ]
        )


def _settling(before: tuple[int, bool], now: tuple[int, bool]) -> list[str]:
    """Announcements of a change of (last settlement, whether it is worked off) ; a quick one has both."""
    began, ended = now[0] != before[0], not now[1] and now != before
    return [subject for subject, said in (("funding.begin", began), ("funding.end", ended)) if said]


def _side(price: str, size: str) -> str:
    """level1 has one flat level per side."""
    return f'["{price}","{size}"]' if price else "[]"


def _ok(data: Any) -> dict[str, Any]:
    return {"code": "200000", "data": data}

"""Gate v4: one unknown pair fails the whole subscription, the server pings, REST errors are HTTP 400.

Swap sizes are contracts of `quanto_multiplier` coins, JSON numbers, negative in a trade whose taker sold.
Source: Gate API v4 documentation (2025), live captures, PROTOCOLS2 A12, B4. The period of the spot server's
ping is not published; 20 s with a minute to answer is assumed. The futures server pings nobody, and ends
a connection without a subscription after 30.5 s that does not ping itself.
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
    read_json,
    strings,
)
from simulator.exchanges.depth.gate import DECIMAL, GateDepth, GateSwapDepth, sized
from simulator.exchanges.perpetual import (
    LEVERAGE,
    TIERS,
    Perpetuals,
    compact,
    known,
    number_of,
    rate_text,
    seconds,
    whole,
)
from simulator.session import Channel, Frame, Session, Topic
from simulator.wallets import coins, networks

CHAINS = {"ERC20": "ETH", "BEP20": "BSC", "TRC20": "TRX"}


class Gate(SimulatedExchange):
    """The dialect of Gate's spot socket."""

    key = "gate"
    depth_type = GateDepth
    name = "Gate"
    ws_paths = ("/ws/v4",)
    separator = "_"
    rhythm = Rhythm(ping=20, drop=60)
    heartbeat: ClassVar[str] = "spot"
    channels: ClassVar[dict[str, Channel]] = {
        "spot.book_ticker": "quote",
        "spot.trades": "trade",
        "spot.order_book_update": "depth",
        "spot.obu": "depth",
    }
    unknown: ClassVar[str] = "unknown currency pair"
    depth: GateDepth

    async def ping(self, session: Session) -> None:
        """A WebSocket ping frame."""
        await session.ping(b"")

    def receive(self, session: Session, text: str) -> None:
        """`spot.ping` (`futures.ping`), or a channel with event subscribe or unsubscribe."""
        request = read_json(text)
        if request is None:
            self._answer(session, {}, error=(1, "invalid request body"))
        elif request.get("channel") == f"{self.heartbeat}.ping":
            now, session.lonely_since = self.now_ms(), time.monotonic()
            pong = {"time": now // 1000, "time_ms": now, "channel": f"{self.heartbeat}.pong", "event": ""}
            session.send_json({**pong, "error": None, "result": None})
        elif request.get("channel") not in self.channels:
            self._answer(session, request, error=(2, f"unknown channel {request.get('channel')}"))
        elif request.get("event") == "subscribe":
            self._subscribe(session, request)
        elif request.get("event") == "unsubscribe":
            topics = self._topics(str(request["channel"]), strings(request.get("payload")))
            for topic in topics if isinstance(topics, list) else ():
                self.unsubscribe(session, topic.name)
            self._answer(session, request)
        else:
            self._answer(session, request, error=(2, f"unknown event {request.get('event')}"))

    def _subscribe(self, session: Session, request: dict[str, Any]) -> None:
        payload = strings(request.get("payload"))
        topics = self._topics(str(request["channel"]), payload) if payload else "payload is empty"
        if isinstance(topics, str):
            self._answer(session, request, error=(2, topics))
            return
        if twice := next((topic.name for topic in topics if self.depth.is_alone(session, topic.name)), ""):
            self._answer(session, request, error=(2, f"Alert sub {twice.partition(':')[2]}"))
            return
        self._answer(session, request)
        for topic in topics:
            self.greet(session, topic)

    def _topics(self, channel: str, payload: list[str]) -> list[Topic] | str:
        """The topics of a payload, or what is wrong with it."""
        if self.channels[channel] == "depth":
            return self.depth.topics(channel, payload)
        listings = {native: self.find(native) for native in payload}
        unknown = [native for native, listing in listings.items() if listing is None]
        if unknown:
            return f"{self.unknown}: {unknown[0]}"
        return [
            Topic(self.channels[channel], listing.symbol, f"{channel}:{native}")
            for native, listing in listings.items()
            if listing is not None
        ]

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

    def update(self, channel: str, push_ms: int, result: str) -> Frame:
        """A push; the envelope has its time."""
        return (
            f'{{"time":{push_ms // 1000},"time_ms":{push_ms},"channel":"{channel}","event":"update",'
            f'"result":{result}}}'
        )

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """spot.book_ticker: `t` is the book's time."""
        return self.update(
            "spot.book_ticker",
            book.ts_ms + book.lag_ms + 3,
            f'{{"t":{book.ts_ms},"u":{book.n},"s":"{self.native(listing)}","b":"{book.bid}",'
            f'"B":"{book.bid_size}","a":"{book.ask}","A":"{book.ask_size}"}}',
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """spot.trades: one object; `create_time_ms` is a string with a fraction."""
        return self.update(
            "spot.trades",
            deal.ts_ms + 3,
            f'{{"id":{deal.n},"create_time":{deal.ts_ms // 1000},'
            f'"create_time_ms":"{deal.ts_ms}.{deal.n % 10**4:04d}",'
            f'"side":"{deal.side}","currency_pair":"{self.native(listing)}","amount":"{deal.size}",'
            f'"price":"{deal.price}","range":"{deal.n}-{deal.n}"}}',
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
                    for network in networks(self.exchange, coin)
                ],
            }
            for coin in coins(self.listings)
        ]


class GateSwap(Perpetuals, Gate):
    """The dialect of Gate's USDT-margined perpetual swaps."""

    key = "gate:swap"
    depth_type = GateSwapDepth
    name = "Gate swap"
    ws_paths = ("/v4/ws/usdt",)
    rhythm = Rhythm(unsubscribed=30.5)
    settling_s = 60.0
    recomputed = True
    heartbeat = "futures"
    channels: ClassVar[dict[str, Channel]] = {
        "futures.book_ticker": "quote",
        "futures.trades": "trade",
        "futures.tickers": "status",
        "futures.order_book_update": "depth",
        "futures.obu": "depth",
    }
    unknown = "unknown contract"

    def welcome(self, session: Session) -> None:
        """A client may ask for sizes as text, which then have decimals where a contract has (A14)."""
        session.variant = DECIMAL if session.headers.get("X-Gate-Size-Decimal") == "1" else ""

    def book_frame(self, topic: str, variant: str, listing: Listing, book: Book) -> Frame:
        """futures.book_ticker: sizes are numbers; an empty side has the price "" and the size 0."""
        return self.update(
            "futures.book_ticker",
            book.ts_ms + book.lag_ms + 3,
            f'{{"t":{book.ts_ms},"u":{book.n},"s":"{self.native(listing)}","b":"{book.bid}",'
            f'"B":{sized(variant, book.bid_size)},"a":"{book.ask}","A":{sized(variant, book.ask_size)}}}',
        )

    def deal_frame(self, topic: str, variant: str, listing: Listing, deal: Deal) -> Frame:
        """futures.trades: a list; the size is negative when the taker sold."""
        sign = "-" if deal.side == "sell" else ""
        return self.update(
            "futures.trades",
            deal.ts_ms + 3,
            f'[{{"size":{sized(variant, sign + deal.size)},"id":{deal.n},"create_time":{deal.ts_ms // 1000},'
            f'"create_time_ms":{deal.ts_ms},"price":"{deal.price}","contract":"{self.native(listing)}"}}]',
        )

    def status_frames(self, topic: str, variant: str, listing: Listing, beat: int) -> Sequence[Frame]:
        """futures.tickers: at most one a second; `funding_next_apply` is in seconds."""
        row = self._status_row(listing, "contract") | self._traded(listing, self.quote(listing))
        return (self.update("futures.tickers", self.now_ms(), compact([row])),)

    def routes(self) -> dict[str, RestHandler]:
        """Futures settled in USDT; spot and those settled in other coins are empty."""
        nothing: RestHandler = lambda call: []  # noqa: E731
        usdt = "GET /api/v4/futures/usdt"
        return {
            "GET /api/v4/spot/time": lambda call: {"server_time": self.now_ms()},
            "GET /api/v4/spot/currencies": self._currencies,
            f"{usdt}/contracts": lambda call: [self._contract(row) for row in self.listings.values()],
            **{
                f"{usdt}/contracts/{native}": partial(self._one_contract, listing)
                for native, listing in self.by_native.items()
            },
            f"{usdt}/tickers": lambda call: [self._swap_ticker(row) for row in self.asked(call, "contract")],
            f"{usdt}/funding_rate": self._funding_rates,
            f"{usdt}/risk_limit_tiers": self._risk_limits,
            **{f"GET /api/v4/futures/{settle}/contracts": nothing for settle in ("btc", "usd1")},
            **{f"GET /api/v4/delivery/{settle}/contracts": nothing for settle in ("usdt", "btc")},
            "GET /api/v4/spot/currency_pairs": nothing,
            "GET /api/v4/margin/currency_pairs": nothing,
        }

    def _status_row(self, listing: Listing, name: str) -> dict[str, Any]:
        mark, index, funding = self.status(listing)
        rate = rate_text(funding.rate)
        return known(
            {
                name: self.native(listing),
                "mark_price": mark,
                "index_price": index,
                "funding_rate": rate,
                "funding_rate_indicative": rate,
                "funding_interval": funding.interval_s,
                "funding_next_apply": seconds(funding.next_ms),
            }
        )

    def _traded(self, listing: Listing, book: Book) -> dict[str, Any]:
        volume = self.volume(listing)
        coins = volume / float(book.bid)
        return {
            "last": book.bid,
            "low_24h": book.bid,
            "high_24h": book.ask,
            "change_percentage": "0",
            "total_size": "73648",
            "volume_24h": f"{coins / float(self.contract_size(listing)):.0f}",
            "volume_24h_base": f"{coins:.0f}",
            "volume_24h_quote": f"{volume:.0f}",
            "volume_24h_settle": f"{volume:.0f}",
            "quanto_base_rate": "",
        }

    def _swap_ticker(self, listing: Listing) -> dict[str, Any]:
        book = self.quote(listing)
        return {
            **self._status_row(listing, "contract"),
            **self._traded(listing, book),
            "highest_bid": book.bid,
            "highest_size": whole(book.bid_size),
            "lowest_ask": book.ask,
            "lowest_size": whole(book.ask_size),
        }

    def _contract(self, listing: Listing) -> dict[str, Any]:
        """A contract that is being delisted trades on, `in_delisting`; one that was is gone in fact."""
        funding = self.status(listing).funding
        lot = 10.0**-listing.size_decimals
        return {
            **self._status_row(listing, "name"),
            "type": "direct",
            "status": "trading" if self.trading(listing) else "delisted",
            "in_delisting": self.delisting(listing),
            "is_pre_market": False,
            "quanto_multiplier": self.contract_size(listing),
            "order_price_round": listing.tick_text,
            "mark_price_round": listing.tick_text,
            "order_price_deviate": "0.2",
            "order_size_min": lot if listing.size_decimals else 1,
            "order_size_max": 1_000_000,
            "enable_decimal": bool(listing.size_decimals),
            "leverage_min": "1",
            "leverage_max": str(LEVERAGE),
            "maintenance_rate": "0.005",
            "funding_offset": 0,
            "funding_rate_limit": rate_text(funding.cap),
            "interest_rate": "0.0003",
            "maker_fee_rate": "-0.00005",
            "taker_fee_rate": "0.0005",
            "create_time": 1_546_905_600,
        }

    def _risk_limits(self, call: RestCall) -> Any:
        """All steps of `limit` contracts from `offset` on, the contract named in each."""
        first, count = number_of(call, "offset", 0), number_of(call, "limit", 100)
        return [
            {
                "contract": self.native(listing),
                "tier": tier,
                "risk_limit": str(limit),
                "initial_rate": f"{1 / leverage:.6f}",
                "maintenance_rate": f"{0.4 / leverage:.6f}",
                "leverage_max": str(leverage),
                "deduction": "0",
            }
            for listing in self.asked(call, "contract")[first : first + count]
            for tier, (limit, leverage) in enumerate(TIERS, start=1)
        ]

    def _one_contract(self, listing: Listing, call: RestCall) -> Any:
        return self._contract(listing)

    def _funding_rates(self, call: RestCall) -> Any:
        """Settled rates, newest first; the range is given in seconds."""
        wanted = {name: call.query[name] + "000" for name in ("from", "to") if name in call.query}
        query = {**call.query, **wanted}
        return [
            {"r": rate_text(rate), "t": seconds(at_ms)}
            for listing in self.asked(call, "contract")
            for at_ms, rate in self.settlements(listing, call._replace(query=query), "from", "to")
        ]

"""MEXC: spot v3, whose answers are text JSON and pushes protobuf (`mexc.proto`), and swaps, all text JSON.

Facts: mexcdevelop/websocket-proto (2026-06), the official docs (2025 copy) and live probes (2026-09).
`aggre.bookTicker` is the best bid/ask: `sendTime` is when it was pushed, `lastOrderCreateTime` how new the
book is. Prices are text, an empty side is "". A refused subscription still says `code` 0: success can only be
read from `msg`.
Swaps have sizes in contracts, as numbers, and no channel of the best bid/ask: the first levels of the whole
books that `depth.full` pushes about every 300 ms are taken. Their answers name the channel and no symbol, so
they are taken in the order of the requests; a refusal has the symbol in its words. `ticker` has mark and
index price, `funding.rate` the rate and the next settlement, no interval. Without our ping they close after
60 s, whatever they send.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Struct

from collectors.exchanges import mexc_pb2
from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.order import update_id
from collectors.exchanges.reading import INFINITY, books, compact, is_no, readable, tables, text, why
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import HOURS, SwapCodec, is_said
from collectors.exchanges.times import FAR_MS, Millis, is_near, moment_us
from collectors.exchanges.wire import (
    NOT_EMPTY,
    ContractLevel,
    Contracts,
    FastId,
    FastPathKey,
    FastText,
    Positive,
)
from engine.books.sequences import COUNTED
from markets.events import BookKind, BookUpdate, Quote, Side, Terms, Trade

QUOTES = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
TRADES = "spot@public.aggre.deals.v3.api.pb@100ms@"
DEPTH = "spot@public.aggre.depth.v3.api.pb@100ms@"
QUOTE_BODIES = ("publicAggreBookTicker", "publicBookTicker")
TRADE_BODIES = ("publicAggreDeals", "publicDeals")
BOOK_BODIES = ("publicAggreDepths", "publicLimitDepths")
OURS = ("bookTicker", "deals")
TIMES = ("sendTime", "lastOrderCreateTime", "time")
CODES = ("tradeType",)
DISPENSABLE = ("symbol", "version", "tradeId")
BOOK_TEXTS = ("fromVersion", "toVersion")
TEXTS = (*DISPENSABLE, "bidPrice", "bidQuantity", "askPrice", "askQuantity", "price", "quantity", *BOOK_TEXTS)
TAKER: dict[int, Side] = {1: "buy", 2: "sell"}

SWAP_QUOTES, SWAP_TRADES, SWAP_TICKERS, SWAP_FUNDING = "depth.full", "deal", "ticker", "funding.rate"
SWAP_MARKS, SWAP_INDEXES = "fair.price", "index.price"
SWAP_CHANNELS = (SWAP_QUOTES, SWAP_TRADES, SWAP_TICKERS, SWAP_FUNDING, SWAP_MARKS, SWAP_INDEXES)
SWAP_CHANGES = "depth"
SWAP_LEVELS = 5  # the fewest that can be had
SWAP_QUOTE: FastPathKey = f'"push.{SWAP_QUOTES}"'
SWAP_TRADE: FastPathKey = f'"push.{SWAP_TRADES}"'

_TOPIC = re.compile(r"spot@[^\s,\[\]]+")
_REFUSED = re.compile(r"\[([^\]]*)\]")


class _SwapBook(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path of swaps."""

    asks: Annotated[list[ContractLevel], NOT_EMPTY]
    bids: Annotated[list[ContractLevel], NOT_EMPTY]
    version: FastId = 0
    cts: Millis | None = None  # the engine's time, since 2026-06


class _SwapQuotePush(Struct, gc=False):
    symbol: str
    data: _SwapBook
    ts: Millis


class _SwapTrade(Struct, gc=False):
    p: Positive
    v: Contracts
    T: Literal[1, 2]
    t: Millis
    i: FastText | None = None


class _SwapTradePush(Struct, gc=False):
    symbol: str
    data: Annotated[list[_SwapTrade], NOT_EMPTY]


class _Answer(Struct):
    msg: Any = None
    code: Any = 0
    channel: str = ""
    data: Any = None
    symbol: Any = None
    param: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Mexc(Codec):
    """MEXC's codec: at most 30 topics per connection."""

    sheet = DataSheet(
        key="mexc",
        name="MEXC",
        ws_url="wss://wbs-api.mexc.com/ws",
        rest_url="https://api.mexc.com",
        topics_per_connection=30,
        topics_per_request=30,
        requests_per_second=20,  # 100 are allowed
        silence_s=45,
        ping_s=20,
        life_s=24 * 3600,
        binary=True,
        depth=Depth(DEPTH + "{id}", "/api/v3/depth?symbol={id}&limit=1000", 1000, 5),
    )
    book_rule = COUNTED

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """The aggregated channels, every 100 ms."""
        return Topic("quote", native_id, QUOTES + native_id), Topic("trade", native_id, TRADES + native_id)

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Requests carry no id; the answer names the topics."""
        return compact({"method": "SUBSCRIPTION", "params": [topic.name for topic in topics]})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return compact({"method": "UNSUBSCRIPTION", "params": [topic.name for topic in topics]})

    def ping(self, request_id: int) -> str:
        """Ping, at least every 30 s."""
        return compact({"method": "PING"})

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Binary frames are protobuf; no push starts with a brace, which would be an old group tag."""
        if isinstance(frame, str) or frame[:1] == b"{":
            return self._text(frame, received_ts_us, received_mono_ns)
        try:
            push = mexc_pb2.Push.FromString(frame)
        except DecodeError as error:
            raise ValueError(f"bad protobuf: {error}") from error
        return self._events(push, received_ts_us, received_mono_ns)

    def _text(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """An answer, or a push as MEXC's documentation and most logs print it: rendered as JSON."""
        if not decode_answer(frame).channel:
            return self.answer(frame)
        try:
            push = _parsed(self.load(frame))
        except json_format.ParseError as error:
            raise ValueError(f"not a push: {error}") from error
        return self._events(push, received_ts_us, received_mono_ns)

    def _events(self, push: mexc_pb2.Push, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        body = push.WhichOneof("body")
        native_id = push.symbol
        if native_id not in self.symbols:
            native_id = push.channel.rpartition("@")[2] or native_id
        sent = push.sendTime or (0 if push.HasField("sendTime") else None)
        if body in (*QUOTE_BODIES, *BOOK_BODIES):
            take = self._quote if body in QUOTE_BODIES else self._depth
            return take(native_id, getattr(push, body), sent, received_ts_us, received_mono_ns)
        events: list[Decoded] = []
        if body in TRADE_BODIES and (deals := getattr(push, body).deals):
            for deal in deals:
                events += self.trade(
                    native_id, deal.price, deal.quantity, TAKER.get(deal.tradeType), deal.tradeId,
                    deal.time or None, received_ts_us, received_mono_ns,
                )  # fmt: skip
            return events
        if body == "publicBookTickerBatch" and (items := push.publicBookTickerBatch.items):
            for item in items:
                events += self._quote(native_id, item, sent, received_ts_us, received_mono_ns)
            return events
        if not push.channel:
            return self.skip("malformed")
        if ".bookTicker." in push.channel and native_id in self.symbols:
            symbol = self.symbols[native_id]
            return self.no_quote(symbol, "no_body", "its frame has no book", received_ts_us, received_mono_ns)
        ours = any(f".{name}." in push.channel for name in OURS)
        return self.skip("no_body" if ours else "unknown_kind")

    def _depth(
        self, native_id: str, book: Any, sent: int | None, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        whole = isinstance(book, mexc_pb2.Depth)
        bids, asks = ([(row.price, row.quantity) for row in side] for side in (book.bids, book.asks))
        return book_update(
            self, "snapshot" if whole else "delta", native_id, bids, asks, sent,
            received_ts_us, received_mono_ns, first=None if whole else book.fromVersion,
            last=book.version if whole else book.toVersion,
        )  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """The time is that of the answer."""
        return book_update(
            self, "snapshot", native_id, answer.get("bids"), answer.get("asks"), answer.get("timestamp"),
            received_ts_us, received_mono_ns, last=answer.get("lastUpdateId"),
        )  # fmt: skip

    def _quote(
        self,
        native_id: str,
        item: mexc_pb2.BookTicker,
        sent: int | None,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> Sequence[Decoded]:
        bid, bid_size, ask, ask_size = item.bidPrice, item.bidQuantity, item.askPrice, item.askQuantity
        book, version = item.lastOrderCreateTime, item.version
        book_us, number = moment_us(book) if book else None, update_id(version) if version else 0
        numbers = bid + bid_size + ask + ask_size
        sent_us = self.believed(sent, received_ts_us, received_mono_ns)
        if book_us is not None and not is_near(book_us, sent_us or received_ts_us):
            book_us = None
            self.skip("bad_time")
        if not self.exact and sent_us is not None and numbers.isascii() and "_" not in numbers:
            try:  # the fast path, which nearly all take
                quote = Quote(
                    self._key, self.symbols[native_id], float(bid), float(bid_size),
                    float(ask), float(ask_size), sent_us, received_ts_us, received_mono_ns,
                )  # fmt: skip
            except OFF_FAST_PATH:
                pass
            else:
                if (
                    0.0 < quote.bid <= quote.ask < INFINITY
                    and 0.0 < quote.bid_size < INFINITY
                    and 0.0 < quote.ask_size < INFINITY
                ):
                    return self.take(quote, number, book_us)
        return self.quote(
            native_id, bid, bid_size, ask, ask_size, sent, received_ts_us, received_mono_ns, number, book_us
        )

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Channels in brackets were refused, the others taken."""
        if isinstance(frame, bytes) and frame[:1] != b"{":
            return self.skip("malformed")
        answer = decode_answer(frame)
        if answer.msg is None and not is_no(answer.code):
            ours = any(f".{name}." in answer.channel for name in OURS)
            return self.skip("malformed" if ours else "unknown_kind")
        message = why(answer.code, answer.msg)
        if message == "PONG":
            return (Control("pong"),)
        refused = tuple(_TOPIC.findall(" ".join(_REFUSED.findall(message))))
        taken = tuple(_TOPIC.findall(_REFUSED.sub("", message)))
        controls = [Control("ack", topics=taken)] if taken and not is_no(answer.code) else []
        if refused or not controls:
            controls.append(Control("error", topics=refused or taken, message=message.strip()))
        return controls


class MexcSwap(SwapCodec):
    """The futures socket; a request subscribes to one topic."""

    sheet = DataSheet(
        key="mexc:swap",
        name="MEXC swap",
        ws_url="wss://contract.mexc.com/edge",
        rest_url="https://api.mexc.com",
        topics_per_connection=200,  # not published
        topics_per_request=1,
        requests_per_second=20,  # 100 are allowed
        silence_s=45,
        ping_s=15,
        life_s=24 * 3600,
        sized_in="contract",
        polled=("/api/v1/contract/funding_rate", "/api/v1/contract/detail"),
        depth=Depth("depth:{id}", "/api/v1/contract/depth/{id}?limit=1000", 1000, 3),  # 10 in 2 s are allowed
    )
    size_fields = ("contractSize",)
    book_rule = COUNTED

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_quote = self.fast_path(_SwapQuotePush)
        self._swap_trade = self.fast_path(_SwapTradePush)

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Interval and bounds; the channel of funding has neither. The list of contracts has no funding."""
        if "contractSize" in row:
            return ()
        return self.funding(
            row.get("symbol"), row.get("fundingRate"), row.get("nextSettleTime"), row.get("collectCycle"),
            HOURS, row.get("timestamp"), received_ts_us, received_mono_ns,
            cap=row.get("maxFundingRate"), floor=row.get("minFundingRate"),
        )  # fmt: skip

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Named `channel:symbol`; on the wire they are two fields."""
        return (
            Topic("quote", native_id, f"{SWAP_QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{SWAP_TRADES}:{native_id}"),
            Topic("funding", native_id, f"{SWAP_TICKERS}:{native_id}"),
            Topic("funding", native_id, f"{SWAP_FUNDING}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Requests carry no id; a batch is one topic."""
        return _swap_request("sub", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _swap_request("unsub", topics)

    def ping(self, request_id: int) -> str:
        """Ping, every 10 to 20 s."""
        return compact({"method": "ping"})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if SWAP_QUOTE in frame and not self.also_books:
                push = self._swap_quote(frame)
                book, size = push.data, self.contract_sizes[push.symbol]
                bid, ask = book.bids[0], book.asks[0]
                time = push.ts if book.cts is None else book.cts
                if bid.price <= ask.price and -FAR_MS < time - push.ts < FAR_MS:
                    return self.take(
                        Quote(
                            self._key, self.symbols[push.symbol],
                            bid.price, bid.size * size, ask.price, ask.size * size,
                            time * 1000, received_ts_us, received_mono_ns,
                        ),
                        book.version,
                    )  # fmt: skip
            elif SWAP_TRADE in frame:
                trades = self._swap_trade(frame)
                symbol, size = self.symbols[trades.symbol], self.contract_sizes[trades.symbol]
                return [
                    self.dated(Trade(
                        self._key, symbol, each.p, each.v * size, TAKER[each.T], each.i, each.t * 1000,
                        received_ts_us, received_mono_ns,
                    ))
                    for each in trades.data
                ]  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Trades come as a list, in older frames as one object."""
        push = self.load(frame)
        channel = text(push.get("channel")).removeprefix("push.")
        if channel == SWAP_CHANGES:
            return self._book("delta", push.get("symbol"), push, received_ts_us, received_mono_ns)
        if channel not in SWAP_CHANNELS:
            return self.answer(frame)
        data = push.get("data")
        rows = data if isinstance(data, list) else [data]
        events: list[Decoded] = []
        for row in books(rows) if channel == SWAP_QUOTES else tables(rows):
            native_id = self.known(push.get("symbol"), row.get("symbol"))
            time = readable(received_ts_us, row.get("cts"), row.get("timestamp"), push.get("ts"))
            events += self._row(channel, native_id, row, time, received_ts_us, received_mono_ns)
        if channel == SWAP_QUOTES and self.also_books:
            events += self._book("snapshot", push.get("symbol"), push, received_ts_us, received_mono_ns)
        return events

    def _row(  # noqa: PLR0917
        self,
        channel: str,
        native_id: Any,
        row: dict[str, Any],
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> Sequence[Decoded]:
        stamps = time, received_ts_us, received_mono_ns
        if channel == SWAP_QUOTES:
            return self.best(native_id, row.get("bids"), row.get("asks"), *stamps, row.get("version"))
        if channel == SWAP_TRADES:
            return self.trade(
                native_id, row.get("p"), row.get("v"), _swap_taker(row.get("T")), row.get("i"),
                readable(received_ts_us, row.get("t"), time), received_ts_us, received_mono_ns,
            )  # fmt: skip
        if channel == SWAP_FUNDING:
            return self.funding(
                native_id, row.get("rate"), row.get("nextSettleTime"), row.get("collectCycle"), HOURS,
                *stamps, cap=row.get("maxFundingRate"), floor=row.get("minFundingRate"),
            )  # fmt: skip
        if channel == SWAP_TICKERS:
            mark = self.mark(native_id, row.get("fairPrice"), row.get("indexPrice"), *stamps)
            if not self.is_alone or native_id not in self.symbols or not is_said(row, ("fundingRate",)):
                return mark
            return (*mark, *self.funding(native_id, row["fundingRate"], None, None, HOURS, *stamps))
        price = row.get("price")
        mark_price, index = (price, None) if channel == SWAP_MARKS else (None, price)
        return self.mark(native_id, mark_price, index, *stamps)

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Up to 400 versions behind the socket; the next one may be older."""
        return self._book("snapshot", native_id, answer, received_ts_us, received_mono_ns)

    def _book(
        self, kind: BookKind, native_id: Any, push: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> tuple[BookUpdate, ...]:
        """Merged changes say where they begin and end, single ones are one version each."""
        (row,) = books([push.get("data")])
        version = row.get("version")
        return book_update(
            self, kind, native_id, row.get("bids"), row.get("asks"),
            readable(received_ts_us, row.get("cts"), row.get("timestamp"), push.get("ts")),
            received_ts_us, received_mono_ns,
            first=row.get("begin", version) if kind == "delta" else None, last=row.get("end", version),
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """A refusal is of one of the topics of the symbol in its words: the oldest that waits."""
        answer = decode_answer(frame)
        if answer.channel == "pong":
            return (Control("pong"),)
        words = why(answer.code, answer.data, answer.msg)
        if answer.channel == "rs.error":
            named = _REFUSED.search(words)
            topics = self.topics(named.group(1)) if named else ()
            return (Control("error", topics=tuple(topic.name for topic in topics), message=words),)
        if not answer.channel.startswith(("rs.sub.", "rs.unsub.")):
            ours = answer.channel.removeprefix("push.") in SWAP_CHANNELS
            return self.skip("malformed" if ours else "unknown_kind")
        _, kind, channel = answer.channel.split(".", 2)
        native_id = answer.symbol or (answer.param.get("symbol") if isinstance(answer.param, dict) else None)
        names = (f"{channel}:{native_id}",) if isinstance(native_id, str) else ()
        if words not in ("", "success"):
            return (Control("error", topics=names, message=words),)
        return (Control("ack" if kind == "sub" else "unsubscribed", topics=names),)


def _swap_request(verb: str, topics: Sequence[Topic]) -> str:
    channel, _, native_id = topics[0].name.partition(":")
    param: dict[str, Any] = {"symbol": native_id}
    if channel == SWAP_QUOTES:
        param["limit"] = SWAP_LEVELS
    return compact({"method": f"{verb}.{channel}", "param": param})


def _swap_taker(code: Any) -> Side | None:
    return TAKER.get(code) if isinstance(code, int) and not isinstance(code, bool) else None


def _parsed(message: dict[str, Any]) -> mexc_pb2.Push:
    """A push rendered as JSON; what a quote or trade can do without is left out where it is nonsense."""
    try:
        return json_format.ParseDict(message, mexc_pb2.Push(), ignore_unknown_fields=True)
    except json_format.ParseError:
        return json_format.ParseDict(_bare(message), mexc_pb2.Push(), ignore_unknown_fields=True)


def _bare(value: Any) -> Any:
    """The same without what cannot be in such a place, and numbers as the text that they are on the wire."""
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if isinstance(value, dict):
        kept = {name: _field(name, each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each is not None}
    return value


def _field(name: str, value: Any) -> Any:
    if name in TIMES:
        return moment_us(value)
    if name in CODES:
        return value if isinstance(value, int) and value in TAKER else None
    if name in TEXTS and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    if name in DISPENSABLE:
        return value if isinstance(value, str) else None
    return _bare(value)

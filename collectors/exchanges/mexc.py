"""MEXC spot v3: answers are text JSON, pushes are protobuf (`mexc.proto`).

Facts: mexcdevelop/websocket-proto (2026-06), the official docs (2025 copy) and live probes (2026-09).
`aggre.bookTicker` is the best bid/ask: `sendTime` is when it was pushed, `lastOrderCreateTime` how new the
book is. Prices are text, an empty side is "". A refused subscription still says `code` 0: success can only be
read from `msg`.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Struct

from collectors.exchanges import mexc_pb2
from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, DataSheet, Decoded, Topic
from collectors.exchanges.order import update_id
from collectors.exchanges.reading import INFINITY, compact, is_no, why
from collectors.exchanges.times import is_near, moment_us
from markets.events import Quote, Side

QUOTES = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
TRADES = "spot@public.aggre.deals.v3.api.pb@100ms@"
QUOTE_BODIES = ("publicAggreBookTicker", "publicBookTicker")
TRADE_BODIES = ("publicAggreDeals", "publicDeals")
OURS = ("bookTicker", "deals")
TIMES = ("sendTime", "lastOrderCreateTime", "time")
CODES = ("tradeType",)
DISPENSABLE = ("symbol", "version", "tradeId")
TEXTS = (*DISPENSABLE, "bidPrice", "bidQuantity", "askPrice", "askQuantity", "price", "quantity")
TAKER: dict[int, Side] = {1: "buy", 2: "sell"}

_TOPIC = re.compile(r"spot@[^\s,\[\]]+")
_REFUSED = re.compile(r"\[([^\]]*)\]")


class _Answer(Struct):
    msg: Any = None
    code: Any = 0
    channel: str = ""


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
    )

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
        if body in QUOTE_BODIES:
            return self._quote(native_id, getattr(push, body), sent, received_ts_us, received_mono_ns)
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

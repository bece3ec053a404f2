"""MEXC spot v3: answers are text JSON, pushes are protobuf (`mexc.proto`).

Facts: mexcdevelop/websocket-proto (2026-06), the official docs (2025 copy) and live probes (2026-09).
`aggre.bookTicker` is the best bid/ask. Prices are text, an empty side is "". A refused subscription
still says `code` 0: success can only be read from `msg`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from msgspec import Struct

from collectors.exchanges import mexc_pb2
from collectors.exchanges.base import NO_SUCH_MS, Codec, Control, DataSheet, Topic, compact
from markets.events import Quote, Side, Trade

QUOTES = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
TRADES = "spot@public.aggre.deals.v3.api.pb@100ms@"
QUOTE_BODIES = ("publicAggreBookTicker", "publicBookTicker")
TRADE_BODIES = ("publicAggreDeals", "publicDeals")
OURS = ("bookTicker", "deals")
TAKER: dict[int, Side] = {1: "buy", 2: "sell"}

_TOPIC = re.compile(r"spot@[^\s,\[\]]+")
_REFUSED = re.compile(r"\[([^\]]*)\]")


class _Answer(Struct):
    msg: str | None = None
    code: int = 0
    channel: str = ""


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Mexc(Codec):
    """At most 30 topics per connection."""

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
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._number: Callable[[str], Any] = str if exact else _float_or_empty

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """The aggregated channels, every 100 ms."""
        return Topic("quote", native_id, QUOTES + native_id), Topic("trade", native_id, TRADES + native_id)

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Requests carry no id; the answer names the topics."""
        return compact({"method": "SUBSCRIPTION", "params": [topic.name for topic in topics]})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As `subscribe`."""
        return compact({"method": "UNSUBSCRIPTION", "params": [topic.name for topic in topics]})

    def ping(self, request_id: int) -> str:
        """At least every 30 s."""
        return compact({"method": "PING"})

    def push(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """Binary frames are protobuf; no push starts with a brace, which would be an old group tag."""
        if isinstance(frame, str) or frame[:1] == b"{":
            return self._text(frame, received_ts_us, received_mono_ns)
        try:
            push = mexc_pb2.Push.FromString(frame)
        except DecodeError as error:
            raise ValueError(f"bad protobuf: {error}") from error
        return self._events(push, received_ts_us, received_mono_ns)

    def _text(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """An answer, or a push as MEXC's documentation and most logs print it: rendered as JSON."""
        if not decode_answer(frame).channel:
            return self.answer(frame)
        try:
            push = json_format.Parse(frame, mexc_pb2.Push(), ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise ValueError(f"not a push: {error}") from error
        return self._events(push, received_ts_us, received_mono_ns)

    def _events(
        self, push: mexc_pb2.Push, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade]:
        body = push.WhichOneof("body")
        native_id = push.symbol or push.channel.rpartition("@")[2]
        sent_ms = _possible(push.sendTime) if push.HasField("sendTime") else None
        if body in QUOTE_BODIES:
            return self._quote(native_id, getattr(push, body), sent_ms, received_ts_us, received_mono_ns)
        events: list[Quote | Trade] = []
        if body in TRADE_BODIES and (deals := getattr(push, body).deals):
            for deal in deals:
                events += self._trade(native_id, deal, received_ts_us, received_mono_ns)
            return events
        if body == "publicBookTickerBatch" and (items := push.publicBookTickerBatch.items):
            for item in items:
                events += self._quote(native_id, item, sent_ms, received_ts_us, received_mono_ns)
            return events
        if not push.channel:
            return self.skip("malformed")
        ours = any(f".{name}." in push.channel for name in OURS)
        return self.skip("no_body" if ours else "unknown_kind")

    def _quote(
        self,
        native_id: str,
        item: mexc_pb2.BookTicker,
        sent_ms: int | None,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> tuple[Quote, ...]:
        bid, bid_size = self._number(item.bidPrice), self._number(item.bidQuantity)
        ask, ask_size = self._number(item.askPrice), self._number(item.askQuantity)
        return self.quote(
            native_id, bid, bid_size, ask, ask_size, sent_ms, received_ts_us, received_mono_ns
        )  # fmt: skip

    def _trade(
        self, native_id: str, deal: mexc_pb2.Deal, received_ts_us: int, received_mono_ns: int
    ) -> tuple[Trade, ...]:
        return self.trade(
            native_id, self._number(deal.price), self._number(deal.quantity), TAKER.get(deal.tradeType),
            deal.tradeId, _possible(deal.time) * 1000 or None, received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Channels in brackets were refused, the others taken."""
        if isinstance(frame, bytes) and frame[:1] != b"{":
            return self.skip("malformed")
        answer = decode_answer(frame)
        if answer.msg is None:
            ours = any(f".{name}." in answer.channel for name in OURS)
            return self.skip("malformed" if ours else "unknown_kind")
        message = answer.msg
        if message == "PONG":
            return (Control("pong"),)
        refused = tuple(_TOPIC.findall(" ".join(_REFUSED.findall(message))))
        taken = tuple(_TOPIC.findall(_REFUSED.sub("", message)))
        controls = [Control("ack", topics=taken)] if taken and answer.code == 0 else []
        if refused or not controls:
            controls.append(Control("error", topics=refused or taken, message=message.strip()))
        return controls


def _possible(ms: int) -> int:
    if not 0 <= ms < NO_SUCH_MS:
        raise ValueError(f"no such time: {ms} ms")
    return ms


def _float_or_empty(text: str) -> float | str:
    return float(text) if text else text

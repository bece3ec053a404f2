"""Bybit v5 spot.

Facts: bybit-exchange/docs v5 (2026-07). `orderbook.1` is the best bid/ask (spot `tickers` has none):
a snapshot every time today; in 2023 one-sided deltas existed, and those are dropped, never merged.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Struct

from collectors.exchanges.base import (
    NOT_EMPTY,
    SIDES,
    UNUSUAL,
    Codec,
    Control,
    DataSheet,
    Level,
    Mark,
    Millis,
    Positive,
    Price,
    Topic,
    UsualLevel,
    compact,
    request_id,
)
from markets.events import Quote, Trade

QUOTES, TRADES = "orderbook.1.", "publicTrade."
QUOTE: Mark = f'"topic":"{QUOTES}'
TRADE: Mark = f'"topic":"{TRADES}'


class _Book(Struct, gc=False):
    s: str
    b: list[Level] = []
    a: list[Level] = []


class _Trade(Struct, gc=False):
    s: str
    p: Price
    v: Price
    S: str = ""
    i: int | str | None = None
    T: Millis | None = None


class _Push(Struct, gc=False):
    topic: str
    data: _Book | Annotated[list[_Trade], NOT_EMPTY]
    type: str = ""
    ts: Millis | None = None
    cts: Millis | None = None


class _UsualBook(Struct, gc=False):
    """This and those down to `_Answer`: usual frames, their fields in the order of the wire."""

    s: str
    b: tuple[UsualLevel]
    a: tuple[UsualLevel]


class _QuotePush(Struct, gc=False):
    ts: Millis
    data: _UsualBook
    cts: Millis | None = None


class _UsualTrade(Struct, gc=False):
    i: Annotated[str, NOT_EMPTY]
    T: Millis
    p: Positive
    v: Positive
    S: str
    s: str


class _TradePush(Struct, gc=False):
    data: Annotated[list[_UsualTrade], NOT_EMPTY]


class _Answer(Struct):
    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str | None = None
    retCode: int | None = None  # newer refusals
    retMsg: str | None = None
    req_id: int | str | None = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Bybit(Codec):
    """One socket per category; this is spot."""

    sheet = DataSheet(
        key="bybit",
        name="Bybit",
        ws_url="wss://stream.bybit.com/v5/public/spot",
        rest_url="https://api.bybit.com",
        topics_per_connection=600,  # of 35 characters each: 21,000 characters of args are allowed
        topics_per_request=10,
        requests_per_second=10,
        silence_s=45,
        ping_s=20,
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._push = self.decoder(_Push)
        self._quote = self.usual(_QuotePush)
        self._trade = self.usual(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """Level 1 of the book, and public trades."""
        return Topic("quote", native_id, QUOTES + native_id), Topic("trade", native_id, TRADES + native_id)

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """One answer for the whole request."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As `subscribe`."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Every 20 s."""
        return compact({"req_id": str(request_id), "op": "ping"})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Quote | Trade | Control]:
        """The short way for usual frames."""
        try:
            if QUOTE in frame:
                push = self._quote(frame)
                book = push.data
                (bid,), (ask,) = book.b, book.a
                time = push.ts if push.cts is None else push.cts
                if bid.price <= ask.price:
                    return (
                        Quote(
                            self._key, self.symbols[book.s], bid.price, bid.size, ask.price, ask.size,
                            time * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
            elif TRADE in frame:
                key, symbols = self._key, self.symbols
                return [
                    Trade(
                        key, symbols[row.s], row.p, row.v, SIDES[row.S], row.i, row.T * 1000,
                        received_ts_us, received_mono_ns,
                    )
                    for row in self._trade(frame).data
                ]  # fmt: skip
        except UNUSUAL:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """`cts` is the matching engine's time, `ts` the push; old frames have only `ts`."""
        push = self._push(frame)
        data, topic = push.data, push.topic
        if isinstance(data, list):
            if not topic.startswith(TRADES):
                return self.skip("malformed" if topic.startswith(QUOTES) else "unknown_kind")
            return self._trades(data, received_ts_us, received_mono_ns)
        if not topic.startswith(QUOTES):
            return self.skip("malformed" if topic.startswith(TRADES) else "unknown_kind")
        if push.type == "delta" and not (len(data.b) == 1 == len(data.a)):
            return self.skip("one_sided")
        time = push.ts if push.cts is None else push.cts
        return self.best(data.s, data.b, data.a, time, received_ts_us, received_mono_ns)

    def _trades(self, rows: list[_Trade], received_ts_us: int, received_mono_ns: int) -> list[Trade]:
        events: list[Trade] = []
        for row in rows:
            events += self.trade(
                row.s, row.p, row.v, SIDES.get(row.S), row.i, None if row.T is None else row.T * 1000,
                received_ts_us, received_mono_ns,
            )  # fmt: skip
        return events

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Public spot answers a ping with op "ping" and ret_msg "pong"."""
        answer = decode_answer(frame)
        if answer.op == "pong" or answer.ret_msg == "pong":
            return (Control("pong", request_id(answer.req_id)),)
        message = answer.ret_msg or answer.retMsg or ""
        if answer.success is False or answer.retCode:
            return (Control("error", request_id(answer.req_id), message=message),)
        if answer.success or answer.retCode == 0:
            return (Control("ack", request_id(answer.req_id), message=message),)
        ours = answer.topic.startswith((QUOTES, TRADES))
        return self.skip("malformed" if ours else "unknown_kind")


def _request(op: str, topics: Sequence[Topic], request_id: int) -> str:
    return compact({"req_id": str(request_id), "op": op, "args": [topic.name for topic in topics]})

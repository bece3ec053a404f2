"""Binance spot.

Facts: binance-spot-api-docs, web-socket-streams.md (2026-07). `bookTicker` is the true best bid/ask;
it carries no time at all. Trades: `m` true means the buyer was the maker, so the taker sold.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from collectors.exchanges.base import (
    OFF_FAST_PATH,
    Codec,
    Control,
    DataSheet,
    Decoded,
    FastId,
    FastNumber,
    FastPathKey,
    Positive,
    Topic,
)
from collectors.exchanges.reading import compact, request_id, text, why
from collectors.exchanges.times import Millis
from markets.events import Quote, Side, Trade

QUOTE: FastPathKey = '@bookTicker"'
TRADE: FastPathKey = '"data":{"e":"trade",'
QUOTES = ("", "bookTicker")  # spot sends no `e` here, other Binance markets do


class _Quote(Struct, gc=False):
    """This and those down to `_Kind`: frames of the fast path, fields in the order of the wire."""

    s: str
    b: Positive
    B: Positive
    a: Positive
    A: Positive
    u: FastId = 0
    e: Literal["bookTicker"] = "bookTicker"


class _QuotePush(Struct, gc=False):
    data: _Quote


class _Trade(Struct, gc=False):
    s: str
    t: FastNumber
    p: Positive
    q: Positive
    T: Millis
    m: bool


class _TradePush(Struct, gc=False):
    data: _Trade


class _Kind(Struct):
    e: str = ""
    s: str = ""


class _Answer(_Kind):
    id: Any = None
    error: Any = None
    code: Any = None
    msg: Any = None
    result: Any = None
    data: _Kind | list[Any] | None = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Binance(Codec):
    """Combined streams; raw frames decode too."""

    sheet = DataSheet(
        key="binance",
        name="Binance",
        ws_url="wss://stream.binance.com:9443/stream",
        rest_url="https://api.binance.com",
        topics_per_connection=1024,
        topics_per_request=100,
        requests_per_second=4,  # 5 messages a second, our pongs included; over it: disconnected
        silence_s=60,  # the server pings every 20 s
        life_s=24 * 3600,
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """Stream names are lower-case."""
        stream = native_id.lower()
        return (
            Topic("quote", native_id, f"{stream}@bookTicker"),
            Topic("trade", native_id, f"{stream}@trade"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Subscribe to all streams in one request, answered as a whole."""
        return _request("SUBSCRIBE", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("UNSUBSCRIBE", topics, request_id)

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                quote = self._quote(frame).data
                if quote.b <= quote.a:
                    return self.take(
                        Quote(
                            self._key, self.symbols[quote.s], quote.b, quote.B, quote.a, quote.A, None,
                            received_ts_us, received_mono_ns,
                        ),
                        quote.u,
                    )  # fmt: skip
            elif TRADE in frame:
                trade = self._trade(frame).data
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.s], trade.p, trade.q, "sell" if trade.m else "buy",
                        str(trade.t), trade.T * 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """`/stream` wraps what `/ws` sends raw. Only `bookTicker` may lack `e`, and it carries no time."""
        message = self.load(frame)
        data = message["data"] if isinstance(message.get("data"), dict) else message
        kind, native_id = text(data.get("e")), data.get("s")
        if not isinstance(native_id, str):
            return self.answer(frame)
        if kind in QUOTES:
            return self.quote(
                native_id, data.get("b"), data.get("B"), data.get("a"), data.get("A"), None,
                received_ts_us, received_mono_ns, data.get("u"),
            )  # fmt: skip
        if kind == "trade":
            return self.trade(
                native_id, data.get("p"), data.get("q"), taker_by_maker(data.get("m")), data.get("t"),
                data.get("T"), received_ts_us, received_mono_ns,
            )  # fmt: skip
        return self.skip("unknown_kind")

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Answers carry our `id`; `serverShutdown` comes before a restart of the server."""
        answer = decode_answer(frame)
        kind = answer.data if isinstance(answer.data, _Kind) else answer
        if kind.e == "serverShutdown":
            return (Control("heartbeat", message="server shutdown announced", reconnect=True),)
        if answer.error or answer.code is not None:
            code = answer.error.get("code") if isinstance(answer.error, dict) else answer.code
            return (Control("error", request_id(answer.id), message=why(code, answer.error, answer.msg)),)
        if answer.id is not None:
            return (Control("ack", request_id(answer.id)),)
        ours = kind.s != "" and kind.e in (*QUOTES, "trade")
        return self.skip("malformed" if ours else "unknown_kind")


def _request(method: str, topics: Sequence[Topic], request_id: int) -> str:
    return compact({"method": method, "params": [topic.name for topic in topics], "id": request_id})


def taker_by_maker(buyer_was_maker: Any) -> Side | None:
    """The taker's side by whether the buyer was the maker: true means that the taker sold."""
    word = buyer_was_maker.lower() if isinstance(buyer_was_maker, str) else buyer_was_maker
    if word in (True, "true", "1"):
        return "sell"
    return "buy" if word in (False, "false", "0") else None

"""Gate v4 spot.

Facts: Gate docs (2025 copy) and live probes. `spot.book_ticker` is the best bid/ask; one unknown pair
makes a whole subscribe request fail. `create_time_ms` of a trade is text with up to six decimals.
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
from collectors.exchanges.reading import compact, readable, request_id, table, tables, taker, text, why
from collectors.exchanges.times import FIRST_S, LAST_S, Millis
from markets.events import Quote, Side, Trade

QUOTES, TRADES = "spot.book_ticker", "spot.trades"
NEWER_TRADES = "spot.trades_v2"
OURS = frozenset((QUOTES, TRADES, NEWER_TRADES))
FAILED = ("fail", "failed", "failure", "error")
QUOTE: FastPathKey = f'"{QUOTES}"'
TRADE: FastPathKey = f'"{TRADES}"'


class _Quote(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    t: Millis
    s: str
    b: Positive
    B: Positive
    a: Positive
    A: Positive
    u: FastId = 0


class _QuotePush(Struct, gc=False):
    event: Literal["update"]
    result: _Quote


class _Trade(Struct, gc=False):
    id: FastNumber
    create_time_ms: str
    side: Side
    currency_pair: str
    amount: Positive
    price: Positive


class _TradePush(Struct, gc=False):
    event: Literal["update"]
    result: _Trade


class _Answer(Struct):
    channel: str = ""
    event: str | None = None
    id: Any = None
    error: Any = None
    result: Any = None
    payload: Any = None
    label: Any = None  # this and those below: how its HTTP answers refuse
    message: Any = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Gate(Codec):
    """A request carries one channel and many pairs."""

    sheet = DataSheet(
        key="gate",
        name="Gate",
        ws_url="wss://api.gateio.ws/ws/v4/",
        rest_url="https://api.gateio.ws/api/v4",
        topics_per_connection=400,  # not published
        topics_per_request=50,
        requests_per_second=10,
        silence_s=45,
        ping_s=10,
        one_channel_per_request=True,
    )

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        super().__init__(symbols, exact=exact)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """Named `channel:pair`; on the wire they are two fields."""
        return (
            Topic("quote", native_id, f"{QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{TRADES}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build requests, each answered as a whole."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Answered by `spot.pong`."""
        return compact({"channel": "spot.ping"})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                quote = self._quote(frame).result
                if quote.b <= quote.a:
                    return self.take(
                        Quote(
                            self._key, self.symbols[quote.s], quote.b, quote.B, quote.a, quote.A,
                            quote.t * 1000, received_ts_us, received_mono_ns,
                        ),
                        quote.u,
                    )  # fmt: skip
            elif TRADE in frame:
                trade = self._trade(frame).result
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.currency_pair], trade.price, trade.amount, trade.side,
                        str(trade.id), _fast_us(trade.create_time_ms), received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Older trade frames carry a list, newer ones a single object."""
        push = self.load(frame)
        channel, result = text(push.get("channel")), push.get("result")
        if push.get("event") != "update" or channel not in OURS:
            return self.answer(frame)
        rows = tables(result) if isinstance(result, list) else [table(result)]
        take = self._quote_of if channel == QUOTES else self._trade_of
        return [event for row in rows for event in take(row, received_ts_us, received_mono_ns)]

    def _quote_of(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        return self.quote(
            row.get("s"), row.get("b"), row.get("B"), row.get("a"), row.get("A"), row.get("t"),
            received_ts_us, received_mono_ns, row.get("u"),
        )  # fmt: skip

    def _trade_of(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        time = readable(received_ts_us, row.get("create_time_ms"), row.get("create_time"))
        return self.trade(
            row.get("currency_pair"), row.get("price"), row.get("amount"), taker(row.get("side")),
            row.get("id"), time, received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """An error is about the whole request, whichever pair it names."""
        answer = decode_answer(frame)
        status = answer.result.get("status") if isinstance(answer.result, dict) else None
        errors = answer.data.get("errs") if isinstance(answer.data, dict) else None
        if answer.error is not None or answer.label or errors or status in FAILED:
            code = answer.error.get("code") if isinstance(answer.error, dict) else answer.label or status
            said = (answer.error, errors, answer.message)
            return (Control("error", request_id(answer.id), message=why(code, *said) or "refused"),)
        if answer.channel.endswith(".pong"):
            return (Control("pong"),)
        if answer.channel.endswith(".system"):
            return (Control("heartbeat", message="service upgrade announced", reconnect=True),)
        if answer.event == "subscribe":
            return (Control("ack", request_id(answer.id)),)
        if answer.event == "unsubscribe":
            pairs = answer.payload if isinstance(answer.payload, list) else []
            topics = tuple(f"{answer.channel}:{pair}" for pair in pairs if isinstance(pair, str))
            return (Control("unsubscribed", request_id(answer.id), topics),)
        return self.skip("malformed" if answer.channel in OURS else "unknown_kind")


def _request(event: str, topics: Sequence[Topic], request_id: int) -> str:
    channel = topics[0].name.partition(":")[0]
    pairs = [topic.native_id for topic in topics]
    return compact({"id": request_id, "channel": channel, "event": event, "payload": pairs})


def _fast_us(ms: str) -> int:
    """`moment_us` of 13 digits and a fraction, as nearly all times are."""
    us = int((ms + "00").replace(".", "", 1)[:16])
    if FIRST_S * 10**6 <= us < LAST_S * 10**6 and ms[13] == "." and ms[14:].isdecimal() and ms.isascii():
        return us
    raise ValueError(f"not a time of the fast path: {ms} ms")

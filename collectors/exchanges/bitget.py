"""Bitget v2 spot.

Facts: bitget docs and live probes (2026-09). `books1` is the best bid/ask, a snapshot every time;
`ticker` carries it too, every 200-300 ms. Heartbeats are the plain texts `ping` and `pong`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, ControlKind, DataSheet, Decoded, Topic
from collectors.exchanges.reading import (
    books,
    compact,
    is_no,
    plain_text,
    table,
    tables,
    taker,
    text,
    topic_of,
    topics_in,
    why,
)
from collectors.exchanges.times import Millis
from collectors.exchanges.wire import NOT_EMPTY, FastId, FastLevel, FastPathKey, FastText, Positive
from markets.events import Quote, Side, Trade

QUOTES, TICKERS, TRADES = "books1", "ticker", "trade"
OURS = frozenset((QUOTES, TICKERS, TRADES))
QUOTE: FastPathKey = f'"instType":"SPOT","channel":"{QUOTES}"'
TICKER: FastPathKey = f'"instType":"SPOT","channel":"{TICKERS}"'
TRADE: FastPathKey = f'"instType":"SPOT","channel":"{TRADES}"'


class _Instrument(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    instId: str


class _Book(Struct, gc=False):
    asks: tuple[FastLevel]
    bids: tuple[FastLevel]
    ts: Millis
    seq: FastId = 0


class _QuotePush(Struct, gc=False):
    arg: _Instrument
    data: tuple[_Book]


class _Ticker(Struct, gc=False):
    instId: str
    bidPr: Positive
    askPr: Positive
    bidSz: Positive
    askSz: Positive
    ts: Millis


class _TickerPush(Struct, gc=False):
    data: tuple[_Ticker]


class _Trade(Struct, gc=False):
    ts: Millis
    price: Positive
    size: Positive
    side: Side
    tradeId: FastText


class _TradePush(Struct, gc=False):
    action: Literal["snapshot", "update"]
    arg: _Instrument
    data: Annotated[list[_Trade], NOT_EMPTY]


class _Answer(Struct):
    event: str = ""
    arg: Any = None
    code: Any = None
    msg: Any = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Bitget(Codec):
    """The classic public socket; the same ids exist for futures, so `instType` is checked."""

    sheet = DataSheet(
        key="bitget",
        name="Bitget",
        ws_url="wss://ws.bitget.com/v2/ws/public",
        rest_url="https://api.bitget.com",
        topics_per_connection=48,  # 1000 are allowed, fewer than 50 advised
        topics_per_request=48,
        requests_per_second=8,  # 10 are allowed
        silence_s=75,
        ping_s=30,
        request_bytes=4096,
        requests_per_hour=240,
    )

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._ticker = self.fast_path(_TickerPush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Named `channel:instId`; on the wire they are objects."""
        return (
            Topic("quote", native_id, f"{QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{TRADES}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build requests, which carry no id; each topic gets an ack or error."""
        return _request("subscribe", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("unsubscribe", topics)

    def ping(self, request_id: int) -> str:
        """Plain text, not JSON."""
        return "ping"

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                push = self._quote(frame)
                (book,) = push.data
                (bid,), (ask,) = book.bids, book.asks
                if bid.price <= ask.price:
                    return self.take(
                        Quote(
                            self._key, self.symbols[push.arg.instId],
                            bid.price, bid.size, ask.price, ask.size,
                            book.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                        book.seq,
                    )  # fmt: skip
            elif TRADE in frame:
                trades = self._trade(frame)
                symbol, is_history = self.symbols[trades.arg.instId], trades.action == "snapshot"
                events: list[Trade] = []
                for each in trades.data:
                    events.append(  # most frames have one: a comprehension would cost more
                        self.dated(Trade(
                            self._key, symbol, each.price, each.size, each.side, each.tradeId,
                            each.ts * 1000, received_ts_us, received_mono_ns, is_history,
                        ))
                    )  # fmt: skip
                return events
            elif TICKER in frame:
                (row,) = self._ticker(frame).data
                if row.bidPr <= row.askPr:
                    return self.take(
                        Quote(
                            self._key, self.symbols[row.instId], row.bidPr, row.bidSz, row.askPr, row.askSz,
                            row.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """The inner `ts` is the engine's time; the first trades after subscribing are history."""
        push = self.load(frame)
        arg = table(push.get("arg"))
        channel = text(arg.get("channel"))
        if channel not in OURS or "event" in push:
            return self.answer(frame)
        if arg.get("instType") != "SPOT":
            return self.skip("unknown_kind")
        is_history = push.get("action") == "snapshot"
        events: list[Decoded] = []
        data = push.get("data")
        for row in tables(data) if channel == TRADES else books(data):
            native_id = self.known(row.get("instId"), arg.get("instId"))
            events += self._row(channel, native_id, row, received_ts_us, received_mono_ns, is_history)
        return events

    def _row(  # noqa: PLR0917
        self,
        channel: str,
        native_id: Any,
        row: dict[str, Any],
        received_ts_us: int,
        received_mono_ns: int,
        is_history: bool,
    ) -> Sequence[Decoded]:
        if channel == QUOTES:
            return self.best(
                native_id, row.get("bids"), row.get("asks"), row.get("ts"),
                received_ts_us, received_mono_ns, row.get("seq"),
            )  # fmt: skip
        if channel == TICKERS:
            return self.quote(
                native_id, row.get("bidPr"), row.get("bidSz"), row.get("askPr"), row.get("askSz"),
                row.get("ts"), received_ts_us, received_mono_ns,
            )  # fmt: skip
        return self.trade(
            native_id, row.get("price"), row.get("size"), taker(row.get("side")), row.get("tradeId"),
            row.get("ts"), received_ts_us, received_mono_ns, is_history,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Errors carry the argument they are about, or name it inside `msg`."""
        if plain_text(frame).strip() == "pong":
            return (Control("pong"),)
        answer = decode_answer(frame)
        topics, message = topic_of(answer.arg), why(answer.code, answer.msg)
        if answer.event.endswith("error") or is_no(answer.code):
            return (Control("error", topics=topics or topics_in(message), message=message or answer.event),)
        if answer.event in ("subscribe", "unsubscribe", "login"):
            kind: ControlKind = "unsubscribed" if answer.event == "unsubscribe" else "ack"
            return (Control(kind, topics=topics, message=message),)
        known = any(topic.partition(":")[0] in OURS for topic in topics)
        return self.skip("malformed" if known else "unknown_kind")


def _request(op: str, topics: Sequence[Topic]) -> str:
    args = [
        {"instType": "SPOT", "channel": channel, "instId": native_id}
        for channel, native_id in (topic.name.split(":", 1) for topic in topics)
    ]
    return compact({"op": op, "args": args})

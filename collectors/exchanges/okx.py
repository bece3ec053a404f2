"""OKX v5 spot.

Facts: OKX API docs (2025-08 copy). `bbo-tbt` is the best bid/ask, a snapshot every time; `tickers`
carries it too, every 100 ms. Heartbeats are the plain texts `ping` and `pong`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, ControlKind, DataSheet, Decoded, Topic
from collectors.exchanges.reading import (
    books,
    compact,
    is_no,
    plain_text,
    request_id,
    table,
    tables,
    taker,
    text,
    topic_of,
    topics_in,
    why,
)
from collectors.exchanges.times import Millis
from collectors.exchanges.wire import FastId, FastLevel, FastText, Positive
from markets.events import Quote, Side, Trade

QUOTES, TICKERS, TRADES, ALL_TRADES = "bbo-tbt", "tickers", "trades", "trades-all"
OURS = frozenset((QUOTES, TICKERS, TRADES, ALL_TRADES))
TRADED = (TRADES, ALL_TRADES)
CHANNEL = slice(19, 26)  # after `{"arg":{"channel":"`
QUOTE, TICKER, TRADE = QUOTES, TICKERS, f'{TRADES}"'
CLOSING_SOON = "64008"  # a notice about 60 s before a service upgrade


class _Instrument(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    instId: str


class _Book(Struct, gc=False):
    asks: tuple[FastLevel]
    bids: tuple[FastLevel]
    ts: Millis
    seqId: FastId = 0


class _QuotePush(Struct, gc=False):
    arg: _Instrument
    data: tuple[_Book]


class _Ticker(Struct, gc=False):
    instId: str
    askPx: Positive
    askSz: Positive
    bidPx: Positive
    bidSz: Positive
    ts: Millis


class _TickerPush(Struct, gc=False):
    data: tuple[_Ticker]


class _Trade(Struct, gc=False):
    instId: str
    tradeId: FastText
    px: Positive
    sz: Positive
    side: Side
    ts: Millis


class _TradePush(Struct, gc=False):
    data: tuple[_Trade]


class _Answer(Struct):
    event: str = ""
    arg: Any = None
    id: Any = None
    code: Any = None
    msg: Any = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Okx(Codec):
    """The public socket; every argument of a request is answered by itself."""

    sheet = DataSheet(
        key="okx",
        name="OKX",
        ws_url="wss://ws.okx.com:8443/ws/v5/public",
        rest_url="https://www.okx.com",
        topics_per_connection=400,  # not published beyond 64 KB of args
        topics_per_request=100,
        requests_per_second=3,
        silence_s=45,
        ping_s=20,  # dropped after 30 s without a frame
        request_bytes=64 * 1024,
        requests_per_hour=480,
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
        """Build requests; each topic gets an ack or error."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Plain text, not JSON."""
        return "ping"

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            channel = frame[CHANNEL]
            if channel == QUOTE:
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
                        book.seqId,
                    )  # fmt: skip
            elif channel == TRADE:
                (trade,) = self._trade(frame).data
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.instId], trade.px, trade.sz, trade.side, trade.tradeId,
                        trade.ts * 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
            elif channel == TICKER:
                (row,) = self._ticker(frame).data
                if row.bidPx <= row.askPx:
                    return self.take(
                        Quote(
                            self._key, self.symbols[row.instId], row.bidPx, row.bidSz, row.askPx, row.askSz,
                            row.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """`ts` of a row is the exchange's time in ms, as text."""
        push = self.load(frame)
        arg = table(push.get("arg"))
        channel = text(arg.get("channel"))
        if channel not in OURS or "event" in push:
            return self.answer(frame)
        events: list[Decoded] = []
        data = push.get("data")
        for row in tables(data) if channel in TRADED else books(data):
            native_id = self.known(row.get("instId"), arg.get("instId"))
            events += self._row(channel, native_id, row, received_ts_us, received_mono_ns)
        return events

    def _row(
        self, channel: str, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        if channel == QUOTES:
            return self.best(
                native_id, row.get("bids"), row.get("asks"), row.get("ts"),
                received_ts_us, received_mono_ns, row.get("seqId"),
            )  # fmt: skip
        if channel == TICKERS:
            return self.quote(
                native_id, row.get("bidPx"), row.get("bidSz"), row.get("askPx"), row.get("askSz"),
                row.get("ts"), received_ts_us, received_mono_ns,
            )  # fmt: skip
        return self.trade(
            native_id, row.get("px"), row.get("sz"), taker(row.get("side")), row.get("tradeId"),
            row.get("ts"), received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Errors name their topic only inside `msg`."""
        if plain_text(frame).strip() == "pong":
            return (Control("pong"),)
        answer = decode_answer(frame)
        ours, topics, message = request_id(answer.id), topic_of(answer.arg), why(answer.code, answer.msg)
        if answer.event == "notice":
            closing = str(answer.code) == CLOSING_SOON
            return (Control("heartbeat", message=message, reconnect=closing),)
        if answer.event.endswith("error") or is_no(answer.code):  # channel-conn-count-error, too
            return (Control("error", ours, topics or topics_in(message), message or answer.event),)
        if answer.event in ("subscribe", "unsubscribe", "login"):
            kind: ControlKind = "unsubscribed" if answer.event == "unsubscribe" else "ack"
            return (Control(kind, ours, topics, message),)
        known = any(topic.partition(":")[0] in OURS for topic in topics)
        return self.skip("malformed" if known else "unknown_kind")


def _request(op: str, topics: Sequence[Topic], request_id: int) -> str:
    args = [dict(zip(("channel", "instId"), topic.name.split(":", 1), strict=True)) for topic in topics]
    return compact({"id": str(request_id), "op": op, "args": args})

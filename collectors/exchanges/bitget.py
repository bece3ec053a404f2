"""Bitget v2: spot, and USDT- and USDC-margined perpetual swaps.

Facts: bitget docs and live probes (2026-09). `books1` is the best bid/ask, a snapshot every time;
`ticker` carries it too, every 200-300 ms. Heartbeats are the plain texts `ping` and `pong`. Swaps have sizes
in coins; their `ticker`, every 105 ms, has mark and index price and funding, for which there is no channel.
Frames of the v3 socket, which has other names for the same, are read too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, ControlKind, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.reading import (
    books,
    compact,
    is_no,
    plain_text,
    readable,
    table,
    tables,
    taker,
    text,
    topic_of,
    topics_in,
    why,
)
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import HOURS, SwapCodec, is_said
from collectors.exchanges.times import Millis
from collectors.exchanges.wire import NOT_EMPTY, FastId, FastLevel, FastPathKey, FastText, Positive
from engine.books.sequences import Chained
from markets.events import BookKind, BookUpdate, MarkPrice, Quote, Side, Terms, Trade

QUOTES, TICKERS, TRADES = "books1", "ticker", "trade"
NEWER_TRADES = "publicTrade"
OURS = frozenset((QUOTES, TICKERS, TRADES))
BOOKS = frozenset(("books", "books5", "books15", "books50"))
MARKS = ("markPrice", "indexPrice")
FUNDING = ("fundingRate", "nextFundingTime", "fundingRateInterval")
USDC = "PERP"  # how the ids of swaps that are margined in USDC end
NEWER = {
    "a": "asks", "b": "bids", "p": "price", "v": "size", "S": "side", "i": "tradeId", "T": "ts",
    "bid1Price": "bidPr", "bid1Size": "bidSz", "ask1Price": "askPr", "ask1Size": "askSz",
}  # fmt: skip
"""Names of the socket v3, and what v2 calls the same."""


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


class _SwapTicker(Struct, gc=False):
    instId: str
    fundingRate: FastText
    nextFundingTime: FastText
    markPrice: Positive
    indexPrice: Positive
    ts: Millis
    fundingRateInterval: str | None = None


class _SwapTickerPush(Struct, gc=False):
    data: tuple[_SwapTicker]


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
        depth=Depth("books:{id}", per_request=24),  # 25 in one have ended the connection
    )
    kind: ClassVar[str] = "SPOT"
    """How `instType` ends."""
    book_rule = Chained(straddles=True, waits=False)

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        keys: list[FastPathKey] = [
            f'{self.kind}","channel":"{channel}"' for channel in (QUOTES, TRADES, TICKERS)
        ]
        self._quotes, self._trades, self._tickers = keys
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
        return self._request("subscribe", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return self._request("unsubscribe", topics)

    def ping(self, request_id: int) -> str:
        """Plain text, not JSON."""
        return "ping"

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if self._quotes in frame:
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
            elif self._trades in frame:
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
            elif self._tickers in frame:
                return self._fast_ticker(frame, received_ts_us, received_mono_ns)
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def _fast_ticker(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        (row,) = self._ticker(frame).data
        if row.bidPr > row.askPr:
            raise ValueError("no quote")
        return self.take(
            Quote(
                self._key, self.symbols[row.instId], row.bidPr, row.bidSz, row.askPr, row.askSz,
                row.ts * 1000, received_ts_us, received_mono_ns,
            ),
        )  # fmt: skip

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """The inner `ts` is the engine's time; the first trades after subscribing are history."""
        push = self.load(frame)
        arg = table(push.get("arg"))
        channel = text(arg.get("channel"))
        if is_depth(push, arg):
            return self._depth(push, arg, received_ts_us, received_mono_ns)
        if channel not in OURS or "event" in push:
            return self.answer(frame)
        if arg.get("instType") != self.kind:
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

    def _depth(
        self, push: dict[str, Any], arg: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """Both sockets, whose names differ; outside of `data` is when it was pushed."""
        if not text(arg.get("instType")).upper().endswith(self.kind):
            return self.skip("unknown_kind")
        kind: BookKind = "delta" if push.get("action") == "update" else "snapshot"
        native_id = self.known(arg.get("instId"), arg.get("symbol"))
        return [
            event
            for row in books(push.get("data"))
            for event in self._book(
                kind, native_id, row, readable(received_ts_us, row.get("ts"), push.get("ts")),
                received_ts_us, received_mono_ns,
            )
        ]  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Without an id in v2."""
        row = table(answer.get("data"))
        return self._book("snapshot", native_id, row, row.get("ts"), received_ts_us, received_mono_ns)

    def _book(  # noqa: PLR0917
        self,
        kind: BookKind,
        native_id: Any,
        row: dict[str, Any],
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> tuple[BookUpdate, ...]:
        bids, asks = row.get("b", row.get("bids")), row.get("a", row.get("asks"))
        return book_update(
            self, kind, native_id, bids, asks, time, received_ts_us, received_mono_ns,
            last=row.get("seq"), prev=row.get("pseq"), checksum=row.get("checksum"),
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

    def inst_type(self, native_id: str) -> str:
        """Return the `instType` of an instrument."""
        return self.kind

    def _request(self, op: str, topics: Sequence[Topic]) -> str:
        args = [
            {"instType": self.inst_type(native_id), "channel": channel, "instId": native_id}
            for channel, native_id in (topic.name.split(":", 1) for topic in topics)
        ]
        return compact({"op": op, "args": args})


class BitgetSwap(SwapCodec, Bitget):
    """The same socket and words; `instType` says which swaps."""

    sheet = replace(
        Bitget.sheet,
        key="bitget:swap",
        name="Bitget swap",
        polled=tuple(
            f"/api/v2/mix/market/current-fund-rate?productType={coin}-FUTURES" for coin in ("USDT", "USDC")
        ),
    )
    kind = "-FUTURES"

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._terms = self.fast_path(_SwapTickerPush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Those of spot, and the ticker, which has mark price and funding."""
        return (*super().topics(native_id), Topic("funding", native_id, f"{TICKERS}:{native_id}"))

    def _fast_ticker(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """Ten a second and symbol: those of a connection, which are no quotes."""
        if self.is_alone:
            raise ValueError("it says more")
        (row,) = self._terms(frame).data
        mark = MarkPrice(
            self._key, self.symbols[row.instId], row.markPrice, row.indexPrice, row.ts * 1000,
            received_ts_us, received_mono_ns,
        )  # fmt: skip
        funding = self.funding(
            row.instId, row.fundingRate, row.nextFundingTime, row.fundingRateInterval, HOURS, row.ts,
            received_ts_us, received_mono_ns,
        )  # fmt: skip
        return (self.dated(mark), *funding)

    def inst_type(self, native_id: str) -> str:
        """Return what the exchange calls this kind of swap."""
        return "USDC-FUTURES" if native_id.endswith(USDC) else "USDT-FUTURES"

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Interval and bounds, which the ticker does not have."""
        return self.funding(
            row.get("symbol"), row.get("fundingRate"), row.get("nextUpdate"), row.get("fundingRateInterval"),
            HOURS, None, received_ts_us, received_mono_ns,
            cap=row.get("maxFundingRate"), floor=row.get("minFundingRate"),
        )  # fmt: skip

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """The socket v3 writes `usdt-futures`, and `topic` and `symbol` in its argument."""
        push = self.load(frame)
        arg = table(push.get("arg"))
        channel = text(arg.get("channel")) or text(arg.get("topic"))
        channel = TRADES if channel == NEWER_TRADES else channel
        if is_depth(push, arg):
            return self._depth(push, arg, received_ts_us, received_mono_ns)
        if channel not in OURS or "event" in push:
            return self.answer(frame)
        if not text(arg.get("instType")).upper().endswith(self.kind):
            return self.skip("unknown_kind")
        is_history = push.get("action") == "snapshot"
        events: list[Decoded] = []
        data = push.get("data")
        for each in books(data) if channel == QUOTES else tables(data):
            row = {NEWER.get(name, name): value for name, value in each.items()} if "topic" in arg else each
            row["ts"] = readable(received_ts_us, row.get("ts"), push.get("ts"))
            native_id = self.known(row.get("instId"), row.get("symbol"), arg.get("instId"), arg.get("symbol"))
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
        if channel != TICKERS:
            return super()._row(channel, native_id, row, received_ts_us, received_mono_ns, is_history)
        if native_id not in self.symbols:
            return self.skip("unknown_symbol")
        stamps = row["ts"], received_ts_us, received_mono_ns
        events: list[Decoded] = []
        if is_said(row, MARKS):
            events += self.mark(native_id, row.get("markPrice"), row.get("indexPrice"), *stamps)
        if is_said(row, FUNDING):
            rate, next_time, interval = (row.get(name) for name in FUNDING)
            events += self.funding(native_id, rate, next_time, interval, HOURS, *stamps)
        if self.is_alone:
            events += super()._row(channel, native_id, row, received_ts_us, received_mono_ns, is_history)
        elif not is_said(row, (*MARKS, *FUNDING)):
            self.skip("unchanged")
        return events


def is_depth(push: dict[str, Any], arg: dict[str, Any]) -> bool:
    """Whether a push is of an order book of more than one level."""
    return "event" not in push and (text(arg.get("channel")) or text(arg.get("topic"))) in BOOKS

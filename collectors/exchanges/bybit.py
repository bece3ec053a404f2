"""Bybit v5: spot, and linear perpetual swaps.

Facts: bybit-exchange/docs v5 (2026-07). `orderbook.1` is the best bid/ask (spot `tickers` has none):
a snapshot every time today; in 2023 one-sided deltas existed, and those are dropped, never merged. A delta's
absent side is unchanged, a size of 0 in it means that the level is gone. `u` is 1 after a restart of theirs.
Swaps have sizes in coins. Their `tickers` have mark and index price and funding: whole once, then what has
changed, so that is merged with what the connection knows. They have the best bid/ask too, every 100 ms only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.order import RESTART
from collectors.exchanges.reading import (
    SIDES,
    books,
    compact,
    is_no,
    level,
    readable,
    request_id,
    table,
    tables,
    taker,
    text,
    why,
)
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import HOURS, SwapCodec, is_said
from collectors.exchanges.times import FAR_MS, Millis
from collectors.exchanges.wire import NOT_EMPTY, FastId, FastLevel, FastPathKey, FastText, Positive
from engine.books.sequences import Rising
from markets.events import BookKind, BookUpdate, Quote, Trade

QUOTES, TRADES, TICKERS = "orderbook.1.", "publicTrade.", "tickers."
BOOKS, OTHER_BOOKS = "orderbook.", "orderbook.rpi."
MARKS = frozenset(("markPrice", "indexPrice"))
FUNDING = frozenset(("fundingRate", "nextFundingTime", "fundingIntervalHour", "fundingCap"))
BEST = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
QUOTE: FastPathKey = f'"topic":"{QUOTES}'
TRADE: FastPathKey = f'"topic":"{TRADES}'


class _UsualBook(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    s: str
    b: tuple[FastLevel]
    a: tuple[FastLevel]
    u: FastId = 0
    cts: None = None  # where it stands here, as some frames have it, this is no frame of the fast path


class _QuotePush(Struct, gc=False):
    ts: Millis
    data: _UsualBook
    cts: Millis | None = None


class _UsualTrade(Struct, gc=False):
    i: FastText
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
    ret_msg: Any = None
    ret_code: Any = None
    retCode: Any = None  # newer refusals
    retMsg: Any = None
    req_id: Any = None
    reqId: Any = None
    data: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class Bybit(Codec):
    """Bybit's codec: one socket per category; this is spot."""

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
        depth=Depth("orderbook.200.{id}"),
    )
    channels: ClassVar[tuple[str, ...]] = (QUOTES, TRADES)
    book_rule = Rising(falls="stale")

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Level 1 of the book, and public trades."""
        return Topic("quote", native_id, QUOTES + native_id), Topic("trade", native_id, TRADES + native_id)

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build requests, each answered as a whole."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Every 20 s."""
        return compact({"req_id": str(request_id), "op": "ping"})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                push = self._quote(frame)
                book = push.data
                (bid,), (ask,) = book.b, book.a
                time = push.ts if push.cts is None else push.cts
                if -FAR_MS < time - push.ts < FAR_MS and bid.price <= ask.price:
                    return self.take(
                        Quote(
                            self._key, self.symbols[book.s], bid.price, bid.size, ask.price, ask.size,
                            time * 1000, received_ts_us, received_mono_ns,
                        ),
                        book.u,
                    )  # fmt: skip
            elif TRADE in frame:
                key, symbols = self._key, self.symbols
                return [
                    self.dated(Trade(
                        key, symbols[row.s], row.p, row.v, SIDES[row.S], row.i, row.T * 1000,
                        received_ts_us, received_mono_ns,
                    ))
                    for row in self._trade(frame).data
                ]  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """`cts`, beside the data or in it, is the matching engine's time, `ts` that of the push."""
        push = self.load(frame)
        topic = text(push.get("topic"))
        if topic.startswith(TRADES):
            rows = tables(push.get("data"))
            return [
                event
                for row in rows
                for event in self._trade_of(row, topic, received_ts_us, received_mono_ns)
            ]
        if topic.startswith(BOOKS) and not topic.startswith((QUOTES, OTHER_BOOKS)):
            return self._depth(push, topic, received_ts_us, received_mono_ns)
        if not topic.startswith(QUOTES):
            return self.answer(frame)
        data: Any = push.get("data") if isinstance(push.get("data"), dict) else {}
        native_id = self.known(data.get("s"), topic.removeprefix(QUOTES))
        bids, asks = data.get("b"), data.get("a")
        if push.get("type") == "delta" and not (_one_level(bids) and _one_level(asks)):
            return self._one_sided(native_id, bids, asks, received_ts_us, received_mono_ns)
        time = readable(received_ts_us, push.get("cts"), data.get("cts"), push.get("ts"))
        return self.best(native_id, bids, asks, time, received_ts_us, received_mono_ns, data.get("u"))

    def _depth(
        self, push: dict[str, Any], topic: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        (data,) = books([push.get("data")])
        whole = push.get("type") == "snapshot" or data.get("u") == RESTART
        return self._book(
            "snapshot" if whole else "delta", self.known(data.get("s"), topic.rpartition(".")[2]), data,
            readable(received_ts_us, push.get("cts"), data.get("cts"), push.get("ts")),
            received_ts_us, received_mono_ns,
        )  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """`u` is that of the 1,000-level stream."""
        data = table(answer.get("result"))
        time = readable(received_ts_us, data.get("cts"), data.get("ts"))
        native_id = native_id or text(data.get("s"))
        return self._book("snapshot", native_id, data, time, received_ts_us, received_mono_ns)

    def _book(  # noqa: PLR0917
        self,
        kind: BookKind,
        native_id: Any,
        data: dict[str, Any],
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> tuple[BookUpdate, ...]:
        return book_update(
            self, kind, native_id, data.get("b"), data.get("a"), time, received_ts_us, received_mono_ns,
            last=data.get("u"),
        )  # fmt: skip

    def _one_sided(
        self, native_id: Any, bids: Any, asks: Any, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """Apply a delta: an absent side is unchanged; a level of size 0 was the best, and is gone."""
        gone = [side for side, levels in (("bid", bids), ("ask", asks)) if _has_gone(levels)]
        if native_id not in self.symbols or not gone:
            return self.skip("one_sided")
        reason = f"its best {' and '.join(gone)} is gone"
        return self.no_quote(self.symbols[native_id], "one_sided", reason, received_ts_us, received_mono_ns)

    def _trade_of(
        self, row: dict[str, Any], topic: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Trade]:
        native_id = self.known(row.get("s"), topic.removeprefix(TRADES))
        return self.trade(
            native_id, row.get("p"), row.get("v"), taker(row.get("S")), row.get("i"), row.get("T"),
            received_ts_us, received_mono_ns,
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Public spot answers a ping with op "ping" and ret_msg "pong"."""
        answer = decode_answer(frame)
        ours_id = request_id(answer.req_id) or request_id(answer.reqId)
        if answer.op == "pong" or answer.ret_msg == "pong":
            return (Control("pong", ours_id),)
        code = answer.retCode if answer.ret_code is None else answer.ret_code
        message = why(code, answer.ret_msg, answer.retMsg)
        if answer.success is False or is_no(code):
            return (Control("error", ours_id, message=message),)
        if answer.success or code is not None:
            ack = Control("ack", ours_id, message=message)
            failed = _failed_topics(answer.data)
            return (
                (Control("error", ours_id, failed, message or "among its failTopics"), ack)
                if failed
                else (ack,)
            )
        ours = answer.topic.startswith(self.channels)
        return self.skip("malformed" if ours else "unknown_kind")


class BybitSwap(SwapCodec, Bybit):
    """The socket of linear perpetuals, which speaks as that of spot, and has tickers besides."""

    sheet = replace(
        Bybit.sheet,
        key="bybit:swap",
        name="Bybit swap",
        ws_url="wss://stream.bybit.com/v5/public/linear",
    )
    channels = (QUOTES, TRADES, TICKERS)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Those of spot, and the tickers, which have mark price and funding."""
        return (*super().topics(native_id), Topic("funding", native_id, TICKERS + native_id))

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """A ticker says of each thing what it was when it last changed; `ts` is the push."""
        push = self.load(frame)
        topic = text(push.get("topic"))
        if not topic.startswith(TICKERS):
            return super().push(frame, received_ts_us, received_mono_ns)
        row, time = table(push.get("data")), push.get("ts")
        native_id = self.known(row.get("symbol"), topic.removeprefix(TICKERS))
        if native_id not in self.symbols:
            return self.skip("unknown_symbol")
        known = self.merged(native_id, row, MARKS | FUNDING, whole=push.get("type") != "delta")
        stamps = received_ts_us, received_mono_ns
        events: list[Decoded] = []
        if is_said(row, MARKS):
            events += self.mark(native_id, known.get("markPrice"), known.get("indexPrice"), time, *stamps)
        if is_said(row, FUNDING):
            events += self.funding(
                native_id, known.get("fundingRate"), known.get("nextFundingTime"),
                known.get("fundingIntervalHour"), HOURS, time, *stamps, cap=known.get("fundingCap"),
            )  # fmt: skip
        if self.is_alone and all(name in row for name in BEST):
            bid, bid_size, ask, ask_size = (row[name] for name in BEST)
            events += self.quote(native_id, bid, bid_size, ask, ask_size, time, *stamps)
        elif not is_said(row, MARKS | FUNDING):
            self.skip("unchanged")
        return events


def _request(op: str, topics: Sequence[Topic], request_id: int) -> str:
    return compact({"req_id": str(request_id), "op": op, "args": [topic.name for topic in topics]})


def _failed_topics(data: Any) -> tuple[str, ...]:
    """Topics that were refused by an answer which succeeds as a whole."""
    failed = data.get("failTopics") if isinstance(data, dict) else None
    return tuple(topic for topic in failed if isinstance(topic, str)) if isinstance(failed, list) else ()


def _one_level(side: Any) -> bool:
    return isinstance(side, list) and len(side) == 1


def _has_gone(side: Any) -> bool:
    levels = range(len(side)) if isinstance(side, list) else ()
    return any(str(level(side, depth)[1]).strip("0") in ("", ".") for depth in levels)

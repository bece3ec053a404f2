"""OKX v5: spot, and perpetual swaps.

Facts: OKX API docs (2025-08 copy). `bbo-tbt` is the best bid/ask, a snapshot every time; `tickers`
carries it too, every 100 ms. Heartbeats are the plain texts `ping` and `pong`. Swaps have sizes in contracts
of `ctVal` times `ctMult` coins. Of `funding-rate` the coming settlement is at `fundingTime`, the one after it
at `nextFundingTime`: the time between them is the interval. `settFundingRate` is the last settled one only
where `settState` says so. An index is named as its pair of coins, without `-SWAP`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, ControlKind, Decoded
from collectors.exchanges.depth import book_update
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
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import SECONDS, SwapCodec
from collectors.exchanges.times import Millis, moment_us
from collectors.exchanges.wire import ContractLevel, Contracts, FastId, FastLevel, FastText, Positive
from engine.books.sequences import Chained
from markets.events import BookKind, BookUpdate, Quote, Side, Terms, Trade

QUOTES, TICKERS, TRADES, ALL_TRADES = "bbo-tbt", "tickers", "trades", "trades-all"
MARKS, INDEXES, FUNDING = "mark-price", "index-tickers", "funding-rate"
SWAP = "-SWAP"
TRADED = (TRADES, ALL_TRADES)
BOOKS = frozenset(("books", "books5", "books-l2-tbt", "books50-l2-tbt"))
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


class _SwapBook(Struct, gc=False):
    asks: tuple[ContractLevel]
    bids: tuple[ContractLevel]
    ts: Millis
    seqId: FastId = 0


class _SwapQuotePush(Struct, gc=False):
    arg: _Instrument
    data: tuple[_SwapBook]


class _SwapTrade(Struct, gc=False):
    instId: str
    tradeId: FastText
    px: Positive
    sz: Contracts
    side: Side
    ts: Millis


class _SwapTradePush(Struct, gc=False):
    data: tuple[_SwapTrade]


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
        depth=Depth("books:{id}", per_connection=29),  # fewer than 30 are allowed
    )
    channels: ClassVar[frozenset[str]] = frozenset((QUOTES, TICKERS, TRADES, ALL_TRADES)) | BOOKS
    book_rule = Chained(straddles=False, waits=False)

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
        if channel not in self.channels or "event" in push:
            return self.answer(frame)
        events: list[Decoded] = []
        data = push.get("data")
        if channel in BOOKS:
            kind: BookKind = "delta" if push.get("action") == "update" else "snapshot"
            for row in books(data):
                native_id = self.known(row.get("instId"), arg.get("instId"))
                events += self._book(kind, native_id, row, received_ts_us, received_mono_ns)
            return events
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

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """One row, most often without `seqId`."""
        (row,) = tables(answer.get("data"))
        return self._book("snapshot", native_id, row, received_ts_us, received_mono_ns)

    def _book(
        self, kind: BookKind, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> tuple[BookUpdate, ...]:
        return book_update(
            self, kind, native_id, row.get("bids"), row.get("asks"), row.get("ts"),
            received_ts_us, received_mono_ns,
            last=row.get("seqId"), prev=row.get("prevSeqId"), checksum=row.get("checksum"),
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
        known = any(topic.partition(":")[0] in self.channels for topic in topics)
        return self.skip("malformed" if known else "unknown_kind")


class OkxSwap(SwapCodec, Okx):
    """The same socket and words, other channels besides, sizes in contracts."""

    sheet = replace(
        Okx.sheet,
        key="okx:swap",
        name="OKX swap",
        sized_in="contract",
        polled=("/api/v5/public/instruments?instType=SWAP",),
    )
    row_id = "instId"
    size_fields = ("ctVal", "ctMult")
    channels = Okx.channels | {MARKS, INDEXES, FUNDING}

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_quote = self.fast_path(_SwapQuotePush)
        self._swap_trade = self.fast_path(_SwapTradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Mark price, index price and funding have a channel each."""
        return (
            *super().topics(native_id),
            Topic("funding", native_id, f"{MARKS}:{native_id}"),
            Topic("funding", native_id, f"{INDEXES}:{native_id.removesuffix(SWAP)}"),
            Topic("funding", native_id, f"{FUNDING}:{native_id}"),
        )

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            channel = frame[CHANNEL]
            if channel == QUOTE:
                push = self._swap_quote(frame)
                (book,) = push.data
                (bid,), (ask,) = book.bids, book.asks
                native_id = push.arg.instId
                size = self.contract_sizes[native_id]
                if bid.price <= ask.price:
                    return self.take(
                        Quote(
                            self._key, self.symbols[native_id],
                            bid.price, bid.size * size, ask.price, ask.size * size,
                            book.ts * 1000, received_ts_us, received_mono_ns,
                        ),
                        book.seqId,
                    )  # fmt: skip
            elif channel == TRADE:
                (trade,) = self._swap_trade(frame).data
                size = self.contract_sizes[trade.instId]
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.instId], trade.px, trade.sz * size, trade.side,
                        trade.tradeId, trade.ts * 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return Codec.decode(self, frame, received_ts_us, received_mono_ns)

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """The list of instruments says what a contract is, and nothing of funding."""
        return ()

    def _row(
        self, channel: str, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        stamps = row.get("ts"), received_ts_us, received_mono_ns
        if channel == MARKS:
            return self.mark(native_id, row.get("markPx"), None, *stamps)
        if channel == INDEXES:
            return self.mark(f"{native_id}{SWAP}", None, row.get("idxPx"), *stamps)
        if channel == FUNDING:
            is_settled = row.get("settState") == "settled"
            return self.funding(
                native_id, row.get("fundingRate"), row.get("fundingTime"), _between(row), SECONDS, *stamps,
                settled_rate=row.get("settFundingRate") if is_settled else None,
                settled_time=row.get("prevFundingTime") if is_settled else None,
                cap=row.get("maxFundingRate"), floor=row.get("minFundingRate"),
            )  # fmt: skip
        if channel == TICKERS and not self.is_alone:
            return self.skip("unchanged")
        return super()._row(channel, native_id, row, received_ts_us, received_mono_ns)


def _between(row: dict[str, Any]) -> float | None:
    """Seconds from the coming settlement to the one after it; None where either is not said."""
    coming, after = moment_us(row.get("fundingTime")), moment_us(row.get("nextFundingTime"))
    return None if coming is None or after is None else (after - coming) / 1e6


def _request(op: str, topics: Sequence[Topic], request_id: int) -> str:
    args = [dict(zip(("channel", "instId"), topic.name.split(":", 1), strict=True)) for topic in topics]
    return compact({"id": str(request_id), "op": op, "args": args})

"""Binance: spot, and USD-M perpetual swaps.

Facts: binance-spot-api-docs, web-socket-streams.md (2026-07); of swaps live probes (2026-07). `bookTicker` is
the true best bid/ask; on spot it carries no time at all, of a swap `T` is when the book was so. Trades: `m`
true means the buyer was the maker, so the taker sold. Swaps have sizes in coins. Their streams are on two
addresses since 2026-04: books on one, aggregated trades and `markPrice` on the other, which has mark and
index price, the rate that is forming (`r`) and the next settlement (`T`), but no interval.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.reading import compact, readable, request_id, table, tables, text, why
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import HOURS, SwapCodec
from collectors.exchanges.times import Millis
from collectors.exchanges.wire import FastId, FastNumber, FastPathKey, Positive
from engine.books.sequences import OVERLAPPING, Chained, Rule
from markets.events import BookUpdate, Quote, Side, Terms, Trade

QUOTE: FastPathKey = '@bookTicker"'
TRADE: FastPathKey = '"data":{"e":"trade",'
AGGREGATED: FastPathKey = '"data":{"e":"aggTrade",'
QUOTES = ("", "bookTicker")  # spot sends no `e` here, other Binance markets do
MARKS = "markPriceUpdate"
CHANGES = "depthUpdate"
USUAL_INTERVAL_H = 8


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


class _SwapQuote(_Quote, gc=False, kw_only=True):
    T: Millis


class _SwapQuotePush(Struct, gc=False):
    data: _SwapQuote


class _Aggregated(Struct, gc=False):
    a: FastNumber
    s: str
    p: Positive
    q: Positive
    T: Millis
    m: bool


class _AggregatedPush(Struct, gc=False):
    data: _Aggregated


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
        # A request weighs 50 of the 6,000 a minute.
        depth=Depth("{lower}@depth@100ms", "/api/v3/depth?symbol={id}&limit=1000", 1000),
    )
    kinds: ClassVar[frozenset[str]] = frozenset((*QUOTES, "trade"))
    book_rule: ClassVar[Rule] = OVERLAPPING

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
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
        """`/stream` wraps what `/ws` sends raw. Only `bookTicker` may lack `e`, and it carries no time.

        A stream of all markets, as `!markPrice@arr`, has a list of what else comes one by one.
        """
        message = self.load_any(frame)
        data = message.get("data") if isinstance(message, dict) else message
        if isinstance(data, list):
            ours = [row for row in tables(data) if _kind_of(row) in self.kinds]
            if not ours:
                return self.skip("unknown_kind")
            return [event for row in ours for event in self._one(row, received_ts_us, received_mono_ns)]
        data = data if isinstance(data, dict) else table(message)
        name, _, stream = text(message.get("stream")).partition("@")
        if data.get("e") == CHANGES or stream.startswith("depth"):
            return self._depth(name.upper(), stream, data, received_ts_us, received_mono_ns)
        if not isinstance(data.get("s"), str):
            return self.answer(frame)
        return self._one(data, received_ts_us, received_mono_ns)

    def _one(self, data: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        kind, native_id = _kind_of(data), text(data.get("s"))
        if kind is None or kind not in self.kinds:
            return self.skip("unknown_kind")
        return self._event(kind, native_id, data, received_ts_us, received_mono_ns)

    def _event(
        self, kind: str, native_id: str, data: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        if kind in QUOTES:
            return self.quote(
                native_id, data.get("b"), data.get("B"), data.get("a"), data.get("A"), None,
                received_ts_us, received_mono_ns, data.get("u"),
            )  # fmt: skip
        return self.trade(
            native_id, data.get("p"), data.get("q"), taker_by_maker(data.get("m")),
            data.get("a" if kind == "aggTrade" else "t"), data.get("T"), received_ts_us, received_mono_ns,
        )  # fmt: skip

    def _depth(
        self, name: str, stream: str, data: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """`@depth5`, 10 and 20 are whole books, though those of swaps say `depthUpdate` as changes do."""
        whole = stream.removeprefix("depth")[:1].isdigit()
        return book_update(
            self, "snapshot" if whole else "delta", data.get("s") or name,
            data.get("b", data.get("bids")), data.get("a", data.get("asks")),
            readable(received_ts_us, data.get("T"), data.get("E")), received_ts_us, received_mono_ns,
            first=data.get("U"), last=data.get("u", data.get("lastUpdateId")), prev=data.get("pu"),
        )  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Of spot without a time."""
        return book_update(
            self, "snapshot", native_id, answer.get("bids"), answer.get("asks"),
            readable(received_ts_us, answer.get("T"), answer.get("E")), received_ts_us, received_mono_ns,
            last=answer.get("lastUpdateId"),
        )  # fmt: skip

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
        ours = kind.s != "" and kind.e in self.kinds
        return self.skip("malformed" if ours else "unknown_kind")


class BinanceSwap(SwapCodec, Binance):
    """USD-M swaps: the same requests and answers, other streams."""

    sheet = DataSheet(
        key="binance:swap",
        name="Binance swap",
        ws_url="wss://fstream.binance.com/public/stream",
        ws_urls=dict.fromkeys(("trade", "funding"), "wss://fstream.binance.com/market/stream"),
        rest_url="https://fapi.binance.com",
        topics_per_connection=1024,
        topics_per_request=100,
        requests_per_second=8,  # 10 messages a second, our pongs included
        silence_s=60,  # the server pings every 3 min only: then a request tests whether it lives
        life_s=24 * 3600,
        polled=("/fapi/v1/fundingInfo",),
        # A request weighs 20 of the 2,400 a minute.
        depth=Depth("{lower}@depth@100ms", "/fapi/v1/depth?symbol={id}&limit=1000", 1000),
    )
    kinds = frozenset((*QUOTES, "trade", "aggTrade", MARKS))
    book_rule = Chained(straddles=True, waits=True)

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_quote = self.fast_path(_SwapQuotePush)
        self._aggregated = self.fast_path(_AggregatedPush)

    def polled_rows(
        self, rows: list[dict[str, Any]], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Terms]:
        """Intervals and bounds; it names the symbols that are not settled every 8 h (USD-M documentation)."""
        adjusted = {row.get("symbol"): row for row in rows}
        return [
            event
            for native_id in dict.fromkeys((*self.symbols, *filter(self.symbols.__contains__, adjusted)))
            for row in (adjusted.get(native_id, {"fundingIntervalHours": USUAL_INTERVAL_H}),)
            for event in self.funding(
                native_id, None, None, row.get("fundingIntervalHours"), HOURS, None,
                received_ts_us, received_mono_ns,
                cap=row.get("adjustedFundingRateCap"), floor=row.get("adjustedFundingRateFloor"),
            )
        ]  # fmt: skip

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Aggregated trades are those of one taker at one price; `@trade` is not documented for swaps."""
        stream = native_id.lower()
        return (
            Topic("quote", native_id, f"{stream}@bookTicker"),
            Topic("trade", native_id, f"{stream}@aggTrade"),
            Topic("funding", native_id, f"{stream}@markPrice@1s"),
        )

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                quote = self._swap_quote(frame).data
                if quote.b <= quote.a:
                    return self.take(
                        Quote(
                            self._key, self.symbols[quote.s], quote.b, quote.B, quote.a, quote.A,
                            quote.T * 1000, received_ts_us, received_mono_ns,
                        ),
                        quote.u,
                    )  # fmt: skip
            elif AGGREGATED in frame:
                trade = self._aggregated(frame).data
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.s], trade.p, trade.q, "sell" if trade.m else "buy",
                        str(trade.a), trade.T * 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return Codec.decode(self, frame, received_ts_us, received_mono_ns)

    def _event(
        self, kind: str, native_id: str, data: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        stamps = received_ts_us, received_mono_ns
        if kind in QUOTES:
            return self.quote(
                native_id, data.get("b"), data.get("B"), data.get("a"), data.get("A"),
                readable(received_ts_us, data.get("T"), data.get("E")), *stamps, data.get("u"),
            )  # fmt: skip
        if kind == MARKS:
            time = data.get("E")
            return (
                *self.mark(native_id, data.get("p"), data.get("i"), time, *stamps),
                *self.funding(native_id, data.get("r"), data.get("T"), None, HOURS, time, *stamps),
            )
        return super()._event(kind, native_id, data, *stamps)


def _request(method: str, topics: Sequence[Topic], request_id: int) -> str:
    return compact({"method": method, "params": [topic.name for topic in topics], "id": request_id})


def _kind_of(row: dict[str, Any]) -> str | None:
    """Kind that a row names, empty where there is none, as of spot's `bookTicker`; None: it is no text."""
    kind = row.get("e", "")
    return kind if isinstance(kind, str) else None


def taker_by_maker(buyer_was_maker: Any) -> Side | None:
    """The taker's side by whether the buyer was the maker: true means that the taker sold."""
    word = buyer_was_maker.lower() if isinstance(buyer_was_maker, str) else buyer_was_maker
    if word in (True, "true", "1"):
        return "sell"
    return "buy" if word in (False, "false", "0") else None

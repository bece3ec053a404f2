"""KuCoin classic: spot, and perpetual swaps.

Facts: kucoin-api-docs (2023) and live probes. `/spotMarket/level1` is the best bid/ask, as flat
`[price, size]` arrays; `/market/ticker` carries it too, every 100 ms. A token comes from a REST POST,
and a welcome frame precedes the first request. Unknown symbols are acked and stay silent.
Swaps have sockets of their own, a token of their own, and sizes in lots of `multiplier` coins. `tickerV2` is
their best bid/ask. `/contract/instrument` has mark and index price every second, and every minute a rate; the
`granularity` beside that is how often it comes, not the interval. Frames of the newer sockets (UTA), which
have names of one letter, are read too: those say the interval and the next settlement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.reading import (
    books,
    compact,
    is_no,
    readable,
    request_id,
    table,
    tables,
    taker,
    text,
    why,
)
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import MILLISECONDS, SwapCodec, is_said
from collectors.exchanges.times import Millis, Nanos
from collectors.exchanges.wire import Contracts, FastId, FastLevel, FastPathKey, FastText, Positive
from engine.books.sequences import COUNTED, OVERLAPPING
from markets.events import BookUpdate, Quote, Side, Terms, Trade

QUOTES, TICKERS, TRADES = "/spotMarket/level1", "/market/ticker", "/market/match"
SWAP_QUOTES, SWAP_TRADES = "/contractMarket/tickerV2", "/contractMarket/execution"
OLDER_QUOTES, INSTRUMENT = "/contractMarket/ticker", "/contract/instrument"
MARKS, FUNDING = "mark.index.price", "funding.rate"
CHANGES, SWAP_CHANGES = "/market/level2", "/contractMarket/level2"
WHOLE_BOOKS = ("/spotMarket/level2Depth", "/contractMarket/level2Depth")
UTA_BOOKS = ("obu.SPOT", "obu.FUTURES")
BUYS = "buy"
QUOTE: FastPathKey = f"{QUOTES}:"
TICKER: FastPathKey = f"{TICKERS}:"
TRADE: FastPathKey = f"{TRADES}:"
SWAP_QUOTE: FastPathKey = f"{SWAP_QUOTES}:"
SWAP_TRADE: FastPathKey = f"{SWAP_TRADES}:"
QUOTE_ID, TICKER_ID = len(QUOTE), len(TICKER)  # where in a topic the native id begins


class _Book(Struct, gc=False):
    """This and those down to `_Answer`: frames of the fast path, fields in the order of the wire."""

    asks: FastLevel
    bids: FastLevel
    timestamp: Millis


class _QuotePush(Struct, gc=False):
    topic: str
    data: _Book


class _Ticker(Struct, gc=False):
    bestAsk: Positive
    bestBidSize: Positive
    bestAskSize: Positive
    bestBid: Positive
    time: Millis | None = None
    sequence: FastId = 0


class _TickerPush(Struct, gc=False):
    data: _Ticker
    topic: str


class _Trade(Struct, gc=False):
    symbol: str
    side: Side
    size: Positive
    price: Positive
    time: Nanos
    tradeId: FastText


class _TradePush(Struct, gc=False):
    data: _Trade


class _SwapQuote(Struct, gc=False):
    symbol: str
    bestBidSize: Contracts
    bestBidPrice: Positive
    bestAskPrice: Positive
    bestAskSize: Contracts
    ts: Nanos
    sequence: FastId = 0


class _SwapQuotePush(Struct, gc=False):
    data: _SwapQuote


class _SwapTrade(Struct, gc=False):
    symbol: str
    side: Side
    size: Contracts
    price: Positive
    tradeId: FastText
    ts: Nanos


class _SwapTradePush(Struct, gc=False):
    data: _SwapTrade


class _Answer(Struct):
    type: str = ""
    id: Any = None
    topic: str = ""
    message: Any = None
    reason: Any = None
    result: Any = None
    data: Any = None
    code: Any = None
    msg: Any = None


decode_answer = msgspec.json.Decoder(_Answer, strict=False).decode


class KuCoin(Codec):
    """A request carries one channel and up to 100 symbols."""

    sheet = DataSheet(
        key="kucoin",
        name="KuCoin",
        ws_url="wss://ws-api-spot.kucoin.com/",  # the real one comes with the token
        rest_url="https://api.kucoin.com",
        topics_per_connection=300,
        topics_per_request=100,
        requests_per_second=8,  # 100 messages per 10 s are allowed
        silence_s=45,
        ping_s=18,
        life_s=24 * 3600,
        token_path="/api/v1/bullet-public",  # noqa: S106  # nosec B106 # an address
        one_channel_per_request=True,
        depth=Depth("/market/level2:{id}", "/api/v1/market/orderbook/level2_100?symbol={id}", 100, 5),
    )
    channels: ClassVar[tuple[str, ...]] = (QUOTES, TICKERS, TRADES)
    book_rule = OVERLAPPING

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._ticker = self.fast_path(_TickerPush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Level 1 and matches."""
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
        """Every `pingInterval` of the token reply: 18 s."""
        return compact({"id": str(request_id), "type": "ping"})

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if QUOTE in frame:
                push = self._quote(frame)
                book = push.data
                bid, ask = book.bids, book.asks
                if bid.price <= ask.price:
                    return self.take(
                        Quote(
                            self._key, self.symbols[push.topic[QUOTE_ID:]],
                            bid.price, bid.size, ask.price, ask.size,
                            book.timestamp * 1000, received_ts_us, received_mono_ns,
                        ),
                    )  # fmt: skip
            elif TRADE in frame:
                trade = self._trade(frame).data
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.symbol], trade.price, trade.size, trade.side,
                        trade.tradeId, trade.time // 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
            elif TICKER in frame:
                ticker = self._ticker(frame)
                row = ticker.data
                if row.bestBid <= row.bestAsk:
                    return self.take(
                        Quote(
                            self._key, self.symbols[ticker.topic[TICKER_ID:]],
                            row.bestBid, row.bestBidSize, row.bestAsk, row.bestAskSize,
                            None if row.time is None else row.time * 1000, received_ts_us, received_mono_ns,
                        ),
                        row.sequence,
                    )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return super().decode(frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """`/market/ticker:all` puts the symbol into `subject`."""
        push = self.load(frame)
        channel, _, native_id = text(push.get("topic")).partition(":")
        if is_depth(push, channel):
            return self._depth(push, channel, native_id, received_ts_us, received_mono_ns)
        if channel not in self.channels:
            return self.answer(frame)
        data = push.get("data")
        (data,) = [table(data)] if channel == TRADES else books([data])
        if channel == QUOTES:  # one level, which is not in a list
            bids, asks = [data.get("bids")], [data.get("asks")]
            return self.best(native_id, bids, asks, data.get("timestamp"), received_ts_us, received_mono_ns)
        if channel == TICKERS:
            return self.quote(
                push.get("subject") if native_id == "all" else native_id,
                data.get("bestBid"), data.get("bestBidSize"), data.get("bestAsk"), data.get("bestAskSize"),
                data.get("time"), received_ts_us, received_mono_ns, data.get("sequence"),
            )  # fmt: skip
        return self.trade(
            self.known(data.get("symbol"), native_id), data.get("price"), data.get("size"),
            taker(data.get("side")), data.get("tradeId"), data.get("time"), received_ts_us, received_mono_ns,
        )  # fmt: skip

    def _depth(
        self, push: dict[str, Any], channel: str, native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """Classic and newer sockets; a classic change of a swap is one level, as `price,side,size`."""
        stamps = received_ts_us, received_mono_ns
        if push.get("T") in UTA_BOOKS:
            (row,) = books([push.get("d")])
            return book_update(
                self, "delta" if push.get("t") == "delta" else "snapshot", row.get("s"), row.get("b"),
                row.get("a"), readable(received_ts_us, row.get("M"), push.get("P")), *stamps,
                first=row.get("O"), last=row.get("C"),
            )  # fmt: skip
        (row,) = books([push.get("data")])
        time = readable(received_ts_us, row.get("time"), row.get("timestamp"), row.get("ts"))
        if channel == CHANGES:
            (sides,) = books([row.get("changes")])
            bids, asks = (_changed(sides.get(side)) for side in ("bids", "asks"))
            first, last = row.get("sequenceStart"), row.get("sequenceEnd")
        elif channel == SWAP_CHANGES:
            price, side, size, *_ = (*text(row.get("change")).split(","), "", "")
            bids, asks = ([[price, size]], []) if side == BUYS else ([], [[price, size]])
            first = last = row.get("sequence")
        else:
            return self._whole(native_id, row, time, *stamps)
        return book_update(self, "delta", native_id, bids, asks, time, *stamps, first=first, last=last)

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Times are in ms on spot, in ns of swaps."""
        row = table(answer.get("data"))
        time = readable(received_ts_us, row.get("time"), row.get("ts"))
        return self._whole(native_id or text(row.get("symbol")), row, time, received_ts_us, received_mono_ns)

    def _whole(
        self, native_id: str, row: dict[str, Any], time: Any, received_ts_us: int, received_mono_ns: int
    ) -> tuple[BookUpdate, ...]:
        return book_update(
            self, "snapshot", native_id, row.get("bids"), row.get("asks"), time,
            received_ts_us, received_mono_ns, last=row.get("sequence"),
        )  # fmt: skip

    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Answers carry our `id`; newer sockets say `result` instead of `type`."""
        answer = decode_answer(frame)
        ours = request_id(answer.id)
        if "welcome" in (answer.type, answer.message):
            return (Control("heartbeat", message="welcome"),)
        if answer.type == "pong":
            return (Control("pong", ours),)
        if answer.type == "ack" or answer.result is True:
            return (Control("ack", ours),)
        if answer.type == "error" or answer.result is False or (not answer.type and is_no(answer.code)):
            message = why(answer.code, answer.reason, answer.message, answer.msg, answer.data)
            return (Control("error", ours, message=message),)
        known = answer.topic.partition(":")[0] in self.channels
        return self.skip("malformed" if known else "unknown_kind")


class KuCoinSwap(SwapCodec, KuCoin):
    """The futures socket, which speaks as that of spot, with other channels; and what UTA sockets push."""

    sheet = replace(
        KuCoin.sheet,
        key="kucoin:swap",
        name="KuCoin swap",
        ws_url="wss://ws-api-futures.kucoin.com/",  # the real one comes with the token
        rest_url="https://api-futures.kucoin.com",
        sized_in="contract",
        polled=("/api/v1/contracts/active",),
        depth=Depth("/contractMarket/level2:{id}", "/api/v1/level2/snapshot?symbol={id}", 1000, 3),
    )
    size_fields = ("multiplier",)
    channels = (SWAP_QUOTES, OLDER_QUOTES, SWAP_TRADES, INSTRUMENT)
    book_rule = COUNTED

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_quote = self.fast_path(_SwapQuotePush)
        self._swap_trade = self.fast_path(_SwapTradePush)
        self._uta = {
            "ticker.FUTURES": self._uta_ticker, "trade.FUTURES": self._uta_trade,
            "obu.FUTURES": self._uta_book, "mark-price": self._uta_mark, "funding-fee": self._uta_funding,
            "funding-fee-all-symbols": self._uta_funding,
        }  # fmt: skip

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Interval and next settlement; `nextFundingRateTime` is a countdown, the other the instant."""
        return self.funding(
            row.get("symbol"), row.get("fundingFeeRate"), row.get("nextFundingRateDateTime"),
            row.get("fundingRateGranularity"), MILLISECONDS, None, received_ts_us, received_mono_ns,
            cap=row.get("fundingRateCap"), floor=row.get("fundingRateFloor"),
        )  # fmt: skip

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Best bid/ask, executions, and the instrument, which has mark price and rate."""
        return (
            Topic("quote", native_id, f"{SWAP_QUOTES}:{native_id}"),
            Topic("trade", native_id, f"{SWAP_TRADES}:{native_id}"),
            Topic("funding", native_id, f"{INSTRUMENT}:{native_id}"),
        )

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if SWAP_QUOTE in frame:
                row = self._swap_quote(frame).data
                size = self.contract_sizes[row.symbol]
                if row.bestBidPrice <= row.bestAskPrice:
                    return self.take(
                        Quote(
                            self._key, self.symbols[row.symbol],
                            row.bestBidPrice, row.bestBidSize * size,
                            row.bestAskPrice, row.bestAskSize * size,
                            row.ts // 1000, received_ts_us, received_mono_ns,
                        ),
                        row.sequence,
                    )  # fmt: skip
            elif SWAP_TRADE in frame:
                trade = self._swap_trade(frame).data
                size = self.contract_sizes[trade.symbol]
                return (
                    self.dated(Trade(
                        self._key, self.symbols[trade.symbol], trade.price, trade.size * size, trade.side,
                        trade.tradeId, trade.ts // 1000, received_ts_us, received_mono_ns,
                    )),
                )  # fmt: skip
        except OFF_FAST_PATH:
            pass
        return Codec.decode(self, frame, received_ts_us, received_mono_ns)

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """A frame of the newer sockets says in `T` what it is, and all else in `d`."""
        push = self.load(frame)
        stamps = received_ts_us, received_mono_ns
        if (uta := self._uta.get(text(push.get("T")))) is not None:
            rows = push["d"] if isinstance(push.get("d"), list) else [push.get("d")]
            return [event for row in tables(rows) for event in uta(push, row, *stamps)]
        channel, _, native_id = text(push.get("topic")).partition(":")
        if is_depth(push, channel):
            return self._depth(push, channel, native_id, *stamps)
        if channel not in self.channels:
            return self.answer(frame)
        data = push.get("data")
        row = table(data) if channel in (SWAP_TRADES, INSTRUMENT) else books([data])[0]
        native_id = self.known(row.get("symbol"), native_id)
        if channel in (SWAP_QUOTES, OLDER_QUOTES):
            return self.quote(
                native_id, row.get("bestBidPrice"), row.get("bestBidSize"), row.get("bestAskPrice"),
                row.get("bestAskSize"), row.get("ts"), *stamps, row.get("sequence"),
            )  # fmt: skip
        if channel == SWAP_TRADES:
            time = readable(received_ts_us, row.get("ts"), row.get("time"))
            return self.trade(
                native_id, row.get("price"), row.get("size"), taker(row.get("side")), row.get("tradeId"),
                time, *stamps,
            )  # fmt: skip
        return self._instrument(push.get("subject"), native_id, row, *stamps)

    def _instrument(
        self, subject: Any, native_id: Any, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        stamps = row.get("timestamp"), received_ts_us, received_mono_ns
        if subject == MARKS:
            return self.mark(native_id, row.get("markPrice"), row.get("indexPrice"), *stamps)
        if subject == FUNDING:
            return self.funding(native_id, row.get("fundingRate"), None, None, MILLISECONDS, *stamps)
        return self.skip("unknown_kind")

    def _uta_ticker(
        self, push: dict[str, Any], row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        return self.quote(
            row.get("s"), row.get("b"), row.get("B"), row.get("a"), row.get("A"),
            readable(received_ts_us, row.get("M"), push.get("P")), received_ts_us, received_mono_ns,
        )  # fmt: skip

    def _uta_book(
        self, push: dict[str, Any], row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """Whole books of a few levels are quotes; those that changes follow are books."""
        stamps = received_ts_us, received_mono_ns
        if push.get("t") != "snapshot" or text(push.get("dp")).startswith("increment"):
            return self._depth(push, "", "", *stamps)
        time = readable(received_ts_us, row.get("M"), push.get("P"))
        quote = self.best(row.get("s"), row.get("b"), row.get("a"), time, *stamps, row.get("C"))
        return (*quote, *self._depth(push, "", "", *stamps)) if self.also_books else quote

    def _uta_trade(
        self, push: dict[str, Any], row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        side = taker(text(row.get("S")).lower())
        time = readable(received_ts_us, row.get("M"), push.get("P"))
        return self.trade(
            row.get("s"), row.get("p"), row.get("q"), side, row.get("ti"), time,
            received_ts_us, received_mono_ns,
        )  # fmt: skip

    def _uta_mark(
        self, push: dict[str, Any], row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        time = readable(received_ts_us, row.get("ts"), push.get("P"))
        return self.mark(row.get("s"), row.get("mp"), row.get("ip"), time, received_ts_us, received_mono_ns)

    def _uta_funding(
        self, push: dict[str, Any], row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """`lfr` was charged when the running interval began, at `ft`."""
        settled = row.get("lfr")
        return self.funding(
            row.get("s"), row.get("fr"), row.get("nt"), row.get("gl"), MILLISECONDS, push.get("P"),
            received_ts_us, received_mono_ns, settled_rate=settled,
            settled_time=row.get("ft") if is_said(row, ("lfr",)) else None, cap=row.get("fc"),
            floor=row.get("ff"),
        )  # fmt: skip


def is_depth(push: dict[str, Any], channel: str) -> bool:
    """Whether a push is of more levels than the best, on the classic sockets or the newer ones."""
    if push.get("T") in UTA_BOOKS:
        return push.get("dp") != "1"
    return channel in (CHANGES, SWAP_CHANGES) or channel.startswith(WHOLE_BOOKS)


def _changed(rows: Any) -> Any:
    """Changed levels; those of price 0 only move the sequence. What is no level its reader refuses."""
    if not isinstance(rows, list):
        return rows
    return [row for row in rows if not (isinstance(row, list) and row[:1] == ["0"])]


def _request(kind: str, topics: Sequence[Topic], request_id: int) -> str:
    channel = topics[0].name.partition(":")[0]
    names = f"{channel}:{','.join(topic.native_id for topic in topics)}"
    return compact(
        {"id": str(request_id), "type": kind, "topic": names, "privateChannel": False, "response": True}
    )

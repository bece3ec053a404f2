"""Gate v4: spot, and USDT perpetual swaps.

Facts: Gate docs (2025 copy) and live probes. `spot.book_ticker` is the best bid/ask; one unknown pair
makes a whole subscribe request fail. `create_time_ms` of a trade is text with up to six decimals. Swaps have
sizes in contracts, as numbers, or as text of a decimal where our header asks for it: without it the sizes of
contracts that trade in fractions are cut. A trade's size is below 0 where the taker sold. `futures.tickers`
has mark and index price and funding; the rate in it is the last one published, not the one that is charged.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Struct

from collectors.exchanges.base import OFF_FAST_PATH, Codec, Control, Decoded
from collectors.exchanges.depth import book_update
from collectors.exchanges.reading import books, compact, readable, request_id, table, tables, taker, text, why
from collectors.exchanges.sheet import DataSheet, Depth, Topic
from collectors.exchanges.swaps import SECONDS, SwapCodec
from collectors.exchanges.times import FIRST_S, LAST_S, Millis
from collectors.exchanges.wire import (
    NOT_EMPTY,
    Contracts,
    FastId,
    FastNumber,
    FastPathKey,
    Positive,
    SignedContracts,
)
from engine.books.sequences import COUNTED
from markets.events import BookUpdate, Quote, Side, Terms, Trade

QUOTES, TRADES = "spot.book_ticker", "spot.trades"
NEWER_TRADES = "spot.trades_v2"
SWAP_QUOTES, SWAP_TRADES, SWAP_TICKERS = "futures.book_ticker", "futures.trades", "futures.tickers"
BOOKS = ("order_book", "order_book_update", "obu")
PUSHED = ("update", "all")
FAILED = ("fail", "failed", "failure", "error")
QUOTE: FastPathKey = f'"{QUOTES}"'
TRADE: FastPathKey = f'"{TRADES}"'
SWAP_QUOTE: FastPathKey = f'"{SWAP_QUOTES}"'
SWAP_TRADE: FastPathKey = f'"{SWAP_TRADES}"'


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


class _SwapQuote(Struct, gc=False):
    t: Millis
    s: str
    b: Positive
    B: Contracts
    a: Positive
    A: Contracts
    u: FastId = 0


class _SwapQuotePush(Struct, gc=False):
    event: Literal["update"]
    result: _SwapQuote


class _SwapTrade(Struct, gc=False):
    size: SignedContracts
    id: FastNumber
    create_time_ms: Millis
    price: Positive
    contract: str


class _SwapTradePush(Struct, gc=False):
    event: Literal["update"]
    result: Annotated[list[_SwapTrade], NOT_EMPTY]


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
        rest_url="https://api.gateio.ws",
        topics_per_connection=400,  # not published
        topics_per_request=50,
        requests_per_second=10,
        silence_s=45,
        ping_s=10,
        one_channel_per_request=True,
        depth=Depth(
            "spot.order_book_update:{id},100ms",
            "/api/v4/spot/order_book?currency_pair={id}&limit=100&interval=0&with_id=true",
            100, snapshots_per_second=5, per_request=1,
        ),
    )  # fmt: skip
    channels: ClassVar[tuple[str, ...]] = (QUOTES, TRADES, NEWER_TRADES)  # quotes first, then trades
    book_rule = COUNTED
    heartbeat: ClassVar[str] = "spot.ping"

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._quote = self.fast_path(_QuotePush)
        self._trade = self.fast_path(_TradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Named `channel:pair`; on the wire they are two fields."""
        quotes, trades, *_ = self.channels
        return (
            Topic("quote", native_id, f"{quotes}:{native_id}"),
            Topic("trade", native_id, f"{trades}:{native_id}"),
        )

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build requests, each answered as a whole."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Build the request to unsubscribe."""
        return _request("unsubscribe", topics, request_id)

    def ping(self, request_id: int) -> str:
        """Answered by `spot.pong`, on the swap socket `futures.pong`."""
        return compact({"channel": self.heartbeat})

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
        if channel.partition(".")[2] in BOOKS and push.get("event") in PUSHED:
            return self._depth(channel, books([result])[0], received_ts_us, received_mono_ns)
        if push.get("event") != "update" or channel not in self.channels:
            return self.answer(frame)
        rows = tables(result) if isinstance(result, list) else [table(result)]
        take = self._quote_of if channel == self.channels[0] else self._trade_of
        return [event for row in rows for event in take(row, received_ts_us, received_mono_ns)]

    def _depth(
        self, channel: str, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Decoded]:
        """`obu` names its stream, as `ob.BTC_USDT.400`; a change may have no levels: only its id moves."""
        bare: list[Any] | None = [] if "u" in row else None
        whole = row.get("full") is True or channel.endswith(".order_book")
        name = text(row.get("s") or row.get("contract"))
        return book_update(
            self, "snapshot" if whole else "delta", name.split(".")[1] if name[:3] == "ob." else name,
            row.get("b", row.get("bids", bare)), row.get("a", row.get("asks", bare)), row.get("t"),
            received_ts_us, received_mono_ns, first=row.get("U"),
            last=row.get("u", row.get("lastUpdateId", row.get("id"))),
        )  # fmt: skip

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """`id` only where it was asked for; `update` is when the book last changed."""
        return book_update(
            self, "snapshot", native_id, answer.get("bids"), answer.get("asks"),
            readable(received_ts_us, answer.get("update"), answer.get("current")),
            received_ts_us, received_mono_ns, last=answer.get("id"),
        )  # fmt: skip

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
        return self.skip("malformed" if answer.channel in self.channels else "unknown_kind")


class GateSwap(SwapCodec, Gate):
    """USDT perpetuals: the same requests and answers, other channels, sizes in contracts."""

    sheet = DataSheet(
        key="gate:swap",
        name="Gate swap",
        ws_url="wss://fx-ws.gateio.ws/v4/ws/usdt",
        rest_url="https://api.gateio.ws",
        topics_per_connection=400,  # not published
        topics_per_request=50,
        requests_per_second=10,
        silence_s=25,  # the exchange drops a silent socket after 30 s
        ping_s=10,
        one_channel_per_request=True,
        sized_in="contract",
        headers={"X-Gate-Size-Decimal": "1"},
        polled=("/api/v4/futures/usdt/contracts",),
        depth=Depth(
            "futures.order_book_update:{id},100ms,100",
            "/api/v4/futures/usdt/order_book?contract={id}&limit=100&interval=0&with_id=true",
            100, snapshots_per_second=5, per_request=1,
        ),
    )  # fmt: skip
    row_id = "name"
    size_fields = ("quanto_multiplier",)
    channels = (SWAP_QUOTES, SWAP_TRADES, SWAP_TICKERS)
    heartbeat = "futures.ping"

    def __init__(self, symbols: Mapping[str, str], **options: Any) -> None:
        super().__init__(symbols, **options)
        self._swap_quote = self.fast_path(_SwapQuotePush)
        self._swap_trade = self.fast_path(_SwapTradePush)

    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """Those of spot, and the tickers, which have mark price and funding."""
        return (*super().topics(native_id), Topic("funding", native_id, f"{SWAP_TICKERS}:{native_id}"))

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Mark price and funding, as of tickers: of contracts that nobody trades there are none for long."""
        return self._terms("name", row, None, received_ts_us, received_mono_ns)

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode by the fast path; any other frame as `Codec.decode`."""
        try:
            if SWAP_QUOTE in frame:
                quote = self._swap_quote(frame).result
                size = self.contract_sizes[quote.s]
                if quote.b <= quote.a:
                    return self.take(
                        Quote(
                            self._key, self.symbols[quote.s],
                            quote.b, quote.B * size, quote.a, quote.A * size,
                            quote.t * 1000, received_ts_us, received_mono_ns,
                        ),
                        quote.u,
                    )  # fmt: skip
            elif SWAP_TRADE in frame:
                return [
                    self._fast_trade(trade, received_ts_us, received_mono_ns)
                    for trade in self._swap_trade(frame).result
                ]
        except OFF_FAST_PATH:
            pass
        return Codec.decode(self, frame, received_ts_us, received_mono_ns)

    def _fast_trade(self, trade: _SwapTrade, received_ts_us: int, received_mono_ns: int) -> Trade:
        coins = abs(trade.size) * self.contract_sizes[trade.contract]
        if not coins:
            raise ValueError("a trade of nothing")
        return self.dated(
            Trade(
                self._key, self.symbols[trade.contract], trade.price, coins,
                "sell" if trade.size < 0.0 else "buy", str(trade.id), trade.create_time_ms * 1000,
                received_ts_us, received_mono_ns,
            )
        )  # fmt: skip

    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Rows of tickers have no time of their own: theirs is when they were pushed."""
        push = self.load(frame)
        if push.get("channel") != SWAP_TICKERS or push.get("event") != "update":
            return super().push(frame, received_ts_us, received_mono_ns)
        time = readable(received_ts_us, push.get("time_ms"), push.get("time"))
        events: list[Decoded] = []
        for row in tables(push.get("result")):
            events += self._terms("contract", row, time, received_ts_us, received_mono_ns)
        return events

    def _terms(
        self, name: str, row: dict[str, Any], time: Any, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Terms]:
        native_id, stamps = row.get(name), (time, received_ts_us, received_mono_ns)
        return (
            *self.mark(native_id, row.get("mark_price"), row.get("index_price"), *stamps),
            *self.funding(
                native_id, row.get("funding_rate"), row.get("funding_next_apply"),
                row.get("funding_interval"), SECONDS, *stamps,
            ),
        )  # fmt: skip

    def _trade_of(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        side, size = _taken(row.get("size"))
        time = readable(received_ts_us, row.get("create_time_ms"), row.get("create_time"))
        return self.trade(
            row.get("contract"), row.get("price"), size, side, row.get("id"), time,
            received_ts_us, received_mono_ns,
        )  # fmt: skip


def _taken(size: Any) -> tuple[Side | None, Any]:
    """The taker's side and the size of a signed one; as it came where it is no number."""
    if isinstance(size, str):
        return ("sell", size[1:]) if size.startswith("-") else ("buy", size)
    if isinstance(size, int | float | Decimal) and not isinstance(size, bool):
        return ("sell" if size < 0 else "buy"), abs(size)
    return None, size


def _request(event: str, topics: Sequence[Topic], request_id: int) -> str:
    channel = topics[0].name.partition(":")[0]
    payload = [word for topic in topics for word in topic.name.partition(":")[2].split(",")]
    return compact({"id": request_id, "channel": channel, "event": event, "payload": payload})


def _fast_us(ms: str) -> int:
    """`moment_us` of 13 digits and a fraction, as nearly all times are."""
    us = int((ms + "00").replace(".", "", 1)[:16])
    if FIRST_S * 10**6 <= us < LAST_S * 10**6 and ms[13] == "." and ms[14:].isdecimal() and ms.isascii():
        return us
    raise ValueError(f"not a time of the fast path: {ms} ms")

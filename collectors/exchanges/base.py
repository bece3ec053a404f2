"""What one exchange file provides: a data sheet and a pure codec. No sockets, no clock, no Django."""

import re
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from collectors.exchanges.exact import exact_twin
from markets.events import Quote, Side, Trade

ControlKind = Literal["ack", "error", "unsubscribed", "ping", "pong", "heartbeat"]

Price = float | Literal[""] | None
"""A price or size on the wire, number or text; some venues send "" or null for an empty side."""

NO_SUCH_MS = 10**15
Millis = Annotated[int, msgspec.Meta(ge=0, lt=NO_SUCH_MS)]
"""A venue's time in ms, number or text; the bound keeps nonsense out of our µs."""

NOT_EMPTY = msgspec.Meta(min_length=1)
"""A list of rows without one is a malformed frame: otherwise nothing would be emitted nor counted."""

Instant = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A venue's time in µs or ns, number or text."""

INFINITY = float("inf")

Positive = Annotated[float, msgspec.Meta(gt=0.0, le=sys.float_info.max)]
"""A price or size in a usual frame: checked while it is decoded, NaN fails too."""

Mark = Any
"""Text that only frames of one kind carry; where frames are bytes it raises TypeError: not usual."""

LONGEST_REQUEST_ID = 10**12
BAD_FRAME = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""All that decoding bytes of somebody else can raise."""

UNUSUAL = (*BAD_FRAME, KeyError, TypeError)
"""What the short way of `Codec.decode` raises for a frame it is not made for."""

SIDES: dict[str, Side] = {"buy": "buy", "sell": "sell", "Buy": "buy", "Sell": "sell"}
"""The taker's side by the venue's word for it."""

_NAMED_TOPIC = re.compile(r"channel:([^\s,]+),\s*instId:([^\s,]+)")

T = TypeVar("T")


class Level(Struct, array_like=True, gc=False):
    """One `[price, size, …]` of a book; what follows is ignored, an empty array is an empty side."""

    price: Price = None
    size: Price = None


class UsualLevel(Struct, array_like=True, gc=False):
    """A level in a usual frame."""

    price: Positive
    size: Positive


class Topic(NamedTuple):
    """One subscription: what it carries, for which instrument, and its name on the wire."""

    channel: Literal["quote", "trade"]
    native_id: str
    name: str


class Control(Struct):
    """A frame that carries no market data.

    `request_id` and `topics` say which of our requests or topics an ack or error answers (whichever
    the venue names; with `topics`, those and no others); `unsubscribed` is the answer to such a request
    where it can be told from an ack, or the exchange's own doing, as when it delists; `reply` is
    text to send back at once; `reconnect` means the venue announced that it is about to close this
    connection.
    """

    kind: ControlKind
    request_id: str | None = None
    topics: tuple[str, ...] = ()
    message: str = ""
    reply: str | None = None
    reconnect: bool = False


@dataclass(frozen=True, slots=True)
class DataSheet:
    """The facts of one venue's spot market-data socket; sources are in its file.

    Times in seconds, sizes in bytes. `ping_s` is how often the client must ping with `Codec.ping()`
    (None: the server pings); `silence_s` is after how long without any frame, and without an answer to
    the test that precedes it, the connection counts as dead; `life_s` is when the venue cuts every
    connection. `token_path` is the REST path (POST) that hands out a connection token, where there is
    one, and then a welcome frame precedes the first request. `requests_per_hour` bounds subscribe and
    unsubscribe requests of one connection; `one_channel_per_request` is for venues whose requests name a
    channel once and then its instruments.
    """

    key: str
    name: str
    ws_url: str
    rest_url: str
    topics_per_connection: int
    topics_per_request: int
    requests_per_second: float
    silence_s: float
    ping_s: float | None = None
    request_bytes: int | None = None
    life_s: float | None = None
    token_path: str | None = None
    requests_per_hour: int | None = None
    one_channel_per_request: bool = False


class Codec(ABC):
    """Frames of one exchange to events, and our requests to frames.

    `symbols` maps the venue's native id to our symbol; the owner may change it while running.
    `exact=True` decodes prices and sizes as Decimal of the venue's own text instead of float.
    `counts` counts what was not emitted, by kind: `malformed`, `unknown_kind`, `unknown_symbol`,
    `rejected_zero` (also negative or not finite), `rejected_crossed`, `empty_side`, `one_sided`,
    `frozen`, `no_body`. `rejects` counts the rejected ones again, by symbol and kind.
    """

    sheet: ClassVar[DataSheet]

    def __init__(self, symbols: Mapping[str, str], *, exact: bool = False) -> None:
        self.symbols = symbols
        self.exact = exact
        self._key = self.sheet.key  # looked up per event
        self.counts: Counter[str] = Counter()
        self.rejects: Counter[tuple[str, str]] = Counter()

    @abstractmethod
    def topics(self, native_id: str) -> tuple[Topic, Topic]:
        """The quote topic and the trade topic of an instrument."""

    @abstractmethod
    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that subscribes one batch."""

    @abstractmethod
    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that unsubscribes one batch."""

    @abstractmethod
    def push(
        self, frame: bytes | str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Quote | Trade | Control]:
        """Decode a frame that carries market data; raises one of BAD_FRAME for any other."""

    @abstractmethod
    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Decode a frame `push` could not: an answer, a heartbeat, a channel that is not ours.

        Raises one of BAD_FRAME for what is none of them.
        """

    def batches(self, topics: Sequence[Topic]) -> list[list[Topic]]:
        """Split topics into groups that one request can carry within the venue's limits."""
        groups: dict[str, list[Topic]] = {}
        for topic in topics:
            groups.setdefault(topic.channel if self.sheet.one_channel_per_request else "", []).append(topic)
        size = self.sheet.topics_per_request
        return [
            batch
            for group in groups.values()
            for start in range(0, len(group), size)
            for batch in self._within_bytes(group[start : start + size])
        ]

    def _within_bytes(self, batch: list[Topic]) -> list[list[Topic]]:
        limit = self.sheet.request_bytes
        text = self.subscribe(batch, LONGEST_REQUEST_ID)
        # "unsubscribe" is the same request with at most a few letters more.
        if limit is None or len(batch) == 1 or len(text.encode()) + 16 <= limit:
            return [batch]
        middle = len(batch) // 2
        return self._within_bytes(batch[:middle]) + self._within_bytes(batch[middle:])

    def ping(self, request_id: int) -> str | None:
        """The client's heartbeat text, None where the venue pings us."""
        return None

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Quote | Trade | Control]:
        """Decode one wire frame. Never raises on bad input: it counts in `counts` and returns nothing.

        Codecs put a short way in front for the frames that nearly all are: one `Mark` looked for, one
        strict wire type, one event. Whatever does not fit it comes here, and only here is anything counted.
        """
        try:
            return self.push(frame, received_ts_us, received_mono_ns)
        except BAD_FRAME:
            try:
                return self.answer(frame)
            except BAD_FRAME:
                return self.skip("malformed")

    def decoder(self, wire_type: type[T]) -> Callable[[bytes | str], T]:
        """A JSON decoder of a wire type: text becomes numbers, Decimals of the text if `exact`."""
        if self.exact:
            wire_type = exact_twin(wire_type)
        return msgspec.json.Decoder(wire_type, strict=False, float_hook=Decimal).decode

    def usual(self, wire_type: type[T]) -> Callable[[bytes | str], T]:
        """A decoder for the short way, where numbers are `Positive`; for `exact` there is none."""
        if self.exact:
            return _no_frame
        return msgspec.json.Decoder(wire_type, strict=False).decode

    def skip(self, kind: str) -> tuple[()]:
        """Count a frame or row that emits nothing."""
        self.counts[kind] += 1
        return ()

    def reject(self, symbol: str, kind: str) -> tuple[()]:
        """Count a quote or trade whose numbers cannot be."""
        self.rejects[symbol, kind] += 1
        return self.skip(kind)

    def quote(  # noqa: PLR0917 positional, because this is the hottest call there is
        self,
        native_id: str,
        bid: Any,
        bid_size: Any,
        ask: Any,
        ask_size: Any,
        exchange_ms: int | None,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> tuple[Quote, ...]:
        """One checked quote, or nothing and a count. The four numbers are `Price`; the time is in ms."""
        try:
            symbol = self.symbols[native_id]
        except KeyError:
            return self.skip("unknown_symbol")
        if self.exact:
            bid, bid_size, ask, ask_size = map(_exact, (bid, bid_size, ask, ask_size))
        try:
            if 0.0 < bid <= ask < INFINITY and 0.0 < bid_size < INFINITY and 0.0 < ask_size < INFINITY:
                return (
                    Quote(
                        self._key, symbol, bid, bid_size, ask, ask_size,
                        None if exchange_ms is None else exchange_ms * 1000, received_ts_us, received_mono_ns,
                    ),
                )  # fmt: skip
            return self.reject(symbol, "rejected_crossed" if INFINITY > bid > ask > 0.0 else "rejected_zero")
        except TypeError:  # "" or null
            return self.skip("empty_side")

    def best(  # noqa: PLR0917
        self,
        native_id: str,
        bids: Sequence[Level],
        asks: Sequence[Level],
        exchange_ms: int | None,
        received_ts_us: int,
        received_mono_ns: int,
    ) -> tuple[Quote, ...]:
        """`quote` of the first level of each side of a book snapshot."""
        if not (bids and asks):
            return self.skip("empty_side")
        bid, ask = bids[0], asks[0]
        return self.quote(
            native_id, bid.price, bid.size, ask.price, ask.size, exchange_ms, received_ts_us, received_mono_ns
        )

    def trade(  # noqa: PLR0917
        self,
        native_id: str,
        price: Any,
        size: Any,
        side: Side | None,
        trade_id: int | str | None,
        exchange_ts_us: int | None,
        received_ts_us: int,
        received_mono_ns: int,
        is_history: bool = False,
    ) -> tuple[Trade, ...]:
        """One checked trade, or nothing and a count. `price` and `size` are `Price`."""
        try:
            symbol = self.symbols[native_id]
        except KeyError:
            return self.skip("unknown_symbol")
        if self.exact:
            price, size = _exact(price), _exact(size)
        try:
            if not (0.0 < price < INFINITY and 0.0 < size < INFINITY):
                return self.reject(symbol, "rejected_zero")
        except TypeError:  # a trade always has both
            return self.skip("malformed")
        return (
            Trade(
                self._key, symbol, price, size, side,
                str(trade_id) if trade_id or trade_id == 0 else None,
                exchange_ts_us, received_ts_us, received_mono_ns, is_history,
            ),
        )  # fmt: skip


def _no_frame(frame: bytes | str) -> Any:
    raise ValueError("all frames go the long way")


def _exact(value: Any) -> Any:
    """The Decimal of a wire number; "" and null stay, and what no float can hold becomes 0: rejected too."""
    if value is None or value == "":
        return value
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"not a number: {value!r}")
    number = Decimal(value)
    return number if 0.0 < abs(float(number)) < INFINITY else 0.0


def request_id(value: int | str | None) -> str | None:
    """The id of our request as text; venues that were sent none answer "" or nothing."""
    return None if value in (None, "") else str(value)


def topics_in(message: str) -> tuple[str, ...]:
    """The topics OKX and Bitget name in an error text (`…channel:X,instId:Y…`), as `X:Y`."""
    return tuple(f"{channel}:{native_id}" for channel, native_id in _NAMED_TOPIC.findall(message))


def compact(request: object) -> str:
    """A request as compact JSON text."""
    return msgspec.json.encode(request).decode()


def plain_text(frame: bytes | str) -> str:
    """A frame as text; raises UnicodeDecodeError (a ValueError) when it is none."""
    return frame if isinstance(frame, str) else frame.decode()

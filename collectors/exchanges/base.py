"""Base of an exchange's codecs: frames to events, requests to frames. No sockets, no clock, no Django."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, TypeVar
from urllib.parse import quote_plus

import msgspec
from msgspec import Struct

from collectors.exchanges.lateness import TOLERATED_US, WINDOW_NS, Lateness
from collectors.exchanges.order import REFUSED, Order, update_id
from collectors.exchanges.reading import (
    INFINITY,
    level,
    no_frame,
    table,
    text_id,
    what_is_wrong,
)
from collectors.exchanges.sheet import DataSheet, Topic
from collectors.exchanges.times import DECADE_US, FAR_US, is_near, moment_us
from collectors.exchanges.wire import ContractSize, Resized
from core.clock.clocks import STOOD_STILL, Standstill
from engine.books.sequences import Rule
from markets.events import BookUpdate, MarkPrice, Quote, Side, StreamState, Terms, Trade

ControlKind = Literal["ack", "error", "unsubscribed", "ping", "pong", "heartbeat"]

UNSIZED: Final[Mapping[str, ContractSize]] = MappingProxyType({})

LONGEST_REQUEST_ID = 10**12

BAD_FRAME = (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError)
"""All that decoding bytes of somebody else can raise."""

OFF_FAST_PATH = (*BAD_FRAME, KeyError, TypeError)
"""What the fast path of `Codec.decode` raises for a frame it is not made for."""


T = TypeVar("T")
E = TypeVar("E", Quote, Trade, MarkPrice)


class Control(Struct):
    """A frame that carries no market data.

    `request_id` and `topics` say which of our requests or topics an ack or error answers (whichever
    the exchange names; with `topics`, those and no others); `unsubscribed` is the answer to such a request
    where it can be distinguished from an ack, or the exchange's own doing, as when it delists; `reply` is
    text to send back at once; `reconnect` means the exchange announced that it is about to close this
    connection.
    """

    kind: ControlKind
    request_id: str | None = None
    topics: tuple[str, ...] = ()
    message: str = ""
    reply: str | None = None
    reconnect: bool = False


Decoded = Quote | Trade | Terms | BookUpdate | StreamState | Control
"""What a frame says; a StreamState, always a "gap", ends the belief in a symbol's last quote."""


class Codec(ABC):
    """Frames of one exchange to events, and our requests to frames.

    `symbols` maps the exchange's native id to our symbol; the owner may change it while running.
    So is `contract_sizes` from native id to the coins in one contract, for markets that size in contracts.
    Those that the exchange says to be others now are taken out of it, into `resized`, until it says the same
    again or the owner, who then takes them out of `resized`, puts in what it says.
    Where `also_books` is set, a book of a few levels of which a quote is made is said as a book too.
    `exact=True` decodes prices and sizes as Decimal of the exchange's own text instead of float.
    `counts` counts what was not emitted, by kind: `malformed`, `unknown_kind`, `unknown_symbol`,
    `rejected_zero` (also negative or not finite), `rejected_crossed`, `empty_side`, `one_sided`,
    `frozen` (a book from too long ago), `read_late` (the same, because this process stood still),
    `out_of_order`, `no_body`; and what costs no quote: `bad_time` its time, and `late`, which makes it
    older. `rejects` counts what was refused of a symbol again, by symbol and kind.

    `order` is that of the connection whose frames are being decoded. With one, a quote frame that no whole
    quote can be made of ends the belief in the last one: a "gap" is emitted, once. A recording's frames need
    not be of one connection: without an order each is judged by itself.
    """

    sheet: ClassVar[DataSheet]
    book_rule: ClassVar[Rule]
    """How the updates of a book follow one another on the channel whose deltas a book is kept from."""

    def __init__(
        self,
        symbols: Mapping[str, str],
        *,
        exact: bool = False,
        contract_sizes: Mapping[str, ContractSize] = UNSIZED,
    ) -> None:
        self.symbols = symbols
        self.contract_sizes = contract_sizes
        self.exact = exact
        self.also_books = False
        self._key = self.sheet.key  # looked up per event
        self.resized: dict[str, Resized] = {}
        self.counts: Counter[str] = Counter()
        self.rejects: Counter[tuple[str, str]] = Counter()
        self.order: Order | None = None
        self.lateness = Lateness()
        self.standstill = Standstill()  # of the process that reads
        self._believed: set[str] = set()  # symbols of which a quote was emitted last
        self._frozen: dict[str, int] = {}  # symbol -> when its last book with a time was late by far, ns
        self._load = msgspec.json.Decoder(float_hook=Decimal if exact else None).decode

    @abstractmethod
    def topics(self, native_id: str) -> tuple[Topic, ...]:
        """The topics of an instrument: one of quotes, one of trades, and of a swap what says its funding."""

    def depth_topic(self, native_id: str) -> Topic:
        """The topic of an instrument's book, which is subscribed for chosen ones only."""
        name = self.sheet.depth.topic.format(id=native_id, lower=native_id.lower())
        return Topic("depth", native_id, name)

    def snapshot_path(self, native_id: str) -> str:
        """The path of the request whose answer `snapshot` decodes."""
        return self.sheet.depth.snapshot.format(id=quote_plus(native_id))

    @abstractmethod
    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that subscribes one batch."""

    @abstractmethod
    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The request text that unsubscribes one batch."""

    @abstractmethod
    def push(self, frame: bytes | str, received_ts_us: int, received_mono_ns: int) -> Sequence[Decoded]:
        """Decode a frame that carries market data; raises one of BAD_FRAME for any other."""

    @abstractmethod
    def answer(self, frame: bytes | str) -> Sequence[Control]:
        """Decode a frame `push` could not: an answer, a heartbeat, a channel that is not ours.

        Raises one of BAD_FRAME for what is none of them.
        """

    def batches(self, topics: Sequence[Topic]) -> list[list[Topic]]:
        """Split topics into groups that one request can carry within the exchange's limits."""
        groups: dict[str, list[Topic]] = {}
        for topic in topics:
            groups.setdefault(topic.channel if self.sheet.one_channel_per_request else "", []).append(topic)
        return [
            batch
            for group in groups.values()
            for size in (self.sheet.per_request(group[0].channel),)
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
        """The client's heartbeat text, None where the exchange pings us."""
        return None

    def polled(
        self, body: bytes, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Terms | StreamState]:
        """Decode an answer of one of the paths that are `polled`. Never raises on bad input: it counts."""
        return self.skip("unknown_kind")

    def snapshot(
        self, body: bytes | str, native_id: str = "", received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[BookUpdate]:
        """Decode the answer to a request (REST) for the whole book of an instrument, which need not name it.

        Where it is not known either what was asked for, the symbol is empty. Never raises on bad input.
        """
        order, self.order = self.order, None  # it is of no connection
        try:
            return self.whole_book(self.load(body), native_id, received_ts_us, received_mono_ns)
        except BAD_FRAME:
            return self.skip("malformed")
        finally:
            self.order = order

    def whole_book(
        self, answer: dict[str, Any], native_id: str, received_ts_us: int, received_mono_ns: int
    ) -> Sequence[BookUpdate]:
        """Decode an answer for `snapshot`; raises one of BAD_FRAME where there is no book in it."""
        return self.skip("unknown_kind")

    def decode(
        self, frame: bytes | str, received_ts_us: int = 0, received_mono_ns: int = 0
    ) -> Sequence[Decoded]:
        """Decode one wire frame. Never raises on bad input: it counts in `counts` and returns nothing.

        Codecs put a fast path in front for what nearly all frames are: one `FastPathKey` found, one
        strict wire type, one event. Whatever does not fit it comes here, and only here is anything counted.
        """
        try:
            return self.push(frame, received_ts_us, received_mono_ns)
        except BAD_FRAME:
            try:
                return self.answer(frame)
            except BAD_FRAME:
                return self.skip("malformed")

    def load(self, frame: bytes | str) -> dict[str, Any]:
        """A JSON object of which nothing is checked yet; raises one of BAD_FRAME where it is none."""
        return table(self.load_any(frame))

    def load_any(self, frame: bytes | str) -> Any:
        """Any JSON value; raises one of BAD_FRAME where it is none."""
        try:
            return self._load(frame)
        except msgspec.DecodeError:  # NaN, Infinity and 1e999 are no JSON, and come all the same
            number: Any = Decimal if self.exact else float
            return json.loads(frame, parse_float=number, parse_constant=number)

    def fast_path(self, wire_type: type[T]) -> Callable[[bytes | str], T]:
        """A decoder for the fast path, where numbers are `Positive`; for `exact` there is none."""
        if self.exact:
            return no_frame
        return msgspec.json.Decoder(wire_type, strict=False).decode

    def skip(self, kind: str) -> tuple[()]:
        """Count a frame or row that emits nothing."""
        self.counts[kind] += 1
        return ()

    def reject(self, symbol: str, kind: str) -> tuple[()]:
        """Count a quote or trade whose numbers cannot be."""
        self.rejects[symbol, kind] += 1
        return self.skip(kind)

    def known(self, *names: Any) -> Any:
        """The first of these native ids that is one of ours, or the first that is text; None: none is."""
        said = [name for name in names if isinstance(name, str) and name]
        ours = [name for name in said if name in self.symbols]
        return next(iter(ours or said), None)

    def take(
        self, quote: Quote, update_id: int = 0, book_us: int | None = None
    ) -> tuple[Quote | StreamState, ...]:
        """Hand out a whole quote, unless it is an older one of its connection or far later than is usual.

        `update_id` is the exchange's own number of the book, below 2^63, 0 for none; `book_us` when the book
        was so, where that is not the quote's time. The first book of a connection may be from any time, and
        so may one that is said again: it has not changed since. Any other that is later than is usual is by
        so much older, and of another time than this if it is by far.
        """
        time_us, order = quote.exchange_ts_us, self.order
        if time_us is not None and not -FAR_US < quote.received_ts_us - time_us < FAR_US:
            time_us = self.dated(quote).exchange_ts_us
        if order is None:
            return (quote,)
        symbol = quote.symbol
        newest = order.newest.get(symbol)
        if newest is None:
            before = order.admit(symbol, update_id, time_us)
        elif newest.id < update_id:  # as nearly all are
            before = newest.id
            newest.id = update_id
        elif not update_id and time_us is not None and newest.time_us < time_us:
            before = newest.time_us
            newest.time_us = time_us
        else:
            before = self._admit(order, symbol, update_id, time_us, quote.received_mono_ns)
            if before == REFUSED:
                return self.reject(symbol, "out_of_order")
        if time_us is not None:
            delay_us = quote.received_mono_ns // 1000 - (book_us or time_us)
            if delay_us > self.lateness.late_us and not self._is_first(order, symbol, before, update_id):
                return self._late(quote, delay_us)
        if self._frozen and self._is_frozen(quote):
            return self._no_present(quote, "its last book with a time was late")
        if symbol not in self._believed:
            self._believed.add(symbol)
        return (quote,)

    def dated(self, event: E) -> E:
        """The event, without its time where that cannot be: a time costs nothing but itself."""
        time_us = event.exchange_ts_us
        if time_us is None or -FAR_US < event.received_ts_us - time_us < FAR_US:  # as nearly all
            return event
        if not self._can_be(time_us, event.received_ts_us, event.received_mono_ns):
            event.exchange_ts_us = None
            self.skip("bad_time")
        return event

    def believed(self, time: Any, received_ts_us: int, received_mono_ns: int) -> int | None:
        """A time as it came, µs since the epoch; None for what is none, or cannot be."""
        time_us = moment_us(time)
        if time_us is None or not self._can_be(time_us, received_ts_us, received_mono_ns):
            return None
        return time_us

    def _can_be(self, time_us: int, received_ts_us: int, received_mono_ns: int) -> bool:
        """Near our clock, or near the exchange's: ours may have been set, or theirs be of another year."""
        if is_near(time_us, received_ts_us):
            return True
        if self.lateness.is_known:
            return self.lateness.is_near(time_us, received_mono_ns)
        return is_near(time_us, received_ts_us, DECADE_US)

    def _is_first(self, order: Order, symbol: str, before: int, update_id: int) -> bool:
        """Whether a book may be from any time: the first of a connection, or one that is said again."""
        if not before:
            newest = order.newest[symbol]
            return not (newest.id and newest.time_us)  # both: it is the first by one of them only
        return before == update_id and symbol in self._believed

    def _admit(self, order: Order, symbol: str, update_id: int, time_us: int | None, mono_ns: int) -> int:
        """Return the newest time so far on the connection, or REFUSED; one of the future is forgotten."""
        before = order.admit(symbol, update_id, time_us, mono_ns)
        if before == REFUSED and not update_id and time_us is not None:
            newest = order.newest[symbol]
            if newest.time_us - time_us >= FAR_US or self.lateness.is_ahead(newest.time_us, mono_ns):
                before = newest.time_us = time_us
        return before

    def _late(self, quote: Quote, delay_us: int) -> tuple[Quote | StreamState, ...]:
        """`delay_us` is the book's; the quote is as old as what it says of itself, which may be younger."""
        late_us = self.lateness.beyond_usual_us(delay_us)
        if late_us >= FAR_US:  # what was taken for the exchange's clock is none
            self.lateness = Lateness()
            late_us = 0
        if late_us <= TOLERATED_US:
            sent_us = quote.received_mono_ns // 1000 - (quote.exchange_ts_us or 0)
            quote.late_us = max(0, min(late_us, self.lateness.beyond_usual_us(sent_us)))
            self.counts["late"] += 1
            self._believed.add(quote.symbol)
            return (quote,)
        if self.standstill.explains(quote.received_mono_ns, late_us):
            self.skip("read_late")
            reason = f"{STOOD_STILL}: a book was read {late_us / 1e6:.0f} s late"
            return self._disbelieve(quote.symbol, reason, quote.received_ts_us, quote.received_mono_ns)
        self.lateness.see(quote.symbol, delay_us)
        self._frozen[quote.symbol] = quote.received_mono_ns
        return self._no_present(quote, f"its book is {late_us / 1e6:.0f} s late")

    def _is_frozen(self, quote: Quote) -> bool:
        """Whether a book without a time follows one that was late: it is no proof that it is newer."""
        if quote.exchange_ts_us is not None:
            self._frozen.pop(quote.symbol, None)
            return False
        return quote.received_mono_ns < self._frozen.get(quote.symbol, -WINDOW_NS) + WINDOW_NS

    def _no_present(self, quote: Quote, reason: str) -> tuple[StreamState, ...]:
        return self.no_quote(quote.symbol, "frozen", reason, quote.received_ts_us, quote.received_mono_ns)

    def no_quote(
        self, symbol: str, kind: str, reason: str, received_ts_us: int, received_mono_ns: int
    ) -> tuple[StreamState, ...]:
        """End the belief in the last quote of a symbol, once, and count why."""
        self.reject(symbol, kind)
        return self._disbelieve(symbol, reason, received_ts_us, received_mono_ns)

    def _disbelieve(
        self, symbol: str, reason: str, received_ts_us: int, received_mono_ns: int
    ) -> tuple[StreamState, ...]:
        if self.order is None or symbol not in self._believed:
            return ()
        self._believed.discard(symbol)
        return (StreamState(self._key, (symbol,), "gap", reason, received_ts_us, received_mono_ns),)

    def quote(  # noqa: PLR0917 positional, as `trade`
        self,
        native_id: Any,
        bid: Any,
        bid_size: Any,
        ask: Any,
        ask_size: Any,
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
        update: Any = None,
        book_us: int | None = None,
    ) -> tuple[Quote | StreamState, ...]:
        """One checked quote, or else the end of the belief in the last one, and a count.

        Everything is as it came; only the id and the four numbers can cost the quote.
        """
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is None:
            return self.skip("unknown_symbol")
        number, time_us = update_id(update), self.believed(time, received_ts_us, received_mono_ns)
        kind, reason = "", ""
        try:
            bid, bid_size, ask, ask_size = map(self._number, (bid, bid_size, ask, ask_size))
            kind, reason = what_is_wrong(bid, bid_size, ask, ask_size)
        except (ValueError, ArithmeticError):
            kind, reason = "malformed", "a price or size in its book is no number"
        if kind:
            if (
                self.order is not None
                and self._admit(self.order, symbol, number, time_us, received_mono_ns) == REFUSED
            ):
                return self.reject(symbol, "out_of_order")
            return self.no_quote(symbol, kind, reason, received_ts_us, received_mono_ns)
        self.count_time(time, time_us)
        return self.take(
            Quote(
                self._key, symbol, bid, bid_size, ask, ask_size, time_us, received_ts_us, received_mono_ns
            ),
            number, book_us,
        )  # fmt: skip

    def best(  # noqa: PLR0917
        self,
        native_id: Any,
        bids: Any,
        asks: Any,
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
        update: Any = None,
    ) -> tuple[Quote | StreamState, ...]:
        """`quote` of the first level of each side of a book snapshot."""
        return self.quote(
            native_id, *level(bids), *level(asks), time, received_ts_us, received_mono_ns, update
        )

    def count_time(self, time: Any, time_us: int | None) -> None:
        """Count a time that was sent and is none."""
        if time_us is None and time is not None:
            self.skip("bad_time")

    def _number(self, value: Any) -> Any:
        """A price or size as it came: float, Decimal if `exact`, None for an empty one. Raises ValueError."""
        if value is None or value == "":
            return None
        if isinstance(value, str):
            if not value.isascii() or "_" in value:
                raise ValueError(f"not a number: {value!r}")
        elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise ValueError(f"not a number: {value!r}")
        if not self.exact:
            try:
                return float(value)
            except OverflowError:  # a whole number that no float can hold
                return INFINITY
        number = Decimal(value)
        return number if 0.0 < abs(float(number)) < INFINITY else 0.0  # what no float can hold

    def trade(  # noqa: PLR0917
        self,
        native_id: Any,
        price: Any,
        size: Any,
        side: Side | None,
        trade_id: Any,
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
        is_history: bool = False,
    ) -> tuple[Trade, ...]:
        """One checked trade, or nothing and a count. Only the id and the two numbers can cost it."""
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is None:
            return self.skip("unknown_symbol")
        try:
            price, size = self._number(price), self._number(size)
        except (ValueError, ArithmeticError):
            return self.skip("malformed")
        if price is None or size is None:  # a trade always has both
            return self.skip("malformed")
        if not (0.0 < price < INFINITY and 0.0 < size < INFINITY):
            return self.reject(symbol, "rejected_zero")
        time_us = self.believed(time, received_ts_us, received_mono_ns)
        self.count_time(time, time_us)
        return (
            Trade(
                self._key, symbol, price, size, side, text_id(trade_id), time_us,
                received_ts_us, received_mono_ns, is_history,
            ),
        )  # fmt: skip

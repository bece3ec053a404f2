"""Parts that codecs of perpetual swaps have in common: coins out of contracts, mark prices, funding. Pure."""

from collections.abc import Iterable, MutableMapping, Sequence
from decimal import Context, Decimal
from math import isclose, prod
from typing import Any, ClassVar, Final

from collectors.exchanges.base import BAD_FRAME, Codec
from collectors.exchanges.reading import INFINITY, tables
from collectors.exchanges.times import FAR_US, FIRST_US, moment_us
from collectors.exchanges.wire import ContractSize, Resized
from markets.events import Funding, MarkPrice, Quote, Side, StreamState, Terms, Trade

LARGEST_RATE: Final = 0.5
"""No settlement takes half of the notional: such a rate is no fraction, or no rate."""

REPEATED_NS: Final = 10**9

LONGEST_INTERVAL_S: Final = 7 * 86_400
SHORTEST_INTERVAL_S: Final = 60
HOURS: Final = 3600.0
SECONDS: Final = 1.0
MILLISECONDS: Final = 0.001

NOT_SAID: Final = (None, "", 0, "0")
"""How exchanges send a time or an interval that is not there."""

_EXACT: Final = Context(prec=120)

SHOWN_CHARS: Final = 32

Polled = Terms | StreamState
"""What an answer of REST says; a StreamState ends the belief in quotes of another contract size."""


class SwapCodec(Codec):
    """Base of the swap codecs, beside the exchange's own one: `class GateSwap(SwapCodec, Gate)`.

    Counts besides those of `Codec`: `no_contract_size` (nothing is emitted), `bad_mark` (a mark or index
    price that cannot be), `bad_funding` (a rate that cannot be, or a cap or floor), `unchanged` (what
    says nothing new of what is followed), `bad_next` (a next
    settlement that has passed or is no time), `bad_interval`, and `contract_size_changed`, of instruments
    that `resized` has. A part of an event costs only that part. `row_id` is what answers of REST call the
    native id, `size_fields` whose product is the coins in one contract, where the market counts contracts.
    """

    row_id: ClassVar[str] = "symbol"
    size_fields: ClassVar[tuple[str, ...]] = ()

    @property
    def is_alone(self) -> bool:
        """Whether frames are judged each by itself, as of a recording, and not as those of a connection.

        A connection has one channel for each thing that is followed; a slower one that says the same again
        would be of an older moment, so there it says nothing.
        """
        return self.order is None

    def quote(  # noqa: PLR0917
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
        """`Codec.quote` with sizes as they came, in contracts where the market is sized so."""
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is not None and self.sheet.sized_in == "contract":
            if native_id not in self.contract_sizes:
                reason = self._why_unsized(native_id)
                if self.order is not None and symbol not in self.order.unsized:
                    self.order.unsized.add(symbol)
                    self._believed.add(symbol)  # its readers learn why, on every connection
                return self.no_quote(symbol, "no_contract_size", reason, received_ts_us, received_mono_ns)
            bid_size, ask_size = self._coins(native_id, bid_size), self._coins(native_id, ask_size)
        return super().quote(
            native_id, bid, bid_size, ask, ask_size, time, received_ts_us, received_mono_ns, update, book_us
        )

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
        """`Codec.trade` with the size as it came, in contracts where the market is sized so."""
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is not None and self.sheet.sized_in == "contract":
            if native_id not in self.contract_sizes:
                return self.reject(symbol, "no_contract_size")
            size = self._coins(native_id, size)
        return super().trade(
            native_id, price, size, side, trade_id, time, received_ts_us, received_mono_ns, is_history
        )

    def _coins(self, native_id: str, contracts: Any) -> Any:
        """Coins of a number of contracts as it came; what is no number is left for the caller to count."""
        try:
            number = self._number(contracts)
        except (ValueError, ArithmeticError):
            return contracts
        if number is None:
            return None
        size: Any = self.contract_sizes[native_id]
        if self.exact:
            return _EXACT.multiply(Decimal(number), Decimal(repr(size) if isinstance(size, float) else size))
        return number * size

    def mark(  # noqa: PLR0917
        self, native_id: Any, mark: Any, index: Any, time: Any, received_ts_us: int, received_mono_ns: int
    ) -> tuple[MarkPrice, ...]:
        """One checked mark price, or nothing and a count. A price that cannot be costs only itself."""
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is None:
            return self.skip("unknown_symbol")
        unsaid = [price is None or price == "" for price in (mark, index)]
        mark_price, index_price = (
            None if none else self._price(symbol, price)
            for none, price in zip(unsaid, (mark, index), strict=True)
        )
        if mark_price is None and index_price is None:
            return self.reject(symbol, "bad_mark") if all(unsaid) else ()
        time_us = self.believed(time, received_ts_us, received_mono_ns)
        self.count_time(time, time_us)
        return (
            MarkPrice(self._key, symbol, mark_price, index_price, time_us, received_ts_us, received_mono_ns),
        )

    def funding(  # noqa: PLR0917
        self,
        native_id: Any,
        rate: Any,
        next_time: Any,
        interval: Any,
        interval_unit_s: float,
        time: Any,
        received_ts_us: int,
        received_mono_ns: int,
        *,
        settled_rate: Any = None,
        settled_time: Any = None,
        cap: Any = None,
        floor: Any = None,
    ) -> tuple[Funding, ...]:
        """One checked statement of funding, or nothing and a count.

        A rate that cannot be costs the event, any other part only itself: it is unknown then. What a
        connection says again and again is said once a second: tickers come ten times as often.
        """
        symbol = self.symbols.get(native_id) if isinstance(native_id, str) else None
        if symbol is None:
            return self.skip("unknown_symbol")
        words = (rate, next_time, interval, settled_rate, settled_time, cap, floor)
        if self.order is not None:
            before, since_ns = self.order.funding.get(symbol, (None, 0))
            if before == words and received_mono_ns - since_ns < REPEATED_NS:
                return self.skip("unchanged")
        checked = self._rate(symbol, rate)
        if checked is None and rate not in (None, ""):
            return ()
        time_us = self.believed(time, received_ts_us, received_mono_ns)
        self.count_time(time, time_us)
        now_us = time_us or received_ts_us
        highest, lowest = self._rate(symbol, cap), self._rate(symbol, floor)
        if highest is not None and lowest is not None and highest < lowest:
            self.reject(symbol, "bad_funding")
            highest = lowest = None
        event = Funding(
            self._key,
            symbol,
            checked,
            self._next_us(symbol, next_time, now_us),
            self._interval_s(symbol, interval, interval_unit_s),
            self._rate(symbol, settled_rate),
            moment_us(settled_time),
            highest,
            lowest,
            time_us,
            received_ts_us,
            received_mono_ns,
        )
        if (event.rate, event.next_ts_us, event.interval_s, event.settled_rate) == (None,) * 4:
            return self.reject(symbol, "bad_funding")
        if self.order is not None:
            self.order.funding[symbol] = (words, received_mono_ns)
        return (event,)

    def polled(self, body: bytes, received_ts_us: int = 0, received_mono_ns: int = 0) -> Sequence[Polled]:
        """Decode rows; an answer without them, as a refusal is, counts as `malformed`."""
        if not self.sheet.polled:
            return self.skip("unknown_kind")
        order, self.order = self.order, None  # it is of no connection
        try:
            answer = self._load(body)
            rows = answer.get("data") if isinstance(answer, dict) else answer
            named = (
                [row for row in tables(rows) if isinstance(row.get(self.row_id), str)] if rows != [] else []
            )
            return [
                *self._resized(named, received_ts_us, received_mono_ns),
                *(self.polled_rows(named, received_ts_us, received_mono_ns) if named else ()),
            ]
        except BAD_FRAME:
            return self.skip("malformed")
        finally:
            self.order = order

    def polled_rows(
        self, rows: list[dict[str, Any]], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[Terms]:
        """Events of the rows of an answer; rows of what is not followed are passed over."""
        return [
            event
            for row in rows
            if row[self.row_id] in self.symbols
            for event in self.polled_row(row, received_ts_us, received_mono_ns)
        ]

    def polled_row(self, row: dict[str, Any], received_ts_us: int, received_mono_ns: int) -> Sequence[Terms]:
        """Events of one row of an answer."""
        return self.skip("unknown_kind")

    def _resized(
        self, rows: list[dict[str, Any]], received_ts_us: int, received_mono_ns: int
    ) -> list[StreamState]:
        """End the belief in quotes whose contract has another size by now than they were multiplied with."""
        states: list[StreamState] = []
        for row in rows:
            native_id = row[self.row_id]
            if row.keys() & self.size_fields and native_id in self.symbols:
                states += self._compared(native_id, row, received_ts_us, received_mono_ns)
        return states

    def _compared(
        self, native_id: str, row: dict[str, Any], received_ts_us: int, received_mono_ns: int
    ) -> Sequence[StreamState]:
        sizes, resized = self.contract_sizes, self.resized.get(native_id)
        ours = sizes.get(native_id) if resized is None else resized.was
        if ours is None or not isinstance(sizes, MutableMapping):
            return ()
        said = [row.get(field) for field in self.size_fields]
        if _is_product(ours, said):
            if resized is not None:
                sizes[native_id] = self.resized.pop(native_id).was
            return ()
        words = " × ".join("nothing" if each in (None, "") else str(each)[:SHOWN_CHARS] for each in said)
        since_us = received_ts_us if resized is None else resized.since_us
        self.resized[native_id] = Resized(ours, words, since_us)
        if resized is not None:
            return ()
        del sizes[native_id]
        symbol = self.symbols[native_id]
        self.reject(symbol, "contract_size_changed")
        if symbol not in self._believed:
            return ()
        self._believed.discard(symbol)
        why = self._why_unsized(native_id)
        return (StreamState(self._key, (symbol,), "gap", why, received_ts_us, received_mono_ns),)

    def _why_unsized(self, native_id: str) -> str:
        if (resized := self.resized.get(native_id)) is None:
            return "the size of its contract is not known"
        return (
            f"its contract is of {resized.said} coins now, where {resized.was:g} are configured: "
            "sync the markets"
        )

    def merged(
        self, native_id: Any, row: dict[str, Any], fields: frozenset[str], *, whole: bool
    ) -> dict[str, Any]:
        """Return these fields as the connection knows them once `row` is taken over.

        `whole` rows replace what was known. A field that is not in the row is as it was; without a
        connection the row is all there is.
        """
        said = {name: row[name] for name in fields & row.keys()}
        if self.order is None or native_id not in self.symbols:
            return said
        known = {} if whole else self.order.said.get(native_id, {})
        self.order.said[native_id] = known | said
        return known | said

    def _price(self, symbol: str, value: Any) -> Any:
        try:
            price = self._number(value)
        except (ValueError, ArithmeticError):
            price = None
        if price is None or not 0.0 < price < INFINITY:
            self.reject(symbol, "bad_mark")
            return None
        return price

    def _rate(self, symbol: str, value: Any) -> Any:
        """A fraction, with its sign; None where it is not said, None and a count where it cannot be."""
        try:
            rate = self._number(value)
        except (ValueError, ArithmeticError):
            rate = INFINITY
        if rate is None or -LARGEST_RATE < rate < LARGEST_RATE:
            return rate
        self.reject(symbol, "bad_funding")
        return None

    def _next_us(self, symbol: str, value: Any, now_us: int) -> int | None:
        if _is_not_said(value):
            return None
        next_us = moment_us(value)
        if next_us is None or (now_us >= FIRST_US and not now_us < next_us < now_us + FAR_US):
            self.reject(symbol, "bad_next")
            return None
        return next_us

    def _interval_s(self, symbol: str, value: Any, unit_s: float) -> int | None:
        if _is_not_said(value):
            return None
        try:
            seconds = float(self._number(value) or 0.0) * unit_s
        except (ValueError, ArithmeticError):
            seconds = 0.0
        if not SHORTEST_INTERVAL_S <= seconds <= LONGEST_INTERVAL_S:
            self.reject(symbol, "bad_interval")
            return None
        return round(seconds)


def is_said(row: dict[str, Any], fields: Iterable[str]) -> bool:
    """Whether a row says any of these."""
    return any(row.get(name) not in (None, "") for name in fields)


def _is_product(size: ContractSize, factors: Iterable[Any]) -> bool:
    """Whether these numbers, as they came, make a contract size."""
    try:
        product = prod(float(str(factor)) for factor in factors)
    except ValueError:
        return False
    return isclose(product, size, rel_tol=1e-9)


def _is_not_said(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float | Decimal) and value in NOT_SAID)

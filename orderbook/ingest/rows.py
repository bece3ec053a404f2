"""Rows of `marketdata` made of events, in columns; what no row can be made of is set aside by its kind.

One event makes the same row whenever and wherever it is written.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import isfinite
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from markets.events import BookUpdate, Quote, Trade
from orderbook.ingest.binary import EPOCH_US, Column, Nullable, Values, float8_array
from orderbook.ingest.digests import UNSAID, digests, text_digests
from orderbook.ingest.events import StoreEvent, Top5
from orderbook.store.tables import BOOK_TICKER, DEPTH_EVENTS, ORDERBOOK_TOP5, TRADES, RawTable

Key = tuple[str, str]  # exchange, symbol

LATEST_US: Final = 4_102_444_800_000_000
"""The year 2100. A wall clock beyond it, or before 2000, is wrong, and would make a partition there."""

_JSONB_VERSION: Final = b"\x01"


class Rows(Struct):
    """Rows of one table: whose they are, when they were received, and their columns in the table's order
    after the symbol's id.
    """

    table: RawTable
    keys: list[Key]
    received_us: NDArray[np.int64]
    columns: list[Column]


class BadRow(ValueError):
    """An event of which no row can be made; its argument is the kind of what is wrong."""


def rows_of(events: Iterable[StoreEvent]) -> list[Rows]:
    """Rows of events, by table.

    Raises BadRow, TypeError or OverflowError when there is an event of which no row can be made.
    """
    alike: dict[type, list[Any]] = {}
    for event in events:
        alike.setdefault(type(event), []).append(event)
    return [_rows(*_TABLES[kind], said) for kind, said in alike.items()]


def good(events: Sequence[StoreEvent], set_aside: Counter[str]) -> list[StoreEvent]:
    """The events of which rows can be made; the others are counted by what is wrong with them."""
    kept = []
    for event in events:
        if why := _problem(event):
            set_aside[why] += 1
        else:
            kept.append(event)
    return kept


def _problem(event: StoreEvent) -> str:
    try:
        rows_of([event])
    except BadRow as bad:
        return str(bad)
    except OverflowError:
        return "too large"
    except (TypeError, ValueError, AttributeError):
        return "wrong type"
    return ""


Said = Callable[[Sequence[Any]], tuple[list[Column], list[NDArray[Any]]]]
"""Columns of a kind of event after its exchange's time, and what of them goes into the digest."""


def _rows(table: RawTable, said: Said, events: Sequence[Any]) -> Rows:
    keys = [(event.exchange, event.symbol) for event in events]
    for name in chain.from_iterable(set(keys)):
        _text(name)
    received_us = np.array([event.received_ts_us for event in events], np.int64)
    if received_us.min() < EPOCH_US or received_us.max() > LATEST_US:
        raise BadRow("time")
    exchange_us = _nullable(events, "exchange_ts_us")
    columns, digested = said(events)
    digest = digests([exchange_us.values, *digested])
    return Rows(table, keys, received_us, [received_us - EPOCH_US, digest, exchange_us, *columns])


def _quotes(events: Sequence[Quote]) -> tuple[list[Column], list[NDArray[Any]]]:
    columns = [_numbers(events, name) for name in BOOK_TICKER.columns]
    return [*columns], columns


def _trades(events: Sequence[Trade]) -> tuple[list[Column], list[NDArray[Any]]]:
    price, size = _numbers(events, "price"), _numbers(events, "size")
    side, trade_id = (_texts(getattr(each, name) for each in events) for name in ("side", "trade_id"))
    is_history = np.array([each.is_history for each in events], np.bool_)
    digested = [price, size, text_digests(side), text_digests(trade_id), is_history.astype(np.int64)]
    return [price, size, side, trade_id, is_history], digested


def _depth(events: Sequence[BookUpdate]) -> tuple[list[Column], list[NDArray[Any]]]:
    kinds, bodies = _texts(event.kind for event in events), [_body(event) for event in events]
    first, last = _nullable(events, "first_seq"), _nullable(events, "last_seq")
    digested = [first.values, last.values, text_digests(kinds), text_digests(bodies)]
    return [kinds, first, last, [_JSONB_VERSION + body for body in bodies]], digested


def _body(event: BookUpdate) -> bytes:
    """Levels as [price, size], and of ids and checksum what the exchange said."""
    if not all(map(isfinite, chain.from_iterable(chain(event.bids, event.asks)))):
        raise BadRow("not a number")
    also = {"prev_seq": event.prev_seq, "checksum": event.checksum}
    known = {name: value for name, value in also.items() if value is not None}
    return msgspec.json.encode({"bids": event.bids, "asks": event.asks, **known})


def _top5(events: Sequence[Top5]) -> tuple[list[Column], list[NDArray[Any]]]:
    sides = [[float8_array(getattr(event, name)) for event in events] for name in ORDERBOOK_TOP5.columns]
    if not all(isfinite(x) for e in events for x in chain(e.bids, e.bid_sizes, e.asks, e.ask_sizes)):
        raise BadRow("not a number")
    return [list(side) for side in sides], [text_digests(side) for side in sides]


_TABLES: Final[dict[type, tuple[RawTable, Said]]] = {
    Quote: (BOOK_TICKER, _quotes),
    Trade: (TRADES, _trades),
    BookUpdate: (DEPTH_EVENTS, _depth),
    Top5: (ORDERBOOK_TOP5, _top5),
}


def _numbers(events: Sequence[Any], name: str) -> NDArray[np.float64]:
    numbers = np.array(list(map(attrgetter(name), events)), np.float64)
    if not np.isfinite(numbers).all():
        raise BadRow("not a number")
    return numbers


def _nullable(events: Sequence[Any], name: str) -> Nullable:
    said = list(map(attrgetter(name), events))
    values = np.array([UNSAID if value is None else value for value in said], np.int64)
    return Nullable(values, values != UNSAID)


def _texts(texts: Iterable[str | None]) -> Values:
    return [None if text is None else _text(text) for text in texts]


def _text(text: str) -> bytes:
    """A text as PostgreSQL has it. Raises BadRow for what it refuses."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise BadRow("text") from None
    if 0 in encoded:
        raise BadRow("text")
    return encoded

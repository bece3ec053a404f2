"""Order books out of frames and answers: what all codecs have in common. Pure.

Levels come as arrays that begin with price and size, or as objects; what else is in them is passed over.
Sizes in contracts become coins here and nowhere later. Of an update with a level that cannot be nothing is
emitted: a book could not know what else has changed.
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from collectors.exchanges.order import update_id
from collectors.exchanges.reading import INFINITY
from collectors.exchanges.wire import ContractSize, Positive, RestingContracts, RestingSize
from markets.events import BookKind, BookUpdate, Level

if TYPE_CHECKING:
    from collectors.exchanges.base import Codec

ANONYMOUS: Final = ""
"""The native id of an answer of which it is not known what was asked for; its symbol is empty too."""

_NAMES: Final = (("p", "s"), ("p", "v"), ("price", "quantity"))
"""Where levels are objects: of Gate, of BingX (contracts of swaps margined in their coin), of MEXC."""

_EXACT: Final = Context(prec=120)

BAD_LEVELS: Final = (msgspec.ValidationError, ValueError, ArithmeticError, TypeError, LookupError)


class _Level(Struct, array_like=True, gc=False):
    price: Positive
    size: RestingSize


class _ContractLevel(Struct, array_like=True, gc=False):
    price: Positive
    size: RestingContracts


def book_update(  # noqa: PLR0917
    codec: "Codec",
    kind: BookKind,
    native_id: Any,
    bids: Any,
    asks: Any,
    time: Any,
    received_ts_us: int,
    received_mono_ns: int,
    *,
    first: Any = None,
    last: Any = None,
    prev: Any = None,
    checksum: Any = None,
) -> tuple[BookUpdate, ...]:
    """One checked update, or nothing and a count; on a connection a "gap" instead of one that cannot be read.

    Everything is as it came; a side that is absent has not changed, or is empty in a snapshot, but not both.
    """
    symbol = codec.symbols.get(native_id) if isinstance(native_id, str) and native_id else None
    if native_id == ANONYMOUS:
        symbol = ""
    if symbol is None:
        return codec.skip("unknown_symbol")
    size = None
    if codec.sheet.sized_in == "contract":
        if native_id not in codec.contract_sizes:
            return _lost(codec, symbol, "no_contract_size", received_ts_us, received_mono_ns)
        size = codec.contract_sizes[native_id]
    try:
        if bids is None and asks is None:
            raise ValueError("no book")
        bid_levels, ask_levels = (_levels(codec.exact, rows, size) for rows in (bids, asks))
        signed = checksum if isinstance(checksum, int) else None
        texts = (_texts(bids), _texts(asks)) if signed else None
    except BAD_LEVELS:
        return _lost(codec, symbol, "malformed", received_ts_us, received_mono_ns)
    time_us = codec.believed(time, received_ts_us, received_mono_ns)
    codec.count_time(time, time_us)
    return (
        BookUpdate(
            codec.sheet.key, symbol, kind, bid_levels, ask_levels, _id(first), _id(last), _id(prev), signed,
            texts, time_us, received_ts_us, received_mono_ns,
        ),
    )  # fmt: skip


def _lost(
    codec: "Codec", symbol: str, why: str, received_ts_us: int, received_mono_ns: int
) -> tuple[BookUpdate, ...]:
    codec.reject(symbol, why)
    if codec.order is None:
        return ()
    return (
        BookUpdate(
            codec.sheet.key, symbol, "gap", [], [], received_ts_us=received_ts_us,
            received_mono_ns=received_mono_ns,
        ),
    )  # fmt: skip


def _levels(exact: bool, rows: Any, size: ContractSize | None) -> list[Level]:
    if not rows and (rows is None or isinstance(rows, list)):
        return []
    rows = [_row(row) if isinstance(row, dict) else row for row in rows]
    if exact:
        return [_exact(row, size) for row in rows]
    if size is None:
        return [(level.price, level.size) for level in msgspec.convert(rows, list[_Level], strict=False)]
    contracts = msgspec.convert(rows, list[_ContractLevel], strict=False)
    return [(level.price, level.size * size) for level in contracts]


def _row(row: dict[str, Any]) -> Sequence[Any]:
    price, size = next(names for names in (*_NAMES, ("", "")) if row.keys() >= {*names} or not names[0])
    return row[price], row[size]


def _exact(row: Sequence[Any], size: Any) -> Any:
    price, resting = (_decimal(value) for value in row[:2])
    if not (price > 0 and resting >= 0 and float(price) < INFINITY and float(resting) < INFINITY):
        raise ValueError("no level")
    if size is None:
        return price, resting
    return price, _EXACT.multiply(resting, Decimal(repr(size) if isinstance(size, float) else size))


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or (isinstance(value, str) and (not value.isascii() or "_" in value)):
        raise ValueError("no number")
    return Decimal(value)


def _texts(rows: Any) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in rows or ()]


def _id(value: Any) -> int | None:
    """An update id; -1 stands for none before, and is kept."""
    if isinstance(value, int) and not isinstance(value, bool) and value < 1:
        return value
    return update_id(value) or None

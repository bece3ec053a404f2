"""The predecessor's files: which there are, what they say, and their rows as our tables have them.

    exchange=<E>/symbol=<S>/date=YYYY-MM-DD/hour=HH/spreads-*.parquet  Timestamp, BestBid, BestAsk, …
                                                    trades-*.parquet   Timestamp, Price, Quantity, Side

A row of `spreads` is the best bid and ask of one exchange: a quote whose sizes nobody wrote down. It
goes to `quotes` with sizes null. `SpreadPercentage` follows from the two prices; `MinVolume` and
`MaxVolume` are a setting of the predecessor, no observation. None of them is kept. The one timestamp
there is becomes `received_ts_us`.
"""

import os
import re
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from core.names.symbols import folded
from history.lake.parquet import file_schema

TABLES: Final = {"spreads": "quotes", "trades": "trades"}

_LAYOUT: Final = re.compile(
    r"exchange=(?P<exchange>[^/]+)/symbol=(?P<symbol>[^/]+)/(?P<hour>date=\d{4}-\d\d-\d\d/hour=\d\d?)"
    r"/(?P<kind>spreads|trades)-[^/]*\.parquet$"
)
_NUMBERS: Final = {
    "quotes": {"bid": "BestBid", "ask": "BestAsk"},
    "trades": {"price": "Price", "size": "Quantity"},
}
_SIDES: Final = {"BUY": "buy", "0": "buy", "SELL": "sell", "1": "sell"}
_FIRST_US: Final = 1_230_768_000_000_000  # 2009: there was nothing to trade before
_DAY_US: Final = 86_400_000_000


class OldFileError(Exception):
    """A file that cannot be imported; the message says what is wrong with it."""


class OldFile(Struct, frozen=True):
    """A file in the predecessor's layout; `name` is its place in that layout, wherever the folder lies."""

    path: Path
    name: str
    exchange: str
    symbol: str
    hour: str
    table: str


class Content(Struct):
    """Content of a file: rows as the table's files have them, and how many of its rows make no sense."""

    rows: pa.Table
    left_out: int


def find(folder: Path) -> tuple[list[OldFile], list[Path]]:
    """The predecessor's files below a folder, hour by hour, and the Parquet files that are none of them.

    The folder may itself be one of the layout. Raises OSError for a folder that cannot be read.
    """
    files, others = [], []
    for path in _parquet_below(folder.resolve(strict=True)):
        found = _LAYOUT.search(path.as_posix())
        if found is None:
            others.append(path)
            continue
        exchange, symbol = unquote(found["exchange"]), unquote(found["symbol"])
        files.append(OldFile(path, found[0], exchange, symbol, found["hour"], TABLES[found["kind"]]))
    return sorted(files, key=lambda file: (file.hour, file.name)), sorted(others)


def _parquet_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(parent) / name for name in names if name.endswith(".parquet"))


def load(file: OldFile) -> bytes:
    """Load all of a file. Raises OldFileError."""
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise OldFileError(f"unreadable: {error.strerror}") from error


def fingerprint(content: bytes) -> int:
    """A number of 63 bits that another content does not have."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big") >> 1


def parse(file: OldFile, content: bytes, exchange: str, symbol: str) -> Content:
    """The rows of a file under our names of its exchange and symbol. Raises OldFileError."""
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        _check(file, parquet.schema_arrow)
        old = parquet.read(columns=[*_columns(file.table), *_names_inside(parquet.schema_arrow)])
    except (pa.ArrowException, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OldFileError(f"unreadable or truncated: {reason}") from error
    _check_names(file, old)
    rows = _converted(old, file.table, exchange, symbol)
    return Content(rows, len(old) - len(rows))


def _columns(table: str) -> list[str]:
    return ["Timestamp", *_NUMBERS[table].values(), *(["Side"] if table == "trades" else [])]


def _names_inside(schema: pa.Schema) -> list[str]:
    return [name for name in ("Exchange", "Symbol") if name in schema.names]


def _check(file: OldFile, schema: pa.Schema) -> None:
    """Refuse columns that are missing or are not what they are called."""
    if missing := [name for name in _columns(file.table) if name not in schema.names]:
        raise OldFileError(f"no column {', '.join(missing)}; it has {', '.join(schema.names)}")
    kinds = {"Timestamp": pa.types.is_timestamp} | dict.fromkeys(_NUMBERS[file.table].values(), _is_number)
    for name, fits in kinds.items():
        if not fits(schema.field(name).type):
            raise OldFileError(f"column {name} is of type {schema.field(name).type}")


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _check_names(file: OldFile, rows: pa.Table) -> None:
    """The columns must name what the folders name: a file may have got into the wrong one."""
    for column, expected in (("Exchange", file.exchange), ("Symbol", file.symbol)):
        if column not in rows.column_names:
            continue
        inside = [str(name) for name in pc.unique(rows[column]).to_pylist()]
        if wrong := [name for name in inside if letters(name) != letters(expected)]:
            raise OldFileError(f"its column {column} says {', '.join(wrong[:3])}, its folder {expected}")


def letters(name: str) -> str:
    """A name without what people write differently: `Gate.io`, `gateIo` -> `GATEIO`."""
    return "".join(letter for letter in folded(name).upper() if letter.isalnum())


def _converted(old: pa.Table, table: str, exchange: str, symbol: str) -> pa.Table:
    values = {ours: _float(old[theirs]) for ours, theirs in _NUMBERS[table].items()}
    values["received_ts_us"] = _micros(old["Timestamp"])
    if table == "trades":
        values["side"] = _side(old["Side"])
    schema, count = file_schema(table), len(old)
    names = {"exchange": exchange, "symbol": symbol}
    columns = [
        pa.repeat(names[field.name], count)
        if field.name in names
        else values[field.name].cast(field.type)
        if field.name in values
        else pa.nulls(count, field.type)
        for field in schema
    ]
    keep = pc.fill_null(_sensible(values, table), False)
    bare = pa.schema([field.with_nullable(True) for field in schema])
    return pa.table(columns, schema=bare).filter(keep).cast(schema)


def _float(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The nearest float64. By way of text: Arrow's own cast of a decimal is off by a bit in one of five."""
    return column.cast(pa.string()).cast(pa.float64())


def _micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """µs since the epoch; a time without a zone is UTC."""
    return column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())


def _side(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """buy or sell; null for any other word."""
    words = pc.utf8_upper(column.cast(pa.string()))
    found = pc.index_in(words, pa.array(list(_SIDES)))
    return pa.chunked_array([pa.array(list(_SIDES.values()))]).take(found)


def _sensible(values: dict[str, pa.ChunkedArray], table: str) -> pa.ChunkedArray:
    """Mask of the plausible rows: a time we know, 0 < bid <= ask, 0 < price, 0 < size."""
    when = values["received_ts_us"]
    until_us = time.time_ns() // 1000 + _DAY_US
    known = pc.and_(pc.greater_equal(when, _FIRST_US), pc.less(when, until_us))
    low, high = (values[name] for name in _NUMBERS[table])
    finite = pc.and_(pc.is_finite(low), pc.is_finite(high))
    related = pc.less_equal(low, high) if table == "quotes" else pc.greater(high, 0)
    return pc.and_(pc.and_(known, finite), pc.and_(pc.greater(low, 0), related))

"""Rows in PostgreSQL's binary COPY format, made a column at a time.

psycopg encodes a value at a time, which takes longer than PostgreSQL takes to store it. Here neighbours of
fixed width become one array of bytes for all rows; only texts, arrays and JSON are encoded one by one.
"""

import struct
from collections.abc import Sequence
from itertools import compress, groupby
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL counts the µs of a timestamptz from the year 2000."""

_FIXED: Final = {"int32": ">i4", "int64": ">i8", "float64": ">f8", "bool": "?"}
_LENGTH: Final = struct.Struct(">i")
_NULL: Final = _LENGTH.pack(-1)
_FLOAT8: Final = 701
_ARRAY: Final = struct.Struct(">iiIii")  # dimensions, nulls, type of elements, length, first index


class Nullable(Struct, frozen=True):
    """Numbers, of which only those are said that are `known`."""

    values: NDArray[Any]
    known: NDArray[np.bool_]


Values = list[bytes | None]
Column = NDArray[Any] | Nullable | Values
"""Numbers of a type of `_FIXED`, or values in PostgreSQL's binary form; None is null."""


def copied(columns: Sequence[Column]) -> bytes:
    """The rows of these columns, as COPY reads them; their order may be another one."""
    return b"".join((SIGNATURE, _rows(columns), TRAILER))


def float8_array(values: Sequence[float]) -> bytes:
    """Binary form of an array of double precision."""
    if not values:
        return struct.pack(">iiI", 0, 0, _FLOAT8)
    numbers = struct.pack(">" + "id" * len(values), *(part for value in values for part in (8, value)))
    return _ARRAY.pack(1, 0, _FLOAT8, len(values), 1) + numbers


def taken(column: Column, rows: NDArray[np.bool_]) -> Column:
    """Some rows of a column."""
    if isinstance(column, Nullable):
        return Nullable(column.values[rows], column.known[rows])
    return column[rows] if isinstance(column, np.ndarray) else list(compress(column, rows))


def _rows(columns: Sequence[Column]) -> bytes:
    for column in columns:
        if isinstance(column, Nullable) and 0 < (known := column.known).sum() < len(known):
            return b"".join(_rows([taken(each, part) for each in columns]) for part in (known, ~known))
    runs = [(fixed, list(run)) for fixed, run in groupby(columns, lambda each: not isinstance(each, list))]
    if len(runs) == 1 and runs[0][0]:
        return _fixed(runs[0][1], len(columns)).tobytes()
    parts: list[Sequence[bytes]] = []
    for number, (fixed, run) in enumerate(runs):
        if fixed:
            rows = _fixed(run, 0 if number else len(columns))
            raw, width = rows.tobytes(), rows.itemsize
            parts.append([raw[at : at + width] for at in range(0, len(raw), width)])
        else:
            parts += [_framed(column) for column in run if isinstance(column, list)]
    return b"".join([part for row in zip(*parts, strict=True) for part in row])


def _fixed(run: Sequence[Any], fields: int) -> NDArray[Any]:
    """Neighbours of fixed width as records, the first with how many fields a row has."""
    layout: list[tuple[str, str]] = [("fields", ">i2")] if fields else []
    for number, column in enumerate(run):
        layout.append((f"length{number}", ">i4"))
        if not _is_null(column):
            layout.append((f"value{number}", _FIXED[_numbers(column).dtype.name]))
    rows = np.empty(len(_numbers(run[0])), layout)
    if fields:
        rows["fields"] = fields
    for number, column in enumerate(run):
        if _is_null(column):
            rows[f"length{number}"] = -1
        else:
            values = _numbers(column)
            rows[f"length{number}"] = values.dtype.itemsize
            rows[f"value{number}"] = values
    return rows


def _numbers(column: "NDArray[Any] | Nullable") -> NDArray[Any]:
    return column.values if isinstance(column, Nullable) else column


def _is_null(column: "NDArray[Any] | Nullable") -> bool:
    return isinstance(column, Nullable) and not column.known.any()


def _framed(column: Values) -> list[bytes]:
    pack = _LENGTH.pack
    return [_NULL if value is None else pack(len(value)) + value for value in column]

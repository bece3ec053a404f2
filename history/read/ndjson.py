"""Rows as NDJSON: times in seconds, one object per line, null in gaps."""

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Final

import msgspec
import polars as pl

from history.read.reader import LakeReader

ROWS_A_PIECE: Final = 10_000
"""Rows encoded at once: a megabyte, a few milliseconds."""

FIRST_PIECE: Final = 500
"""The first piece is small, so that there is something to draw at once."""

Lines = Mapping[str, pl.Expr]
"""What a line says: its keys in order, and where the values come from."""


def _seconds(column: str) -> pl.Expr:
    return pl.col(column) / 1e6


# As on the WebSocket: spreads and bands exact, nobody reads a millionth of a basis point.
POINTS: Final[Lines] = {
    "timestamp": _seconds("ts_us"),
    "spread": pl.col("spread"),
    "upperBand": pl.col("upper"),
    "lowerBand": pl.col("lower"),
    "edge12": pl.col("edge12").round(6),
    "edge21": pl.col("edge21").round(6),
}
TRADES: Final[Lines] = {
    "timestamp": _seconds("received_ts_us"),
    "price": pl.col("price"),
    "size": pl.col("size"),
    "side": pl.col("side"),
}
STATES: Final[Lines] = {
    "timestamp": _seconds("received_ts_us"),
    "since": _seconds("since_us"),
    "exchange": pl.col("exchange"),
    "state": pl.col("state"),
    "reason": pl.col("reason"),
    "dropped": pl.col("dropped"),
}
OPPORTUNITIES: Final[Lines] = {
    "timestamp": _seconds("ts_us"),
    "event": pl.col("event"),
    "filter": pl.col("filter_id"),
    "buy_on": pl.col("buy_on"),
    "sell_on": pl.col("sell_on"),
    "spread": pl.col("spread"),
    "edge12": pl.col("edge12").round(6),
    "edge21": pl.col("edge21").round(6),
}
FUNDING: Final[Lines] = {
    "timestamp": _seconds("received_ts_us"),
    "rate": pl.col("rate"),
    "rate_of": pl.col("rate_of"),
    "per_8h": pl.col("per_8h"),
    "next": _seconds("next_ts_us"),
    "interval_s": pl.col("interval_s"),
    "interval_from": pl.col("interval_from"),
    "settled_rate": pl.col("settled_rate"),
    "settled": _seconds("settled_ts_us"),
    "cap": pl.col("cap"),
    "floor": pl.col("floor"),
}
FUNDING_SPREAD: Final[Lines] = {
    "timestamp": _seconds("ts_us"),
    "per_8h1": pl.col("per_8h1"),
    "per_8h2": pl.col("per_8h2"),
    "spread": pl.col("spread"),
}
MARKS: Final[Lines] = {
    "timestamp": _seconds("received_ts_us"),
    "mark": pl.col("mark"),
    "index": pl.col("index"),
    "mark_index_pct": pl.col("mark_index_pct").round(6) + 0.0,  # never -0
}
SETTLEMENTS: Final[Lines] = {
    "timestamp": _seconds("settled_ts_us"),
    "rate": pl.col("rate"),
    "published": pl.col("published"),
}


def encoded(frames: Iterable[pl.DataFrame], lines: Lines) -> Iterator[bytes]:
    """The rows of the frames as NDJSON, piece by piece."""
    size = FIRST_PIECE
    for frame in frames:
        shown = frame.select(**lines)
        at = 0
        while at < len(shown):
            yield ndjson(shown.slice(at, size))
            at, size = at + size, ROWS_A_PIECE


def warned(pieces: Iterable[bytes], reader: LakeReader) -> Iterator[bytes]:
    """The pieces, and then a line per file that had to be left out: `{"warning": "…"}`."""
    yield from pieces
    for words in reader.left_out_words():
        yield msgspec.json.encode({"warning": f"left out, because it is damaged: {words}"}) + b"\n"


def ndjson(frame: pl.DataFrame) -> bytes:
    """A frame as NDJSON."""
    lines = BytesIO()
    frame.write_ndjson(lines)
    return lines.getvalue()

"""Messages between collector and web process (msgpack), and to the browser (JSON).

The browser side is the contract of docs/messages.md.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Raw, Struct

from core.web.acks import Ack
from core.web.closing import close_reason
from engine.charts.points import POINT_COLUMNS, ChartDelta, ChartState, Points

GROUP: Final = "spreads"
"""The one Channels group that carries batches."""

MAX_CHARTS: Final = 500


# --- collector -> web process -------------------------------------------------------------------


class PackedChart(Struct, array_like=True):
    """A `ChartDelta` whose points are raw float64 rows."""

    id: str
    symbol: str
    exchange1: str
    exchange2: str
    state: ChartState
    reason: str
    points: bytes
    quoted1_us: int = 0
    quoted2_us: int = 0


class Batch(Struct, array_like=True):
    """One flush of one collector shard; without charts it is a heartbeat.

    `flush_ts_us` rises strictly within a shard. `previous_ts_us` is the flush before (0: this
    process has not flushed before), so that who receives it knows when one is missing.
    """

    shard: str
    flush_ts_us: int
    previous_ts_us: int
    charts: list[PackedChart]


_batch_decoder = msgspec.msgpack.Decoder(Batch)
encode_batch = msgspec.msgpack.Encoder().encode


def decode_batch(data: bytes) -> Batch:
    """Read one batch; raises msgspec.DecodeError when it is not one."""
    return _batch_decoder.decode(data)


def pack(delta: ChartDelta) -> PackedChart:
    """Make a delta ready for the wire between processes."""
    return PackedChart(
        delta.id,
        delta.symbol,
        delta.exchange1,
        delta.exchange2,
        delta.state,
        delta.reason,
        np.ascontiguousarray(delta.points, dtype=np.float64).tobytes(),
        delta.quoted1_us,
        delta.quoted2_us,
    )


def unpack(chart: PackedChart) -> "ChartMessage":
    """The delta back from the wire between processes."""
    points = np.frombuffer(chart.points).reshape(-1, len(POINT_COLUMNS))
    return ChartMessage(
        chart.id, chart.symbol, chart.exchange1, chart.exchange2, chart.state, chart.reason, points,
        chart.quoted1_us, chart.quoted2_us,
    )  # fmt: skip


# --- server -> browser --------------------------------------------------------------------------


class ChartMessage(ChartDelta):
    """A delta that keeps its JSON, so that a thousand sockets cost one encoding."""

    encoded: bytes = b""


class Chart(Struct):
    """One chart of a `snapshot` or `delta`; the field names are the contract's."""

    id: str
    symbol: str
    exchange1: str
    exchange2: str
    state: ChartState
    reason: str
    timestamps: list[float]
    spreads: list[float]
    upperBand: list[float]
    lowerBand: list[float]
    edge12: list[float]
    edge21: list[float]
    size12: list[float]
    size21: list[float]
    age1: list[float]
    age2: list[float]
    quoted1: float | None = None
    quoted2: float | None = None
    ahead: float = 0.0


class Update(Struct):
    """A `snapshot` or a `delta`."""

    type: Literal["snapshot", "delta"]
    seq: int
    time: float  # when it was made, seconds by the server's clock
    until: float  # and up to when every live collector had been received; 0: none was
    removed: list[str]
    charts: list[Raw]


class Error(Struct, tag="error"):
    """Understood, but not possible; the socket stays open."""

    code: str
    message: str


_json = msgspec.json.Encoder()

# Spreads and bands travel exact; nobody reads a millionth of a basis point or of a cent.
_DECIMALS: Final = {"edge12": 6, "edge21": 6, "size12": 4, "size21": 4, "age1_ms": 3, "age2_ms": 3}
_AGE1: Final = POINT_COLUMNS.index("age1_ms")
_ROUNDED: Final = slice(POINT_COLUMNS.index("edge12"), None)
_SCALES: Final = np.array([10.0 ** _DECIMALS[name] for name in POINT_COLUMNS[_ROUNDED]])


def chart(delta: ChartDelta) -> Chart:
    """One chart as the browser sees it: columns as lists, seconds, and null (NaN) in gaps."""
    points = delta.points.copy()
    points[:, 0] /= 1e6
    points[:, _ROUNDED] = np.rint(points[:, _ROUNDED] * _SCALES) / _SCALES
    lists = points.T.tolist()
    made = Chart(delta.id, delta.symbol, delta.exchange1, delta.exchange2, delta.state, delta.reason, *lists)
    made.quoted1 = _quoted(delta.quoted1_us, points, _AGE1)
    made.quoted2 = _quoted(delta.quoted2_us, points, _AGE1 + 1)
    made.ahead = delta.ahead_s
    return made


def _quoted(at_us: int, points: Points, age: int) -> float | None:
    """Time when a leg last quoted, seconds; as the newest point has it where nothing else is known."""
    if at_us:
        return at_us / 1e6
    valued = np.flatnonzero(points[:, 1] == points[:, 1])
    return float(points[valued[-1], 0] - points[valued[-1], age] / 1e3) if len(valued) else None


def chart_json(delta: ChartDelta) -> bytes:
    """`chart` as JSON."""
    if not isinstance(delta, ChartMessage):
        return _json.encode(chart(delta))
    if not delta.encoded:
        delta.encoded = _json.encode(chart(delta))
    return delta.encoded


def update_json(
    type: Literal["snapshot", "delta"],
    seq: int,
    charts: Sequence[ChartDelta],
    removed: list[str],
    until_s: float,
) -> bytes:
    """A whole `snapshot` or `delta` message, made now; `until_s` as of `Update.until`."""
    now_s, until_s = round(time.time_ns() / 1e9, 3), round(until_s, 3)
    return _json.encode(Update(type, seq, now_s, until_s, removed, [Raw(chart_json(c)) for c in charts]))


def error_json(code: str, message: str) -> bytes:
    """A whole `error` message."""
    return _json.encode(Error(code, message))


# --- browser -> server --------------------------------------------------------------------------

ChartIds = Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=MAX_CHARTS)]


class Subscribe(Struct, tag="subscribe", forbid_unknown_fields=True):
    """Watch a filter's charts instead of the present ones, or these charts too: one of the two."""

    filter: int | None = None
    charts: ChartIds | None = None

    def __post_init__(self) -> None:
        if (self.filter is None) == (self.charts is None):
            raise ValueError("subscribe takes either `filter` or `charts`")


class Unsubscribe(Struct, tag="unsubscribe", forbid_unknown_fields=True):
    """Stop watching these charts."""

    charts: ChartIds


ClientMessage = Ack | Subscribe | Unsubscribe
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def decode_client_message(text: str) -> ClientMessage:
    """Read what a browser sent.

    Raises ValueError whose text says what is wrong and fits a close frame's reason.
    """
    try:
        return _client_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
        raise ValueError(close_reason(f"{problem}; see docs/messages.md")) from problem

"""Reports of collectors about their data, exchange by exchange and symbol by symbol, through Redis.

| where | what |
|---|---|
| `quality:shards` | hash shard -> µs of its newest report, so that nobody scans the keyspace |
| `quality:{shard}` | a `ShardReport`, every 2 s; gone 4 s later: what a silent collector said is over |
| `quality:names:{digest}` | which instruments the rows are of, in their order; written where it changes |
| `quality:minute:{shard}:{minute}` | what every instrument did in that minute, `MINUTE_ROW`s; kept an hour |

The meaning of every number is in docs/quality.md. Nothing here is configuration.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from monitoring.quality.latency import Latency

SHARDS: Final = "quality:shards"
EVERY_S: Final = 2.0
EXPIRY_S: Final = 4
HOUR_MINUTES: Final = 60
NAMES_EXPIRY_S: Final = 2 * 3600
MINUTE_EXPIRY_S: Final = (HOUR_MINUTES + 2) * 60
DIGEST_BYTES: Final = 8

SymbolState = Literal["live", "quiet", "suspect", "stale", "down"]
SYMBOL_STATES: Final[tuple[SymbolState, ...]] = ("live", "quiet", "suspect", "stale", "down")
LIVE, QUIET, SUSPECT, STALE, DOWN = range(len(SYMBOL_STATES))

Rows = NDArray[np.void]
"""Records of `SYMBOL_ROW` or `MINUTE_ROW`; `rows["state"]` is a column."""

SYMBOL_ROW: Final = np.dtype(
    [
        ("state", "u1"),  # index into SYMBOL_STATES
        ("up", "?"),  # its subscription is confirmed and its connection lives
        ("since_us", "<i8"),  # when it came into that state, wall clock
        ("age_ms", "<f4"),  # of its last quote; NaN: none yet
        ("gap_ms", "<f4"),  # its usual time between two quotes; NaN: not known yet
        ("spread_bps", "<f4"),  # ask over bid, of a quote of the last seconds it quoted; NaN: none
        ("quotes_per_min", "<f4"),  # over the last minute
        ("trades_per_min", "<f4"),
        ("updates_per_hour", "<f4"),  # quotes over the last hour, or as much of it as was seen
        ("crossed_per_min", "<f4"),  # quotes refused: bid above ask
        ("zero_per_min", "<f4"),  # quotes and trades refused: zero, negative or not finite
        ("refused_per_min", "<f4"),  # frames refused for any other reason: a side is gone, late, out of order
        ("gaps_per_hour", "<f4"),  # interruptions of its stream
    ]
)

NO_SPREAD: Final = 65_535

MINUTE_ROW: Final = np.dtype(
    [
        ("quotes", "<u2"),
        ("spread", "<u2"),  # of one of the last quotes, tenths of a bps, or NO_SPREAD
        ("longest_gap", "<u2"),  # between two quotes, or since the last one; tenths of a second
        ("rejected", "u1"),  # at most 255
    ]
)


class ExchangeQuality(Struct, frozen=True):
    """One exchange, over all collectors that serve it. Rates are of the last minute.

    `state` is that of its connections, the worst there is: `down`, `breaker open`, `connecting`, `live`
    or `idle` (nothing of it is wanted). `heard_ms` shows whether connections live, `age_ms` whether the
    market moves. `clock_offset_ms` is by how much the exchange's clock is ahead of ours, less the
    quickest way here: below zero by some ms where both are right.
    """

    exchange: str
    state: str
    since_us: int  # when it came into that state, wall clock
    reason: str = ""  # why it is not live, in the connection's words
    connections: int = 0
    topics: int = 0
    refused: int = 0  # topics the exchange does not take
    symbols: dict[SymbolState, int] = field(default_factory=dict)  # how many in each state, all five
    heard_ms: float | None = None  # since the last frame of any kind, heartbeats included; None: none yet
    age_ms: float | None = None  # since the last quote or trade; None: none yet
    quote_age_ms: float | None = None  # since the last quote that could be used; None: none yet
    unusable: int = 0  # symbols whose last quote was ended by something that could not be used
    unusable_reason: str = ""  # why, of the newest
    excused_ms: float | None = None  # since the collector caught up after it stood still; None: it never did
    quotes_per_min: float = 0.0
    trades_per_min: float = 0.0
    updates_per_hour: float = 0.0  # quotes over the last hour, or as much of it as was seen
    latency: Latency | None = None  # of the last minute; None: nothing with a time of the exchange's own
    clock_offset_ms: float | None = None  # of the last seconds
    reconnects_per_min: float = 0.0  # connections lost, and attempts that failed
    malformed_per_min: float = 0.0  # frames that are not what the exchange documents
    unknown_per_min: float = 0.0  # frames of kinds or symbols nobody asked for
    crossed_per_min: float = 0.0  # quotes refused: bid above ask
    zero_per_min: float = 0.0  # quotes and trades refused: zero, negative or not finite
    empty_per_min: float = 0.0  # quotes without a side; they and those below are in no finding of their own
    late_per_min: float = 0.0  # quotes later than usual: made older, or refused
    out_of_order_per_min: float = 0.0  # quotes refused: older than one that came before
    bad_times_per_min: float = 0.0  # times that are none, or far from ours; the quotes are kept
    bad_terms_per_min: float = 0.0  # mark prices and funding that cannot be: unknown
    gaps_per_min: float = 0.0  # interruptions published to the sinks
    latencies: bytes = b""  # int32 counts per bucket of monitoring.quality.latency, to add up over shards

    @property
    def bad_frames_per_min(self) -> float:
        """Number of frames an exchange sent that are not what it documents."""
        unusable = self.crossed_per_min + self.zero_per_min + self.bad_terms_per_min
        return self.malformed_per_min + self.unknown_per_min + unusable


class SymbolQuality(Struct, frozen=True):
    """One instrument; the numbers are those of `SYMBOL_ROW`, None for NaN."""

    exchange: str
    symbol: str
    state: SymbolState
    up: bool
    since_us: int
    age_ms: float | None
    gap_ms: float | None
    spread_bps: float | None
    quotes_per_min: float
    trades_per_min: float
    updates_per_hour: float
    crossed_per_min: float
    zero_per_min: float
    refused_per_min: float
    gaps_per_hour: float

    @property
    def rejected_per_min(self) -> float:
        """Number of its quotes and trades that were refused."""
        return self.crossed_per_min + self.zero_per_min + self.refused_per_min


class Quality(Struct, frozen=True, eq=False):
    """Reports of all collectors about their data. `names` and `rows` are in the same order."""

    at_us: int = 0  # of the oldest report in it; 0: there is none
    exchanges: tuple[ExchangeQuality, ...] = ()  # by key
    names: tuple[tuple[str, str], ...] = ()  # exchange, symbol
    rows: Rows = field(default_factory=lambda: np.zeros(0, SYMBOL_ROW))  # SYMBOL_ROW

    def __len__(self) -> int:
        return len(self.names)

    def symbol(self, index: int) -> SymbolQuality:
        """One row as a value."""
        exchange, symbol = self.names[index]
        state, *values = self.rows[index].item()
        numbers: list[Any] = [None if value != value else value for value in values]  # noqa: PLR0124 - NaN
        return SymbolQuality(exchange, symbol, SYMBOL_STATES[state], *numbers)

    def silent(self) -> Iterator[SymbolQuality]:
        """The instruments that say nothing while others do, the longest silent first."""
        states = self.rows["state"]
        found = np.flatnonzero((states == SUSPECT) | (states == STALE))
        for index in found[np.argsort(self.rows["since_us"][found])]:
            yield self.symbol(int(index))


class ShardReport(Struct, array_like=True, frozen=True):
    """Report of one collector, every 2 s; `names` is the digest of the list its rows are of."""

    shard: str
    at_us: int
    names: str
    exchanges: list[ExchangeQuality]
    rows: bytes


Name = tuple[str, str]
"""Exchange and symbol."""

encode: Final = msgspec.msgpack.Encoder().encode
decode_report: Final = msgspec.msgpack.Decoder(ShardReport).decode
decode_names: Final = msgspec.msgpack.Decoder(list[Name]).decode


def report_key(shard: str) -> str:
    """Key of a shard's newest report."""
    return f"quality:{shard}"


def names_key(digest: str) -> str:
    """Key of the list of instruments of this digest."""
    return f"quality:names:{digest}"


def minute_key(shard: str, minute: int) -> str:
    """Key of a shard's minute; `minute` is of the wall clock, since the epoch."""
    return f"quality:minute:{shard}:{minute}"


def digest_of(names: bytes) -> str:
    """A short name of an encoded list of instruments: the same list, after a restart too, has the same."""
    return hashlib.blake2b(names, digest_size=DIGEST_BYTES).hexdigest()


def minute_value(digest: str, rows: Rows) -> bytes:
    """A minute as it is kept: whose rows it has, then the rows."""
    return bytes.fromhex(digest) + rows.tobytes()


def minute_row_range(index: int) -> tuple[int, int]:
    """First and last byte of an instrument's row in a minute."""
    begin = DIGEST_BYTES + index * MINUTE_ROW.itemsize
    return begin, begin + MINUTE_ROW.itemsize - 1

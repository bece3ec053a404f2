"""Schema of the lake: one table per kind of event, its columns, and how they are laid out on disk.

All times are µs since the epoch, UTC, as int64 with the unit in the name. Every table is
partitioned by `date` and `hour` of its own clock column, so that a closed hour can be compacted and
an old day dropped without touching what is being written.
"""

from typing import Final

import pyarrow as pa

from markets.config import Shard

SCHEMA_VERSION: Final = 1

PARTITIONS: Final = ("date", "hour")
_PARTITION_FIELDS: Final = (
    pa.field("date", pa.string(), nullable=False),  # YYYY-MM-DD
    pa.field("hour", pa.int32(), nullable=False),
)


def _schema(*fields: pa.Field) -> pa.Schema:
    return pa.schema(
        [*fields, *_PARTITION_FIELDS], metadata={b"schema_version": str(SCHEMA_VERSION).encode()}
    )


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCHEMAS: Final[dict[str, pa.Schema]] = {
    "quotes": _schema(
        _required("exchange", pa.string()),
        _required("symbol", pa.string()),
        _required("bid", pa.float64()),
        pa.field("bid_size", pa.float64()),  # null: not known (imported)
        _required("ask", pa.float64()),
        pa.field("ask_size", pa.float64()),
        pa.field("exchange_ts_us", pa.int64()),
        _required("received_ts_us", pa.int64()),
        pa.field("received_mono_ns", pa.int64()),  # ages come from it; null: not known (imported)
        pa.field("late_us", pa.int64()),  # its age when it came (markets.events); null: not known
    ),
    "trades": _schema(
        _required("exchange", pa.string()),
        _required("symbol", pa.string()),
        _required("price", pa.float64()),
        _required("size", pa.float64()),
        pa.field("side", pa.string()),  # the taker's
        pa.field("trade_id", pa.string()),
        pa.field("exchange_ts_us", pa.int64()),
        _required("received_ts_us", pa.int64()),
    ),
    # What is known of a swap's funding, a row when it changed and with the first event of each hour
    # (history.write.swaps, engine.funding.state). Fractions of the notional, positive: longs pay shorts.
    "funding": _schema(
        _required("exchange", pa.string()),
        _required("symbol", pa.string()),
        pa.field("rate", pa.float64()),
        # "next": it forms for next_ts_us; "before": received right after a settlement, it may be the old one.
        pa.field("rate_of", pa.string()),
        pa.field("next_ts_us", pa.int64()),
        pa.field("interval_s", pa.int64()),
        pa.field("interval_from", pa.string()),  # said, or derived from two next times
        pa.field("settled_rate", pa.float64()),  # what was charged at settled_ts_us
        pa.field("settled_ts_us", pa.int64()),
        pa.field("cap", pa.float64()),
        pa.field("floor", pa.float64()),
        pa.field("exchange_ts_us", pa.int64()),
        _required("received_ts_us", pa.int64()),
        pa.field("received_mono_ns", pa.int64()),
    ),
    # Changes, at most one a second and swap, and the first event of each hour; null: not said so far.
    "marks": _schema(
        _required("exchange", pa.string()),
        _required("symbol", pa.string()),
        pa.field("mark", pa.float64()),
        pa.field("index", pa.float64()),
        pa.field("exchange_ts_us", pa.int64()),
        _required("received_ts_us", pa.int64()),
        pa.field("received_mono_ns", pa.int64()),
    ),
    # What was dropped or missed is a row: nobody should take a gap for a quiet market.
    "stream_states": _schema(
        # Empty: the collector itself, all exchanges. As its first row, before any quote, a collector writes
        # "up" with the reason `collector_started(shard)`: its engine starts again there, and so does a
        # replay. Its gaps are what the lake does not have although the engine may have seen it, and what
        # nobody saw.
        _required("exchange", pa.string()),
        _required("symbol", pa.string()),  # empty: every symbol
        _required("state", pa.string()),  # up, down, gap
        _required("reason", pa.string()),
        # Events lost, for a gap of our own making: of all symbols together, in the row of each.
        _required("dropped", pa.int64()),
        # A gap lies between this and received_ts_us; null: at that moment, or since nobody knows when.
        pa.field("since_us", pa.int64()),
        _required("received_ts_us", pa.int64()),
        pa.field("received_mono_ns", pa.int64()),
    ),
    # The engine's points (engine.charts.points.POINT_COLUMNS); a gap row has nulls.
    "spreads": _schema(
        _required("symbol", pa.string()),
        _required("exchange1", pa.string()),
        _required("exchange2", pa.string()),
        _required("ts_us", pa.int64()),
        pa.field("spread", pa.float64()),
        pa.field("upper", pa.float64()),
        pa.field("lower", pa.float64()),
        pa.field("edge12", pa.float64()),
        pa.field("edge21", pa.float64()),
        pa.field("size12", pa.float64()),
        pa.field("size21", pa.float64()),
        pa.field("age1_ms", pa.float64()),
        pa.field("age2_ms", pa.float64()),
    ),
    # An episode of a filter opened or closed (docs/opportunities.md); null: a leg was gone at the close.
    "opportunities": _schema(
        _required("symbol", pa.string()),
        _required("exchange1", pa.string()),
        _required("exchange2", pa.string()),
        _required("filter_id", pa.int64()),
        _required("event", pa.string()),  # open, close
        _required("ts_us", pa.int64()),
        pa.field("spread", pa.float64()),
        pa.field("edge12", pa.float64()),
        pa.field("edge21", pa.float64()),
        pa.field("size12", pa.float64()),
        pa.field("size21", pa.float64()),
        # The episode's own direction; null: written before these columns were.
        pa.field("buy_on", pa.string()),
        pa.field("sell_on", pa.string()),
    ),
}

_STARTED: Final = "collector started, shard "


def collector_started(shard: Shard) -> str:
    """The reason of the row a collector writes first."""
    return f"{_STARTED}{shard}"


def started_shard(reason: str) -> Shard | None:
    """The shard whose collector started, None when the reason says something else."""
    return Shard.parse(reason.removeprefix(_STARTED)) if reason.startswith(_STARTED) else None


CLOCK: Final[dict[str, str]] = {
    "quotes": "received_ts_us",
    "trades": "received_ts_us",
    "funding": "received_ts_us",
    "marks": "received_ts_us",
    "stream_states": "received_ts_us",
    "spreads": "ts_us",
    "opportunities": "ts_us",
}
"""The column a table's partitions and time ranges go by."""

TIME_COLUMNS: Final = {
    "exchange_ts_us",
    "received_ts_us",
    "received_mono_ns",
    "ts_us",
    "next_ts_us",
    "settled_ts_us",
}

SORT_ORDER: Final[dict[str, tuple[str, ...]]] = {
    "quotes": ("symbol", "exchange", "received_ts_us"),
    "trades": ("symbol", "exchange", "received_ts_us"),
    "funding": ("symbol", "exchange", "received_ts_us"),
    "marks": ("symbol", "exchange", "received_ts_us"),
    "stream_states": ("symbol", "exchange", "received_ts_us"),
    "spreads": ("symbol", "exchange1", "exchange2", "ts_us"),
    "opportunities": ("symbol", "exchange1", "exchange2", "ts_us"),
}
"""How compaction sorts, so that row-group statistics prune."""

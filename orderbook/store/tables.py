"""Tables of the schema `marketdata`, in one place for all that creates, fills, rolls up or deletes them.

Every table is partitioned by `received_at`, our own clock, or by `second`, the rollup's: never by an
exchange's, so that a wrong clock there makes no partition in 2050. Raw rows are unique by symbol,
`received_at` and `digest`, which is computed from what the exchange said: the same event delivered twice is
one row, whether it comes from a batch that is repeated or from the lake.
"""

from typing import Final

from msgspec import Struct
from psycopg import sql

SCHEMA: Final = "marketdata"
MOST_BATCH_ROWS: Final = 2_000
"""A larger batch is hardly quicker for each row, and would take longer than 50 ms on a busy machine."""

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S


class Rollup(Struct, frozen=True):
    """Second bars of a raw table: `values` is name -> (type, aggregate over the rows of one second)."""

    name: str
    values: dict[str, tuple[str, str]]
    where: str = "true"


class RawTable(Struct, frozen=True):
    """Rows as they came; `columns` is name -> type, after those that every raw table has."""

    name: str
    columns: dict[str, str]
    rollup: Rollup | None = None

    @property
    def types(self) -> dict[str, str]:
        """All columns, in the order of a row."""
        return {**KEY, "exchange_ts_us": "bigint", **self.columns}


KEY: Final = {"symbol_id": "integer", "received_at": "timestamptz", "digest": "bigint"}
_IN_ORDER: Final = "ORDER BY received_at, digest"


def _first(value: str) -> str:
    return f"(array_agg({value} {_IN_ORDER}))[1]"


def _last(value: str) -> str:
    return f"(array_agg({value} ORDER BY received_at DESC, digest DESC))[1]"


_MID: Final = "(bid + ask) / 2"
_QUOTED: Final = "double precision"

BOOK_TICKER: Final = RawTable(
    "book_ticker",
    dict.fromkeys(("bid", "bid_size", "ask", "ask_size"), f"{_QUOTED} NOT NULL"),
    Rollup(
        "bt_1s",
        {
            **{name: (_QUOTED, _last(name)) for name in ("bid", "bid_size", "ask", "ask_size")},
            "mid_open": (_QUOTED, _first(_MID)),
            "mid_high": (_QUOTED, f"max({_MID})"),
            "mid_low": (_QUOTED, f"min({_MID})"),
            "mid_close": (_QUOTED, _last(_MID)),
            "quotes": ("integer", "count(*)"),
        },
    ),
)
TRADES: Final = RawTable(
    "trades",
    {
        "price": f"{_QUOTED} NOT NULL",
        "size": f"{_QUOTED} NOT NULL",
        "side": "text",
        "trade_id": "text",
        "is_history": "boolean NOT NULL",
    },
    Rollup(
        "trade_1s",
        {
            "open": (_QUOTED, _first("price")),
            "high": (_QUOTED, "max(price)"),
            "low": (_QUOTED, "min(price)"),
            "close": (_QUOTED, _last("price")),
            "volume": (_QUOTED, f"sum(size {_IN_ORDER})"),
            "quote_volume": (_QUOTED, f"sum(price * size {_IN_ORDER})"),
            "buy_volume": (_QUOTED, f"coalesce(sum(size {_IN_ORDER}) FILTER (WHERE side = 'buy'), 0)"),
            "sell_volume": (_QUOTED, f"coalesce(sum(size {_IN_ORDER}) FILTER (WHERE side = 'sell'), 0)"),
            "trades": ("integer", "count(*)"),
        },
        where="NOT is_history",  # they happened before we listened, and may come again at every start
    ),
)
DEPTH_EVENTS: Final = RawTable(
    "depth_events",
    {"kind": "text NOT NULL", "first_seq": "bigint", "last_seq": "bigint", "event": "jsonb NOT NULL"},
)
ORDERBOOK_TOP5: Final = RawTable(
    "orderbook_top5",
    dict.fromkeys(("bids", "bid_sizes", "asks", "ask_sizes"), f"{_QUOTED}[] NOT NULL"),
)

RAW: Final = {each.name: each for each in (BOOK_TICKER, TRADES, DEPTH_EVENTS, ORDERBOOK_TOP5)}
ROLLUPS: Final = {each.rollup.name: each.rollup for each in RAW.values() if each.rollup}


def length_of(table: str) -> int:
    """Seconds of one part of a table."""
    return HOUR_S if table in RAW else DAY_S


def named(table: str) -> sql.Identifier:
    """Name of a table with its schema, quoted."""
    return sql.Identifier(SCHEMA, table)

"""History of the lake and of the store, and what opportunities there were."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from channels.db import database_sync_to_async
from django.db import connection
from mcp.server.mcpserver.exceptions import ToolError
from psycopg import sql
from pydantic import Field

from accounts.access.guard import exchange_of
from agents.asking import Ask
from agents.cursors import cursor_at, page, place_number, place_of
from agents.tools.fields import DEFAULT_ROWS, Cursor, ExchangeName, Exchanges, Kind, Limit, SymbolName, Time
from core.clock.times import asked_time
from core.web.refused import Refused
from markets.selectors import exchange_names
from orderbook.store.tables import BOOK_TICKER, TRADES, named

HOUR_S: Final = 3600.0
MOST_SKIPPED: Final = 5_000
"""Rows of one time that a cursor goes past."""

OF_A_PAIR: Final = ("spread", "opportunities", "funding_spread")
_ADDRESSES: Final = {
    "spread": "/api/dashboard_data", "trades": "/api/history/trades", "states": "/api/history/states",
    "opportunities": "/api/history/opportunities", "funding": "/api/history/funding",
    "funding_spread": "/api/history/funding_spread", "marks": "/api/history/marks",
    "settlements": "/api/history/settlements",
}  # fmt: skip


class PastTools:
    """Records of the lake, the store and PostgreSQL."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    async def history(
        self,
        *,
        of: Literal[
            "spread", "trades", "states", "opportunities", "funding", "funding_spread", "marks", "settlements"
        ],
        symbol: SymbolName,
        exchange: ExchangeName,
        exchange2: Annotated[
            str, Field(max_length=100, description="The other one, for what is of a pair.")
        ] = "",
        start: Annotated[Time, Field(description="Included; left out: an hour before `end`.")] = "",
        end: Annotated[Time, Field(description="Not included; left out: now. At most a week.")] = "",
        points: Annotated[
            int | None,
            Field(ge=10, le=20_000, description="Thin the whole range to so many rows; no spike is lost."),
        ] = None,
        limit: Limit = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """Read the lake, oldest first: spreads of a pair, trades, funding, marks, settlements, outages.

        `spread`, `opportunities` and `funding_spread` are of a pair and take `exchange2`. A row whose values
        are null says that nothing is known from then on. `timestamp` is in seconds.
        """
        first, last = _range(start, end, cursor)
        pair = of in OF_A_PAIR
        if pair and not exchange2:
            raise ToolError(f"exchange2: {of} is of a pair; name the other exchange")
        if exchange2 and not pair:
            raise ToolError(f"exchange2: {of} is of one exchange; leave it out")
        question = ("history", of, symbol, exchange, exchange2, start, end, points)
        since, skip, last = _place(cursor, question) or (first, 0, last)
        asked = (
            {"symbol": symbol, "start": since, "end": last}
            | ({"exchange1": exchange, "exchange2": exchange2} if pair else {"exchange": exchange})
            | ({} if of in ("states", "opportunities", "settlements") else {"points": points})
        )
        rows = (await self.ask.lines(_ADDRESSES[of], skip + limit + 1, **asked))[skip:]
        shown = rows[:limit]
        more = None
        if len(rows) > limit:
            at = rows[limit]["timestamp"]
            more = cursor_at((at, sum(row.get("timestamp") == at for row in shown), last), *question)
        return page("rows", shown, more)

    async def bars(
        self,
        *,
        of: Literal["quotes", "trades"],
        symbol: SymbolName,
        exchange: ExchangeName,
        start: Annotated[Time, Field(description="Included; left out: an hour before `end`.")] = "",
        end: Annotated[Time, Field(description="Not included; left out: now.")] = "",
        limit: Limit = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """Read second bars from the store, oldest first. A second in which nothing happened has none.

        `quotes`: the last quote of the second, and open, high, low, close of the mid. `trades`: prices and
        volumes in coins. The store has to be on (docs/orderbook.md), and bars are made within minutes.
        """
        await self.ask.who()
        first, last = _range(start, end, cursor)
        question = ("bars", of, symbol, exchange, start, end)
        first, _, last = _place(cursor, question) or (first, 0, last)
        read = database_sync_to_async(_bars)
        rows = await read(of, symbol, exchange, first=first, last=last, most=limit + 1)
        more = cursor_at((rows[limit]["second"], 0, last), *question) if len(rows) > limit else None
        return page("bars", rows[:limit], more)

    async def opportunities(
        self,
        *,
        symbol: Annotated[str, Field(max_length=100, description="A part of its name.")] = "",
        exchanges: Exchanges = "",
        kind: Kind = "",
        min_peak: Annotated[float | None, Field(description="Least peak edge, bps.")] = None,
        min_duration: Annotated[float | None, Field(ge=0, description="Seconds.")] = None,
        open_only: bool = False,
        start: Annotated[Time, Field(description="Earliest beginning; empty: any.")] = "",
        end: Annotated[Time, Field(description="Latest beginning; empty: any.")] = "",
        sort: Literal["started", "duration", "symbol", "peak", "mean", "size"] = "started",
        descending: bool = True,
        limit: Annotated[int, Field(ge=1, le=200)] = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """List opportunities that were found: route, times, edge at open, peak and close, size, end."""
        asked = {
            "symbol": symbol, "exchanges": exchanges, "kind": kind, "min_peak": min_peak,
            "min_duration": min_duration, "open": open_only, "start": start, "end": end, "sort": sort,
            "descending": descending,
        }  # fmt: skip
        offset = place_number(cursor, "opportunities", asked)
        found = await self.ask.whole("/api/opportunities", **asked, offset=offset, limit=limit)
        rows = found["episodes"]
        more = cursor_at(offset + limit, "opportunities", asked) if len(rows) == limit else None
        return page("opportunities", rows, more, matches=found["matches"], time=found["time"])


def _place(cursor: str, question: tuple[Any, ...]) -> tuple[float, int, float] | None:
    """Time to go on from, rows of that time that were shown, and the end of the range. Raises ToolError."""
    at = place_of(cursor, *question)
    if at is None:
        return None
    match at:
        case [float() | int() as since, int() as skip, float() | int() as last] if 0 <= skip <= MOST_SKIPPED:
            return since, skip, last
    raise ToolError("cursor: give `next` of the last answer as it came, or nothing to begin")


def _range(start: str, end: str, cursor: str) -> tuple[float, float]:
    """Seconds of a range, the last hour by default. Raises ToolError."""
    last = _seconds("end", end) if end else time.time()
    first = _seconds("start", start) if start else last - HOUR_S
    if not cursor and first >= last:
        raise ToolError("start: it is not before end")
    return first, last


def _seconds(name: str, text: str) -> float:
    try:
        return asked_time(text) / 1e6
    except ValueError as problem:
        raise ToolError(f"{name}: {problem}") from None


def _bars(
    of: str, symbol: str, exchange: str, *, first: float, last: float, most: int
) -> Sequence[dict[str, Any]]:
    raw = BOOK_TICKER if of == "quotes" else TRADES
    try:
        key = exchange_of(exchange_names().items(), exchange, "exchange")
    except Refused as problem:
        raise ToolError(str(problem)) from None
    with connection.cursor() as cursor:
        cursor.execute(_SYMBOL, [key, symbol.strip().upper()])
        found = cursor.fetchone()
        if found is None:
            raise ToolError(
                f"symbol: the store has nothing of {symbol!r} on {key}; `symbols` lists names, and "
                "Order books › Store settings in the admin says what is stored"
            )
        cursor.execute(
            _BARS.format(named(raw.rollup.name)),  # type: ignore[union-attr]
            [found[0], datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC), most],
        )
        names = [column.name for column in cursor.description]
        return [_bar(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _bar(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("symbol_id")
    return row | {"second": row["second"].timestamp()}


_SYMBOL: Final = "SELECT id FROM marketdata.symbols WHERE exchange = %s AND symbol = %s"
_BARS: Final = sql.SQL(
    "SELECT * FROM {} WHERE symbol_id = %s AND second >= %s AND second < %s ORDER BY second LIMIT %s"
)

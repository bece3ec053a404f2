"""Markets, the routes between them now, and why an edge does not count."""

from typing import Annotated, Any, Literal

from channels.db import database_sync_to_async
from mcp.server.mcpserver.exceptions import ToolError
from msgspec import to_builtins
from pydantic import Field

from agents.asking import Ask
from agents.cursors import cursor_at, page, place_number
from agents.tools.fields import DEFAULT_ROWS, Cursor, ExchangeName, Exchanges, Kind, Limit, SymbolName
from core.names.market_keys import exchange_of, market_key
from core.web.refused import Refused
from markets.models import Instrument
from markets.selectors import load_config
from realtime.scanner.api import asked_rows
from realtime.scanner.hub import process_scan_hub
from realtime.scanner.messages import make_page
from realtime.scanner.view import View


class MarketTools:
    """Exchanges, symbols, and routes as they are now."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    async def exchanges(self) -> dict[str, Any]:
        """List the markets of the exchanges, by the keys that other tools take, and what they cost.

        Where `fees_known` is false the fees are good to read, not to trade on; `fee_source` says why.
        """
        await self.ask.who()
        return {"exchanges": await database_sync_to_async(_exchanges)()}

    async def symbols(
        self,
        *,
        search: Annotated[str, Field(max_length=100, description="A part of the symbol.")] = "",
        exchange: Annotated[
            str, Field(max_length=100, description="Key of an exchange; empty: all of them.")
        ] = "",
        kind: Literal["", "spot", "swap"] = "",
        followed_only: Annotated[bool, Field(description="Only what collectors may follow.")] = False,
        limit: Limit = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """List instruments: each symbol as one exchange lists it, with contract size, lot, minimum, volume.

        Amounts are in coins, `quote_volume_24h` is in the quote currency. Null is unknown.
        """
        await self.ask.who()
        question = ("symbols", search, exchange, kind, followed_only)
        start = place_number(cursor, *question)
        rows = await database_sync_to_async(_instruments)(
            search, exchange, kind, followed_only, slice(start, start + limit + 1)
        )
        more = cursor_at(start + limit, *question) if len(rows) > limit else None
        return page("symbols", rows[:limit], more)

    async def routes(
        self,
        *,
        sort: Annotated[str, Field(max_length=40, description="Column, as the scanner sorts.")] = "edge",
        descending: bool = True,
        search: Annotated[str, Field(max_length=100, description="A part of the symbol.")] = "",
        exchanges: Exchanges = "",
        kind: Kind = "",
        min_edge: Annotated[float | None, Field(description="Least edge after taker fees, bps.")] = None,
        min_size: Annotated[float | None, Field(description="Least size at the best prices, USDT.")] = None,
        passed: Annotated[bool, Field(description="Only routes that no gate check blocks.")] = False,
        size: Annotated[float | None, Field(gt=0, description="USDT; empty: the user's own.")] = None,
        hold_hours: Annotated[float | None, Field(gt=0, le=8760, description="Holding time of nets.")] = None,
        limit: Limit = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """List what pairs would bring now, the best first: edge, size, spread, states, gate checks.

        `edge` is bps after taker fees at the best prices of the better direction, `sell` says which
        exchange (1 or 2) one sells on. A leg whose state is not `live` has no edge. Rows move between two
        pages: it is a live table. `at_…` is at my size, through the books of both legs where they are
        followed. `why` explains a row.
        """
        caller = await self.ask.who()
        asked = {
            "sort": sort, "descending": str(descending).lower(), "search": search, "exchanges": exchanges,
            "kind": kind, "min_edge": _text(min_edge), "min_size": _text(min_size),
            "passed": str(passed).lower(), "hold": _text(hold_hours), "size": _text(size),
        }  # fmt: skip
        try:
            query = await database_sync_to_async(asked_rows)(asked, caller.user)
        except Refused as problem:
            raise ToolError(str(problem)) from None
        start = place_number(cursor, "routes", asked)
        async with process_scan_hub().open() as hub:
            shown = make_page(
                View(hub.book.table, query), slice(start, start + limit), 0, now_us := hub.book.now_us()
            )
        rows = [{"id": id, **dict(zip(shown.head.cells, row, strict=True))} for id, row in shown.rows.items()]
        more = cursor_at(start + limit, "routes", asked) if start + limit < shown.head.matches else None
        return page("routes", to_builtins(rows), more, matches=shown.head.matches, time=now_us / 1e6)

    async def why(self, symbol: SymbolName, exchange1: ExchangeName, exchange2: ExchangeName) -> Any:
        """Explain why a pair is an opportunity now or not: quotes, directions, gate checks in words."""
        return await self.ask.whole(
            "/api/opportunities/explain", symbol=symbol, exchange1=exchange1, exchange2=exchange2
        )

    async def books(
        self,
        *,
        symbol: SymbolName,
        exchange1: ExchangeName,
        exchange2: ExchangeName,
        size: Annotated[float | None, Field(gt=0, description="USDT; empty: the user's own.")] = None,
        levels: Annotated[int, Field(ge=1, le=50, description="Levels of each side.")] = 10,
    ) -> dict[str, Any]:
        """Read both order books of a pair, and what a size costs in them: average prices, edge, profit.

        `ways` has both directions, the better one first: `at_size`, `to_zero` (edge used up) and `best` (most
        profit). A book whose `state` is not `known` has no levels to rely on, and what needs it is null;
        `not followed` has the best level alone, and caps every size.
        """
        answer: dict[str, Any] = await self.ask.whole(
            "/api/depth", symbol=symbol, exchange1=exchange1, exchange2=exchange2, size=size
        )
        for leg in answer["pair"]["legs"]:
            leg["bids"], leg["asks"] = leg["bids"][:levels], leg["asks"][:levels]
        return answer


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)


def _exchanges() -> list[dict[str, Any]]:
    return [
        {
            "exchange": row.key, "name": row.name, "enabled": row.enabled, "taker_fee_bps": row.taker_fee_bps,
            "maker_fee_bps": row.maker_fee_bps, "fees_known": row.fees_known, "fee_source": row.fee_source,
        }
        for row in load_config().exchanges
    ]  # fmt: skip


def _instruments(search: str, exchange: str, kind: str, followed: bool, rows: slice) -> list[dict[str, Any]]:
    found = Instrument.objects.select_related("exchange", "symbol").order_by(
        "symbol__name", "exchange__key", "kind"
    )
    if exchange:
        found = found.filter(exchange__key=exchange_of(exchange))
    if search:
        found = found.filter(symbol__name__icontains=search)
    if kind:
        found = found.filter(kind=kind)
    if followed:
        found = found.filter(enabled=True, active=True, not_followed="", exchange__enabled=True)
    return [_instrument(row) for row in found[rows]]


def _instrument(row: Instrument) -> dict[str, Any]:
    return {
        "symbol": row.symbol.name, "exchange": market_key(row.exchange.key, row.kind), "kind": row.kind,
        "native_id": row.native_id, "enabled": row.enabled, "active": row.active, "status": row.status,
        "not_followed": row.not_followed, "contract_size": _number(row.contract_size),
        "tick_size": _number(row.tick_size), "lot_size": _number(row.lot_size),
        "min_amount": _number(row.min_amount), "min_notional": _number(row.min_notional),
        "quote_volume_24h": _number(row.quote_volume_24h),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)

"""Funding and the desk's own health, now."""

from typing import Annotated, Any

from pydantic import Field

from agents.asking import Ask
from agents.cursors import cursor_at, page, place_number
from agents.tools.fields import DEFAULT_ROWS, Cursor, ExchangeName, Exchanges, SymbolName


class NowTools:
    """Funding and health."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    async def funding(
        self,
        *,
        search: Annotated[str, Field(max_length=100, description="A part of the coin's name.")] = "",
        exchanges: Exchanges = "",
        min_spread: Annotated[float | None, Field(description="Least spread, per cent per 8 h.")] = None,
        hours: Annotated[float, Field(gt=0, le=8760, description="How long a position is held.")] = 8.0,
        limit: Annotated[int, Field(ge=1, le=200)] = DEFAULT_ROWS,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """List what swaps pay, a coin a row with every exchange: the best spread between two exchanges first.

        Rates are per cent, positive: longs pay shorts; `per_8h` makes intervals comparable, `held` is charged
        to a long within `hours`. What may not be computed with is null, and `problem` says why.
        """
        asked = {"search": search, "exchanges": exchanges, "min_spread": min_spread, "hours": hours}
        offset = place_number(cursor, "funding", asked)
        found = await self.ask.whole("/api/funding", **asked, offset=offset, limit=limit)
        more = cursor_at(offset + limit, "funding", asked) if offset + limit < found["matches"] else None
        return page("coins", found.pop("rows"), more, **found)

    async def funding_net(
        self,
        *,
        symbol: SymbolName,
        buy: ExchangeName,
        sell: ExchangeName,
        hours: Annotated[float, Field(gt=0, le=8760, description="How long it is held.")] = 8.0,
        size: Annotated[float | None, Field(gt=0, description="Quote currency.")] = None,
        borrow: Annotated[float, Field(ge=0, le=100, description="Cost of borrowing, per cent a day.")] = 0.0,
    ) -> Any:
        """Compute what a pair leaves that is held: each term in bps and in money."""
        return await self.ask.whole(
            "/api/funding/net", symbol=symbol, buy=buy, sell=sell, hours=hours, size=size, borrow=borrow
        )

    async def health(self) -> dict[str, Any]:
        """Say whether the desk can be trusted now: findings with remedies, and how each exchange is doing.

        `status` is ok, degraded or down. Read it before you rely on any other answer.
        """
        found = await self.ask.whole("/api/health")
        wanted = ("status", "time", "version", "database", "redis", "findings", "exchanges", "missing")
        return {name: found[name] for name in wanted if name in found}

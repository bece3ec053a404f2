"""Features of the last minutes, as models are trained on them."""

from typing import TYPE_CHECKING, Annotated, Any, Final

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from agents.asking import Ask
from agents.cursors import cursor_at, page, place_of
from agents.role import reader_dsn
from agents.tools.fields import Cursor

if TYPE_CHECKING:
    from orderbook.ml.loader import MLDataLoader

MOST_SYMBOLS: Final = 5
MOST_ROWS: Final = 60


class LearningTools:
    """One loader for the life of the process: it keeps hours of seconds, and reads what is new."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._loader: MLDataLoader | None = None

    async def features(
        self,
        symbols: Annotated[str, Field(max_length=500, description="With commas; five at most.")],
        minutes: Annotated[int, Field(ge=1, le=60, description="How far back.")] = 1,
        limit: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 10,
        cursor: Cursor = "",
    ) -> dict[str, Any]:
        """Compute the features of the last seconds, newest first, a row a second, symbol and exchange.

        They are those that models are trained on, bit for bit (docs/ml.md has their formulas); each row holds
        what had been received at `available_at` (ISO 8601). Null is unknown. The first question reads three
        hours.
        """
        await self.ask.who()
        asked = [name for each in symbols.split(",") if (name := each.strip().upper())]
        if not 1 <= len(asked) <= MOST_SYMBOLS:
            raise ToolError(f"symbols: name 1 to {MOST_SYMBOLS}, with commas")
        before = place_of(cursor, "features", asked, minutes)
        rows = await self._rows(asked, minutes)
        if before is not None:
            rows = [row for row in rows if _place(row) < before]
        more = cursor_at(_place(rows[limit - 1]), "features", asked, minutes) if len(rows) > limit else None
        return page("features", rows[:limit], more)

    async def _rows(self, symbols: list[str], minutes: int) -> list[dict[str, Any]]:
        """All rows, newest first. Raises ToolError."""
        try:
            from orderbook.ml.errors import NoDataError, StoreUnreadableError, UnknownSymbolError
            from orderbook.ml.loader import MLDataLoader
        except ImportError as problem:
            raise ToolError(f"features need what research needs: `make install-ml` ({problem})") from None
        try:
            if self._loader is None:
                self._loader = await MLDataLoader(reader_dsn()).__aenter__()  # ends with the process
            frame = await self._loader.get_real_time_features(symbols, minutes)
        except (UnknownSymbolError, NoDataError, StoreUnreadableError) as problem:
            raise ToolError(str(problem)) from None
        rows: list[dict[str, Any]] = frame.to_dicts()
        return sorted(rows, key=_place, reverse=True)


def _place(row: dict[str, Any]) -> list[str]:
    """Where a row stands; the newest is the highest."""
    return [row["available_at"].isoformat(), row["symbol"], row["exchange"]]

"""Parameters that several tools take."""

from typing import Annotated, Final

from pydantic import Field

from agents.cursors import MOST_ROWS

DEFAULT_ROWS: Final = 50

Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows of one answer.")]
Cursor = Annotated[
    str, Field(max_length=2_000, description="`next` of the last answer, to go on; empty to begin.")
]
SymbolName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        description="BTC/USDT; btcusdt, too, where only one is spelled alike. A coin's spot and swaps are "
        "under its spot symbol.",
    ),
]
ExchangeName = Annotated[
    str,
    Field(
        min_length=1, max_length=100,
        description="Market of an exchange, as `exchanges` lists them: gate for spot, gate:swap for swaps.",
    ),
]  # fmt: skip
Exchanges = Annotated[
    str,
    Field(
        max_length=500,
        description="With commas: one, the pairs it is part of; several, the pairs among them.",
    ),
]
Time = Annotated[
    str, Field(max_length=40, description="ISO 8601 (UTC without a zone), or seconds since 1970.")
]
Kind = Annotated[
    str, Field(pattern="^(|spot-spot|swap-swap|spot-swap|basis)$", description="Kind of pair; empty: any.")
]

"""The metrics of the store's tables."""

from typing import Protocol

from core.metrics import Samples, declare, exported_in, of_desk
from orderbook.standing import Standing

declare("orderbook_bytes", "table", "Size of the store's tables with their indexes.")
declare("orderbook_rows", "table", "Rows of the store's tables, as PostgreSQL estimates them.")
declare("orderbook_parts", "table", "Partitions or chunks of the store's tables.")
declare("orderbook_compressed_parts", "table", "Compressed chunks; plain PostgreSQL has none.")
declare("orderbook_late_rows", "table", "Rows that wait to be folded into compressed chunks.")
declare(
    "orderbook_rollup_wait_seconds", "table", "How long the oldest rows have waited for their second bars."
)
declare("orderbook_symbols", "", "Symbols in the store.")


class Look(Protocol):
    """The part of an observation of the desk that is read."""

    @property
    def at_us(self) -> int: ...
    @property
    def store(self) -> Standing | None: ...


@exported_in(of_desk)
def export_store(to: Samples, now: Look) -> None:
    """Export sizes and lag of every table."""
    if now.store is None:
        return
    to.add("orderbook_symbols", now.store.symbols)
    for table in now.store.tables:
        to.add("orderbook_bytes", table.bytes, table.table)
        if table.rows is not None:
            to.add("orderbook_rows", table.rows, table.table)
        to.add("orderbook_parts", table.parts, table.table)
        to.add("orderbook_compressed_parts", table.compressed, table.table)
        to.add("orderbook_late_rows", table.late, table.table)
        waits = table.waits_since_us
        to.add(
            "orderbook_rollup_wait_seconds", 0 if waits is None else (now.at_us - waits) / 1e6, table.table
        )

"""The peer of lake_sink.py, run by it with cryptofeed's own Python: ticks through its socket backend.

`ticker`: bid and ask; `book`: with their sizes, a book of one level. A file is opened where the
backend opens a socket, and gets what the socket would: what a file backend of cryptofeed would be if
it had one. Everything else is cryptofeed's: types, callback, queue, writer, JSON.
"""

import asyncio
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptofeed.backends.socket import BookSocket, TickerSocket  # type: ignore[import-not-found, unused-ignore]
from cryptofeed.types import OrderBook, Ticker  # type: ignore[import-not-found, unused-ignore]

BATCH = 500
FULL = 50_000


class _File:
    """A file instead of a connection."""

    conn: Any
    addr: str

    async def connect(self) -> None:
        if not self.conn:
            self.conn = open(self.addr, "wb")  # noqa: SIM115, ASYNC230 - closed at the end of `send`


class TickerFile(_File, TickerSocket):  # type: ignore[misc, unused-ignore]
    """JSON per ticker, in a file."""


class BookFile(_File, BookSocket):  # type: ignore[misc, unused-ignore]
    """JSON per book, in a file."""


def book(tick: Any) -> Any:
    """A book of one level, as cryptofeed's connections make it."""
    exchange, symbol, *prices, ts_us = tick
    bid, bid_size, ask, ask_size = (Decimal(str(value)) for value in prices)
    made = OrderBook(exchange, symbol, bids={bid: bid_size}, asks={ask: ask_size})
    made.timestamp = ts_us / 1e6
    return made


def ticker(tick: Any) -> Any:
    """A best bid and ask without sizes."""
    exchange, symbol, bid, _, ask, _, ts_us = tick
    return Ticker(exchange, symbol, Decimal(str(bid)), Decimal(str(ask)), ts_us / 1e6)


async def send(callback: Any, events: list[tuple[Any, float]], count: int) -> dict[str, float]:
    """All events through the backend; waits while its queue is long, and until it is empty."""
    callback.start(asyncio.get_running_loop())
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, count, BATCH):
        at = start % len(events)
        for event, received in events[at : at + BATCH]:
            await callback(event, received)
        if callback.queue.qsize() > FULL:
            await callback.queue.join()
        await asyncio.sleep(0)
    await callback.queue.join()
    callback.conn.close()
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def main(how: str, ticks: str, count: int, out: str) -> dict[str, float]:
    """One run."""
    make = book if how == "book" else ticker
    events = [(make(tick), tick[-1] / 1e6) for tick in json.loads(Path(ticks).read_text())]
    address = f"uds://{out}"
    backend = BookFile(address, snapshots_only=True) if how == "book" else TickerFile(address)
    return asyncio.run(send(backend, events, count))


print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))

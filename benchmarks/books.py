"""Cost of keeping order books: CPU per changed level, with sequence checks on, and memory per book.

    python benchmarks/books.py
    python benchmarks/books.py --recording FILE     raw frames of Binance spot, as in ../shared/recordings

Without a recording, deltas are made: ten levels each near the best, four in ten of them removals, in a book
of 200 levels a side. With one (gzipped lines `<ns> <raw frame>`), its frames are decoded first, so that both
figures are of the book alone; what decoding costs beside it is printed. CPU time, medians of rounds.
"""

import argparse
import gzip
import json
import random
import sys
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from collectors.exchanges import CODECS
from engine.books.book import Book
from markets.events import BookUpdate, Level

MARKET: Final = "binance"
LEVELS: Final = 200
ROUNDS: Final = 9
DELTAS: Final = 10_000
TARGETS: Final = {"us_per_level": 2.0, "kb_per_book": 60.0}


def snapshot(last_seq: int) -> BookUpdate:
    """Return a book of 200 levels a side, a cent apart."""
    bids = [(float(f"{100 - n / 100:.2f}"), 1.5 + n) for n in range(LEVELS)]
    asks = [(float(f"{100.01 + n / 100:.2f}"), 1.5 + n) for n in range(LEVELS)]
    return BookUpdate(MARKET, "BTC/USDT", "snapshot", bids, asks, last_seq=last_seq)


def made() -> list[BookUpdate]:
    """Return a snapshot and deltas that touch levels near the best more often than others."""
    chance = random.Random(7)

    def levels(sign: int, best: float) -> list[Level]:
        ticks = [int(chance.triangular(0, LEVELS, 0)) for _ in range(5)]
        return [
            (round(best + sign * tick / 100, 2), 0.0 if chance.random() < 0.4 else chance.random())
            for tick in ticks
        ]

    deltas = [
        BookUpdate(MARKET, "BTC/USDT", "delta", levels(-1, 100.0), levels(1, 100.01), n, n)
        for n in range(1, DELTAS + 1)
    ]
    return [snapshot(0), *deltas]


def recorded(path: Path) -> list[BookUpdate]:
    """Return the updates of a recording, the snapshot first, and print what decoding them cost."""
    codec = CODECS[MARKET]({"BTCUSDT": "BTC/USDT"})
    with gzip.open(path) as lines:
        frames = [line.split(b" ", 1)[1] for line in lines]
    whole = next(frame for frame in frames if b'"lastUpdateId"' in frame)
    frames = [frame for frame in frames if b'"depthUpdate"' in frame]
    begin = time.process_time()
    updates = [event for frame in frames for event in codec.decode(frame) if isinstance(event, BookUpdate)]
    spent = time.process_time() - begin
    count = sum(len(each.bids) + len(each.asks) for each in updates)
    print(f"{'decoding beside it':34}{spent / count * 1e6:10.2f} µs per changed level")
    (first,) = codec.snapshot(whole, "BTCUSDT")
    return [first, *(each for each in updates if (each.last_seq or 0) > (first.last_seq or 0))]


def us_per_level(updates: list[BookUpdate]) -> float:
    """CPU µs per changed level of one round, the snapshot not counted."""
    book = Book(CODECS[MARKET].book_rule)
    book.apply(updates[0])
    deltas = updates[1:]
    levels = sum(len(each.bids) + len(each.asks) for each in deltas)
    begin = time.process_time()
    for each in deltas:
        book.apply(each)
    spent = time.process_time() - begin
    if book.resyncing:
        raise SystemExit(f"the book did not stay live: {book.resyncing}")
    return spent / levels * 1e6


def kb_per_book() -> float:
    """Memory of a live book of 200 levels a side, its numbers included."""
    books = []
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(20):
        book = Book(CODECS[MARKET].book_rule)
        book.apply(snapshot(0))
        books.append(book)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / len(books) / 1000


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(description="Cost of keeping order books.")
    parser.add_argument("--recording", type=Path, help="raw frames of Binance spot instead of made ones")
    path = parser.parse_args().recording
    print(f"Python {sys.version.split()[0]}; CPU, medians of {ROUNDS} rounds")
    updates = made() if path is None else recorded(path)
    values = {
        "us_per_level": median(us_per_level(updates) for _ in range(ROUNDS)),
        "kb_per_book": kb_per_book(),
    }
    print(f"{'applying':34}{values['us_per_level']:10.2f} µs per changed level, {len(updates) - 1:,} deltas")
    print(f"{'memory':34}{values['kb_per_book']:10.1f} KB per book of {LEVELS} levels a side")
    figures = {
        name: {"value": round(value, 3), "target": TARGETS[name], "met": value <= TARGETS[name]}
        for name, value in values.items()
    }
    print(json.dumps({"benchmark": "books", "figures": figures}))


if __name__ == "__main__":
    main()

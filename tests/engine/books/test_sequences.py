"""How the updates of each exchange follow one another, from the walks that their documentation shows."""

import pytest

from engine.books.book import Book, Outcome
from engine.books.sequences import COUNTED, OVERLAPPING, Chained, Rising, Rule
from tests.engine.books.books import snapshot, update

BINANCE_SWAP = Chained(straddles=True, waits=True)
OKX = Chained(straddles=False, waits=False)
BITGET = Chained(straddles=True, waits=False)
BYBIT, BINGX = Rising(falls="stale"), Rising(falls="gap")

Ids = tuple[int | None, int | None, int | None]
"""First, last, previous."""


def outcomes(rule: Rule, last: int, *walk: Ids) -> list[Outcome]:
    book = Book(rule)
    book.apply(snapshot(last))
    return [
        book.apply(update("delta", first_seq=first, last_seq=end, prev_seq=previous))
        for first, end, previous in walk
    ]


WALKS: dict[str, tuple[Rule, int, list[Ids], list[Outcome]]] = {
    "Binance: consecutive": (OVERLAPPING, 10, [(11, 12, None), (13, 13, None)], ["applied", "applied"]),
    "Binance: old, the same, and an overlap, which is legal": (
        OVERLAPPING, 10, [(8, 9, None), (9, 10, None), (8, 12, None), (12, 15, None)],
        ["ignored", "ignored", "applied", "applied"],
    ),
    "Binance: a hole": (OVERLAPPING, 10, [(11, 12, None), (14, 15, None)], ["applied", "gap"]),
    "Binance swap: only the previous id chains": (
        BINANCE_SWAP, 500, [(495, 499, 490), (498, 507, 490), (600, 610, 507), (612, 620, 611)],
        ["ignored", "applied", "applied", "gap"],
    ),
    "Binance swap: the first begins after the snapshot": (BINANCE_SWAP, 500, [(501, 507, 498)], ["gap"]),
    "Binance swap: said twice": (
        BINANCE_SWAP, 500, [(498, 507, 490), (498, 507, 490)], ["applied", "ignored"]
    ),
    "Gate, MEXC, KuCoin: the first may span the snapshot, later ones nothing": (
        COUNTED, 10, [(9, 12, None), (13, 14, None), (14, 16, None)], ["applied", "applied", "gap"]
    ),
    "KuCoin swap: one change per frame": (COUNTED, 10, [(11, 11, None), (13, 13, None)], ["applied", "gap"]),
    "Bybit: ids skip, and a book is said again": (
        BYBIT, 81, [(90, 90, None), (90, 90, None), (95, 95, None)], ["applied", "ignored", "applied"]
    ),
    "BingX: ids skip without loss": (BINGX, 8000, [(8001, 8001, None), (8010, 8010, None)], ["applied"] * 2),
    "BingX: an id that does not rise": (BINGX, 8000, [(8000, 8000, None)], ["gap"]),
    "OKX: update, nothing new for a minute, ids that begin again": (
        OKX, 10, [(None, 15, 10), (None, 15, 15), (None, 3, 15), (None, 5, 3)], ["applied"] * 4
    ),
    "OKX: a hole": (OKX, 10, [(None, 15, 12)], ["gap"]),
    "Bitget: chained": (BITGET, 144, [(None, 559, 144), (None, 700, 559)], ["applied", "applied"]),
    "Bitget v3: the first may span the snapshot": (BITGET, 200, [(None, 559, 144)], ["applied"]),
    "Bitget: no previous one": (BITGET, 144, [(None, 559, 0)], ["gap"]),
    "nothing says what it follows": (COUNTED, 10, [(None, None, None)], ["gap"]),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "last", "walk", "expected"), WALKS.values(), ids=WALKS.keys())
def test_updates_follow_as_the_exchange_says(
    rule: Rule, last: int, walk: list[Ids], expected: list[Outcome]
) -> None:
    assert outcomes(rule, last, *walk) == expected


def test_a_delta_after_a_snapshot_without_an_id_follows_nothing() -> None:
    book = Book(COUNTED)
    book.apply(snapshot(None))
    assert book.best() is not None
    assert book.apply(update("delta", first_seq=1, last_seq=1)) == "gap"

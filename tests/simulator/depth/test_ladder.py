"""A ladder beside a dictionary that is kept from its changes, whatever way the quote goes."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from simulator.ladder import LEVELS, SLACK, Ladder, Rows, View

TICK = 0.01
MOVES = st.lists(
    st.tuples(st.integers(-400, 400), st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=30
)
"""Of a bid in ticks, with the ticks between it and the ask, and a size."""


def ladder(seed: int = 1, start: int = 100) -> Ladder:
    return Ladder(
        Random(seed),
        TICK,
        lambda ticks: f"{ticks * TICK:.2f}",
        lambda rng: f"{rng.randint(1, 999)}",
        "0",
        start,
    )


def quotes(moves: list[tuple[int, int, int]], bid: int) -> list[tuple[str, str, str, str]]:
    found = []
    for change, spread, size in moves:
        bid = max(1, bid + change)
        found.append((f"{bid * TICK:.2f}", str(size), f"{(bid + spread) * TICK:.2f}", str(size + 1)))
    return found


def kept(book: dict[str, str], rows: Rows) -> None:
    for price, size in rows:
        if size == "0":
            book.pop(price, None)
        else:
            book[price] = size


def as_sides(view: View) -> tuple[dict[str, str], dict[str, str]]:
    return dict(view.bids), dict(view.asks)


@given(moves=MOVES, bid=st.sampled_from([3, 200, 50_000]), levels=st.sampled_from([1, 20, 50, 1000]))
def test_changes_keep_every_view_of_the_book(
    moves: list[tuple[int, int, int]], bid: int, levels: int
) -> None:
    one = ladder()
    one.move(
        ("0.01", "1", "0.02", "1") if bid < 5 else (f"{bid * TICK:.2f}", "1", f"{bid * TICK + 1:.2f}", "1"), 1
    )
    bids, asks = as_sides(one.view(levels))
    last, number = one.last, one.number
    for best in quotes(moves, bid):
        change = one.move(best, 2)
        if change is None:
            continue
        assert (change.previous, change.first, change.number) == (last, last + 1, number + 1)
        assert change.last - change.previous == len(change.bids) + len(change.asks)
        last, number = change.last, change.number
        for book, rows in zip((bids, asks), one.rows(change, levels), strict=True):
            kept(book, rows)
        view = one.view(levels)
        assert (bids, asks) == as_sides(view)
        assert (*view.bids[0], *view.asks[0]) == best
        assert [float(price) for price, _ in view.bids] == sorted(map(float, bids), reverse=True)
        assert [float(price) for price, _ in view.asks] == sorted(map(float, asks))
        assert all(float(price) > 0 for price, _ in view.bids)
        assert LEVELS <= len(one.asks.keys) <= LEVELS + SLACK
        assert len(one.bids.keys) <= LEVELS + SLACK


@given(moves=MOVES)
def test_step_by_step_a_book_is_never_crossed(moves: list[tuple[int, int, int]]) -> None:
    one = ladder()
    one.move(("500.00", "1", "500.01", "1"), 1)
    bids, asks = as_sides(one.view())
    for best in quotes(moves, 50_000):
        if change := one.move(best, 2):
            for price, size, is_bid in one.steps(change):
                kept(bids if is_bid else asks, [(price, size)])
                assert not bids or not asks or max(map(float, bids)) < min(map(float, asks))
    assert (bids, asks) == as_sides(one.view())


def test_the_same_dice_make_the_same_book() -> None:
    books = [ladder(), ladder(), ladder(seed=2)]
    for one in books:
        one.move(("500.00", "1", "500.01", "1"), 1)
        one.move(("500.07", "1", "500.09", "1"), 2)
    assert books[0].view() == books[1].view()
    assert books[0].view() != books[2].view()


def test_a_quote_that_has_not_moved_moves_nothing() -> None:
    one = ladder()
    one.move(("500.00", "1", "500.01", "1"), 1)
    view = one.view()
    assert one.move(("500.00", "1", "500.01", "1"), 2) is None
    assert one.view() == view


def test_a_crossing_takes_an_id_so_that_those_of_single_levels_go_on() -> None:
    one = ladder()
    one.move(("500.00", "1", "500.01", "1"), 1)
    change = one.move(("500.07", "1", "500.09", "1"), 2)
    assert change is not None
    crossed = one.crossed(change)
    assert ("500.10", "1") in one.rows(crossed)[0]
    assert len(one.steps(crossed)) == crossed.last - crossed.previous == change.last - change.previous + 1
    following = one.move(("500.08", "1", "500.09", "1"), 3)
    assert following is not None
    assert following.previous == crossed.last


def test_a_checksum_is_that_of_the_levels_by_turns() -> None:
    one = ladder()
    one.move(("500.00", "1", "500.01", "1"), 1)
    for side, levels in (
        (one.bids, {-1005: "2", -1004: "1.25", -1001: "10"}),
        (one.asks, {1006: "0.5", 1009: "3"}),
    ):
        side.keys[:], side.sizes = list(levels), levels
    one._price = lambda ticks: f"{ticks / 10:.1f}"  # the worked example of the protocol notes
    assert one.checksum() == -850664863

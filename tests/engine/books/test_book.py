"""A book kept from snapshots and deltas: what it says, when it says nothing, and that dictionaries agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.books.book import Book
from engine.books.sequences import COUNTED, Chained, Rising
from tests.engine.books.books import Change, NaiveBook, changes, delta, live, possible, snapshot, update

ON_SOCKET = Rising(falls="stale")
SECOND = 10**9


class TestWhatItSays:
    def test_the_best_are_those_nearest_to_each_other_in_whatever_order_they_came(self) -> None:
        book = live([(99.0, 5.0), (100.0, 2.0)], [(103.0, 1.0), (101.0, 3.0), (102.0, 4.0)])
        assert book.best() == (100.0, 2.0, 101.0, 3.0)
        assert book.top(2) == ([(100.0, 2.0), (99.0, 5.0)], [(101.0, 3.0), (102.0, 4.0)])

    def test_a_delta_sets_adds_and_removes_levels(self) -> None:
        book = live([(100.0, 2.0), (99.0, 5.0)], [(101.0, 3.0)])
        book.apply(delta(2, 4, [(100.0, 0.0), (98.0, 7.0)], [(101.0, 0.25), (101.5, 1.0)]))
        assert book.top(5) == ([(99.0, 5.0), (98.0, 7.0)], [(101.0, 0.25), (101.5, 1.0)])
        assert book.last_seq == 4

    def test_the_removal_of_a_level_that_is_not_there_is_nothing(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        assert book.apply(delta(2, bids=[(55.0, 0.0)])) == "applied"
        assert book.top(5) == ([(100.0, 2.0)], [(101.0, 3.0)])

    def test_two_spellings_of_a_price_are_one_level(self) -> None:
        book = live([(float("0.10"), 2.0)], [(float("0.2"), 3.0)])
        book.apply(delta(2, bids=[(float("0.1000"), 0.0), (float("1e-2"), 1.0)]))
        assert book.top(5) == ([(0.01, 1.0)], [(0.2, 3.0)])

    def test_imbalance_and_micro_price(self) -> None:
        book = live([(100.0, 3.0), (99.0, 5.0)], [(102.0, 1.0), (103.0, 1.0)])
        assert book.micro_price() == pytest.approx((100.0 * 1.0 + 102.0 * 3.0) / 4.0)
        assert book.imbalance(1) == pytest.approx(0.5)
        assert book.imbalance(5) == pytest.approx(0.6)

    def test_a_book_without_a_side_is_known_and_has_no_best(self) -> None:
        book = live([(100.0, 3.0)], [])
        assert (book.resyncing, book.best(), book.micro_price()) == ("", None, None)
        assert book.imbalance() == 1.0
        assert live([], []).imbalance() is None


class TestResync:
    def test_without_a_snapshot_nothing_is_said(self) -> None:
        book = Book(ON_SOCKET)
        assert book.apply(delta(5, bids=[(1.0, 1.0)])) == "waiting"
        assert (book.best(), book.top(5), book.micro_price(), book.imbalance()) == (None,) * 4
        assert book.resyncing == "there was no snapshot yet"

    def test_a_gap_empties_the_book_until_a_snapshot(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        assert book.apply(delta(5)) == "gap"
        assert (book.best(), book.top(5)) == (None, None)
        assert book.resyncing == "5 does not follow 1"
        assert book.apply(delta(6)) == "waiting"
        assert book.apply(snapshot(5)) == "applied"
        assert (book.best(), book.last_seq) == ((100.0, 2.0, 101.0, 3.0), 6)
        assert book.counts == {"applied": 3, "snapshots": 2, "gap": 1, "waiting": 2, "ignored": 1}

    def test_a_crossed_book_is_none(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        assert book.apply(delta(2, bids=[(101.5, 1.0)])) == "gap"
        assert book.best() is None
        assert book.resyncing == "its bid 101.5 is above its ask 101.0"
        assert book.apply(snapshot(3, [(15.0, 1.0)], [(14.0, 1.0)])) == "gap"
        assert book.counts["crossed"] == 2

    def test_a_lost_frame_ends_it(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        assert book.apply(update("gap")) == "gap"
        assert book.counts["lost"] == 1

    def test_no_level_survives_a_reconnect_and_the_old_connection_is_over(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        assert book.apply(delta(2), epoch=1) == "waiting"
        assert book.top(5) is None
        assert book.apply(snapshot(9), epoch=0) == "ignored"
        assert book.apply(snapshot(1), epoch=1) == "applied"
        assert book.last_seq == 2

    def test_a_wrong_checksum_ends_it_and_a_right_one_does_not(self) -> None:
        book = Book(Chained(straddles=False, waits=False))
        bids, asks = [("3366.1", "7")], [("3366.8", "9"), ("3368", "8"), ("3372", "8")]
        said = [(float(price), float(size)) for price, size in asks]
        whole = update("snapshot", [(3366.1, 7.0)], said, checksum=831078360, texts=(bids, asks))
        assert book.apply(whole) == "applied"
        texts = ([("3366", "6")], [("3372", "0"), ("3368", "8")])
        changed = [(3366.0, 6.0)], [(3372.0, 0.0), (3368.0, 8.0)]
        assert book.apply(update("delta", *changed, checksum=-1881014294, texts=texts)) == "applied"
        assert book.apply(update("delta", texts=([("3366", "6")], []), checksum=5)) == "gap"
        assert book.counts["checksum"] == 1


class TestSnapshotThatIsAskedFor:
    def test_deltas_wait_for_it_and_those_that_it_has_are_passed_over(self) -> None:
        book = Book(COUNTED)
        for first, price in ((8, 90.0), (9, 91.0), (10, 92.0), (11, 93.0), (12, 94.0)):
            assert book.apply(delta(first, bids=[(price, 1.0)])) == "waiting"
        assert book.apply(snapshot(10)) == "applied"
        assert book.top(9) == ([(100.0, 2.0), (94.0, 1.0), (93.0, 1.0)], [(101.0, 3.0)])
        assert book.counts["ignored"] == 3

    def test_the_first_after_it_may_span_it(self) -> None:
        book = Book(COUNTED)
        book.apply(delta(9, 12, [(93.0, 1.0)]))
        assert book.apply(snapshot(10)) == "applied"
        assert book.last_seq == 12

    def test_one_that_is_too_old_is_asked_for_again(self) -> None:
        book = Book(COUNTED)
        book.apply(delta(14, bids=[(93.0, 1.0)]))
        assert book.apply(snapshot(10)) == "gap"
        assert book.top(5) is None
        assert book.apply(snapshot(13)) == "applied"
        assert (book.last_seq, len(book.bids.keys)) == (14, 2)

    def test_one_that_the_socket_has_overtaken_is_ignored(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)])
        book.apply(delta(2, 6))
        assert book.apply(snapshot(5, [(1.0, 1.0)], [])) == "ignored"
        assert book.best() == (100.0, 2.0, 101.0, 3.0)

    def test_a_snapshot_on_the_socket_replaces_whatever_its_id(self) -> None:
        book = Book(ON_SOCKET)
        book.apply(snapshot(900))
        assert book.apply(snapshot(1, [(5.0, 1.0)], [])) == "applied"
        assert book.top(5) == ([(5.0, 1.0)], [])

    def test_only_the_newest_wait(self) -> None:
        book = Book(COUNTED, most_waiting=3)
        for first in range(1, 6):
            book.apply(delta(first))
        assert book.counts["dropped"] == 2
        assert book.apply(snapshot(1)) == "gap"  # 2 is among those that are gone
        assert book.apply(snapshot(2)) == "applied"


class TestSilence:
    def test_a_book_is_unknown_when_it_is_silent_for_longer_than_is_its_rhythm(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)], at_ns=SECOND)
        assert book.is_known(11 * SECOND)
        assert not book.is_known(11 * SECOND + 1)

    def test_a_quiet_one_may_be_silent_for_longer(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)], at_ns=SECOND)
        book.apply(delta(2, received_mono_ns=10 * SECOND))
        assert book.is_known(37 * SECOND)
        assert not book.expire(37 * SECOND)
        assert book.expire(37 * SECOND + 1)
        assert (book.best(), book.resyncing) == (None, "nothing came for 27 s")

    def test_a_quiet_one_that_had_to_begin_again_may_be_as_quiet(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)], at_ns=SECOND)
        assert book.expire(21 * SECOND)
        book.apply(snapshot(1, received_mono_ns=22 * SECOND))
        assert book.is_known(81 * SECOND)

    def test_none_may_be_silent_for_more_than_five_minutes(self) -> None:
        book = live([(100.0, 2.0)], [(101.0, 3.0)], at_ns=SECOND)
        book.apply(delta(2, received_mono_ns=1000 * SECOND))
        assert book.is_known(1300 * SECOND)
        assert not book.is_known(1300 * SECOND + 1)


class TestBounds:
    def test_the_worst_levels_are_cut_off_and_counted(self) -> None:
        book = Book(COUNTED, most_levels=4)
        book.apply(snapshot(1, [(100.0 - n, 1.0) for n in range(6)], []))
        assert [price for price, _ in book.bids.top()] == [100.0, 99.0, 98.0, 97.0]
        assert book.cut == 2
        book.apply(delta(2, bids=[(99.5, 1.0)]))
        assert [price for price, _ in book.bids.top()] == [100.0, 99.5, 99.0, 98.0]
        assert book.cut == 3

    def test_what_lies_behind_those_cut_off_is_not_taken_over(self) -> None:
        book = Book(COUNTED, most_levels=4)
        book.apply(snapshot(1, [(100.0 - n, 1.0) for n in range(6)], []))  # 96 is the best of those cut off
        book.apply(delta(2, bids=[(99.0, 0.0), (90.0, 1.0)]))
        assert [price for price, _ in book.bids.top()] == [100.0, 98.0, 97.0]

    def test_a_book_of_which_too_few_are_left_begins_again(self) -> None:
        book = Book(COUNTED, most_levels=8)
        book.apply(snapshot(1, [(100.0 - n, 1.0) for n in range(9)], []))
        assert book.apply(delta(2, bids=[(100.0 - n, 0.0) for n in range(6)])) == "applied"
        assert book.apply(delta(3, bids=[(94.0, 0.0)])) == "gap"
        assert book.counts["shallow"] == 1


@given(changes, st.data())
def test_every_split_of_the_changes_gives_the_naive_book(wanted: list[Change], data: st.DataObject) -> None:
    taken = possible(wanted)
    naive, book = NaiveBook(), Book(COUNTED)
    book.apply(snapshot(0, [], []))
    done = 0
    while done < len(taken):
        size = data.draw(st.integers(1, len(taken) - done))
        batch = taken[done : done + size]
        for change in batch:
            naive.change(*change)
        sides = ([(price, size) for side, price, size in batch if side == name] for name in ("bid", "ask"))
        assert book.apply(delta(done + 1, done + size, *sides)) == "applied"
        done += size
        assert book.top(100) == naive.sorted
        best = book.best()
        assert best is None or best[0] <= best[2]
    assert book.last_seq == len(taken)


@given(changes)
def test_no_book_is_ever_crossed(wanted: list[Change]) -> None:
    book = Book(ON_SOCKET)
    book.apply(snapshot(0, [], []))
    for number, (side, price, size) in enumerate(wanted, start=1):
        level = [(price, size)]
        outcome = book.apply(delta(number, bids=level) if side == "bid" else delta(number, asks=level))
        if outcome == "gap":
            assert book.top(5) is None
            book.apply(snapshot(number, [], []))
        best = book.best()
        assert best is None or best[0] <= best[2]

"""Ladders of a web process: whatever is late or lost, nothing older replaces something newer."""

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime.depth.book import DepthBook, ShardDepth
from realtime.depth.wire import Frame, Key, State
from tests.realtime.depth.ladders import ladder

KEYS: list[Key] = [("gate", "BTC/USDT"), ("gate:swap", "BTC/USDT:USDT"), ("okx", "ETH/USDT")]
BOTH = [(100.0, 1.0)], [(101.0, 2.0)]

steps = st.lists(
    st.tuples(st.sets(st.sampled_from(KEYS)), st.sets(st.sampled_from(KEYS)), st.booleans()), max_size=12
)


class Collector:
    """A shard that says something, and of every message what all books are after it."""

    def __init__(self) -> None:
        self.seq = 100
        self.books: dict[Key, Any] = {}
        self.known_at: dict[int, dict[Key, Any]] = {100: {}}

    def step(self, changed: set[Key], gone: set[Key]) -> tuple[Frame, State]:
        previous, self.seq = self.seq, self.seq + 1
        gone = {key for key in gone - changed if key in self.books}
        made = {key: ladder(key, [(float(self.seq), 1.0)], [(self.seq + 0.5, 1.0)]) for key in changed}
        self.books = {key: each for key, each in (self.books | made).items() if key not in gone}
        self.known_at[self.seq] = dict(self.books)
        now_us = time.time_ns() // 1000
        frame = Frame("1/1", self.seq, previous, now_us, list(made.values()), sorted(gone))
        return frame, State("1/1", self.seq, now_us, list(self.books.values()))


@given(steps, st.randoms(use_true_random=False))
def test_whatever_is_lost_or_late_a_reader_goes_forward_and_is_right_when_nothing_is_missing(
    said: list[tuple[set[Key], set[Key], bool]], chance: Any
) -> None:
    collector, reader = Collector(), ShardDepth("1/1", 0.0)
    reader.merge(collector.step(set(), set())[1], time.time_ns() // 1000, 0.0)
    late: list[State] = []
    newest: dict[Key, int] = {}
    for changed, gone, lost in said:
        frame, state = collector.step(changed, gone)
        late.append(state)
        if not lost:
            reader.apply(frame, 0.0)
        if chance.random() < 0.4:
            reader.merge(late.pop(chance.randrange(len(late))), time.time_ns() // 1000, 0.0)
        for key, held in reader.ladders.items():
            assert held.seq >= newest.get(key, 0)
            newest[key] = held.seq
        if not reader.is_behind:
            shown = {key: held.ladder for key, held in reader.ladders.items()}
            assert shown == collector.known_at[reader.seq]


def test_a_frame_of_an_unknown_shard_asks_for_its_state() -> None:
    collector, book = Collector(), DepthBook()
    frame, state = collector.step({KEYS[0]}, set())
    book.apply(frame)
    assert book.stale == {"1/1"}
    assert book.get(KEYS[0]) is None
    book.learn({"1/1": state})
    depth = book.get(KEYS[0])
    assert depth is not None
    assert depth.problem == ""


def test_ages_count_on_and_a_silent_collector_s_books_are_unknown() -> None:
    now_us = time.time_ns() // 1000
    shard = ShardDepth("1/2", 0.0)
    shard.merge(
        State("1/2", 1, now_us, [ladder(KEYS[0], *BOTH, age_ms=500.0)]), now_us, time.monotonic() - 4.0
    )
    book = DepthBook()
    book._shards["1/2"] = shard
    depth = book.get(KEYS[0])
    assert depth is not None
    assert depth.born_s is not None
    assert time.monotonic() - depth.born_s >= 4.5
    assert depth.problem.startswith("no data from collector 1/2 for ")


def test_of_a_book_that_two_shards_know_the_one_that_lives_counts() -> None:
    now_us, now_s = time.time_ns() // 1000, time.monotonic()
    book = DepthBook()
    for name, problem, received_s in (("1/1", "it is old", now_s - 2.0), ("1/2", "", now_s)):
        shard = book._shards[name] = ShardDepth(name, received_s)
        shard.merge(State(name, 1, now_us, [ladder(KEYS[0], *BOTH, problem)]), now_us, received_s)
    assert [(key, depth.problem) for key, depth in book.all()] == [(KEYS[0], "")]


def test_a_shard_that_is_silent_for_long_is_forgotten() -> None:
    book = DepthBook()
    book._shards["1/1"] = ShardDepth("1/1", time.monotonic() - 61.0)
    book.drop_gone()
    assert book._shards == {}

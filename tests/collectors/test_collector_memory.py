"""Garbage collection in a collector: what is configured is frozen, pauses are counted."""

import gc
from collections.abc import Iterator

import pytest

from collectors.memory import PAUSES_KEPT, Memory, resident_bytes


class Ring:
    """Something only the garbage collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def memory() -> Iterator[Memory]:
    thresholds = gc.get_threshold()
    memory = Memory()
    memory.watch()
    yield memory
    memory.unwatch()
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def rings() -> int:
    """How many are not freed."""
    return sum(type(each) is Ring for each in gc.get_objects())  # isinstance asks lazy objects what they are


def test_what_is_configured_is_not_looked_at_again(memory: Memory) -> None:
    configured = [Ring() for _ in range(100)]
    memory.settle()
    assert rings() == 0  # frozen: in no generation
    assert gc.get_freeze_count() >= len(configured)


def test_what_a_former_configuration_left_behind_goes_with_the_next(memory: Memory) -> None:
    configured = [Ring() for _ in range(100)]
    memory.settle()
    del configured
    memory.settle()
    gc.unfreeze()
    assert rings() == 0


def test_pauses_are_counted_and_those_of_a_configuration_distinguished(memory: Memory) -> None:
    memory.settle()
    before = memory.pauses
    gc.collect(0)
    gc.collect()
    stats = memory.stats()
    assert memory.pauses == before + 2
    assert 0 < stats["gc_pause_p99_ms"] <= stats["gc_pause_longest_ms"]
    assert stats["gc_settled_ms"] > 0


def test_the_pauses_kept_are_bounded(memory: Memory) -> None:
    for _ in range(PAUSES_KEPT + 10):
        gc.collect(0)
    assert memory.pauses >= PAUSES_KEPT + 10
    assert len(memory._newest) == PAUSES_KEPT


def test_the_status_says_how_much_memory_is_taken(memory: Memory) -> None:
    assert memory.stats()["rss_mb"] == pytest.approx(resident_bytes() / 2**20, rel=0.1)


def test_what_came_after_a_configuration_can_be_kept_without_a_pause(memory: Memory) -> None:
    memory.settle()
    connected = [Ring() for _ in range(100)]
    before = memory.pauses
    memory.keep()
    assert memory.pauses == before
    assert rings() == 0
    assert len(connected) == 100

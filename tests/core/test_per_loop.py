"""One of a kind per process, for as long as its event loop."""

import asyncio
import gc
from weakref import ref

import pytest

from core.process.per_loop import PerLoop


class Thing:
    """Something that a process has one of."""


def test_it_is_made_at_first_use_and_once() -> None:
    made: list[Thing] = []

    def make() -> Thing:
        made.append(Thing())
        return made[-1]

    process_thing = PerLoop(make)

    async def use() -> None:
        assert process_thing.made() is None
        assert made == []
        first = process_thing()
        assert process_thing() is first
        assert process_thing.made() is first

    asyncio.run(use())
    assert len(made) == 1


def test_each_loop_has_its_own_and_takes_it_along_as_it_goes() -> None:
    process_thing = PerLoop(Thing)

    async def use() -> "ref[Thing]":
        return ref(process_thing())

    first = asyncio.run(use())
    second = asyncio.run(use())
    gc.collect()
    assert first() is None
    assert second() is None


def test_outside_a_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        PerLoop(Thing)()

"""The bounded channel: newest kept, every drop counted, drained before it ends."""

import asyncio
from collections.abc import Callable

import pytest

from core.channel import Channel

Put = Callable[[Channel[int], list[int]], None]


def one_by_one(channel: Channel[int], items: list[int]) -> None:
    """Put in every item by itself."""
    for item in items:
        channel.put(item)


def at_once(channel: Channel[int], items: list[int]) -> None:
    """Put in all items with one call."""
    channel.put_many(items)


both_ways = pytest.mark.parametrize("put", [one_by_one, at_once])


async def wakes(channel: Channel[int]) -> bool:
    """Whether a consumer that waits now goes on at once."""
    waiting = asyncio.create_task(channel.wait())
    await asyncio.sleep(0)
    done = waiting.done()
    waiting.cancel()
    return done


@both_ways
async def test_every_item_over_capacity_costs_the_oldest_and_is_counted(put: Put) -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    put(channel, [0, 1, 2])
    assert (channel.accepted, channel.dropped) == (3, 0)
    put(channel, [3])
    assert (channel.accepted, channel.dropped) == (4, 1)
    assert channel.take(10) == [1, 2, 3]


@both_ways
async def test_what_is_put_in_after_the_close_is_counted_as_dropped_and_never_taken(put: Put) -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    channel.close()
    put(channel, [1, 2])
    assert (channel.accepted, channel.dropped, channel.take(10)) == (0, 2, [])


@both_ways
async def test_a_consumer_waits_exactly_while_there_is_nothing_to_take(put: Put) -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    put(channel, [])
    assert not await wakes(channel)
    put(channel, [1, 2, 3])
    assert await wakes(channel)
    assert channel.take(2) == [1, 2]
    assert await wakes(channel), "one is left"
    assert channel.take(2) == [3]
    assert not await wakes(channel)
    channel.close()
    assert await wakes(channel)
    assert channel.take(2) == []
    assert await wakes(channel), "the end stays to be seen"


async def test_a_full_channel_drops_the_oldest_and_counts_it() -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    channel.put_many(range(5))
    assert channel.take(10) == [2, 3, 4]
    assert (channel.accepted, channel.dropped) == (5, 2)


async def test_a_closed_channel_is_drained_before_it_is_finished() -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    channel.put(1)
    channel.close()
    await channel.wait()
    assert (channel.finished, channel.take(10), channel.finished) == (False, [1], True)
    channel.put(2)
    assert channel.take(10) == []
    assert channel.dropped == 1


async def test_what_a_producer_gathers_can_be_fetched() -> None:
    channel: Channel[int] = Channel("test", capacity=3)
    channel.fetch()
    assert channel.take(10) == []
    gathered = [1, 2]

    def hand_on() -> None:
        channel.put_many(gathered)
        gathered.clear()

    channel.fetch_from(hand_on)
    channel.fetch()
    channel.fetch()
    assert channel.take(10) == [1, 2]

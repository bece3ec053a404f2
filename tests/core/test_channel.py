"""The bounded channel: newest kept, every drop counted, drained before it ends."""

from core.channel import Channel


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

"""Sockets that could read for ever leave the event loop its turns, and take turns themselves."""

import asyncio

from collectors.sockets.turns import Message, Turns


class Socket(asyncio.ReadTransport):
    """Remembers whether it reads, and the order in which it and others were resumed."""

    def __init__(self, name: str, resumed: list[str]) -> None:
        super().__init__()
        self.name = name
        self.reads = True
        self._resumed = resumed

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True
        self._resumed.append(self.name)


def three(turns: Turns) -> tuple[list[Socket], list[str]]:
    """Sockets a, b and c, and the order in which they resume."""
    resumed: list[str] = []
    sockets = [Socket(name, resumed) for name in "abc"]
    for socket in sockets:
        turns.join(socket)
    return sockets, resumed


def read(turns: Turns) -> None:
    """One frame is read, and nobody minds what it says."""
    turns.gather(lambda *_: None, ["frame"], 0, 0)


async def test_what_is_read_is_handed_on_together_in_order_of_receipt() -> None:
    turns, received, all_received = Turns(), list[tuple[list[Message], int, int]](), asyncio.Event()

    def receive(messages: list[Message], read_us: int, read_ns: int) -> None:
        received.append((messages, read_us, read_ns))
        if messages == ["last"]:
            all_received.set()

    turns.gather(receive, ["a", "b"], 1, 1000)
    turns.gather(receive, [b"c"], 2, 2000)
    turns.gather(receive, ["last"], 3, 3000)
    assert received == []
    async with asyncio.timeout(5):
        await all_received.wait()
    assert received == [(["a", "b"], 1, 1000), ([b"c"], 2, 2000), (["last"], 3, 3000)]


async def test_who_has_something_to_say_after_it_hands_on_at_once() -> None:
    turns, received = Turns(), list[list[Message]]()
    turns.gather(lambda messages, *_: received.append(messages), ["a"], 1, 1000)
    turns.hand_on()
    assert received == [["a"]]


async def test_frames_that_come_turn_by_turn_never_pause_anybody() -> None:
    turns = Turns(portion=10)
    sockets, resumed = three(turns)
    for _ in range(100):
        read(turns)
        await asyncio.sleep(0)
    assert all(socket.reads for socket in sockets)
    assert (turns.paused, resumed) == (0, [])


async def test_two_portions_within_one_turn_pause_everybody_until_the_next() -> None:
    turns = Turns(portion=10)
    sockets, resumed = three(turns)
    for _ in range(19):
        read(turns)
    assert all(socket.reads for socket in sockets)
    read(turns)
    assert not any(socket.reads for socket in sockets)
    await asyncio.sleep(0)
    assert all(socket.reads for socket in sockets)
    assert turns.paused == 1
    assert len(resumed) == 3


async def test_after_every_pause_another_socket_goes_first() -> None:
    turns = Turns(portion=1)
    _, resumed = three(turns)
    for _ in range(3):
        read(turns)
        read(turns)
        await asyncio.sleep(0)
    assert resumed[::3] == ["b", "c", "a"]


async def test_a_socket_that_comes_during_a_pause_waits_with_the_others() -> None:
    turns = Turns(portion=1)
    three(turns)
    read(turns)
    read(turns)
    late = Socket("d", [])
    turns.join(late)
    assert not late.reads
    await asyncio.sleep(0)
    assert late.reads


async def test_a_closed_socket_gets_nothing_more() -> None:
    turns = Turns(portion=1)
    (first, *_), resumed = three(turns)
    turns.leave(first)
    read(turns)
    read(turns)
    await asyncio.sleep(0)
    assert first.reads
    assert resumed == ["c", "b"]

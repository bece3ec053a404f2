"""Sockets that could read for ever leave the event loop its turns, and take turns themselves."""

import asyncio

from collectors.turns import Turns


class Socket(asyncio.ReadTransport):
    """Remembers whether it reads, and the order in which it and others were told to go on."""

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


async def test_frames_that_come_turn_by_turn_never_pause_anybody() -> None:
    turns = Turns(portion=10)
    sockets, resumed = three(turns)
    for _ in range(100):
        turns.took(1)
        await asyncio.sleep(0)
    assert all(socket.reads for socket in sockets)
    assert (turns.paused, resumed) == (0, [])


async def test_two_portions_within_one_turn_pause_everybody_until_the_next() -> None:
    turns = Turns(portion=10)
    sockets, resumed = three(turns)
    for _ in range(19):
        turns.took(1)
    assert all(socket.reads for socket in sockets)
    turns.took(1)
    assert not any(socket.reads for socket in sockets)
    await asyncio.sleep(0)
    assert all(socket.reads for socket in sockets)
    assert turns.paused == 1
    assert len(resumed) == 3


async def test_after_every_pause_another_socket_goes_first() -> None:
    turns = Turns(portion=1)
    _, resumed = three(turns)
    for _ in range(3):
        turns.took(1)
        turns.took(1)
        await asyncio.sleep(0)
    assert resumed[::3] == ["b", "c", "a"]


async def test_a_socket_that_comes_during_a_pause_waits_with_the_others() -> None:
    turns = Turns(portion=1)
    three(turns)
    turns.took(1)
    turns.took(1)
    late = Socket("d", [])
    turns.join(late)
    assert not late.reads
    await asyncio.sleep(0)
    assert late.reads


async def test_a_closed_socket_is_told_nothing_more() -> None:
    turns = Turns(portion=1)
    (first, *_), resumed = three(turns)
    turns.leave(first)
    turns.took(1)
    turns.took(1)
    await asyncio.sleep(0)
    assert first.reads
    assert resumed == ["c", "b"]

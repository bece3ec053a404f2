"""FEED=auto: live if any exchange accepts us, else simulated, said plainly."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from arbsite.desk.probe import any_answers
from arbsite.desk.stack import StackError, choose_feed

NOBODY = "ws://127.0.0.1:1/ws"


@pytest.fixture
async def exchange() -> AsyncIterator[str]:
    """A WebSocket server that accepts everybody."""

    async def accept(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


@pytest.fixture
async def listener() -> AsyncIterator[Callable[[bytes | None], Awaitable[str]]]:
    """Starts a TCP server that answers everybody with these bytes, or never."""
    servers = []

    async def start(answer: bytes | None) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if answer is not None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
            else:
                await reader.read()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"

    yield start
    for server in servers:
        server.close()


async def test_one_exchange_that_accepts_is_enough(exchange: str) -> None:
    assert await any_answers([NOBODY, exchange, NOBODY])


async def test_nobody_there_is_known_at_once() -> None:
    began = time.monotonic()
    assert not await any_answers([NOBODY] * 8)
    assert time.monotonic() - began < 5


async def test_a_firewall_s_error_page_is_no_exchange(
    listener: Callable[[bytes | None], Awaitable[str]],
) -> None:
    url = await listener(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert not await any_answers([url])


async def test_silence_ends_with_the_time_allowed(listener: Callable[[bytes | None], Awaitable[str]]) -> None:
    url = await listener(None)
    began = time.monotonic()
    assert not await any_answers([url], timeout_s=0.3)
    assert time.monotonic() - began < 3


def test_auto_without_exchanges_says_so_and_simulates() -> None:
    said: list[str] = []
    assert choose_feed("auto", [NOBODY], said.append) == "sim"
    assert any("No exchange answered" in text for text in said)
    assert any("SIMULATED" in text for text in said)


def test_a_feed_that_was_asked_for_is_not_questioned() -> None:
    assert choose_feed("live", [NOBODY], pytest.fail) == "live"
    assert choose_feed("sim", [], pytest.fail) == "sim"


def test_an_unknown_feed_is_refused() -> None:
    with pytest.raises(StackError, match="use auto, live or sim"):
        choose_feed("demo", [], pytest.fail)

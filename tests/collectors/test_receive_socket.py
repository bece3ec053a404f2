"""An exchange's socket: messages whole and in order, with the time they were read; an end that says why."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from collectors.sockets.exchange_socket import MAX_MESSAGE_BYTES, MOST_WAITING, ExchangeSocket
from collectors.sockets.handshake import open_socket
from collectors.sockets.rest import ConnectFailed
from collectors.sockets.turns import Message, Turns
from tests.support.exchanges.tiny_exchange import TIMING, until

Talk = Callable[[ServerConnection], Awaitable[None]]


class Reader:
    """Output of a socket."""

    def __init__(self) -> None:
        self.reads: list[tuple[list[Message], int, int]] = []
        self.lost: list[str] = []

    def __call__(self, messages: list[Message], read_us: int, read_ns: int) -> None:
        self.reads.append((messages, read_us, read_ns))

    @property
    def messages(self) -> list[Message]:
        return [message for messages, _, _ in self.reads for message in messages]


async def read_all(talk: Talk) -> Reader:
    """Read all that a client receives of a server that talks like this, to the end."""

    async def when_asked(server: ServerConnection) -> None:
        await server.recv()
        await talk(server)

    reader = Reader()
    async with serve(when_asked, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
        socket = await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())
        socket.receive(reader, reader.lost.append)
        socket.send("go on")
        await socket.wait_closed()
    return reader


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/"


def raw(*frames: bytes) -> Talk:
    """A server that puts these bytes on the wire in one go, then waits for the client to leave."""

    async def talk(server: ServerConnection) -> None:
        server.transport.write(b"".join(frames))
        await server.wait_closed()

    return talk


class TestMessages:
    async def test_fragments_are_put_together(self) -> None:
        async def talk(server: ServerConnection) -> None:
            await server.send(["a", "ü", "c"])
            await server.send([b"\x01", b"\x02"])
            await server.send("end")

        assert (await read_all(talk)).messages == ["aüc", b"\x01\x02", "end"]

    async def test_a_ping_between_fragments_is_answered_and_harms_nothing(self) -> None:
        async def talk(server: ServerConnection) -> None:
            server.transport.write(b"\x01\x02he")
            pong = await server.ping(b"are you there")
            await pong
            server.transport.write(b"\x80\x03llo")

        assert (await read_all(talk)).messages == ["hello"]

    async def test_what_is_read_together_is_handed_on_together_with_one_time(self) -> None:
        before_us, before_ns = time.time_ns() // 1000, time.monotonic_ns()
        reader = await read_all(raw(b"\x81\x01a", b"\x81\x01b", b"\x82\x01c", b"\x88\x02\x03\xe8"))
        ((messages, read_us, read_ns),) = reader.reads
        assert messages == ["a", "b", b"c"]
        assert before_us <= read_us <= time.time_ns() // 1000
        assert before_ns <= read_ns <= time.monotonic_ns()

    async def test_what_comes_before_anybody_reads_waits(self) -> None:
        async def talk(server: ServerConnection) -> None:
            await server.send("welcome")
            await server.send("first")
            await server.wait_closed()

        async with serve(talk, "127.0.0.1", 0) as server:
            socket = await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())
            assert await socket.welcome()
            reader = Reader()
            socket.receive(reader, reader.lost.append)
            await until(lambda: reader.messages == ["first"])
            await socket.close(1.0)

    async def test_a_flood_before_anybody_reads_ends_the_connection(self) -> None:
        async def talk(server: ServerConnection) -> None:
            await server.recv()
            server.transport.write(b"\x81\x01x" * (MOST_WAITING + 1))
            await server.wait_closed()

        lost: list[str] = []
        async with serve(talk, "127.0.0.1", 0) as server:
            socket = await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())
            socket.send("go on")
            await socket.wait_closed()
            socket.receive(Reader(), lost.append)
        assert lost == ["protocol error: a flood nobody asked for"]


class TestEnds:
    @pytest.mark.parametrize(
        ("frame", "reason"),
        [
            (b"\x88\x02\x03\xe8", "closed by the exchange (1000)"),
            (b"\x88\x06\x0f\xa1busy", "closed by the exchange (4001 busy)"),
            (b"\x88\x00", "closed by the exchange (1005)"),
            (b"\x81\x02\xff\xfe", "protocol error: text that is not UTF-8"),
            (b"\x80\x01x", "protocol error: fragments out of order"),
            (b"\x01\x01x\x02\x01y", "protocol error: fragments out of order"),
        ],
    )
    async def test_the_reason_is_said_once_after_what_came_before(self, frame: bytes, reason: str) -> None:
        reader = await read_all(raw(b"\x81\x04last", frame))
        assert reader.messages == ["last"]
        assert reader.lost == [reason]

    async def test_a_message_too_big_is_not_read_to_its_end(self) -> None:
        reader = await read_all(raw(b"\x82\x7f" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + b"x" * 100))
        assert reader.messages == []
        (reason,) = reader.lost
        assert reason.startswith("protocol error: ")
        assert str(MAX_MESSAGE_BYTES) in reason

    async def test_fragments_do_not_add_up_to_a_message_too_big(self) -> None:
        part = b"x" * (MAX_MESSAGE_BYTES // 2 + 1)
        size = len(part).to_bytes(8, "big")
        reader = await read_all(raw(b"\x02\x7f" + size + part, b"\x00\x7f" + size + part))
        assert (reader.messages, reader.lost) == ([], ["protocol error: a message too big"])

    async def test_a_reader_that_fails_ends_the_connection_and_is_reported(self) -> None:
        async def talk(server: ServerConnection) -> None:
            await server.send("hello")
            await server.wait_closed()

        def fail(messages: list[Message], read_us: int, read_ns: int) -> None:
            raise LookupError(messages[0])

        lost: list[str] = []
        async with serve(talk, "127.0.0.1", 0) as server:
            socket = await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())
            socket.receive(fail, lost.append)
            with pytest.raises(LookupError, match="hello"):
                await socket.wait_closed()
        assert lost == ["connection lost"]

    async def test_an_exchange_that_does_not_say_goodbye_is_not_waited_for(self) -> None:
        stays = asyncio.Event()

        async def stay(_: ServerConnection) -> None:
            await stays.wait()

        async with serve(stay, "127.0.0.1", 0) as server:
            socket = await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())
            for each in server.connections:
                each.transport.pause_reading()  # the goodbye is never seen
            await socket.close(0.05)
            assert not socket.is_open
            for each in server.connections:
                each.transport.abort()
            stays.set()


class TestHandshake:
    async def test_an_extension_nobody_offered_is_no_connection(self) -> None:
        def compress(_: ServerConnection, __: Request, response: Response) -> None:
            response.headers["Sec-WebSocket-Extensions"] = "permessage-deflate"

        async with serve(
            lambda server: server.wait_closed(), "127.0.0.1", 0, compression=None, process_response=compress
        ) as server:
            with pytest.raises(ConnectFailed, match="extension we did not offer"):
                await open_socket(url(server.sockets[0].getsockname()[1]), TIMING, Turns())

    @pytest.mark.parametrize("gives_up", ["the clock", "the caller"])
    async def test_a_handshake_given_up_leaves_no_connection(self, gives_up: str) -> None:
        arrived, left = asyncio.Event(), asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await reader.read()
            left.set()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            opening = asyncio.create_task(open_socket(url(port), TIMING, Turns()))
            if gives_up == "the caller":
                await arrived.wait()
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
            else:
                with pytest.raises(ConnectFailed, match="no answer within 1 s"):
                    await opening
            async with asyncio.timeout(5):
                await left.wait()


class TestFlood:
    async def test_between_two_turns_of_the_loop_a_bounded_number_of_frames_is_read(self) -> None:
        """Eight sockets with full kernel buffers. What is counted as a turn may be parts of two."""
        frame = b"\x81\x7e\x00\xc8" + b"x" * 200
        sockets, portion, each = 8, 100, 4_000
        most_in_one_read = 2 * 32 * 1024 // len(frame)
        finish = asyncio.Event()

        async def flood(server: ServerConnection) -> None:
            await server.recv()
            server.transport.write(frame * each)
            await finish.wait()

        turn = 0
        read_in_turn: dict[int, int] = {}
        received: dict[ExchangeSocket, int] = {}

        def count(socket: ExchangeSocket) -> Callable[[list[Message], int, int], None]:
            def read(messages: list[Message], read_us: int, read_ns: int) -> None:
                read_in_turn[turn] = read_in_turn.get(turn, 0) + len(messages)
                received[socket] = received.get(socket, 0) + len(messages)

            return read

        async def count_turns() -> None:
            nonlocal turn
            while True:
                await asyncio.sleep(0)
                turn += 1

        turns = Turns(portion)
        async with serve(flood, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            counting = asyncio.create_task(count_turns())
            open_ones = [await open_socket(url(port), TIMING, turns) for _ in range(sockets)]
            for socket in open_ones:
                socket.receive(count(socket), lambda _: None)
                socket.send("go on")
            await until(lambda: list(received.values()) == [each] * sockets, seconds=20)
            finish.set()
            counting.cancel()
            await asyncio.gather(*(socket.close(1.0) for socket in open_ones))
        assert turns.paused
        assert max(read_in_turn.values()) <= 2 * (2 * portion + most_in_one_read)

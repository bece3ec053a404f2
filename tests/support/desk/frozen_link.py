"""A TCP proxy on loopback whose link can die: nothing passes any more, and nobody is notified.

What a laptop that slept, a NAT that forgot, or a VPN that hangs does to a browser: connections stay open,
new ones are accepted, and no byte comes through in either direction.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE = 64 * 1024


class Link:
    """Connections through the proxy; those frozen once stay dead, as behind a NAT that forgot them."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.accepted = 0  # connections, frozen or not
        self.slow_s = 0.0  # by how much what the server says comes late
        self.lets_keep = False  # it says that browsers may keep pages, where the server says not to
        self._upstream = port
        self._open = asyncio.Event()
        self._open.set()
        self._dead = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def freeze(self) -> None:
        """From now on everything is swallowed."""
        self._open.clear()
        self._dead.set()

    def thaw(self) -> None:
        """New connections pass again."""
        self._dead = asyncio.Event()
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        self.accepted += 1
        self._writers.add(writer)
        if not self._open.is_set():
            await asyncio.Event().wait()  # accepted, and never answered
        dead = self._dead
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers.add(there_writer)
        ways = [
            asyncio.create_task(self._pump(reader, there_writer, dead)),
            asyncio.create_task(self._pump(there_reader, writer, dead, is_answer=True)),
        ]
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, there_writer):
            each.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dead: asyncio.Event,
        *,
        is_answer: bool = False,
    ) -> None:
        while True:
            piece = await reader.read(PIECE)
            if is_answer and self.slow_s:
                await asyncio.sleep(self.slow_s)
            if dead.is_set():
                await asyncio.Event().wait()
            if not piece:
                break
            if is_answer and self.lets_keep:
                piece = piece.replace(b"no-store", b"no-cache")
            writer.write(piece)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()

    async def close(self) -> None:
        """Cut everything."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def link(port: int) -> AsyncIterator[Link]:
    """A link to a server of this machine."""
    made = Link(port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await made.close()

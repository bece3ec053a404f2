"""A way to PostgreSQL that can be paused: what is asked meanwhile waits, and is answered when it goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.db import connection

PIECE = 64 * 1024


class Way:
    """The way; `url` is for the process that is to go it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the process."""
        await self.goes_on.wait()
        with suppress(OSError):
            far_reader, far_writer = await _connected()
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                await self.goes_on.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


async def _connected() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    known = connection.settings_dict
    host, port = known["HOST"], int(known["PORT"] or 5432)
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


@asynccontextmanager
async def paused_postgres(folder: Path) -> AsyncIterator[Way]:
    """Goes on until its `goes_on` is cleared. `folder` has a short path: it holds a Unix socket."""
    known = connection.settings_dict
    who = quote(known["USER"], safe="") + (
        f":{quote(known['PASSWORD'], safe='')}" if known["PASSWORD"] else ""
    )
    way = Way(f"postgres://{who}@/{quote(str(folder))}/{known['NAME']}")
    server = await asyncio.start_unix_server(way.serve, folder / ".s.PGSQL.5432")
    try:
        yield way
    finally:
        way.goes_on.set()
        server.close()

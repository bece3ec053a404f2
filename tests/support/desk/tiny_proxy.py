"""Proxies small enough to misbehave on command: HTTP with CONNECT, and SOCKS5, on loopback."""

import asyncio
import base64
import struct
from contextlib import suppress
from typing import Literal, Self

Kind = Literal["http", "socks5", "socks5h"]
Mode = Literal["works", "hangs", "closes", "407", "502", "html", "refuses", "banner", "words"]


class TinyProxy:
    """Tunnels to where it is asked to, and remembers it in `asked`; everything is bounded by its life."""

    def __init__(self, kind: Kind = "http", user: str = "", password: str = "") -> None:
        self.kind = kind
        self.mode: Mode = "works"
        self.asked: list[tuple[str, int]] = []
        self.authorised: list[str] = []
        self._user, self._password = user, password
        self._streams: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *problem: object) -> None:
        self._server.close()
        for stream in list(self._streams):
            stream.close()

    @property
    def url(self) -> str:
        user = f"{self._user}:{self._password}@" if self._user else ""
        return f"{self.kind}://{user}127.0.0.1:{self.port}"

    @property
    def shown(self) -> str:
        user = "•••@" if self._user else ""
        return f"{self.kind}://{user}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if self.mode == "closes":
                    return
                if self.mode == "hangs":
                    await reader.read()
                    return
                speak = self._http if self.kind == "http" else self._socks
                if (to := await speak(reader, writer)) is not None:
                    await self._tunnel(to, reader, writer)
        finally:
            self._streams.discard(writer)
            writer.close()

    async def _http(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        verb, target, _ = head.split("\r\n", 1)[0].split()
        credentials = next(
            (x.split()[-1] for x in head.split("\r\n") if x.lower().startswith("proxy-auth")), ""
        )
        self.authorised.append(base64.b64decode(credentials).decode())
        wanted = f"{self._user}:{self._password}" if self._user else ""
        answers = {
            "407": b"407 Proxy Authentication Required",
            "502": b"502 Bad Gateway",
            "words": b"500 inner.db7 says",
        }
        if self.mode == "html":
            writer.write(b"<html><title>Hotel</title></html>\r\n\r\n")
        elif self.mode == "banner":
            writer.write(b"SSH-2.0-inner.db7 says\r\n\r\n")
        elif self.mode in answers:
            writer.write(b"HTTP/1.1 " + answers[self.mode] + b"\r\nContent-Length: 0\r\n\r\n")
        elif self.mode == "refuses" or verb != "CONNECT":
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        elif self.authorised[-1] != wanted:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            host, _, port = target.rpartition(":")
            return host, int(port)
        return None

    async def _socks(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int] | None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self.mode in ("html", "502"):
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html></html>")
            return None
        method = 2 if self._user else 0
        if method not in methods or self.mode == "407":
            writer.write(b"\x05\xff")
            return None
        writer.write(bytes([5, method]))
        if method == 2:
            _, length = await reader.readexactly(2)
            user = (await reader.readexactly(length)).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            self.authorised.append(f"{user}:{password}")
            well = (user, password) == (self._user, self._password)
            writer.write(b"\x01\x00" if well else b"\x01\x01")
            if not well:
                return None
        _, _, _, family = await reader.readexactly(4)
        if family == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        refused = self.mode == "refuses"
        writer.write(bytes([5, 2 if refused else 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        return None if refused else (host, port)

    async def _tunnel(
        self, to: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.asked.append(to)
        host = "127.0.0.1" if to[0].endswith(".test") else to[0]  # names only this proxy knows
        far_reader, far_writer = await asyncio.open_connection(host, to[1])
        self._streams.add(far_writer)
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            self._streams.discard(far_writer)
            far_writer.close()


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()

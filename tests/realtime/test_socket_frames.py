"""A socket sends so many frames a second, of whatever kind: the event loop is everybody's."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from redis import Redis

from accounts.tokens.tokens import make_token
from arbsite.daphne.sockets import FRAMES_PER_S
from tests.support.live import Web, daphne

MASK = b"\0\0\0\0"
PING = b"\x89\x80" + MASK
PONG = b"\x8a\x80" + MASK
FIRST, MORE = b"\x01\x80" + MASK, b"\x00\x80" + MASK
"""An empty beginning of a text message, and an empty piece of it after which others come."""
A_PONG = b"\x8a\x00"


@pytest.fixture
def web(transactional_db: None, empty_redis: Redis) -> Iterator[Web]:
    call_command("seed", verbosity=0)
    with daphne() as running:
        yield running


async def flooded(web: Web, token: str, path: str, frames: bytes) -> bytes:
    """All that the server says to a socket that sends these at once, until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nOrigin: {web.url}\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(20):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(frames)
    said = b""
    try:
        async with asyncio.timeout(20):
            while data := await reader.read(65_536):
                said += data
    except ConnectionError:
        pass
    writer.close()
    return said


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path", ["/ws/realtime_charts?filter=none", "/ws/scanner", "/ws/depth", "/ws/health"]
)
@pytest.mark.parametrize(
    "frames", [PING * 20_000, PONG * 20_000, FIRST + MORE * 20_000], ids=["pings", "pongs", "fragments"]
)
def test_a_flood_of_frames_ends_the_socket(web: Web, path: str, frames: bytes) -> None:
    """Every ping was answered, and every piece read, while all others waited."""
    token = make_token(User.objects.create_user("one"), 1)
    said = asyncio.run(flooded(web, token, path, frames))
    assert said.count(A_PONG) <= FRAMES_PER_S
    assert re.search(rb"\x88.\x11\x39more than \d+ frames in one second", said), said[-200:]

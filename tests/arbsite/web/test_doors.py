"""The web process's door: bodies are bounded before they are read, heads in time, connections in number."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections
from pytest_django import Settings
from redis import Redis
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from accounts.tokens.tokens import make_token
from arbsite.daphne import doors as daphne_doors
from arbsite.daphne.doors import BODY_S, HEAD_S, LARGE_AT_ONCE, LARGE_BODY, LINGER_S, SMALL_BODY, Doors
from core.process.vitals import heartbeats
from monitoring.metrics.traffic import traffic
from tests.support.live import START_S, Web, browser, daphne, eventually, promised

HOST = b"Host: 127.0.0.1\r\n"
MB = 1024 * 1024


async def answer(reader: asyncio.StreamReader, seconds: float = 15.0) -> tuple[int, bytes]:
    """Status and body of an answer after which the connection ends."""
    async with asyncio.timeout(seconds):
        everything = await reader.read()
    head, _, body = everything.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def sent(web: Web, head: bytes, parts: list[bytes]) -> tuple[int, bytes, int]:
    """Send a head and the parts until there is an answer; status, body, and bytes that were taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    reading = asyncio.create_task(answer(reader, 30.0))
    taken = 0
    writer.write(head)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
        if reading.done():
            break
        taken += len(part)
    try:
        return *(await reading), taken
    finally:
        writer.close()


@pytest.fixture(scope="module")
def places() -> list[tuple[str, str]]:
    """Addresses that take a body, and some that do not."""
    return [
        ("POST", "/accounts/login/"), ("POST", "/api/pins"), ("POST", "/"), ("POST", "/no/such/page"),
        ("GET", "/healthz"), ("PUT", "/api/scanner/views"), ("DELETE", "/api/pins"), ("POST", "/static/x.js"),
        ("OPTIONS", "*"),
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
async def test_large_bodies_are_refused_before_they_are_read_from_every_client(
    places: list[tuple[str, str]],
) -> None:
    with daphne() as web:
        for method, path in places:
            start = f"{method} {path} HTTP/1.1\r\n".encode() + HOST
            declared = start + f"Content-Length: {150 * MB}\r\n\r\n".encode()
            status, words, _taken = await sent(web, declared, [])
            assert status == 413, (method, path)
            assert f"{SMALL_BODY:,} bytes".encode() in words
            chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
            chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
            status, words, taken = await sent(web, chunked, [chunk] * 2400)
            assert status == 413, (method, path)
            assert taken < 50 * MB, "what the sockets' buffers hold, and a little"
        status, words, _taken = await sent(
            web, b"POST /api/pins HTTP/1.1\r\n" + HOST + b"Content-Length: 70000\r\n\r\n", []
        )
        assert "larger than" in json.loads(words)["error"]


@pytest.mark.django_db(transaction=True)
async def test_a_client_that_asks_before_sending_is_answered_before_sending() -> None:
    head = b"POST /accounts/login/ HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\n"
    with daphne() as web:
        status, _words, _taken = await sent(web, head + b"Content-Length: 99999999\r\n\r\n", [])
        assert status == 413
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(head + b"Content-Length: 3\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"a=b")
        assert (await answer(reader))[0] == 403
        writer.close()


@pytest.mark.django_db(transaction=True)
async def test_headers_that_are_not_ascii_are_no_fault_of_ours() -> None:
    """They were answered 500, by Daphne or Autobahn, whose headers of their own these are."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    with daphne() as web:
        for path, header, wanted in (
            (b"/accounts/login/", b"Daphne-Root-Path: /\xff\r\nConnection: close\r\n", 200),
            (b"/static/css/site.css", b"Daphne-Root-Path: \xed\xa0\x80\r\nConnection: close\r\n", 200),
            (b"/ws/health", upgrade + b"Sec-WebSocket-Protocol: \xff\r\n", 400),
            (b"/ws/health", upgrade + b"Sec-WebSocket-Key: \xff\r\n", 400),
        ):
            status, words, _taken = await sent(
                web, b"GET " + path + b" HTTP/1.1\r\n" + HOST + header + b"\r\n", []
            )
            assert status == wanted, (header, words[:200])


@pytest.mark.django_db(transaction=True)
async def test_bodies_that_are_small_enough_arrive_whole() -> None:
    with daphne() as web:
        for size, path in ((SMALL_BODY, "/accounts/login/"), (LARGE_BODY, "/admin/login/"), (0, "/api/pins")):
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n".encode()
            status, _words, _taken = await sent(
                web, head + f"Content-Length: {size}\r\n\r\n".encode(), [b"a" * size]
            )
            assert status in (401, 403), "it got as far as the token against forgery"
            chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"a" * size) if size else b"0\r\n\r\n"
            status, _words, _taken = await sent(web, head + b"Transfer-Encoding: chunked\r\n\r\n", [chunks])
            assert status in (401, 403)


@pytest.mark.django_db(transaction=True)
async def test_only_so_many_large_bodies_are_read_at_once_and_small_ones_go_on() -> None:
    head = f"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {LARGE_BODY}\r\n\r\n".encode()
    with daphne() as web:
        held = [await asyncio.open_connection("127.0.0.1", web.port) for _ in range(LARGE_AT_ONCE)]
        for _reader, writer in held:
            writer.write(head + b"a")
            await writer.drain()
        await asyncio.sleep(0)
        status, words, _taken = await sent(web, head, [])
        assert (status, b"too many large requests" in words.lower()) == (503, True)
        small = b"POST /admin/login/ HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nConnection: close\r\n\r\na"
        assert (await sent(web, small, []))[0] == 403
        for _reader, writer in held:
            writer.close()
        deadline = time.monotonic() + 15
        while (
            await sent(web, head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), [b"a" * LARGE_BODY])
        )[0] != 403:
            assert time.monotonic() < deadline


@pytest.mark.django_db(transaction=True)
async def test_an_upgrade_brings_no_body_and_keeps_no_place() -> None:
    head = (
        f"GET /admin/ HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Content-Length: {LARGE_BODY}\r\n\r\n"
    ).encode()
    with daphne() as web:
        for _ in range(LARGE_AT_ONCE + 2):
            assert (await sent(web, head, []))[0] == 413


@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
async def test_a_hundred_connections_of_one_byte_per_ten_seconds_are_gone(empty_redis: Redis) -> None:
    with daphne() as web:
        slow = [await asyncio.open_connection("127.0.0.1", web.port) for _ in range(100)]
        began = time.monotonic()
        head = b"GET /healthz HTTP/1.1\r\nHost: "
        ends = [asyncio.create_task(reader.read()) for reader, _writer in slow]
        for number in range(len(head)):
            for _reader, writer in slow:
                if not writer.is_closing():
                    writer.write(head[number : number + 1])
            await asyncio.wait(ends, timeout=10.0)
            if all(task.done() for task in ends):
                break
            assert time.monotonic() - began < promised(HEAD_S + LINGER_S + 15)
        assert all(b" 408 " in task.result() for task in ends)
        await eventually(lambda: connections_of(web) == 0, "none is kept", 20.0)
        for _reader, writer in slow:
            writer.close()


def connections_of(web: Web) -> float | None:
    beat = next((beat for beat in heartbeats() if beat.pid == web.process.pid), None)
    return beat.counters.get("connections") if beat else None


@asynccontextmanager
async def connected(web: Web, count: int) -> AsyncIterator[None]:
    """So many connections that hold a place each, as their answers prove.

    What asked whether the server listens holds a place, too, until the server notices that it has left.
    """
    writers: list[asyncio.StreamWriter] = []
    deadline = time.monotonic() + START_S
    try:
        while len(writers) < count:
            assert time.monotonic() < deadline, f"only {len(writers)} of {count} connections are let in"
            with suppress(asyncio.IncompleteReadError, ConnectionError):  # closed without a word
                reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
                writer.write(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
                await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
        yield
    finally:
        for writer in writers:
            writer.close()


async def healthy(web: Web) -> int | None:
    try:
        request = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        return (await sent(web, request, []))[0]
    except (IndexError, ConnectionError):
        return None  # closed without a word


@pytest.mark.django_db(transaction=True)
async def test_one_address_and_all_together_have_so_many_connections() -> None:
    for limits in ({"WEB_CONNECTIONS_PER_ADDRESS": "5"}, {"WEB_CONNECTIONS": "5"}):
        with daphne(None, None, **limits) as web:
            async with connected(web, 5):
                assert await healthy(web) is None
            deadline = time.monotonic() + START_S
            while await healthy(web) != 200:
                assert time.monotonic() < deadline, "places of clients that left are free again"


@pytest.mark.django_db(transaction=True)
async def test_behind_a_proxy_its_address_is_everybodys() -> None:
    with daphne(WEB_CONNECTIONS_PER_ADDRESS="5", BEHIND_PROXY="true") as web:
        async with connected(web, 8):
            assert await healthy(web) == 200


@pytest.mark.django_db(transaction=True)
async def test_sockets_of_all_kinds_have_one_limit_and_count_for_no_address(empty_redis: Redis) -> None:
    token = await sync_to_async(somebodys_token)()
    with daphne(REALTIME_SOCKETS_PER_USER="3", WEB_CONNECTIONS_PER_ADDRESS="2") as web:
        async with (
            browser_of(web, token, "health"),
            browser_of(web, token, "scanner"),
            browser_of(web, token, "health"),
        ):
            for kind in ("health", "scanner", "realtime_charts"):
                async with browser_of(web, token, kind) as one_too_many:
                    await one_too_many.socket.wait_closed()
                    assert one_too_many.socket.close_code == 4409, kind
        async with browser_of(web, token, "health") as again:
            await asyncio.sleep(0.3)
            assert again.socket.close_code is None


def somebodys_token() -> str:
    try:
        return make_token(User.objects.create_superuser("somebody"), 1)
    finally:
        connections.close_all()


def browser_of(web: Web, token: str, kind: str) -> Any:
    there = WebAt(web.port, web.process)
    there.kind = kind
    return browser(there, token)


class WebAt(Web):
    """A web process whose socket is another one."""

    kind = ""

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/{self.kind}"


# --- times and numbers, by a clock that we set ---------------------------------------------------------


class Channel:
    """One connection to the door."""

    def __init__(self, clock: Clock) -> None:
        transports: Any = StringTransport
        self.transport = transports(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        self.aborted = False
        self.transport.abortConnection = self._abort
        self.transport.loseWriteConnection = lambda: None
        self.channel: Any = daphne_doors.DoorChannel()
        self.channel.callLater = clock.callLater
        self.channel.timeOut = 60
        self.channel.requestFactory = Request
        self.channel.makeConnection(self.transport)

    def _abort(self) -> None:
        self.aborted = True

    def say(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())


class Request(daphne_doors.DoorRequest):
    """One that nobody answers."""

    def __init__(self, channel: Any, queued: Any = None) -> None:
        from twisted.web import http

        http.Request.__init__(self, channel, queued)
        self.application_queue = None

    def process(self) -> None:
        """Never."""

    def connectionLost(self, reason: Any) -> None:
        self.put_away()


@pytest.fixture(autouse=True)
def nobody_is_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(daphne_doors, "doors", Doors())
    traffic.doors.clear()
    yield
    traffic.doors.clear()


def test_the_time_to_a_head_is_total() -> None:
    clock = Clock()
    channel = Channel(clock)
    for _ in range(int(HEAD_S)):
        channel.say(b"G")
        clock.advance(0.99)
    assert not channel.received
    clock.advance(1.0)
    assert b"HTTP/1.1 408 " in channel.received
    assert b"head did not come within 20 seconds" in channel.received
    clock.advance(LINGER_S)
    assert channel.aborted
    assert traffic.doors == {"slow_head": 1}


def test_the_time_to_a_body_is_total() -> None:
    clock = Clock()
    channel = Channel(clock)
    channel.say(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(int(BODY_S) - 1):
        clock.advance(1.0)
        channel.say(b"x")
    assert not channel.received
    clock.advance(1.0)
    assert b"408" in channel.received
    assert traffic.doors == {"slow_body": 1}


def test_a_connection_that_says_nothing_is_closed_without_an_answer() -> None:
    clock = Clock()
    channel = Channel(clock)
    clock.advance(HEAD_S)
    assert channel.aborted
    assert not channel.received
    assert traffic.doors == {"idle": 1}


def test_while_an_answer_is_made_no_time_runs_and_the_next_head_has_its_own() -> None:
    clock = Clock()
    channel = Channel(clock)
    channel.say(b"GET / HTTP/1.1\r\n\r\n")
    clock.advance(1000.0)
    channel.channel.requestDone(channel.channel.requests[0])
    clock.advance(59.0)
    assert not channel.aborted
    channel.say(b"G")
    clock.advance(HEAD_S - 1)
    channel.say(b"E")
    assert not channel.received
    clock.advance(1.0)
    assert b"408" in channel.received


@pytest.mark.parametrize("head", [b"Content-Length: 99999999", b"Transfer-Encoding: chunked"])
def test_nothing_of_a_refused_body_is_kept(head: bytes) -> None:
    channel = Channel(Clock())
    channel.say(b"POST / HTTP/1.1\r\n" + head + b"\r\n\r\n")
    for _ in range(100):
        channel.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    assert channel.received.count(b"413 Request Entity Too Large") == 1
    request = channel.channel.requests[0]
    assert request.content.tell() <= 2 * SMALL_BODY
    channel.channel.connectionLost(None)
    assert daphne_doors.doors.open == 0


@pytest.mark.parametrize(
    ("uri", "prefix", "most"),
    [
        (b"/admin/markets/symbol/", "", LARGE_BODY),
        (b"/admin/?x=/", "", LARGE_BODY),
        (b"/administrator", "", SMALL_BODY),
        (b"/x?/admin/", "", SMALL_BODY),
        (b"//admin/", "", SMALL_BODY),
        (b"http://127.0.0.1/admin/", "", SMALL_BODY),
        (b"/desk/admin/", "/desk", LARGE_BODY),
        (b"/desk/admin/", "", SMALL_BODY),
        (b"\xff\xfe", "", SMALL_BODY),
    ],
)
def test_each_address_has_its_size(settings: Settings, uri: bytes, prefix: str, most: int) -> None:
    settings.URL_PREFIX = prefix
    assert daphne_doors.largest_body(uri) == most


def test_a_place_is_given_back_once_whatever_comes_first(settings: Settings) -> None:
    settings.WEB_CONNECTIONS_PER_ADDRESS = 1
    doors, transport = Doors(), type("Transport", (), {})()
    doors.enter(transport, "192.0.2.1")
    assert doors.full("192.0.2.1") == "address"
    assert doors.full("192.0.2.2") == ""
    doors.becomes_socket(transport)
    doors.becomes_socket(transport)
    assert doors.full("192.0.2.1") == ""
    doors.leave(transport)
    doors.leave(transport)
    assert doors.open == 0


def test_fewer_open_files_mean_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (256, 256))
    assert daphne_doors.most_connections() == 156

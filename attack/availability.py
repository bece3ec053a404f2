"""Items 1 to 4: taking the desk down for others."""

import asyncio
import signal
import socket
import time
from contextlib import suppress
from urllib.parse import quote

import aiohttp
import psutil

from attack.person import PASSWORD, Person
from attack.scene import Broken, Scene, attack, insist, loaded, serves

CHART = "symbol=BTC/USDT&exchange1=binance&exchange2=bybit"
DATA = f"/api/dashboard_data?{CHART}"
LARGEST_HEAD_S = 45.0


async def _raw(scene: Scene, head: str, body: bytes = b"", address: str = "127.0.0.1") -> "_Connection":
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.desk.port, local_addr=(address, 0))
    writer.write(head.replace("\n", "\r\n").encode() + body)
    await writer.drain()
    return _Connection(reader, writer)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def close(self) -> None:
        self.writer.transport.abort()


@attack(1, "twelve readers that take nothing of long answers", "alone")
async def slow_readers(scene: Scene) -> None:
    """Each answer must hold nothing that others need while its client does not read."""
    path = "/api/dashboard_data?points=20000"
    head = f"GET {path} HTTP/1.1\nHost: 127.0.0.1:{scene.desk.port}\nCookie: {scene['low'].cookies()}\n\n"
    readers = []
    for _ in range(12):
        connection = await _raw(scene, head)
        connection.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        readers.append(connection)
    try:
        await asyncio.sleep(2)
        for path in ("/readyz", "/", "/api/charts"):
            await serves(scene["other"], path, why="while another user reads nothing")
    finally:
        for connection in readers:
            connection.close()


@attack(2, "a page's own burst of a hundred history requests", "alone")
async def burst(scene: Scene) -> None:
    """All are answered, or refused with a time to retry; others notice nothing."""
    asked = [asyncio.ensure_future(scene["low"].get(DATA, seconds=50)) for _ in range(100)]
    try:
        for path in ("/", "/readyz"):
            await serves(scene["other"], path, why="during another user's burst")
        answers = await asyncio.gather(*asked)
    finally:
        for task in asked:
            task.cancel()
    wrong = sorted({a.status for a in answers} - {200, 429})
    insist(not wrong, f"requests of the burst answered {wrong}")
    insist(all("Retry-After" in a.headers for a in answers if a.status == 429), "429 without Retry-After")


@attack(2, "forty pages at once of one user", "alone")
async def burst_of_pages(scene: Scene) -> None:
    """Every one takes the processor and a connection to the database: others notice nothing."""
    asked = [asyncio.ensure_future(scene["root"].get("/admin/markets/symbol/")) for _ in range(40)]
    try:
        for path in ("/", "/readyz"):
            await serves(scene["other"], path, tries=2, why="during another user's burst of pages")
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


@attack(4, "a socket that sends a megabyte of pings", "alone")
async def pings(scene: Scene) -> None:
    """A server that answers all of them answers nobody else meanwhile."""
    head = (
        f"GET /ws/scanner HTTP/1.1\nHost: 127.0.0.1:{scene.desk.port}\nOrigin: {scene.desk.url}\n"
        f"Cookie: {scene['low'].cookies()}\nConnection: Upgrade\nUpgrade: websocket\n"
        "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n\n"
    )
    connection = await _raw(scene, head)
    answered = 0
    try:
        async with asyncio.timeout(10):
            await connection.reader.readuntil(b"\r\n\r\n")
            connection.writer.write(b"\x89\x80\0\0\0\0" * 170_000)
            while data := await connection.reader.read(65_536):
                answered += data.count(b"\x8a\x00")
    except (ConnectionError, TimeoutError):
        pass
    finally:
        connection.close()
    insist(answered < 10_000, f"{answered:,} pings were answered")


@attack(4, "bodies of 150 MB from somebody without a session", "as a stranger")
async def big_bodies(scene: Scene) -> None:
    """They are refused before they are read, whether their length is stated or not."""
    host = f"Host: 127.0.0.1:{scene.desk.port}\nContent-Type: application/x-www-form-urlencoded\n"
    for way in ("Content-Length: 157286400", "Transfer-Encoding: chunked"):
        connection = await _raw(scene, f"POST /accounts/login/ HTTP/1.1\n{host}{way}\n\n")
        status = await _refusal(connection, chunked="chunked" in way)
        connection.close()
        insist(status is not None, f"8 MB of a body with {way!r} were taken without an answer")
        insist(status == b"" or status in (b"413", b"411", b"400", b"403"), f"{way!r} answered {status!r}")


async def _refusal(connection: _Connection, *, chunked: bool) -> bytes | None:
    """The status of the answer to a body, empty where the connection was cut; None after 8 MB without one."""
    answered = asyncio.ensure_future(connection.reader.readuntil(b"\r\n"))
    piece = b"x=" + b"a" * 65_534
    piece = b"10000\r\n" + piece + b"\r\n" if chunked else piece
    try:
        for _ in range(128):
            connection.writer.write(piece)
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.writer.drain(), 0.5)
            if answered.done():
                break
        done, _ = await asyncio.wait([answered], timeout=2)
        return answered.result().split()[1] if done else None
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        answered.cancel()


@attack(4, "thirty connections that never finish a request's head", "as a stranger")
async def slow_heads(scene: Scene) -> None:
    """A byte every two seconds: the time for a head as a whole has an end."""
    connections = [await _raw(scene, "GET / HTTP/1.1\nX-Slow: ") for _ in range(30)]
    ended = [asyncio.ensure_future(connection.reader.read()) for connection in connections]
    until = time.monotonic() + LARGEST_HEAD_S
    try:
        while time.monotonic() < until and not all(task.done() for task in ended):
            for connection in connections:
                with suppress(ConnectionError):
                    connection.writer.write(b"a")
            await asyncio.sleep(2)
        still = sum(not task.done() for task in ended)
        insist(not still, f"{still} of 30 are still open after {LARGEST_HEAD_S:.0f} s")
    finally:
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for connection in connections:
            connection.close()


@attack(4, "one user opens 45 sockets of all kinds")
async def many_sockets(scene: Scene) -> None:
    """One limit holds for all kinds together."""
    paths = ("/ws/health", "/ws/scanner", "/ws/depth", "/ws/realtime_charts")
    opened: list[aiohttp.ClientWebSocketResponse] = []
    for n in range(45):
        with suppress(aiohttp.ClientError, TimeoutError):
            opened.append(await scene["low"].socket(paths[n % len(paths)]))
    try:
        alive = sum(await asyncio.gather(*(_is_alive(each) for each in opened)))
        insist(alive <= 20, f"{alive} are open at once; REALTIME_SOCKETS_PER_USER says 20")
    finally:
        for each in opened:
            await each.close()


async def _is_alive(opened: aiohttp.ClientWebSocketResponse) -> bool:
    """Whether it is still open after three seconds of reading."""
    until = time.monotonic() + 3
    while (left := until - time.monotonic()) > 0:
        try:
            message = await opened.receive(timeout=left)
        except TimeoutError:
            return True
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            return False
    return not opened.closed


@attack(4, "ten pins and unpins in a row")
async def revisions(scene: Scene) -> None:
    """Revisions, which collectors read again, do not rise by anybody's clicking."""
    charts = await scene["low"].get("/api/charts")
    chart = next(iter(loaded(charts.text)["charts"]))["id"]
    before = loaded(charts.text)["revision"]
    statuses = set()
    for _ in range(10):
        statuses.add((await scene["low"].post("/api/pins", json={"id": chart})).status)
        await scene["low"].delete(f"/api/pins?id={quote(chart)}")
    insist(statuses <= {200, 429}, f"pinning answers {sorted(statuses)}")
    after = loaded((await scene["low"].get("/api/charts")).text)["revision"]
    insist(after - before <= 4, f"{after - before} configuration revisions of 20 clicks")


@attack(4, "PostgreSQL stands still", "alone")
async def frozen_database(scene: Scene) -> None:
    """Pages end with an answer, not with the browser's patience; afterwards all works again by itself."""
    servers = scene.desk.postgres()
    insist(servers, "there is no PostgreSQL to stop")
    try:
        for process in servers:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        for path in ("/", "/api/pins", "/healthz", "/readyz"):
            try:
                answer = await scene["other"].get(path, seconds=14)
            except TimeoutError:
                raise Broken(f"{path} hung for 14 s") from None
            insist(path != "/healthz" or answer.status == 200, f"/healthz answered {answer.status}")
    finally:
        for process in servers:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    await _recovers(scene)


async def _recovers(scene: Scene) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with suppress(TimeoutError, aiohttp.ClientError):
            if (await scene["other"].get("/", seconds=5)).status == 200:
                return
        await asyncio.sleep(0.5)
    raise Broken("no page for 20 s after PostgreSQL went on")


@attack(3, "twenty strangers sign in at once", "alone")
async def sign_in_flood(scene: Scene) -> None:
    """Hashing passwords takes nothing from those who are in."""
    strangers = [await scene.person(f"nobody{n}", f"127.0.1.{n + 1}") for n in range(20)]
    tries = [asyncio.ensure_future(each.try_password("wrong")) for each in strangers]
    try:
        for path in ("/", "/readyz"):
            await serves(scene["other"], path, why="while twenty strangers sign in")
        health = await scene["other"].get("/api/health")
        insist(loaded(health.text)["status"] != "down", "health says down")
        answers = [task.result() for task in tries if task.done()]
    finally:
        for task in tries:  # hashing all takes long on a busy machine
            task.cancel()
        await asyncio.gather(*tries, return_exceptions=True)
    wrong = sorted({answer.status for answer in answers} - {200, 429, 503})
    insist(not wrong, f"tries answered {wrong}")


@attack(3, "guessing a password")
async def guessing(scene: Scene) -> None:
    """After a few tries not even the right one is taken from there, and its owner gets in elsewhere."""
    async with (
        Person(scene.desk.url, "low", "127.0.2.1") as guesser,
        Person(scene.desk.url, "low", "127.0.2.2") as owner,
    ):
        for n in range(5):
            await guesser.try_password(f"guess {n}")
        last = await guesser.try_password(PASSWORD)
        insist(last.status == 429, f"the right password after five wrong ones answered {last.status}")
        insist("Retry-After" in last.headers, "429 without Retry-After")
        insist((await owner.try_password(PASSWORD)).status == 302, "its owner is locked out elsewhere, too")

"""Cost of receiving a frame: `websockets` and `picows`, each on asyncio's loop and on uvloop.

    .venv/bin/python benchmarks/receive.py

50 TLS connections over loopback, server on one core, client on the other. Frames come one by one at a
fixed rate, as quotes do, and as a firehose, where the server sends what the sockets take. All clients take
turns in one run; figures are medians of CPU µs per frame in the client process, kernel time included, and
of how late its 20 ms timer came. Real frames are used when ../shared is there, else invented ones.
Takes about 3 minutes; the last line is a JSON object with every figure, its target and whether it is met.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import platform
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import picows
import uvloop
import websockets.asyncio.client
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed

SHARED: Final = Path(__file__).resolve().parent.parent.parent / "shared" / "wire" / "visible"
CONNECTIONS: Final = 50
ROUNDS: Final = 3
SECONDS: Final = 2.0
TIMER_S: Final = 0.02
SETTLE_S: Final = 0.2  # between connecting, the first frame, the last one and the goodbye
FIREHOSE: Final = 0
RATES: Final = (2_000, 10_000, 20_000, FIREHOSE)
LIBRARIES: Final = ("websockets", "picows")
LOOPS: Final = ("asyncio", "uvloop")
FIREHOSE_CHUNK_BYTES: Final = 64 * 1024
GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOODBYE: Final = b"\x88\x02\x03\xe8"  # a close frame with code 1000

Frame = str | bytes


def recorded_frames() -> list[Frame]:
    """Best-bid-and-ask frames of all exchanges as they came over the wire, or invented ones."""
    lines = [line for path in sorted(SHARED.glob("*/spot/book_ticker.jsonl")) for line in path.open()]
    frames = [json.loads(line) for line in lines]
    return [_wire(each["payload"]) for each in frames if each["dir"] == "recv"] or invented_frames()


def invented_frames() -> list[Frame]:
    """One frame per symbol in the shape of Binance's book ticker."""
    return [
        f'{{"stream":"sym{n}usdt@bookTicker","data":{{"u":40090021{n:04},"s":"SYM{n}USDT","b":"64{n:03}.10000000",'
        f'"B":"0.51000000","a":"64{n:03}.20000000","A":"1.20000000"}}}}'
        for n in range(200)
    ]


def _wire(payload: Any) -> Frame:
    if isinstance(payload, str):
        return payload
    if isinstance(payload, dict) and payload.keys() == {"b64"}:
        return base64.b64decode(payload["b64"])
    return json.dumps(payload, separators=(",", ":"))


# --- the server ---------------------------------------------------------------------------------------


def on_the_wire(frame: Frame) -> bytes:
    """A frame as a server sends it."""
    kind, payload = (0x81, frame.encode()) if isinstance(frame, str) else (0x82, frame)
    size = len(payload)
    head = bytes([kind, size]) if size < 126 else bytes([kind, 126]) + size.to_bytes(2, "big")
    return head + payload


def certificate(folder: Path) -> Path:
    """A self-signed certificate for localhost with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Exchange:
    """Sends frames to all its connections in turn. No library, so that every client meets the same one."""

    def __init__(self, connections: int, pem: Path | None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=connections)
        self._connections = connections
        self._tls = None
        if pem is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(pem)
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> list[socket.socket]:
        """Wait for all the connections of one client."""
        return [self._accept_one() for _ in range(self._connections)]

    def _accept_one(self) -> socket.socket:
        plain, _ = self._listener.accept()
        plain.settimeout(10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(4096)
        headers = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if line)
        key = next(value for name, value in headers.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        return connection

    def one_by_one(
        self, sockets: list[socket.socket], frames: list[list[bytes]], rate: int, seconds: float
    ) -> int:
        """Send isolated frames, evenly spaced, to one socket after the other; returns how many."""
        turn = cycle(list(zip(sockets, map(cycle, frames), strict=True)))
        total, started = int(rate * seconds), time.perf_counter()
        for n in range(total):
            each, own = next(turn)
            frame, at = next(own), started + n / rate
            while time.perf_counter() < at:  # the core is ours, and sleeping is not exact enough
                pass
            each.sendall(frame)
        return total

    def firehose(self, sockets: list[socket.socket], frames: list[list[bytes]], seconds: float) -> int:
        """Send as much as is taken; returns how many frames that was."""
        chunks = []
        for own in frames:
            per_chunk = len(own) * max(1, FIREHOSE_CHUNK_BYTES // sum(map(len, own)))
            chunks.append((per_chunk, b"".join(islice(cycle(own), per_chunk))))
        until, sent = time.perf_counter() + seconds, 0
        while time.perf_counter() < until:
            for each, (per_chunk, chunk) in zip(sockets, chunks, strict=True):
                each.sendall(chunk)
                sent += per_chunk
        return sent

    def goodbye(self, sockets: list[socket.socket]) -> None:
        """Close every connection as the protocol has it: our close frame, the client's, the end."""
        for each in sockets:
            each.sendall(GOODBYE)
        for each in sockets:
            with contextlib.suppress(OSError):
                each.recv(4096)
            each.close()


def serve(frames: list[list[Frame]], rate: int, seconds: float, pem: Path | None) -> None:
    """The server process, one run: says its port, serves one client, says how much it has sent.

    `frames` are those of the first connection, of the second one and so on.
    """
    os.nice(10)  # Redis, where there is one, shares this core and must not wait for us
    exchange = Exchange(len(frames), pem)
    wire = [[on_the_wire(frame) for frame in own] for own in frames]
    print(exchange.port, flush=True)
    sockets = exchange.accept()
    time.sleep(SETTLE_S)
    if rate == FIREHOSE:
        sent = exchange.firehose(sockets, wire, seconds)
    else:
        sent = exchange.one_by_one(sockets, wire, rate, seconds)
    time.sleep(SETTLE_S)
    exchange.goodbye(sockets)
    print(sent, flush=True)


# --- the clients --------------------------------------------------------------------------------------


class Counted:
    """Frames received."""

    def __init__(self) -> None:
        self.frames = 0

    def take(self, frame: Frame) -> None:
        """Take a frame's payload as text or bytes, like every client."""
        self.frames += 1


class Gauge:
    """A 20 ms timer: how late it came, in ms, and the CPU time and clock when the last frame had come.

    `busy_max_ms` is the most CPU time between two of its calls: on a machine that others use, too, the part
    of the lateness that is our own.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._late_ms: list[float] = []
        self._busy_ms: list[float] = []
        self._started = self._ended = (time.process_time(), time.perf_counter())

    async def run(self) -> None:
        """Ask to be called again and again until cancelled."""
        seen = 0
        while True:
            due, cpu = time.perf_counter() + TIMER_S, time.process_time()
            await asyncio.sleep(TIMER_S)
            self._late_ms.append((time.perf_counter() - due) * 1e3)
            self._busy_ms.append((time.process_time() - cpu) * 1e3)
            if (count := self._count()) != seen:
                seen = count
                self._ended = (time.process_time(), time.perf_counter())

    def figures(self) -> dict[str, float]:
        """Figures of one run."""
        late = sorted(self._late_ms)
        cpu, clock = (ended - started for started, ended in zip(self._started, self._ended, strict=True))
        return {
            "frames": self._count(), "cpu_s": cpu, "seconds": clock - SETTLE_S,
            "late_p99_ms": late[int(len(late) * 0.99)], "late_max_ms": late[-1],
            "busy_max_ms": max(self._busy_ms),
        }  # fmt: skip


async def with_websockets(url: str, tls: ssl.SSLContext | None, counted: Counted) -> Callable[[], Any]:
    """One connection of `websockets`, read by one task."""
    connect = websockets.asyncio.client.connect
    connection = await connect(
        url, ssl=tls, compression=None, proxy=None, ping_interval=None, max_queue=1024
    )  # fmt: skip

    async def read() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                counted.take(await connection.recv())

    return read


class Listener(picows.WSListener):
    """Hands text and bytes on, and answers the goodbye."""

    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        kind = frame.msg_type
        if kind == picows.WSMsgType.TEXT:
            self._counted.take(frame.get_payload_as_utf8_text())
        elif kind == picows.WSMsgType.BINARY:
            self._counted.take(frame.get_payload_as_bytes())
        elif kind == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


async def with_picows(url: str, tls: ssl.SSLContext | None, counted: Counted) -> Callable[[], Any]:
    """One connection of `picows`: no task, it calls."""
    transport, _ = await picows.ws_connect(lambda: Listener(counted), url, ssl_context=tls)
    return transport.wait_disconnected


CLIENTS: Final = {"websockets": with_websockets, "picows": with_picows}


async def receive(library: str, port: int, pem: Path | None, connections: int) -> dict[str, float]:
    """One client run until the server says goodbye."""
    tls = ssl.create_default_context(cafile=str(pem)) if pem else None
    url = f"{'wss' if tls else 'ws'}://localhost:{port}/"
    counted = Counted()
    readers = [await CLIENTS[library](url, tls, counted) for _ in range(connections)]
    gauge = Gauge(lambda: counted.frames)
    timer = asyncio.create_task(gauge.run())
    await asyncio.gather(*(read() for read in readers))
    timer.cancel()
    return gauge.figures()


# --- the run ------------------------------------------------------------------------------------------


def pin(core: int) -> None:
    """Stay on one core, where there are two."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


def one_run(server: list[str], client: list[str], seconds: float) -> dict[str, float]:
    """A server and a client, each in a fresh process on its own core; `client` gets the server's port."""
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        port = serving.stdout.readline().strip()
        finished = subprocess.run(
            [*client, "--port", port], capture_output=True, text=True, timeout=seconds * 10 + 20, check=False
        )
        if finished.returncode:
            serving.kill()
            raise RuntimeError(finished.stderr)
        sent = int(serving.stdout.readline())
    run: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    run["us"] = run["cpu_s"] / max(1, run["frames"]) * 1e6
    run["lost"] = sent - run["frames"]
    run["per_s"] = run["frames"] / run["seconds"]
    return run


def measure(seconds: float, rounds: int) -> dict[tuple[int, str, str], dict[str, float]]:
    """Medians of all runs; the worst lateness and all losses of a client at a rate are kept as such."""
    runs: dict[tuple[int, str, str], list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        pem = certificate(Path(folder))
        for _ in range(rounds):
            for rate, library, loop in _turns():
                me = [sys.executable, __file__, f"--seconds={seconds}", f"--rate={rate}", f"--pem={pem}"]
                client = [*me, f"--client={library}", f"--loop={loop}"]
                runs[rate, library, loop].append(one_run([*me, "--serve"], client, seconds))
    return {key: _summary(each) for key, each in runs.items()}


def _turns() -> Iterator[tuple[int, str, str]]:
    for rate in RATES:
        for library in LIBRARIES:
            for loop in LOOPS:
                yield rate, library, loop


def _summary(runs: list[dict[str, float]]) -> dict[str, float]:
    medians = {name: median(run[name] for run in runs) for name in ("us", "per_s", "late_p99_ms")}
    return medians | {
        "late_max_ms": max(run["late_max_ms"] for run in runs),
        "lost": sum(run["lost"] for run in runs),
    }


def figures(results: dict[tuple[int, str, str], dict[str, float]]) -> dict[str, dict[str, Any]]:
    """CPU per frame and lateness of everyone; nobody may lose a frame."""
    named: dict[str, dict[str, Any]] = {}
    for (rate, library, loop), result in results.items():
        name = f"{library}_{loop}_{rate or 'firehose'}"
        named[f"{name}_us"] = {"value": round(result["us"], 3), "target": None, "met": None}
        named[f"{name}_late_max_ms"] = {"value": round(result["late_max_ms"], 1), "target": None, "met": None}
    lost = int(sum(result["lost"] for result in results.values()))
    named["frames_lost"] = {"value": lost, "target": 0, "met": lost == 0}
    return named


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per run")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--client", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--loop", choices=LOOPS, default="asyncio", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, default=FIREHOSE, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pem", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        pin(1)
        serve([recorded_frames()] * CONNECTIONS, asked.rate, asked.seconds, asked.pem)
        return
    if asked.client:
        pin(0)
        factory = uvloop.new_event_loop if asked.loop == "uvloop" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            print(json.dumps(runner.run(receive(asked.client, asked.port, asked.pem, CONNECTIONS))))
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("websockets", "picows", "uvloop"))
    print(f"{platform.python_implementation()} {platform.python_version()}, {versions}")
    results = measure(asked.seconds, asked.rounds)
    heads = f"{'CPU µs':>7} {'taken/s':>9} {'late p99':>9} {'late max':>9} {'lost':>5}"
    print(f"{'frames/s':>9} {'client':22} {heads}")
    for (rate, library, loop), result in results.items():
        print(
            f"{rate or 'firehose':>9} {library + ' ' + loop:22} {result['us']:7.2f} {result['per_s']:9,.0f}"
            f" {result['late_p99_ms']:6.1f} ms {result['late_max_ms']:6.1f} ms {result['lost']:5.0f}"
        )
    print(json.dumps({"benchmark": "receive", "figures": figures(results)}))


if __name__ == "__main__":
    main()
